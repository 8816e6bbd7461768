"""A walk through the station Decide in tmux, by keys alone: from the first question to the verdict and its page.

    python tests/e2e/decide_walk.py [FOLDER] [--size 80x24] [--colours default|16|256|truecolor]

The quick start's recipe is open, so that its rows propose answers. What was seen is kept as walk.py keeps it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from walk import STUDIO, Walk, at_prompt, main


def take(walk: Walk) -> None:
    """The walk itself. Raises NotShown."""
    folder = walk.runs.parent
    walk.open_terminal()
    walk.step("start", typed="ftui", see="There are no runs")
    walk.step("the recipe", "4", see=r"(?s)\[4 Recipe\].*quickstart")
    walk.step("Decide", "2", see="What has been tried with prompts")
    walk.step("examples were tried", "c", see=r"(?s)How would you notice.*the data says: .*kept apart")
    walk.step("as the data says", "Enter", see="Where is the knowledge")
    walk.step("no knowledge is needed", "a", see=r"(?s)How many examples.*1,000 rows")
    walk.step("so many examples", "Enter", see="What is wrong with the answers that fail")
    walk.step("the form", "c", see="Who would look after")
    walk.step("somebody", "b", see="How much do answers rest on facts")
    walk.step("not at all", "a", see="What could a model be trained on")
    walk.step("back", "h", see="How much do answers rest on facts")
    walk.step("on", "l", see="What could a model be trained on")
    walk.step("one GPU", "b", see="Must an answer name")
    walk.step("no", "a", see="Does the task need a skill")
    walk.step("yes", "c", see=r"(?s)Verdict: Fine-tuning: .*what to do next")
    walk.step("why", *["j"] * 6, see="enter goes to|source:")
    walk.step("all answers", "Tab", "Tab", see=r"question +answer")
    walk.step("save", "w", see="The new file of answers")
    walk.tmux.press(STUDIO, "C-u")
    walk.step("a name", typed=str(folder / "answers.toml"), see=r"answers\.toml +\d+ answered")
    walk.step("the page", "p", see="The page")
    walk.tmux.press(STUDIO, "C-u")
    walk.step("its name", typed=str(folder / "why.md"), see="why.md is saved")
    walk.step("leave", "q", see=at_prompt)
    walk.step("read it", typed=f"head -3 {folder / 'why.md'}", see="Should this be fine-tuned")


if __name__ == "__main__":
    sys.exit(main(take, __doc__))
