"""A studio with one recipe open at the station Recipe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from tui_screen import settle

from finetui.app import Studio
from finetui.screens.recipe import RecipeScreen

TEXT = """# What this is for.
[model]
name = "o/m"   # the base

[data]
train = "hub:o/d"

[train]
method = "lora"
learning_rate = 2e-4
seed = 7       # lucky
"""


def write(folder: Path, text: str = TEXT, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@asynccontextmanager
async def opened(path: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[Any]]:
    root = path.parent / "runs"
    root.mkdir(exist_ok=True)
    async with Studio(root, opened_recipe=path).run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        yield pilot


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    return await settle(pilot)


async def choose(pilot: Pilot[Any], option: str) -> str:
    """Put the cursor of the form on an option, by its whole name."""
    screen_of(pilot)._views.reveal(option)
    return await press(pilot)


def screen_of(pilot: Pilot[Any]) -> RecipeScreen:
    return next(one for one in pilot.app.screen_stack if isinstance(one, RecipeScreen))


def text_of(pilot: Pilot[Any]) -> str:
    draft = screen_of(pilot).draft
    assert draft is not None
    return draft.text
