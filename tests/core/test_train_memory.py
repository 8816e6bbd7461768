"""Memory that runs out while training: the run goes on with smaller passes, as one that had them from there on."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from test_train_resume import final_weights

from finetui_core.files import write_atomically
from finetui_core.runs import exit_codes
from finetui_core.runs.endings import judged_end, next_attempt, seen_of
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt
from finetui_core.runs.restarts import Rules
from finetui_core.runs.watching import Told
from training import curve, events, new_run, train_here, write_project

SHORTAGE = "CUDA out of memory. Tried to allocate 2.50 GiB"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def begin_attempt(paths: RunPaths, attempt: Attempt) -> Attempt:
    write_atomically(paths.attempt(attempt.attempt), msgspec.json.encode(attempt))
    return attempt


def ended(paths: RunPaths, attempt: Attempt, code: int) -> Attempt:
    """The attempt with its end, as the supervisor judges it."""
    seen = seen_of(paths, attempt)
    facts = seen.facts(code, kernel_oom=False, told=None, forced="")
    end = judged_end(paths, attempt, facts, seen, [], Rules(max_restarts=3))
    return begin_attempt(paths, msgspec.structs.replace(attempt, end=end))


def short_of_memory_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step before which a GPU has no memory left, with passes of 8 rows."""
    from finetui_core.train import loop

    real = loop.train_step

    def train_step(session: Any, number: int, *rest: Any) -> Any:
        if number == step and session.layout.rows_per_pass == 8:
            raise torch.OutOfMemoryError(SHORTAGE)
        return real(session, number, *rest)

    monkeypatch.setattr(loop, "train_step", train_step)


def test_the_run_goes_on_as_one_that_had_smaller_passes(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bitwise: losses and weights are those of a run continued from the same checkpoint with half the rows."""
    paths = new_run(recipe)
    first = begin_attempt(paths, Attempt(1, 0, 0, "", "", 0, 0, 0.0))
    short_of_memory_at(4, monkeypatch)
    assert train_here(paths) == exit_codes.OUT_OF_MEMORY
    died = ended(paths, first, exit_codes.OUT_OF_MEMORY)
    assert died.end is not None and died.end.cause == "gpu_memory" and died.end.again is not None

    other = RunPaths(paths.root.parent / "other")
    shutil.copytree(paths.root, other.root)
    sizes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    begin_attempt(
        other, msgspec.structs.replace(first, attempt=2, resumed_from="checkpoints/step-000002", **sizes)
    )
    assert train_here(other, 2) == 0

    following = next_attempt(paths, died, Told())
    assert following is not None and following.resumed_from == "checkpoints/step-000002"
    begin_attempt(paths, following)
    before = paths.resolved_recipe.read_bytes()
    assert train_here(paths, 2) == 0
    assert curve(paths) == curve(other)
    assert final_weights(paths) == final_weights(other)
    assert paths.resolved_recipe.read_bytes() == before  # the recipe is not changed
    view = RunView(paths)
    view.refresh()
    ready = [event for event in view.events if event["type"] == "ready"]
    assert ready[0]["total_steps"] == ready[1]["total_steps"]
    (inexact,) = events(paths, "inexact")
    assert (inexact["step"], inexact["by"]) == (2, "out_of_memory")
    assert [alarm["kind"] for alarm in view.alarms] == ["batch_halved"]


@pytest.mark.parametrize(("kind", "why"), [("loading", "while loading"), ("evaluating", "while evaluating")])
def test_elsewhere_than_in_a_step_smaller_passes_do_not_help(
    recipe: Path, kind: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetui_core.train import evaluating, setup

    def refuse(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError(SHORTAGE)

    module, name = (setup, "load_model") if kind == "loading" else (evaluating, "mean_and_row_losses")
    monkeypatch.setattr(module, name, refuse)
    paths = new_run(recipe)
    first = begin_attempt(paths, Attempt(1, 0, 0, "", "", 0, 0, 0.0))
    assert train_here(paths) == exit_codes.OUT_OF_MEMORY
    end = ended(paths, first, exit_codes.OUT_OF_MEMORY).end
    assert end is not None and end.again is None
    assert why in end.reason and SHORTAGE in end.reason


def test_an_evaluation_shrinks_its_own_passes_only(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetui_core.train import evaluating

    real = evaluating.mean_and_row_losses
    asked = []

    def losses(model: Any, rows: Any, numbers: Any, layout: Any, *rest: Any) -> Any:
        asked.append(layout.rows_per_pass)
        if layout.rows_per_pass > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(model, rows, numbers, layout, *rest)

    calm, short = new_run(recipe), new_run(recipe, "eval.per_device_eval_batch_size=16")
    assert train_here(calm) == 0
    monkeypatch.setattr(evaluating, "mean_and_row_losses", losses)
    assert train_here(short) == 0
    assert asked[:4] == [16, 8, 4, 2]
    assert [event["rows"] for event in events(short, "evaluation_halved")][:3] == [8, 4, 2]
    for ours, theirs in zip(events(short, "evaluation"), events(calm, "evaluation"), strict=True):
        assert ours["eval_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-5)
    assert final_weights(short) == final_weights(calm)
    for ours, theirs in zip(curve(short), curve(calm), strict=True):
        assert ours[:1] == theirs[:1] and ours[1] == pytest.approx(theirs[1], rel=1e-5)
