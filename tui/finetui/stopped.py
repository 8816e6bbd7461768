"""How the studio goes on after it was stopped: one reader of keys, one writer, and all of the screen drawn."""

import asyncio
import os
import signal
from types import FrameType
from typing import Any

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


def go_on_after_stops(app: App[Any]) -> None:
    """Take the signals SIGTSTP and SIGCONT over from Textual, once its driver has begun.

    Textual begins again at each SIGCONT, and ends what it had begun only at SIGTSTP, so that one after SIGSTOP left a
    second reader beside the first: keys went to either, and the process never ended
    (textual/drivers/linux_driver.py).
    """
    driver = app._driver
    if not isinstance(driver, LinuxDriver):
        return
    loop = asyncio.get_running_loop()
    was_told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal was_told
        was_told = True
        driver._sigtstp_application(number, frame)

    def go_on(number: int, frame: FrameType | None) -> None:
        nonlocal was_told
        loop.call_soon_threadsafe(begin_again, was_told)
        was_told = False

    def begin_again(was_told: bool) -> None:
        if not driver._auto_restart:  # an editor has the terminal
            return
        if not os.isatty(driver.fileno):  # it is gone
            return
        if not was_told:
            driver.suspend_application_mode()
        driver.resume_application_mode()
        app.refresh(layout=True)

    signal.signal(signal.SIGTSTP, stop)
    signal.signal(signal.SIGCONT, go_on)
