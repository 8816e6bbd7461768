"""What the screen shows as text, and waiting until a reading has been shown."""

from typing import Any

from textual.app import App
from textual.pilot import Pilot

MOST_READINGS_IN_A_ROW = 5


def screen_text(app: App[Any]) -> str:
    """The characters on the screen, line by line, without spaces at the ends."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def settle(pilot: Pilot[Any]) -> str:
    """Wait for the readings under way, those that follow from them, and what they show; then the screen's text."""
    await pilot.pause()
    for _ in range(MOST_READINGS_IN_A_ROW):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.pause()
        if all(worker.is_finished for worker in pilot.app.workers):
            break
    return screen_text(pilot.app)
