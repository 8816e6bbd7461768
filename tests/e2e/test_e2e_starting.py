"""Runs started and continued in the studio on a real terminal, with the real trainer."""

from pathlib import Path

from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.reader import RunView
from terminal import Terminal, run_on_terminal
from training import ftui, write_project

CLEAR = "\x15"  # ctrl+u, which takes the proposed path away
LOADING_SECONDS = 120.0


def start(terminal: Terminal, recipe: Path) -> None:
    terminal.press("s")
    terminal.wait_for("Recipe of the new run")
    terminal.press(CLEAR)
    terminal.settle()
    terminal.press(str(recipe))
    terminal.wait_for("recipe.toml")
    terminal.press("enter")


def only_run(root: Path) -> RunView:
    (run_id,) = run_ids(root)
    view = RunView(RunPaths(root / run_id))
    view.refresh()
    return view


def test_a_run_is_started_stopped_and_continued_and_goes_on_alone(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    recipe.write_text(recipe.read_text().replace("num_train_epochs = 2", "num_train_epochs = 5000"))
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path / "runs")]) as terminal:
        terminal.wait_for("There are no runs")
        start(terminal, recipe)
        terminal.wait_for("[5 Train]", LOADING_SECONDS)
        terminal.wait_for("training", LOADING_SECONDS)
        terminal.press("s")
        terminal.wait_for("Stop this run?")
        terminal.press("y")
        terminal.wait_for("C continues it", LOADING_SECONDS)
        stopped_at = only_run(tmp_path / "runs").summary()["step"]
        terminal.press("C")
        terminal.wait_for("Continue this run")
        terminal.press("y")
        terminal.wait_for(" goes on", LOADING_SECONDS)
        terminal.press("q")
        assert terminal.wait_for_end() == 0
    view = only_run(tmp_path / "runs")
    assert view.state.live and len(view.attempts) == 2
    assert ftui("ctl", "latest", "stop", folder=tmp_path).returncode == 0
    ftui("watch", "latest", folder=tmp_path)
    view.refresh()
    assert view.state.state == "stopped" and view.summary()["step"] >= stopped_at
    assert any(event["type"] == "resumed" and event["step"] == stopped_at for event in view.events)


def test_a_run_that_is_loading_outlives_the_studio(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path / "runs")]) as terminal:
        terminal.wait_for("There are no runs")
        start(terminal, recipe)
        terminal.wait_for("○ starting", LOADING_SECONDS)
        terminal.press("q")
        assert terminal.wait_for_end(5.0) == 0
    assert ftui("watch", "latest", folder=tmp_path).returncode == 0
    assert only_run(tmp_path / "runs").state.state == "finished"
