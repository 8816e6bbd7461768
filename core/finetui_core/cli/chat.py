"""`ftui chat RUN`: talk to the untrained and the tuned model, on a screen or line by line."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from finetui_core.cli.chat_lines import Lines, talk_in_lines
from finetui_core.cli.consenting import add_consent, consent_to
from finetui_core.cli.onward import after_talking
from finetui_core.cli.say import talk
from finetui_core.cli.train import require_training_libraries
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.evaluate.chat_client import ChatProcess, Subject, sides_of
from finetui_core.evaluate.chat_protocol import Failed, Ready, Sampling
from finetui_core.evaluate.chat_settings import sampling_of
from finetui_core.evaluate.chat_talk import Talk
from finetui_core.runs.paths import RunPaths, runs_root

DONE, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask the untrained and the tuned model the same and read both answers as they come. On a terminal this is a "
        "screen; with --plain, --json or in a pipe each line of stdin is a question. Answers can be edited and kept "
        "as rows for the next round. A recipe alone has no tuned side."
    )
    parser.add_argument(
        "source",
        metavar="RUN",
        help="a run's id, a part of it, a path, or: latest; or a recipe's file",
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument(
        "--checkpoint", metavar="NAME", help="best, latest, or step-N (the best, or else the newest)"
    )
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument("--base-only", action="store_true", help="only the untrained model answers")
    sides.add_argument("--tuned-only", action="store_true", help="only the tuned model answers")
    parser.add_argument(
        "--system", metavar="TEXT", default="", help="a system prompt before the conversation"
    )
    default = Sampling()
    for name, metavar, says in (
        ("max-new-tokens", "N", f"the longest answer ({default.max_new_tokens})"),
        ("temperature", "T", "0 takes the likeliest token, more draws others too (0)"),
        ("top-p", "P", "draw from the likeliest tokens that together have this share (1)"),
        ("seed", "N", "what is drawn; both sides and all answers have the same (0)"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=says)
    parser.add_argument("--plain", action="store_true", help="line by line on a terminal too")
    parser.add_argument("--json", action="store_true", help="print each answer as a line of JSON on stdout")
    add_consent(parser)


def run(options: argparse.Namespace) -> int:
    require_training_libraries()
    sampling = sampling_of(
        {
            name: getattr(options, name)
            for name in Sampling.__struct_fields__
            if getattr(options, name) is not None
        },
        spelled=lambda name: f"--{name.replace('_', '-')}",
    )
    sides = tuple(sides_of(options.base_only, options.tuned_only))
    runs = (options.runs or runs_root()).absolute()
    tuned = _check(options, runs)
    subject = Subject(options.source, runs, options.checkpoint, sides)
    if _on_screen(options):
        return int(options.interface.talk(subject, sampling, options.system))
    try:
        child = ChatProcess(subject)
    except OSError as error:
        raise RunFailed(f"no process can be started: {error.strerror}") from error
    try:
        replies = child.read()
        talk("loading the model …")
        ready = next(replies)
        if isinstance(ready, Failed):
            raise InputError(ready.problems)
        assert isinstance(ready, Ready)
        lines = Lines(child, replies, ready, Talk(options.system), sampling, as_json=options.json)
        with _stops(lines):
            failures = talk_in_lines(lines, sys.stdin.buffer)
        if tuned is not None and not options.json:
            talk(after_talking(tuned, lines.saved))
        return FAILED if failures else DONE
    finally:
        child.close()


def _on_screen(options: argparse.Namespace) -> bool:
    if options.plain or options.json or options.interface.talk is None:
        return False
    shown = os.environ.get("TERM") not in ("dumb", "unknown", None)
    return shown and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _check(options: argparse.Namespace, runs: Path) -> RunPaths | None:
    """The run that is talked to. Raises InputError for what can be known before the model is loaded."""
    from finetui_core.evaluate.subject import subject_of

    subject = subject_of(options.source, runs, options.checkpoint, needs_checkpoint=not options.base_only)
    if subject.run is None and options.tuned_only:
        raise InputError(
            Problem("a recipe has no tuned weights", "--tuned-only", "name a run, or leave it out")
        )
    consent_to(subject.recipe, options.consent_remote_code)
    return subject.run


@contextmanager
def _stops(lines: Lines) -> Iterator[None]:
    """Ctrl-C ends an answer that is being given; without one, the conversation."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not lines.stop():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
