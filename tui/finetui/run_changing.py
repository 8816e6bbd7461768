"""Changes to runs while a screen goes on: in a thread, each with its way back."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from finetui_core.errors import InputError, RunFailed

if TYPE_CHECKING:
    from finetui.run_changes import Change


class Changing:
    """`changed` is called with what is to be told when something was done or undone, `failed` with why it was not."""

    def __init__(
        self, screen: Screen[None], changed: Callable[[str], None], failed: Callable[[str], None]
    ) -> None:
        self._screen, self._changed, self._failed = screen, changed, failed
        self._done: list[Change] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    def do(self, change: Callable[[], "Change"]) -> None:
        self._work(partial(self._do, change))

    def undo(self) -> None:
        """Undo what was done last."""
        if self._done:
            self._work(partial(self._undo, self._done[-1]))

    def _work(self, work: Callable[[], None]) -> None:
        self._screen.run_worker(work, thread=True, exit_on_error=False, group="change")

    def _do(self, change: Callable[[], "Change"]) -> None:
        try:
            done = change()
        except (InputError, RunFailed, OSError) as error:
            self._screen.call_later(self._failed, str(error))
        else:
            self._screen.call_later(self._end, [*self._done, done], f"{done.said}   u undoes it")

    def _undo(self, change: "Change") -> None:
        try:
            change.undo()
        except (InputError, RunFailed, OSError) as error:
            self._screen.call_later(self._failed, str(error))
        else:
            kept = [one for one in self._done if one is not change]
            self._screen.call_later(self._end, kept, f"undone: {change.said}")

    def _end(self, done: list["Change"], said: str) -> None:
        self._done = done
        self._changed(said)
