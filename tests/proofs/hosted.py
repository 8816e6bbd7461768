"""The way of a hosted job by real commands against a provider on this machine, and back into a recipe that trains.

    python tests/proofs/hosted.py

File check, prices, start, watch to the end, the run as `status` and `runs` read it; then the job's JSON and its files
into a recipe, and the training of that on the sample model. Prints a line a step: what was found, and how long it
took. Exit code 1 at the first thing that is missing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from hosted_server import KEY, KEY_VARIABLE, Provider, provider  # noqa: E402

SAMPLE = ROOT / "sample_data"
MODEL = "gpt-4o-mini-2024-07-18"
STEPS, STEPS_A_LOOK, TOKENS = 60, 20, 61_440
PRICE = 3.0
"""US dollars for a million tokens."""
SETTINGS = {"n_epochs": 1, "batch_size": 16, "learning_rate_multiplier": 1.8}


class Missing(Exception):
    """What a step did not bring."""


def need(found: object, what: str) -> None:
    if not found:
        raise Missing(what)


def works(server: Provider, job: dict[str, Any]) -> None:
    """The provider goes on by a bit each time that the job is looked at."""
    done = sum(event["type"] == "metrics" for event in server.events[job["id"]])
    if job["status"] == "validating_files":
        job |= {"status": "running", "hyperparameters": SETTINGS}
    elif job["status"] == "running" and done < STEPS:
        server.train(job, STEPS_A_LOOK, STEPS)
    elif job["status"] == "running":
        server.succeed(job, TOKENS)


class Shell:
    """Runs `ftui` in a folder, with the key in the environment alone."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.place = folder, ("--base-url", url, "--key-env", KEY_VARIABLE)
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.environment = {
            **kept,
            KEY_VARIABLE: KEY,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "tui")),
            "FTUI_RUNS": str(folder / "runs"),
            **{f"XDG_{name}_HOME": str(folder / "home") for name in ("CONFIG", "STATE", "CACHE")},
            "HF_HUB_OFFLINE": "1",
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "finetui", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        need(KEY not in done.stdout + done.stderr, f"ftui {words[0]} shows the key")
        need(done.returncode == 0, f"ftui {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)


def checked(shell: Shell, server: Provider) -> Iterator[str]:
    for source, out in (("support_chat", "rows"), ("support_chat_val", "val")):
        words = ("data", "export", str(SAMPLE / f"{source}.jsonl"), "--to", "openai", "--out", f"{out}.jsonl")
        facts = shell.json(*words)
        rows = len((shell.folder / f"{out}.jsonl").read_text().splitlines())
        need(facts["rows"] == rows > 10, f"{out}.jsonl has {rows} rows, not {facts['rows']}")
        yield f"{rows:,} rows, {facts['bytes'] / 1e6:.2f} MB, about {facts['tokens']['usual']:,} tokens"


def priced(shell: Shell, server: Provider) -> Iterator[str]:
    facts = shell.json("hosted", "prices")
    rows = facts["training"] + facts["closing"]
    need(rows and all(row["source"] and row["as_of"] for row in rows), "a date or a source of a price")
    yield f"{len(facts['training'])} prices, {len(facts['closing'])} days of closing, each dated, with its source"


def started(shell: Shell, server: Provider) -> Iterator[str]:
    words = ("start", "rows.jsonl", "--val", "val.jsonl", "--model", MODEL, "--epochs", "1", "--seed", "7")
    done = shell("hosted", *words, "--price", str(PRICE), "--yes", "--detach", *shell.place)
    need("Cost: about" in done.stderr, "the cost before")
    sent = sorted(server.contents.values(), key=len)
    need(sent[-1] == (shell.folder / "rows.jsonl").read_bytes(), "the rows at the provider")
    need(len(sent) == 2 and len(server.jobs) == 1, "two files and one job at the provider")
    yield f"{len(sent)} files sent ({sum(map(len, sent)):,} bytes, as they lie here), 1 job, {cost(done.stderr)}"


def cost(said: str) -> str:
    (line,) = (one for one in said.splitlines() if one.startswith("Cost: "))
    return f"cost told before: {line.partition(': ')[2].partition(': ')[2].partition(' (')[0]}"


def watched(shell: Shell, server: Provider) -> Iterator[str]:
    facts = shell.json("hosted", "watch", "latest", *shell.place)
    need(
        (facts["state"], facts["step"]) == ("finished", STEPS),
        f"the end: {facts['state']} at {facts['step']}",
    )
    events = (shell.folder / "runs" / facts["id"] / "events.jsonl").read_text()
    dollars = f"{TOKENS / 1e6 * PRICE:.2f} USD"
    need(dollars in events, "the cost after")
    yield f"{facts['step']} steps, loss {facts['loss']:.3f}, validation {facts['eval_loss']:.3f}, {dollars} after"


def read(shell: Shell, server: Provider) -> Iterator[str]:
    facts, runs = shell.json("status", "latest"), shell.json("runs")
    need(facts["method"] == "hosted" and facts["eval_loss"] is not None, "the run in ftui status")
    need([one["id"] for one in runs] == [facts["id"]], "the run in ftui runs")
    folder = shell.folder / "runs" / facts["id"]
    steps = (folder / "metrics" / "0001.jsonl").read_text().splitlines()
    need(len(steps) == STEPS, f"{STEPS} steps in the run's metrics")
    files = [path for path in shell.folder.rglob("*") if path.is_file()]
    need(not any(KEY.encode() in path.read_bytes() for path in files), "a key that is in no file")
    yield f"status and runs: {facts['state']}, {facts['method']}, {len(steps)} steps; no key in {len(files)} files"


def imported(shell: Shell, server: Provider) -> Iterator[str]:
    (job,) = shell.json("hosted", "list", *shell.place)["jobs"]
    (shell.folder / "job.json").write_text(json.dumps(job))
    words = ("import", "job.json", "--data", "rows.jsonl", "--val", "val.jsonl", "--out", "recipe.toml")
    facts = shell.json("hosted", *words, "--model", str(SAMPLE / "tiny-llama"))
    shell("recipe", "check", "recipe.toml")
    need(not facts["notes"], f"a job without questions: {facts['notes']}")
    lines = [line.partition(" #")[0].strip() for line in facts["recipe"].splitlines()]
    carried = ("num_train", "per_device", "gradient", "seed", "val =")
    told = [line for line in lines if line.startswith(carried)]
    need(len(told) == len(carried), f"all settings of the job in the recipe: {told}")
    yield ", ".join(line for line in told if not line.startswith("val"))


def trained(shell: Shell, server: Provider) -> Iterator[str]:
    few = ("--set", "train.max_steps=6", "--set", "eval.max_rows=16", "--set", "eval.samples=0")
    facts = shell.json("train", "recipe.toml", "--name", "taken-over", *few)
    need((facts["state"], facts["step"]) == ("finished", 6), f"the end: {facts['state']} at {facts['step']}")
    need(facts["eval_loss"] is not None, "a validation loss")
    yield f"{facts['method']}, {facts['step']} steps, loss {facts['loss']:.3f}, validation {facts['eval_loss']:.3f}"


Step = Callable[[Shell, Provider], Iterator[str]]
WAY: dict[str, Step] = {
    "data export --to openai": checked,
    "hosted prices": priced,
    "hosted start": started,
    "hosted watch": watched,
    "status, runs": read,
    "hosted import": imported,
    "train": trained,
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, provider() as server:
        server.on_retrieve = lambda job: works(server, job)
        shell, whole = Shell(Path(folder), server.url), time.monotonic()
        for name, step in WAY.items():
            began = time.monotonic()
            try:
                found = "; ".join(step(shell, server))
            except (Missing, subprocess.TimeoutExpired) as missing:
                print(f"| {name} | missing: {missing} |")
                return 1
            print(f"| {name} | {found} | {time.monotonic() - began:.1f} s |", flush=True)
        print(f"| all | {len(server.asked)} requests | {time.monotonic() - whole:.1f} s |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
