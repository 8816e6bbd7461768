"""Reading again and again: what is asked for while a reading is under way is not lost."""

import asyncio
import threading

from textual.app import App
from textual.screen import Screen
from tui_screen import settle

from finetui.polling import Poller


async def test_a_reading_asked_for_during_another_follows_it() -> None:
    disk, shown = ["old"], []
    is_read, may_end = threading.Event(), threading.Event()

    def read() -> str:
        found = disk[0]
        is_read.set()
        may_end.wait(10)
        return found

    app: App[None] = App()
    async with app.run_test() as pilot:
        screen: Screen[None] = app.screen  # type: ignore[assignment]
        poller = Poller(screen, read, shown.append, lambda error: None)
        poller.now()
        await asyncio.to_thread(is_read.wait, 10)
        disk[0] = "new"
        poller.now()
        may_end.set()
        await settle(pilot)
        assert shown == ["old", "new"]
