"""`ftui export RUN`: the trained model as files for other programs, checked against the run."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.consenting import add_consent, consent_to
from finetui_core.cli.onward import after_exporting
from finetui_core.cli.say import data, data_json, talk
from finetui_core.cli.train import require_training_libraries
from finetui_core.errors import InputError, Problem
from finetui_core.runs.paths import runs_root, slug
from finetui_core.wording import size

DONE, DIFFERS = 0, 3
_TOLD_EVERY = 10.0  # seconds, where nothing is written over
_TARGETS = ("adapter", "merged", "ollama", "vllm", "gguf", "hub")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write what a run has trained into a new folder that other programs load, and check that it reads and "
        "answers as the run does: token by token, logit by logit. The same command goes on after an interruption."
    )
    parser.add_argument("run", metavar="RUN", help="a run's id, a part of it, a path, or: latest")
    parser.add_argument(
        "--to",
        choices=_TARGETS,
        default="merged",
        help="adapter for peft; merged for transformers; ollama, vllm, gguf; hub, privately (merged)",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the new folder (RUN-TARGET, here)")
    parser.add_argument(
        "--checkpoint",
        default="best",
        metavar="WHICH",
        help="best, latest or step-N (best, or else the newest)",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="what it is called: in Ollama and vLLM, or owner/name on the hub"
    )
    parser.add_argument(
        "--converter", type=Path, metavar="FILE", help="llama.cpp's convert_hf_to_gguf.py, to be run for gguf"
    )
    parser.add_argument("--no-check", action="store_true", help="do not compare the files with the run")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="write nothing: compare this earlier export with the run"
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    add_consent(parser)
    parser.add_argument(
        "--json", action="store_true", help="print phases and the result as lines of JSON on stdout"
    )


def run(options: argparse.Namespace) -> int:
    require_training_libraries()
    _check_options(options)
    from finetui_core.data.model_source import stay_offline
    from finetui_core.export.source import source_of

    source = source_of(options.run, (options.runs or runs_root()).absolute(), options.checkpoint)
    consent_to(source.recipe, options.consent_remote_code)
    if options.to != "hub":
        stay_offline(source.recipe.model)
    from finetui_core.export.targets import Told, check_again, export

    progress = _Progress(options.json)
    told = Told(progress.phase, progress.written)
    if options.check is not None:
        with _quiet_libraries():
            parity = check_again(source, options.check.absolute(), told)
        _show_parity(parity, options.json)
        return DONE if parity.agrees else DIFFERS
    try:
        wanted = _wanted(options, source)
        with _quiet_libraries():
            exported = export(source, wanted, told)
    except KeyboardInterrupt:
        talk("\nstopped: what is written is kept, and the same command goes on")
        raise
    progress.end()
    if options.json:
        data_json({"type": "exported", **msgspec.to_builtins(exported)})
    else:
        _show(exported)
        agrees = None if exported.parity is None else exported.parity.agrees
        talk(after_exporting(source.run, options.to, exported.folder, wanted.name, source.base, agrees))
    return DONE if exported.parity is None or exported.parity.agrees else DIFFERS


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """The progress that is told is this command's own."""
    from transformers.utils.logging import disable_progress_bar

    from finetui_core.evaluate.answering import without_warnings

    disable_progress_bar()
    with without_warnings():
        yield


def _check_options(options: argparse.Namespace) -> None:
    problems = []
    if options.check is not None and options.no_check:
        problems.append(Problem("--check and --no-check contradict each other", hint="leave one of them out"))
    if options.converter is not None and options.to != "gguf":
        problems.append(Problem("--converter is for --to gguf", hint="leave it out"))
    if options.to == "hub" and not options.name and options.check is None:
        hint = "say --name owner/name; the repository is private unless you change that on the hub"
        problems.append(Problem("the hub needs a name to publish under", "--name", hint))
    if problems:
        raise InputError(problems)


def _wanted(options: argparse.Namespace, source: Any) -> Any:
    from finetui_core.export.targets import Wanted

    folder = options.out or Path(f"{source.run.id}-{options.to}")
    return Wanted(
        target=options.to,
        folder=folder.expanduser().absolute(),
        name=options.name or slug(_name_of(source)),
        checked=not options.no_check,
        converter=options.converter,
    )


def _name_of(source: Any) -> str:
    """The run's name without the time of its making."""
    parts = source.run.id.split("-")
    return "-".join(parts[1:-1]) or str(source.run.id)


class _Progress:
    """On stderr a line that is written over on a terminal and comes now and then elsewhere; as JSON on stdout."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._over = sys.stderr.isatty() and not as_json
        self._told = 0.0
        self._open = False

    def phase(self, what: str) -> None:
        self.end()
        if self._json:
            data_json({"type": "phase", "phase": what})
        else:
            talk(what)

    def written(self, name: str, done: int, total: int) -> None:
        due = time.monotonic() - self._told >= (0.1 if self._over else _TOLD_EVERY)
        if not due:
            return
        self._told = time.monotonic()
        if self._json:
            data_json({"type": "progress", "file": name, "bytes": done, "of": total})
            return
        line = f"{size(done)} of {size(total)}"
        if self._over:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._open = True
        else:
            talk(line)

    def end(self) -> None:
        if self._open:
            self._open = False
            sys.stderr.write("\n")


def _show(exported: Any) -> None:
    for note in exported.notes:
        data(note)
    if exported.parity is not None:
        _show_parity(exported.parity, False)
    for line in (exported.command, exported.address):
        if line:
            data(line)
    talk(f"in {exported.folder}")


def _show_parity(parity: Any, as_json: bool) -> None:
    if as_json:
        data_json({"type": "parity", **msgspec.to_builtins(parity)})
        return
    data(parity.says)
    for note in parity.notes:
        data(note)
