"""Starting and continuing runs from the screens: what is asked, what is told, and what is opened."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.screen import Screen
from textual.worker import get_current_worker

from finetui import launching
from finetui.launching import Launched
from finetui.telling import is_typed_in, tell, with_code
from finetui_core.errors import InputError, Problem
from finetui_core.runs.logind import warning_at_logout
from finetui_core.runs.paths import RunPaths

if TYPE_CHECKING:
    from finetui.app import Studio

RECIPE = "Recipe of the new run (a TOML file)"
CONTINUE = "Continue this run from its newest sound checkpoint, exactly as if it had not ended?"
FOLLOW = "Follow the job of this run again? It may have gone on at the provider meanwhile."
ANYWAY = "start anyway"
AFTER_REFUSAL = [
    ("leave it", "change the recipe or free room first"),
    (ANYWAY, "it may be killed in the middle, and take other work on this machine with it"),
]
INEXACTLY = "continue inexactly"
AFTER_DIFFERENCES = [
    ("leave it", "put things back as they were first"),
    (INEXACTLY, "it goes on from its checkpoint, marked from there on as not exactly the run that it was"),
]
_OFFERED_ON = {
    "runs",
    "station",
    "recipe",
}  # scopes of the screens from which the new run is opened by itself


def ask_to_start(studio: "Studio", root: Path) -> None:
    """Ask for a recipe, and start a run of it in the folder `root`."""
    from finetui.screens.ask import Ask

    def answered(text: str | None) -> None:
        if text is not None:
            _start(studio, launching.recipe_path(text), root)

    proposed = launching.proposed_recipe()
    studio.push_screen(Ask(RECIPE, proposed, launching.check_recipe, launching.complete_path), answered)


def ask_to_start_recipe(studio: "Studio", recipe: Path, root: Path) -> None:
    """Ask whether to start a run of a recipe that has no fault, in the folder `root`."""
    from finetui.screens.confirm import Confirm

    question = Confirm(f"Start a run of {recipe.name}?")
    studio.push_screen(question, lambda yes: _start(studio, recipe, root) if yes else None)


def _start(
    studio: "Studio",
    recipe: Path,
    root: Path,
    *,
    ignore_preflight: bool = False,
    consent: str | None = None,
) -> None:
    launching.keep_recipe(recipe)
    studio.notice(f"starting {recipe.name}: reading the rows and loading the model …")
    again = partial(_start, studio, recipe, root, ignore_preflight=ignore_preflight)
    anyway = partial(_ask_to_start_anyway, studio, recipe, root, consent)
    ended = partial(_started, studio, recipe.name, studio.train, anyway, again)
    arguments = launching.train_arguments(recipe, root, ignore_preflight=ignore_preflight, consent=consent)
    _launch(studio, arguments, ended)


def _ask_to_start_anyway(studio: "Studio", recipe: Path, root: Path, consent: str | None) -> None:
    """Asked once it has been read why preflight refused the run."""
    from finetui.screens.choose import Choose

    def answered(answer: str | None) -> None:
        if answer == ANYWAY:
            _start(studio, recipe, root, ignore_preflight=True, consent=consent)

    studio.push_screen(Choose(f"Start {recipe.name} against what preflight says?", AFTER_REFUSAL), answered)


def _ask_for_code(studio: "Studio", pin: str, agreed: Callable[..., None]) -> None:
    """Asked once it has been read that the model brings code of its own: its name has to be typed."""
    from finetui.screens.ask import Ask
    from finetui_core.recipe.remote_code import model_named

    name = model_named(pin)

    def check(text: str) -> None:
        if text.strip() != name:
            raise InputError(Problem("that is not the model's name", hint=f"type {name}, or leave with esc"))

    def answered(text: str | None) -> None:
        if text is not None:
            agreed(consent=pin)

    question = f"Having read its code: type {name} to let it run with all your rights"
    studio.push_screen(Ask(question, "", check), answered)


def ask_to_continue(studio: "Studio", run: Path) -> None:
    """Ask whether to start the next attempt of `run`, and start it."""
    from finetui.screens.confirm import Confirm

    question = FOLLOW if RunPaths(run).hosted.exists() else CONTINUE
    studio.push_screen(Confirm(question), lambda yes: _continue(studio, run) if yes else None)


def _ask_to_continue_inexactly(studio: "Studio", run: Path) -> None:
    """Asked once it has been read in what the circumstances differ."""
    from finetui.screens.choose import Choose

    def answered(answer: str | None) -> None:
        if answer == INEXACTLY:
            _continue(studio, run, inexact=True)

    studio.push_screen(Choose(f"Continue {run.name} all the same?", AFTER_DIFFERENCES), answered)


def _continue(studio: "Studio", run: Path, *, inexact: bool = False, consent: str | None = None) -> None:
    studio.being_continued.add(run)
    doing = "asking the provider" if RunPaths(run).hosted.exists() else "loading the model and the checkpoint"
    studio.notice(f"continuing {run.name}: {doing} …")
    arguments = launching.resume_arguments(run, inexact=inexact, consent=consent)
    _launch(studio, arguments, partial(_continued, studio, run))


def _launch(studio: "Studio", arguments: Sequence[str], ended: "partial[None]") -> None:
    def work() -> None:
        worker = get_current_worker()
        if warning := warning_at_logout():
            studio.call_later(studio.notice, warning, "warning")
        launched = launching.launch(arguments, lambda: worker.is_cancelled)
        if launched is not None:
            studio.call_later(ended, launched)

    studio.run_worker(work, thread=True, exit_on_error=False, group="launch")


def _started(
    studio: "Studio",
    recipe: str,
    before: Screen[Any] | None,
    anyway: Callable[[], None],
    again: Callable[..., None],
    launched: Launched,
) -> None:
    """Open the new run, unless the user has gone elsewhere meanwhile."""
    if launched.code != 0:
        then = anyway if launching.refused_by_preflight(launched) else None
        if (pin := launching.refused_for_code(launched)) is not None:
            then = partial(_ask_for_code, studio, pin, again)
        tell(studio, with_code(f"{recipe} was not started", launched.code), launched.said, then=then)
    elif launched.run is not None and studio.train is before and _waits(studio):
        studio.open_runs([launched.run])
    else:
        studio.notice(f"{launched.run.name if launched.run else recipe} has started")


def _continued(studio: "Studio", run: Path, launched: Launched) -> None:
    studio.being_continued.discard(run)
    if launched.code != 0:
        pin = launching.refused_for_code(launched)
        then = None
        if pin:
            then = partial(_ask_for_code, studio, pin, partial(_continue, studio, run))
        elif launching.refused_as_inexact(launched):
            then = partial(_ask_to_continue_inexactly, studio, run)
        tell(studio, with_code(f"{run.name} was not continued", launched.code), launched.said, then=then)
    else:
        studio.notice(f"{run.name} goes on")


def _waits(studio: "Studio") -> bool:
    """Whether the user looks at the list of runs, at Train without a run, or at the form of a recipe."""
    return bool(_OFFERED_ON & set(getattr(studio.screen, "SCOPES", ()))) and not is_typed_in(studio)
