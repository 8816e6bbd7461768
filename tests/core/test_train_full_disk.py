"""A disk that refuses everything while a run trains, evaluates and answers costs records, never the run."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from faults import CALLS, Disk, Fault, faulty
from finetui_core.runs.alarms import standing_alarms
from finetui_core.runs.mailbox import send
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from training import events, new_run, train_here, write_project

BEGIN, END = 2, 5  # steps between whose ends the disk is bad
STEPS = 6


class BadDisk:
    """An output between two of whose metrics each call of some kinds fails below the run; somebody asks meanwhile."""

    def __init__(self, inner: Any, paths: RunPaths, calls: Sequence[str], error: int) -> None:
        self._inner, self._paths, self._stack = inner, paths, ExitStack()
        self._faults = [Fault(call, 0, error, lasting=True) for call in calls]
        self.disks: list[Disk] = []

    def metric(self, record: dict[str, Any]) -> None:
        self._inner.metric(record)
        if record["step"] == BEGIN:
            send(self._paths, "sample")
            send(self._paths, "evaluate")
            self.disks = [
                self._stack.enter_context(faulty([self._paths.root], fault)) for fault in self._faults
            ]
        elif record["step"] == END:
            self._stack.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    (folder / "probe.txt").write_text("Once there was a town by the sea, where nobody owned a clock. " * 20)
    return write_project(folder)


def run_of(recipe: Path) -> RunPaths:
    return new_run(
        recipe,
        f"train.max_steps={STEPS}",
        "save.steps=1",
        "eval.steps=1",
        f'eval.forgetting_probe="{recipe.parent / "probe.txt"}"',
    )


@pytest.fixture(scope="module")
def calm(recipe: Path) -> RunPaths:
    paths = run_of(recipe)
    assert train_here(paths) == 0
    return paths


def cases() -> Iterator[Any]:
    for error in (errno.ENOSPC, errno.EIO):
        for calls in (*((call,) for call in CALLS), CALLS):
            name = calls[0] if len(calls) == 1 else "all"
            usual = error == errno.ENOSPC and calls in (("open",), ("write",), ("rename",), CALLS)
            marks = [] if usual else [pytest.mark.slow]
            yield pytest.param(calls, error, id=f"{name} {errno.errorcode[error]}", marks=marks)


@pytest.mark.parametrize(("calls", "error"), list(cases()))
def test_a_run_goes_on(recipe: Path, calm: RunPaths, calls: Sequence[str], error: int) -> None:
    """Also where answers and an evaluation are asked for meanwhile."""
    paths, outputs = run_of(recipe), []

    def wrap(output: Any) -> BadDisk:
        outputs.append(BadDisk(output, paths, calls, error))
        return outputs[-1]

    assert train_here(paths, wrap=wrap) == 0
    assert events(paths, "finished")[0]["reason"] == "completed"
    assert any(disk.struck for disk in outputs[0].disks)
    assert numbers(paths) == numbers(calm)
    view = RunView(paths)
    view.refresh()
    assert standing_alarms(view.events) == []


def numbers(paths: RunPaths) -> list[tuple[Any, ...]]:
    """What must be the same in two runs, but for the evaluations that somebody asked for."""
    view = RunView(paths)
    view.refresh()
    steps = [(one["step"], one["loss"], one["grad_norm"]) for one in view.steps]
    unasked = [one for one in events(paths, "evaluation") if not one["asked"]]
    return steps + [(one["step"], one["eval_loss"], one["probe_loss"], one["best"]) for one in unasked]


def test_answers_that_cannot_be_written_are_told_until_some_can(recipe: Path) -> None:
    paths = run_of(recipe)
    calls = ("open", "replace", "rename")
    assert train_here(paths, wrap=lambda output: BadDisk(output, paths, calls, errno.ENOSPC)) == 0
    alarms = [one for one in events(paths, "alarm") if one["kind"] == "samples"]
    assert {one["step"] for one in alarms} == {2, 3, 4}
    assert (
        alarms[0]["message"] == "the sample answers of step 2 could not be written: No space left on device"
    )
    assert "goes on" in alarms[0]["remedy"] and str(paths.samples) in alarms[0]["remedy"]
    written = {path.name for path in paths.samples.iterdir()}
    assert "step-000005.jsonl" in written and "step-000003.jsonl" not in written
