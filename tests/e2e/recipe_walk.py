"""A walk through the Recipe station in tmux, by keys alone: from a broken recipe to a run.

    python tests/e2e/recipe_walk.py [FOLDER] [--size 80x24] [--colours default|16|256|truecolor]

The quick start's recipe is opened, broken in three ways, mended along its faults, asked whether Llama-2-7B fits a GPU
with 24 GB, changed by the first knob, and started. What was seen is kept as walk.py keeps it.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from walk import CHECKOUT, RECIPE, START_SECONDS, STUDIO, Walk, at_prompt, main  # noqa: E402

LLAMA = "meta-llama/Llama-2-7b-hf"


def take(walk: Walk) -> None:
    """The walk itself. Raises NotShown."""
    recipe = own_quick_start(walk)
    walk.open_terminal()
    walk.step("start", typed="ftui", see="There are no runs")
    walk.step("the Recipe station", "4", see=r"\[4 Recipe\]")
    walk.step("ask for a file", "o", see="Recipe to open")
    walk.step("open the quick start", "C-u", typed=str(recipe), see=r"quick\.toml +no fault")

    walk.step("break a name", *into("max_length"), "Home", "x", see=r"xmax_length.*512.*unknown")
    walk.step("to the form", "Tab", see=r"1 fault")
    text(walk, "break a type", "learning_rate", 'learning_rate = "1e-4" # ', r"2 faults")
    text(walk, "break a range", "per_device_train_batch_size", "per_device_train_batch_size = 0 # ", r"3 faults")

    for left in (2, 1, 0):
        walk.step("the next fault", "f", see=r"! \d+:\d+: ")
        faults = "no fault" if left == 0 else f"{left} fault"
        walk.step("mend it", "a", see=rf"quick\.toml +not saved +{faults}")

    walk.step("the model", *into_form("name"), "Enter", "C-u", typed=LLAMA, see=rf"{LLAMA}")
    walk.step("its longest row", *into_form("max_length"), "Enter", "C-u", typed="2048", see=r"max_length +2048")
    walk.step(
        "its batch", *into_form("per_device_train_batch_size"), "Enter", "C-u", typed="4", see=r"batch_size +4"
    )
    walk.step("does it fit", "v", see=r"preflight")
    walk.step("ask of another device", "D", see=r"(?i)device")
    walk.step("a GPU with 24 GB", "C-u", typed="24GB", see=r"(?i)does not fit.*a GPU with 24 GB|a GPU with 24 GB")
    walk.step("the verdict", see=r"(?i)does not fit", seconds=10)
    walk.step("the first knob", *to_first_knob(), see=r"(?i)fits: ", seconds=10)

    walk.step("the model that is here", "Escape", *into_form("name"), "Enter", "C-u", typed=str(tiny()), see="tiny-llama")
    walk.step("start the run", "s", see=r"(?i)start")
    walk.step("yes", "y", see=r"step [1-9]\d*/", seconds=START_SECONDS)
    walk.step("leave", "q", see=at_prompt)
