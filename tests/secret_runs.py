"""Real small runs in which secrets turn up wherever they can, and everything that is left of them to read."""

import contextlib
import io
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import psutil

from finetui_core.cli.main import main
from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt, End
from finetui_core.secrets import RedactedStream
from secret_shapes import Secret, as_written, leaked, texts_below
from training import new_run, train_here, write_project

STEPS = 3


class Talkative:
    """An output of a trainer whose libraries tell every text: printed, warned, logged, in events, as its error."""

    def __init__(self, inner: Any, texts: Sequence[str]) -> None:
        self._inner, self._texts = inner, texts

    def metric(self, record: dict[str, Any]) -> None:
        self._inner.metric(record)
        if record["step"] == 1:
            for text in self._texts:
                self._tell(text)
        if record["step"] == STEPS:
            raise RuntimeError(f"the store refused {' and '.join(self._texts)}")

    def _tell(self, text: str) -> None:
        print(f"using {text}")
        print("using", text, "once more", file=sys.stderr)
        sys.stderr.write(f"progress {text}\r")
        warnings.warn(f"found {text}", UserWarning, stacklevel=1)
        logging.getLogger("transformers.modeling_utils").warning("loading with %s", text)
        logging.getLogger("urllib3").warning("GET https://x.invalid/?q=%s", {"key": text})
        self._inner.event("alarm", kind="store", step=1, message=f"no answer to {text}", remedy=text)

    def event(self, type: str, **fields: Any) -> None:
        self._inner.event(type, **fields)

    def beat(self, **fields: Any) -> None:
        self._inner.beat(**fields)

    def sync(self) -> None:
        self._inner.sync()


@contextlib.contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What the process prints, behind the streams that the trainer puts in place."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = RedactedStream(out), RedactedStream(err)  # type: ignore[assignment]
    handlers = [
        handler
        for logger in (logging.getLogger("transformers"), logging.getLogger())
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and (logger.name == "transformers" or handler.stream in before)  # or that of an earlier test
    ]
    streams = [handler.setStream(sys.stderr) for handler in handlers]  # made before the trainer's streams
    library = logging.getLogger("transformers")
    level = library.level
    library.setLevel(logging.WARNING)  # an earlier test may have made it quieter
    try:
        yield out, err
    finally:
        library.setLevel(level)
        sys.stdout.flush()
        sys.stderr.flush()
        for handler, stream in zip(handlers, streams, strict=True):
            handler.setStream(stream)
        sys.stdout, sys.stderr = before


def train_telling(recipe: Path, texts: Sequence[str], environment: Mapping[str, str]) -> tuple[RunPaths, str]:
    """A run whose trainer tells every text and then fails by them; returns it with what was printed.

    The log file gets what was printed, as the trainer's descriptors would give it.
    """
    with mock.patch.dict(os.environ, environment), mock.patch.object(sys, "argv", ["ftui", "train", *texts]):
        paths = new_run(recipe, f"train.max_steps={STEPS}")
        with captured() as (out, err):
            code = train_here(paths, wrap=lambda output: Talkative(output, texts))
    printed = f"{out.getvalue()}\n{err.getvalue()}"
    assert code != 0 and "loading with" in printed and "the store refused" in printed
    paths.log(1).write_text(printed)
    ticks, boot = process_identity(os.getpid())
    end = End(time.time(), exit_code=code, reason=f"exit code {code}")
    attempt = Attempt(1, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, end.at, None, end)
    write_atomically(paths.attempt(1), msgspec.json.encode(attempt))
    return paths, printed


def said_of(paths: RunPaths, environment: Mapping[str, str]) -> dict[str, str]:
    """What the commands say of a run."""
    runs = ["--runs", str(paths.root.parent)]
    commands = (
        ["status", paths.id, *runs],
        ["status", paths.id, *runs, "--json"],
        ["watch", paths.id, *runs],
        ["runs", *runs],
        ["runs", *runs, "--json"],
    )
    return {" ".join(command[:1] + command[3:]): _said(command, environment)[1] for command in commands}


