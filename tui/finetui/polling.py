"""Reading files again and again without holding up a screen."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from textual.screen import Screen

Read = TypeVar("Read")

SECONDS_BETWEEN = 1.0
MOST_SHARE_OF_TIME = 0.1


class Poller(Generic[Read]):
    """Calls `read` in a thread, at most once a second (or as the settings say) and for a tenth of the time,
    then `show` in the screen.

    What goes wrong in `read` is given to `failed` and tried again. While `more` says so, the next reading
    follows at once. A screen that is covered is left alone.
    """

    def __init__(
        self,
        screen: Screen[None],
        read: Callable[[], Read],
        show: Callable[[Read], None],
        failed: Callable[[Exception], None],
        more: Callable[[], bool] = lambda: False,
    ) -> None:
        self._screen, self._read, self._show, self._failed, self._more = screen, read, show, failed, more
        self._busy = False
        self._is_wanted = False
        self._not_before = 0.0

    def start(self) -> None:
        self.now()
        settings = getattr(self._screen.app, "settings", None)
        self._screen.set_interval(getattr(settings, "refresh_seconds", SECONDS_BETWEEN), self._tick)

    def now(self) -> None:
        """Read at once; if a reading is under way, it may have missed what is asked for: read again after it."""
        if self._busy:
            self._is_wanted = True
        else:
            self._busy, self._is_wanted = True, False
            self._screen.run_worker(self._work, thread=True, exit_on_error=False)

    def _tick(self) -> None:
        if self._is_seen() and not self._busy and time.monotonic() >= self._not_before:
            self.now()

    def _is_seen(self) -> bool:
        """Unlike `Screen.is_current`, which is true of a screen under a dialog as well."""
        stack = self._screen.app.screen_stack
        return bool(stack) and stack[-1] is self._screen

    def _work(self) -> None:
        started = time.monotonic()
        try:
            result = self._read()
        except Exception as error:  # whatever is on the disk must not end the interface
            self._screen.call_later(self._end, started, self._failed, error)
        else:
            self._screen.call_later(self._end, started, self._show, result)

    def _end(self, started: float, then: Callable[..., None], argument: object) -> None:
        self._busy = False
        ended = time.monotonic()
        self._not_before = ended + (ended - started) / MOST_SHARE_OF_TIME
        then(argument)
        if self._is_wanted or (then == self._show and self._more() and self._is_seen()):
            self.now()
