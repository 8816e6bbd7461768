"""The whole journey in tmux, by keys alone on the sample data: decide, mend, write a recipe, train, compare, ship.

    python tests/e2e/journey_walk.py [FOLDER] [--size 80x24] [--colours default|16|256|truecolor]

It begins with a messy data set and a model, and ends with a folder for Ollama that was checked to behave as the run.
What was seen is kept as walk.py keeps it.
"""

import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from recipe_walk import change, choose
from walk import CHECKOUT, Walk, at_prompt, main

SAMPLES = CHECKOUT / "sample_data"
LONG_SECONDS = 600.0
"""Training, comparing and exporting load torch and a model, and a machine may be busy."""
QUESTION = "I am Anna. My kettle has not arrived. The order number is 4821. What now?"


def take(walk: Walk) -> None:
    """The walk itself. Raises NotShown."""
    home = walk.runs.parent
    shutil.copy(SAMPLES / "support_chat_messy.jsonl", home / "messy.jsonl")
    shutil.copy(SAMPLES / "support_chat_val.jsonl", home / "held_out.jsonl")
    shutil.copytree(SAMPLES / "tiny-llama", home / "tiny-llama")
    walk.open_terminal()
    walk.step("a folder of one's own", typed=f"cd {home} && clear", see=at_prompt)
    walk.step("start", typed="ftui messy.jsonl", see=r"\[3 Data\]")
    decide(walk)
    mend(walk)
    write_recipe(walk)
    train(walk)
    compare(walk)
    talk(walk)
    ship(walk, home)
    walk.step("leave", "q", see=at_prompt)
    walk.step("what ships", typed="clear; ls desk-ollama", see=r"Modelfile")


def decide(walk: Walk) -> None:
    """Each question is waited for by what is said below it: a large terminal lists all questions at once."""
    walk.step("Decide", "2", see="Examples in the prompt cost nothing")
    walk.step("examples were tried", "c", see="Without rows that nobody")
    walk.step("by rows kept apart", "c", see="Up to about 200,000")
    walk.step("no knowledge is needed", "a", see="the data says: ")
    walk.step("so many as the data says", "Enter", see="Take ten failures")
    walk.step("the form", "c", see="It has to be evaluated")
    walk.step("somebody", "b", see="Names, prices, rules")
    walk.step("not at all", "a", see="7 billion parameters")
    walk.step("one GPU", "b", see="A tuned model cannot point")
    walk.step("no", "a", see="Private labels")
    walk.step("yes", "c", see=r"(?s)Verdict: Fine-tuning: .*3 Data +Look at the rows")


def mend(walk: Walk) -> None:
    walk.step("what to do next: the rows", "3", see=r"(?s)\[3 Data\].*messy\.jsonl", seconds=LONG_SECONDS)
    walk.step("what is wrong with them", "Tab", see=r"✗ error|✗ ", seconds=LONG_SECONDS)
    walk.step("mend all that is safe", "F", see="What would be done")
    walk.step("yes", "Enter", see="The mended file")
    name_file(
        walk,
        "its name",
        "The mended file",
        "mended.jsonl",
        see=r"1,1\d\d rows(?s:.*)Mend before training: tool results",
    )
    walk.step("drop what cannot be mended", "d", see=r"done: rule tool_mismatch", seconds=LONG_SECONDS)
    walk.step("yes", "Enter", see="The mended file")
    name_file(
        walk, "its name again", "The mended file", "chats.jsonl", see=r"1,1\d\d rows(?s:.*)No errors in"
    )


def name_file(walk: Walk, step: str, asked: str, name: str, see: str) -> None:
    walk.retype(asked, name)
    walk.step(step, "Enter", see=see, seconds=LONG_SECONDS)


def write_recipe(walk: Walk) -> None:
    walk.step("Recipe", "4", see=r"\[4 Recipe\]")
    walk.step("a new one", "n", see="from which preset")
    walk.step("LoRA, with the mended rows", "Enter", see=r"(?s)recipe\.toml.*chats\.jsonl")
    change(walk, "the model", "model.name", "tiny-llama")
    change(walk, "rows kept apart", "data.val", "held_out.jsonl")
    choose(walk, "data.overlength")
    walk.step("rows that are too long", "Enter", see="enter choose")
    walk.step("may go", "Down", "Enter", see=r'overlength += +"drop"')
    walk.step("all of the form", "Escape", see="essential options")
    change(walk, "once through", "train.num_train_epochs", "1")
    walk.step("save it", "w", see="The new recipe")
    walk.step("under this name", "Enter", see=r"recipe\.toml +no fault")
    walk.step("does it fit", "v", see="(Fits|Tight): ", seconds=LONG_SECONDS)


def train(walk: Walk) -> None:
    walk.step("start the run", "s", see="(?i)start a run")
    walk.step("yes", "y", see=r"step [1-9]\d*/1\d\d", seconds=LONG_SECONDS)
    walk.step("it is done, and says what is next", see=r"(?s)finished.*compares it", seconds=LONG_SECONDS)


def compare(walk: Walk) -> None:
    walk.step("Compare", "6", see=r"s compares .*-recipe-")
    walk.step("start it", "s", see="Compare what")
    walk.step("the run", "Enter", see=r"(?s)zero-shot.*tuned", seconds=LONG_SECONDS)
    for arm, downs in (("few-shot", 1), ("retrieved", 1), ("tuned.retr", 2)):
        walk.step(f"without {arm.replace('.', ' and ')}", *["Down"] * downs, "Space", see=rf"\[ \] +{arm}")
    walk.step("begin", "Enter", see="under way|loading|comparing", seconds=LONG_SECONDS)
    walk.step("the verdict", see=r"tuned: better", seconds=LONG_SECONDS)
    walk.step("in full", "Enter", see=r"Take the tuned model", seconds=LONG_SECONDS)


def talk(walk: Walk) -> None:
    walk.step("talk to it", "c", see="likeliest token", seconds=LONG_SECONDS)
    walk.step("ask", typed=QUESTION, see=r"Label: \w+", seconds=LONG_SECONDS)
    walk.step("leave the line", "Escape", see="E export")


def ship(walk: Walk, home: Path) -> None:
    walk.step("ship it", "E", see="one file for llama.cpp")
    walk.step("for Ollama", "Down", "Down", "Enter", see="The new folder of the export")
    found = r"is exported(?s:.*)behaves as what was trained"
    name_file(walk, "it is what was trained", "The new folder of", "desk-ollama", see=found)
    if not re.search(r"^TEMPLATE ", (home / "desk-ollama" / "Modelfile").read_text(), re.MULTILINE):
        raise AssertionError("the Modelfile has no template")
    walk.step("close", "Escape", see="E export")
    walk.step("back", "b", see=r"Take the tuned model")


if __name__ == "__main__":
    sys.exit(main(take, __doc__))