def compared(paths: RunPaths, environment: Mapping[str, str]) -> str:
    """What the comparison of a run prints; its page and answers lie in the run."""
    code, said = _said(["compare", str(paths.root), "--arms", "zero_shot,tuned"], environment)
    assert code in (0, 1, 3) and (paths.report / "compare" / "report.md").exists(), said
    return said


def _said(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(command)
    return code, f"{out.getvalue()}\n{err.getvalue()}"


def refusals(
    recipe: Path, secret: Secret, environment: Mapping[str, str]
) -> Iterator[tuple[str, int, str, bool]]:
    """A secret in each place of a recipe and of the arguments: (place, exit code, what was said, anything made)."""
    text = recipe.read_text()
    written = as_written(secret)
    one_line = written.replace("\n", "\\n")
    quoted = one_line.replace("'", "")
    places = {
        "a value of the recipe": (text.replace('name = "model"', f"name = '{quoted}'"), []),
        "an unknown key of the recipe": (f"{text}\n[other]\nvalue = '{quoted}'\n", []),
        "a comment of the recipe": (f"{text}\n# {one_line}\n", []),
        "--set": (text, ["--set", f"data.documents={written}"]),
        "--name": (text, ["--name", written]),
    }
    for place, (changed, arguments) in places.items():
        other = recipe.with_name("other.toml")
        other.write_text(changed)
        root = recipe.parent / "refused"
        code, said = _said(["train", str(other), "--runs", str(root), *arguments], environment)
        yield place, code, said, root.exists()
        if place != "--name":
            code, said = _said(["recipe", "check", str(other), "--json", *arguments], environment)
            yield f"recipe check, {place}", code, said, False


TELLING = """
import logging, os, sys, warnings

def tell(event, arguments):
    if event == "import" and arguments[0] == "finetui_core.train.tally" and os.environ.get("FTUI_TELLS"):
        os.environ.pop("FTUI_TELLS")
        for name in os.environ["FTUI_NAMES"].split():
            print("using", os.environ[name])
            warnings.warn("found " + os.environ[name])
            logging.getLogger("transformers").warning("loading with %s", os.environ[name])
        raise RuntimeError("refused " + " ".join(os.environ[name] for name in os.environ["FTUI_NAMES"].split()))

sys.addaudithook(tell)
"""
"""A sitecustomize: a library of the trainer that tells the secrets of the environment, and then fails by them."""


def command_lines(folder: Path, secrets: Sequence[Secret]) -> tuple[dict[str, str], list[str]]:
    """A run that is started as a user does, with secrets in its environment: what its processes are called by, print
    and leave, and where a secret is in that."""
    recipe = write_project(folder)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(TELLING)
    paths = [str(folder / "site"), *sys.path]
    environment = {
        **os.environ,
        **{secret.variable: secret.text for secret in secrets},
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "FTUI_NAMES": " ".join(secret.variable for secret in secrets),
        "FTUI_TELLS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [
        sys.executable,
        "-m",
        "finetui_core.cli.main",
        "train",
        str(recipe),
        "--runs",
        str(folder / "runs"),
    ]
    with (folder / "out.txt").open("wb") as out:
        child = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        seen: dict[str, str] = {}
        while child.poll() is None:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen[f"command line of {process.pid}"] = " ".join(process.cmdline())
            time.sleep(0.02)
    assert child.returncode == 1 and len(seen) >= 2
    logs = "".join(path.read_text() for path in (folder / "runs").glob("*/log/0001.txt"))
    assert "refused [redacted" in logs and "loading with [redacted" in logs, logs
    seen |= texts_below(folder / "runs") | {"printed": (folder / "out.txt").read_text()}
    return seen, leaked(secrets, seen)
