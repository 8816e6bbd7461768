"""The station Recipe on a terminal of 80x24: broken, mended, asked whether it fits, and started, by keys alone."""

import os
import shutil
import signal
from pathlib import Path

from finetui_core.runs.paths import run_ids
from terminal import Terminal, run_on_terminal
from training import ftui

ROOT = Path(__file__).resolve().parents[2]
CLEAR = "\x15"  # ctrl+u, which takes the value before away
WORD_RIGHT, RIGHT, HOME = "\x1b[1;5C", "\x1b[C", "\x1b[H"
LOADING_SECONDS = 120.0


def quickstart(folder: Path) -> Path:
    shutil.copytree(ROOT / "sample_data", folder / "sample")
    return folder / "sample" / "recipes" / "quickstart.toml"


def choose(terminal: Terminal, option: str) -> None:
    """Find an option of the form, and leave the cursor on it."""
    terminal.press("/")
    terminal.wait_for("filter")
    terminal.press(option)
    terminal.settle()
    terminal.press("enter")
    terminal.wait_for(f" {option}  =")
    terminal.settle()


def set_option(terminal: Terminal, option: str, value: str) -> None:
    choose(terminal, option)
    terminal.press("enter")
    terminal.wait_for(f"{option}: ")
    terminal.press(CLEAR)
    terminal.settle()
    terminal.press(value)
    terminal.settle()
    terminal.press("enter")
    terminal.settle()
    terminal.press("b")
    terminal.settle()


def test_a_recipe_is_broken_mended_asked_about_and_started(tmp_path: Path) -> None:
    path = quickstart(tmp_path)
    before = path.read_text()
    runs = tmp_path / "runs"
    with run_on_terminal(["-m", "finetui", str(path)], FTUI_RUNS=str(runs)) as terminal:
        terminal.wait_for("quickstart.toml   no fault")
        choose(terminal, "train.learning_rate")
        terminal.press("b")
        terminal.settle()
        terminal.press("tab")
        terminal.wait_for("tab form")
        terminal.press("x", "down", HOME, WORD_RIGHT, RIGHT, RIGHT, RIGHT, '"', RIGHT, '"')
        terminal.press("down", HOME, WORD_RIGHT, RIGHT, RIGHT, RIGHT, "-")
        terminal.wait_for("3 faults")
        terminal.press("tab")
        terminal.wait_for("enter edit")
        for offered, left in (
            ("a: take it out: the default is 8", "2 faults"),
            ("a: write 3", "1 fault "),
            ("a: write learning_rate", "no fault"),
        ):
            terminal.press("f")
            terminal.wait_for(offered)
            terminal.press("a")
            terminal.wait_for(left)
        set_option(terminal, "data.max_length", "2048")
        set_option(terminal, "train.per_device_train_batch_size", "4")
        set_option(terminal, "model.name", "meta-llama/Llama-2-7b-hf")
        terminal.press("D")
        terminal.wait_for("Would it fit?")
        terminal.press("24GB", "enter")
        terminal.wait_for("Does not fit")
        terminal.press("enter")
        terminal.wait_for("u undoes it")
        terminal.press("v")
        set_option(terminal, "model.name", "../tiny-llama")
        set_option(terminal, "data.max_length", "512")
        terminal.press("w")
        terminal.wait_for("quickstart.toml is saved")
        terminal.press("s")
        terminal.wait_for("Start a run of quickstart.toml?")
        terminal.press("y")
        terminal.wait_for("[5 Train]", LOADING_SECONDS)
        terminal.press("\x11")
        assert terminal.wait_for_end() == 0
    after = path.read_text()
    assert "gradient_checkpointing = true" in after and "max_length = 512 " in after
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in after.splitlines() if line.startswith("#") and "conversations in one" not in line
    ]
    (run,) = run_ids(runs)
    assert ftui("ctl", str(runs / run), "abort", folder=tmp_path).returncode == 0
    ftui("watch", str(runs / run), folder=tmp_path)


def test_a_hang_up_keeps_what_is_not_saved(tmp_path: Path) -> None:
    path = quickstart(tmp_path)
    state = tmp_path / "state"
    with run_on_terminal(["-m", "finetui", str(path)], XDG_STATE_HOME=str(state)) as terminal:
        terminal.wait_for("no fault")
        terminal.press("tab")
        terminal.wait_for("tab form")
        terminal.press("# mine")
        terminal.wait_for("not saved")
        os.kill(terminal.pid, signal.SIGHUP)
        assert terminal.wait_for_end() == 128 + signal.SIGHUP
    assert "# mine" not in path.read_text()
    (kept,) = (state / "ftui" / "unsaved_recipes").iterdir()
    assert "# mine" in kept.read_text()
    with run_on_terminal(["-m", "finetui"], XDG_STATE_HOME=str(state), FTUI_RUNS=str(tmp_path)) as terminal:
        terminal.wait_for("There are no runs")
        terminal.press("4")
        terminal.wait_for("before the changes of quickstart.toml were saved")
        terminal.press("enter")
        terminal.wait_for("quickstart.toml   not saved")
        terminal.press("\x11")
        terminal.wait_for("has changes that are not saved")
        terminal.press("\x11")
        assert terminal.wait_for_end() == 0
