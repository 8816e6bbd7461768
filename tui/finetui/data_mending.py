"""Mending a data set from the screens: the plan is shown, a new file is named, and that file is opened."""

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported
from textual.worker import get_current_worker

from finetui import launching
from finetui.data_child import Ended, follow
from finetui_core.errors import InputError, Problem
from finetui_core.runs.command import child_environment

if TYPE_CHECKING:
    from finetui.app import Studio

_LONG_SECONDS = 1.0  # that a person waits before being told for what


def ask_to_fix(studio: "Studio", source: str, rule: str, *, drop: bool = False) -> None:
    """Show what `ftui data fix` would do for one rule, or for all that have a safe mend, and do it.

    With `drop` the rows of the rule are taken out, whether or not they could be mended.
    """
    only = [*(["--only", rule] if rule else []), *(["--drop", rule] if drop else [])]
    what = f"rule {rule}" if rule else "every rule that has a safe mend"
    waiting = partial(studio.notice, f"looking what mending {Path(source).name} would do …")
    timer = studio.set_timer(_LONG_SECONDS, waiting)

    def planned(ended: Ended, said: str) -> None:
        from finetui.screens.plan import Plan
        from finetui.screens.told import Told

        timer.stop()
        if ended.code != 0:
            studio.push_screen(Told("nothing can be mended", ended.said))
            return
        title = f"What would be done: {what}"
        studio.push_screen(
            Plan(title, said), lambda yes: ask_for_new_file(studio, source, only) if yes else None
        )

    _run(studio, ["data", "fix", source, "--plan", *only], planned)


def ask_for_new_file(studio: "Studio", source: str, only: Sequence[str]) -> None:
    def named(new: Path) -> None:
        def mended(ended: Ended, said: str) -> None:
            _open_new(studio, ended, new, "the file was not mended")

        _run(studio, ["data", "fix", source, "-o", str(new), *only], mended)

    _ask_name(studio, "The mended file", source, "mended", named)


def ask_to_edit(studio: "Studio", source: str, number: int) -> None:
    """Name a new file, and write the whole set to it with one row as the person's editor leaves it."""

    def named(new: Path) -> None:
        command = [*launching.PROGRAM, "data", "edit", source, str(number), "-o", str(new)]
        try:
            with studio.suspend():
                done = subprocess.run(command, stderr=subprocess.PIPE, env=child_environment(), check=False)
        except SuspendNotSupported:
            studio.notice("The terminal cannot be given to an editor here.", "warning")
            return
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode == 0 and not new.exists():
            studio.notice(said or "The row is as it was: nothing was written.")
        else:
            _open_new(studio, Ended(done.returncode, said), new, "the row was not edited", number)

    _ask_name(studio, f"The new file, with row {number:,} as you edit it", source, "edited", named)


def _open_new(studio: "Studio", ended: Ended, new: Path, failed: str, row: int = 0) -> None:
    from finetui.screens.told import Told

    if ended.code != 0:
        studio.push_screen(Told(failed, ended.said))
    else:
        studio.notice(ended.said.partition("\nNext: ")[0] or f"written: {new}")
        studio.open_data(str(new), row)


def _ask_name(studio: "Studio", question: str, source: str, word: str, named: Callable[[Path], None]) -> None:
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            named(launching.typed_path(text))

    proposed = launching.as_typed(new_name(Path(source), word))
    complete = launching.complete_file
    studio.push_screen(Ask(question, proposed, check_new, complete), answered)


def new_name(source: Path, word: str) -> Path:
    """A name beside `source` that is not taken."""
    stem = source.stem.removesuffix(f".{word}")
    for number in range(1, 1000):
        path = source.with_name(f"{stem}.{word}{'' if number == 1 else f'-{number}'}.jsonl")
        if not path.exists():
            return path
    return source.with_name(f"{stem}.{word}.jsonl")


def check_new(text: str) -> None:
    """Raises InputError where the text is no name for a new file."""
    path = launching.typed_path(text)
    if path.exists():
        raise InputError(
            Problem(f"{path.name} exists", hint="choose another name: no file is ever overwritten")
        )
    if not path.parent.is_dir():
        raise InputError(
            Problem(f"there is no folder {path.parent}", hint="name a file in a folder that exists")
        )


def _run(studio: "Studio", arguments: Sequence[str], then: Callable[[Ended, str], None]) -> None:
    def work() -> None:
        worker = get_current_worker()
        lines: list[bytes] = []
        ended = follow([*launching.PROGRAM, *arguments], lines.append, lambda: worker.is_cancelled)
        if ended.code is not None:
            studio.call_later(then, ended, b"\n".join(lines).decode("utf-8", "replace"))

    studio.run_worker(work, thread=True, exit_on_error=False, group="mend", exclusive=True)
