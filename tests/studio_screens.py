"""Every station of the studio and every panel of a run, as text.

    python tests/studio_screens.py RUNS RECIPE DATA

walks through them without a terminal and prints how many screens there were.
"""

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "tui"))

from tui_screen import settle

from finetui.actions import ACTIONS
from finetui.app import Studio

STATIONS = ("1", "2", "3", "4", "5", "6")
PANELS = [action.keys[0] for action in ACTIONS if action.scope == "run" and action.help.startswith("Show")]


async def walk(root: Path, recipe: Path, data: Path) -> dict[str, str]:
    """The text of each screen by the keys that lead to it."""
    seen = {}
    app = Studio(root, opened_data=str(data), opened_recipe=recipe)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        seen["start"] = await settle(pilot)
        for station in STATIONS:
            await pilot.press(station)
            seen[station] = await settle(pilot)
        for keys in (["1", "enter"], *([key] for key in PANELS), ["question_mark"], ["escape"]):
            for key in keys:
                await pilot.press(key)
            seen[f"run {' '.join(keys)}"] = await settle(pilot)
    return seen


def screens(root: Path, recipe: Path, data: Path) -> dict[str, str]:
    return asyncio.run(walk(root, recipe, data))


if __name__ == "__main__":
    print(f"{len(screens(*map(Path, sys.argv[1:4])))} screens")
