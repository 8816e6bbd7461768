"""Going through the screens of a studio, and what is seen on the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_screen import screen_text, settle

from finetui.actions import ACTIONS
from finetui.app import Studio
from run_folders import START

PANEL_KEYS = [
    action.keys[0] for action in ACTIONS if action.scope == "run" and action.help.startswith("Show")
]


def empty_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; the studio finds no settings and nothing remembered."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(folder / "home"))
    (folder / "runs").mkdir()
    return folder / "runs"


@asynccontextmanager
async def studio(root: Path, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[Any]]:
    async with Studio(root, clock=lambda: START + 7200).run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        yield pilot
        assert pilot.app.is_running, "it ended by itself"


async def read_again(pilot: Pilot[Any]) -> str:
    """Read now what the screen would read within a second."""
    poller = getattr(pilot.app.screen, "_poller", None)
    if poller is not None:
        poller.now()
    return await settle(pilot)


async def open_run(pilot: Pilot[Any]) -> str:
    await pilot.press("enter")
    return await settle(pilot)


async def look_everywhere(pilot: Pilot[Any]) -> str:
    """Every panel of the run that is open, after it was read again."""
    seen = await read_again(pilot)
    for key in PANEL_KEYS:
        await pilot.press(key)
        seen += screen_text(pilot.app)
    await pilot.press(PANEL_KEYS[0])
    return seen
