"""A walk through the Recipe station in tmux, by keys alone: from a broken recipe to a run.

    python tests/e2e/recipe_walk.py [FOLDER] [--size 80x24] [--colours default|16|256|truecolor]

The quick start's recipe is opened, broken in three ways, mended along its faults, asked whether Llama-2-7B with LoRA
at 4 x 2048 fits a GPU with 24 GB, changed by the first knob, and started. What was seen is kept as walk.py keeps it.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from walk import CHECKOUT, RECIPE, START_SECONDS, STUDIO, Walk, at_prompt, main

LLAMA = "meta-llama/Llama-2-7b-hf"
SAMPLES = CHECKOUT / "sample_data"


def take(walk: Walk) -> None:
    """The walk itself. Raises NotShown."""
    recipe = own_quick_start(walk)
    walk.open_terminal()
    walk.step("start", typed="ftui", see="There are no runs")
    walk.step("the Recipe station", "4", see=r"(?s)\[4 Recipe\].*quickstart")
    walk.step("ask for a file", "o", see="Recipe to open")
    walk.step(
        "another line", "C-u", see=lambda shown: "quickstart.toml" not in shown.rpartition("Recipe to")[2]
    )
    walk.step("open the quick start", typed=str(recipe), see=r"quick\.toml +no fault")

    break_line(walk, "a name", "data.max_length", "x", r"quick\.toml +not saved +1 fault")
    break_line(walk, "a type", "train.learning_rate", 'learning_rate = "1e-4" # ', r"not saved +2 faults")
    size = "per_device_train_batch_size"
    break_line(walk, "a range", f"train.{size}", f"{size} = 0 # ", r"not saved +3 faults")
    for left in ("2 faults", "1 fault ", "no fault"):
        walk.step("the next fault", "f", see=r"! \d+:\d+: ")
        walk.step("mend it", "a", see=rf"not saved +{left}")

    change(walk, "the model", "model.name", LLAMA)
    change(walk, "the longest row", "data.max_length", "2048")
    change(walk, "the batch", f"train.{size}", "4")
    walk.step("does it fit", "v", see=r"by the formula")
    walk.step("ask of another device", "D", see="Would it fit")
    walk.step("a GPU with 24 GB", typed="24GB", see=r"(?s)Does not fit: .*a GPU with 24")
    walk.step("by the model itself", "t", see=r"by a trace", seconds=60)
    walk.step("the first knob", "Enter", see=r"(?s)(Fits|Tight): .*by the formula")

    walk.step("back to the form", "Escape", see=r"tab text")
    change(walk, "the model that is here", "model.name", str(SAMPLES / "tiny-llama"))
    change(walk, "its longest row", "data.max_length", "512")
    walk.step("start the run", "s", see=r"(?i)start a run")
    walk.step("yes", "y", see=r"step [1-9]\d*/", seconds=START_SECONDS)
    walk.step("leave", "q", see=at_prompt)


def own_quick_start(walk: Walk) -> Path:
    """The quick start's recipe as a file of one's own."""
    text = re.sub(r"\"\.\./", f'"{SAMPLES}/', (CHECKOUT / RECIPE).read_text())
    path = walk.runs.parent / "quick.toml"
    path.write_text(text)
    return path


def choose(walk: Walk, option: str) -> None:
    """Put the cursor of the form on `option`."""
    walk.tmux.press(STUDIO, "/")
    walk.tmux.wait_for(STUDIO, "filter")
    walk.tmux.type(STUDIO, option)
    walk.tmux.wait_for(STUDIO, rf"with {re.escape(option)}")
    for key in ("g", "j"):
        walk.tmux.press(STUDIO, key)
    walk.tmux.wait_for(STUDIO, rf"{re.escape(option)} +=")


def break_line(walk: Walk, what: str, option: str, typed: str, see: str) -> None:
    """Type at the start of the line of `option`, in the text, and come back to all of the form."""
    choose(walk, option)
    for key in ("Tab", "Home"):
        walk.tmux.press(STUDIO, key)
    walk.tmux.press(STUDIO, "-l", typed)
    walk.step(f"break {what}", see=see)
    for key in ("Tab", "Escape"):
        walk.tmux.press(STUDIO, key)
    walk.tmux.wait_for(STUDIO, "essential options")


def change(walk: Walk, what: str, option: str, value: str) -> None:
    """Give `option` another value by the form."""
    choose(walk, option)
    walk.tmux.press(STUDIO, "Enter")
    walk.tmux.wait_for(STUDIO, "enter accept")
    walk.retype(f" {option}: ", value)
    walk.step(what, "Enter", see=rf"{re.escape(option)} +=")
    walk.tmux.press(STUDIO, "Escape")
    walk.tmux.wait_for(STUDIO, "essential options")


if __name__ == "__main__":
    sys.exit(main(take, __doc__))
