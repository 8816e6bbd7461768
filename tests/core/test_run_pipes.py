"""A pipe in the place of a run's file is not waited for: whoever changed the folder could stop every viewer by it."""

import os
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.recipe.compare import run_side
from finetui_core.runs import comparison, halving
from finetui_core.runs.checkpoints import best_or_newest
from finetui_core.runs.evaluations import kept_evaluations
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End
from run_folders import write_run

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = write_run(tmp_path, steps=5, end=End(1.0, exit_code=1))
    for path in (paths.resolved_recipe, paths.recipe, paths.best, paths.evaluations / "step-000001.json"):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    return paths


def test_a_run_is_not_resumed_and_nothing_is_started(
    run: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = sorted(run.attempts.iterdir())
    assert main(["resume", str(run.root), "--runs", str(run.root.parent)]) == 2
    said = capsys.readouterr().err
    assert f"{run.resolved_recipe}: the run has no recipe that can be read" in said
    assert f"ftui train {run.recipe}" in said
    assert sorted(run.attempts.iterdir()) == attempts


def test_whoever_reads_it_goes_on(run: RunPaths) -> None:
    assert halving.resolved_recipe(run) == {}
    assert kept_evaluations(run, 99) == []
    comparison.compare_runs([run])
    for read in (run_side, best_or_newest):
        with pytest.raises(InputError):
            read(run)
