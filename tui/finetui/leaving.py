"""How the studio ends when it is told to from outside: at any moment, with the terminal as it was before."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_RESORT_SECONDS = 1.2
_LAST_SECONDS = 0.3
_RESTORED = "".join(
    (
        *("\x1b[?2004l", "\x1b[?7h", "\x1b[?2048l"),  # pasting, wrapping, sizes told
        *("\x1b[?1000l", "\x1b[?1003l", "\x1b[?1015l", "\x1b[?1006l"),  # mouse
        *("\x1b[<u", "\x1b[?1049l", "\x1b[?25h", "\x1b[?1004l"),  # keyboard, screen, cursor, focus
    )
)
"""The ends of all modes that Textual's driver begins (textual/drivers/linux_driver.py)."""


def end_at_once() -> None:
    """While there is no application, a signal ends the process there and then: the terminal is unchanged."""
    for number in SIGNALS:
        signal.signal(number, lambda received, _: os._exit(128 + received))


def end_by_force_later(code: int, attributes: Sequence[Any] | None, keep: Callable[[], None]) -> None:
    """End the process if it has not ended by itself soon, as where a thread or the terminal hangs.

    `attributes` are what the terminal had before, as termios gives them; `keep` writes down what is unsaved.
    """
    last_resort = threading.Timer(LAST_RESORT_SECONDS, _end_by_force, (code, attributes, keep))
    last_resort.daemon = True
    last_resort.start()


def _end_by_force(code: int, attributes: Sequence[Any] | None, keep: Callable[[], None]) -> None:
    last = [
        threading.Thread(target=keep, daemon=True),
        threading.Thread(target=_restore, args=(attributes,), daemon=True),
    ]
    for one in last:
        one.start()
    for one in last:
        one.join(_LAST_SECONDS)  # a disk or a terminal that takes nothing more would hold it for ever
    os._exit(code)


def _restore(attributes: Sequence[Any] | None) -> None:
    import termios

    if sys.__stdin__ is None or sys.__stderr__ is None:
        return
    with suppress(OSError, ValueError, termios.error):
        if attributes is not None:
            termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, list(attributes))
        os.write(sys.__stderr__.fileno(), _RESTORED.encode())
