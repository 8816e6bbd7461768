"""What is asked before a comparison begins or is stopped, and what is told when it has ended."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from finetui import launching
from finetui.compare_starting import Wanted, begin, end_of, stop, subject_path, wait
from finetui.telling import tell, with_code
from finetui_core.errors import RunFailed
from finetui_core.evaluate.figures import Working

if TYPE_CHECKING:
    from finetui.app import Studio

WHICH = "Compare what? A run's folder, or before there is a run a recipe (TOML)"
STOP = "Stop this comparison? What is answered is kept; s goes on later."
SHOWING = {"comparisons", "comparison"}
"""Scopes of the screens that show by themselves how a comparison has ended."""


def ask_to_compare(studio: "Studio", proposed: Path | None, then: Callable[[Path], object]) -> None:
    """Ask for a run or a recipe."""
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            then(subject_path(text))

    text = launching.as_typed(proposed) if proposed else launching.proposed_recipe()
    studio.push_screen(Ask(WHICH, text, subject_path, launching.complete_path), answered)


def ask_to_begin(studio: "Studio", subject: Path, root: Path) -> None:
    """Show what comparing `subject` would do, and do it once the user says so."""
    from finetui.screens.compare_plan import ComparePlan

    def answered(wanted: Wanted | None) -> None:
        if wanted is not None:
            _begin(studio, wanted, root)

    studio.push_screen(ComparePlan(subject, root), answered)


def _begin(studio: "Studio", wanted: Wanted, root: Path) -> None:
    name = wanted.planned.subject.name
    try:
        child, log = begin(wanted, root)
    except RunFailed as error:
        studio.notice(str(error), "error")
        return
    studio.notice(f"comparing {name}: it goes on when ftui is left")
    studio.run_worker(
        partial(_watch, studio, child, log, name), thread=True, exit_on_error=False, group="compare"
    )


def _watch(studio: "Studio", child: "subprocess.Popen[bytes]", log: Path, name: str) -> None:
    worker = get_current_worker()
    code = wait(child, lambda: worker.is_cancelled)
    if code is not None:
        studio.call_later(_ended, studio, name, code, log)


def _ended(studio: "Studio", name: str, code: int, log: Path) -> None:
    """A notice where it went well or was stopped, else all that the command said."""
    if code == 0 and SHOWING & set(getattr(studio.screen, "SCOPES", ())):
        return
    if code == 0:
        studio.notice(f"{name} is compared: 6 shows the verdict")
    elif code < 0 or code >= 128:
        studio.notice(f"the comparison of {name} was stopped", "warning")
    else:
        tell(studio, with_code(f"{name} was not compared", code), end_of(log) or "it told nothing")


def ask_to_stop(studio: "Studio", working: Working) -> None:
    from finetui.screens.confirm import Confirm

    def answered(yes: bool | None) -> None:
        if yes:
            try:
                stop(working)
            except RunFailed as error:
                studio.notice(str(error), "error")
            else:
                studio.notice("asked it to stop: it writes what it has first")

    studio.push_screen(Confirm(STOP), answered)
