"""Nothing of a recipe whose model is a folder asks the network: every socket of every process is written down.

    python tests/proofs/offline.py

The commands run on a folder model, with the variable that forbids the network taken away, so that they have to
see to it themselves. A hook of Python (PEP 578) in every process, children and their children too, notes each name
that is looked up and each connection to an internet address. Connections by other than Python's own sockets would
not be seen; huggingface_hub makes none before it has looked a name up. The last line is a process that does connect,
which must be noted. Exit code 1 when anything else is.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from malicious import make_project  # noqa: E402

HOOK = """
import os, sys
def note(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        with open(os.environ["NOTED"], "a") as file:
            file.write(f"{event} {arguments[-1] if event == 'socket.connect' else arguments[0]} {sys.argv[:3]}\\n")
sys.addaudithook(note)
"""
LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
SETS = ["--set", "train.max_steps=2", "--set", "eval.samples=1", "--set", "eval.sample_max_new_tokens=2"]
COMMANDS = (
    ["data", "check", "--recipe", "recipe.toml", "--no-cache"],
    ["preflight", "recipe.toml"],
    ["preflight", "recipe.toml", "--probe"],
    ["train", "recipe.toml", *SETS, "--runs", "runs"],
    ["compare", "latest", "--runs", "runs", "--max-rows", "2", "--max-new-tokens", "2"],
    ["export", "latest", "--runs", "runs", "--out", "out"],
)
CONNECTS = "import socket; s = socket.socket(); s.settimeout(0.1); s.connect_ex(('192.0.2.1', 80))"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=len(COMMANDS), help="so many of the commands (all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        project = make_project(folder)
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        noted = folder / "noted.txt"
        environment = {**os.environ, "NOTED": str(noted), "XDG_STATE_HOME": named, "XDG_CACHE_HOME": named}
        environment["PYTHONPATH"] = f"{folder / 'hook'}{os.pathsep}{ROOT / 'core'}"
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
            environment.pop(name, None)
        failed = 0
        print("| command | exit code | asked of the network | s |\n|---|---|---|---|")
        for command in COMMANDS[: options.count]:
            failed += _shown(
                ["-m", "finetui_core.cli.main", *command], project, environment, noted, wanted=False
            )
        failed += _shown(["-c", CONNECTS], project, environment, noted, wanted=True)
    return 1 if failed else 0


def _shown(
    command: list[str], project: Path, environment: dict[str, str], noted: Path, *, wanted: bool
) -> bool:
    """Run a command and print what was noted; whether that is wrong."""
    noted.write_text("")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in noted.read_text().splitlines() if not any(name in line for name in LOCAL)]
    name = "a process that connects" if wanted else " ".join(command[2:4])
    print(f"| {name} | {done.returncode} | {len(lines)} | {time.monotonic() - began:.0f} |", flush=True)
    wrong = bool(lines) != wanted or (done.returncode not in (0, 1, 3) and not wanted)
    if wrong:
        print("\n".join([*lines[:5], done.stderr[-2000:]]), file=sys.stderr)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
