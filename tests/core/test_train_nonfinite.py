"""NaN and infinity while training: told in their step with rows, answered as the recipe says, and never saved."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from finetui_core.cli.follow import look
from finetui_core.runs import exit_codes
from finetui_core.runs.listing import summarise
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.train import evaluating, on_nonfinite
from finetui_core.train.checkpoint import Progress, read_progress
from finetui_core.train.evaluation import perplexity
from finetui_core.train.meters.figures import RowLosses
from finetui_core.train.nonfinite import nonfinite_in, place
from finetui_core.train.step import _only_scaled_too_much
from nonfinite_faults import Fault, fault_in_training
from proofs.nonfinite import Injection, broken_promises, new_run
from training import events, train_here, write_project


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize(
    "injection",
    [
        Injection(Fault("row loss", 3), "stop", "lora", None),
        Injection(
            Fault("row gradient", 5, math.inf, once=True), "skip", "lora", ("metric", 7), packing=False
        ),
        Injection(Fault("moment", 5), "rollback", "full", ("metric", 6)),
        pytest.param(Injection(Fault("second moment", 4), "rollback", "lora", None), marks=pytest.mark.slow),
        pytest.param(Injection(Fault("embedding", 3), "skip", "full", None), marks=pytest.mark.slow),
    ],
    ids=lambda one: f"{one.fault.kind}, {one.policy}, {one.method}",
)
def test_a_fault_is_told_at_its_step_and_answered(injection: Injection, recipe: Path) -> None:
    """The long form is tests/proofs/nonfinite.py."""
    assert broken_promises(injection, recipe) == []


def test_the_alarm_names_row_deed_and_way_out(recipe: Path) -> None:
    paths = new_run(recipe, "train.max_steps=3")
    with fault_in_training(Fault("row loss", 3)) as met:
        assert train_here(paths) == exit_codes.DIVERGED
    (alarm,) = events(paths, "alarm")
    assert alarm["message"].startswith(
        f"row {met.rows[0]} of train.jsonl alone gives loss nan: the run stops, with the weights of step 2, "
        "which are good (the batch: rows "
    )
    assert alarm["severity"] == "act"
    assert alarm["remedy"] == (
        "Look at the rows in the Data station, and mend them or take them out, in a new run; "
        'or set train.on_nonfinite = "skip" or "rollback" there.'
    )
    (finding,) = events(paths, "nonfinite")
    assert len(finding["rows"]) == 8
    assert finding["rows"] == sorted(finding["rows"])
    (facts,) = _view(paths).summary()["alarms"]
    assert facts["message"] == alarm["message"]


def test_what_a_run_left_behind_when_it_went_back_no_longer_counts(recipe: Path) -> None:
    paths = new_run(
        recipe, "train.max_steps=6", "eval.steps=1", "train.on_nonfinite=rollback", "save.keep_best=false"
    )
    heard: list[dict[str, Any]] = []
    view = RunView(paths)

    def follow(output: Any) -> Any:
        return _Listening(output, iter(look(view, lambda seconds: None)), heard)

    with fault_in_training(Fault("weight", 4)):
        assert train_here(paths, wrap=follow) == 0
    view = _view(paths)
    (back,) = events(paths, "rolled_back")
    assert (back["from_step"], back["step"], back["checkpoint"]) == (4, 2, "checkpoints/step-000002")
    assert [point["step"] for point in view.steps] == [1, 2, 3, 4, 5, 6]
    assert [point["loss"] is None for point in view.steps] == [False, False, False, True, False, False]
    assert [event["step"] for event in view.evaluations] == [0, 1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in events(paths, "evaluation")] == [0, 1, 2, 3, 3, 4, 5, 6]
    assert [alarm["step"] for alarm in view.alarms] == [4]
    summary = summarise(paths.root)
    assert summary is not None
    assert summary.best_eval_loss == min(event["eval_loss"] for event in view.evaluations)
    assert [point["step"] for point in heard] == [1, 2, 3, 4, 3, 4, 5, 6]
    assert read_progress(paths.checkpoints / "step-000006") == Progress(
        step=6,
        best_eval_loss=summary.best_eval_loss,
        best_step=summary.best_step,
        skipped=(4,),
        rollbacks=1,
    )


class _Listening:
    """An output whose every record is followed by a look at the run, as `ftui watch --json` has it."""

    def __init__(self, inner: Any, looks: Iterator[Any], heard: list[dict[str, Any]]) -> None:
        self._inner, self._looks, self._heard = inner, looks, heard

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)

        def call(*arguments: Any, **keywords: Any) -> None:
            real(*arguments, **keywords)
            self._heard += next(self._looks).steps

        return call if name in ("metric", "event") else real


@pytest.mark.parametrize(
    ("policy", "steps", "why"),
    [
        ("skip", 11, "the 10 steps before were left out as well"),
        ("rollback", 4, "the run went back 3 times before"),
    ],
)
def test_too_many_in_a_row_end_the_run(policy: str, steps: int, why: str, recipe: Path) -> None:
    paths = new_run(
        recipe, f"train.on_nonfinite={policy}", "train.max_steps=20", "save.steps=2", "data.val_fraction=0"
    )
    with _every_step_from(4):
        assert train_here(paths) == exit_codes.DIVERGED
    findings = events(paths, "nonfinite")
    assert [one["step"] for one in findings] == list(range(4, 4 + steps))
    assert [one["policy"] for one in findings] == [policy] * (steps - 1) + ["stop"]
    assert why in events(paths, "alarm")[-1]["message"]


@contextmanager
def _every_step_from(first: int) -> Iterator[None]:
    """The loss of every step from then on is infinite."""
    from finetui_core.train import step

    real = step.summed_loss
    before = step.seed_step
    now = [0]

    def seed(seed: int, number: int, process: int) -> None:
        now[0] = number
        before(seed, number, process)

    step.seed_step = seed
    step.summed_loss = lambda *a, **k: real(*a, **k) * (math.inf if now[0] >= first else 1.0)
    try:
        yield
    finally:
        step.summed_loss, step.seed_step = real, before


def test_the_share_of_skipped_steps_is_limited() -> None:
    seldom = Progress(step=199, skipped=tuple(range(10, 200, 10)))
    assert on_nonfinite.too_many(seldom, 200) == ""
    assert "20 of 200 steps" in on_nonfinite.too_many(Progress(skipped=tuple(range(9, 200, 10))), 200)


def test_a_run_resumed_before_a_step_that_was_left_out_says_so(tmp_path: Path) -> None:
    from finetui_core.runs.writer import RunWriter

    (tmp_path / "metrics").mkdir()
    paths, said = RunPaths(tmp_path), []

    class Output:
        def event(self, type: str, **fields: Any) -> None:
            said.append((type, fields))

    writer = RunWriter(paths, 1)
    for step, policy in ((3, "skip"), (7, "rollback"), (9, "stop")):
        writer.event("nonfinite", step=step, policy=policy)
    writer.close()
    output: Any = Output()
    progress = on_nonfinite.recall(paths, Progress(step=5, skipped=(3,)), output)
    assert (progress.skipped, progress.rollbacks) == ((3, 7), 1)
    ((kind, fields),) = said
    assert (kind, fields["step"], fields["severity"]) == ("alarm", 5, "watch")
    assert fields["message"].startswith("step 7 will be left out")
    assert on_nonfinite.recall(paths, Progress(step=9, skipped=(3, 7), rollbacks=1), output).skipped == (3, 7)
    assert len(said) == 1


def test_the_alarm_ends_once_all_was_finite_for_long() -> None:
    assert not on_nonfinite.is_over(Progress(step=100))
    assert not on_nonfinite.is_over(Progress(step=119, skipped=(4, 20)))
    assert on_nonfinite.is_over(Progress(step=120, skipped=(4, 20)))


def test_a_validation_loss_that_is_no_number_is_never_the_best(recipe: Path, monkeypatch: Any) -> None:
    real = evaluating.mean_and_row_losses
    losses = iter([1.0, math.nan, 0.5, math.inf, 0.4, 0.3])

    def planted(*arguments: Any) -> tuple[float, RowLosses]:
        _, rows = real(*arguments)
        loss = next(losses)
        if not math.isfinite(loss):
            rows.sums[2] = loss
        return loss, rows

    monkeypatch.setattr(evaluating, "mean_and_row_losses", planted)
    paths = new_run(recipe, "train.max_steps=5", "eval.steps=1", "save.steps=5", "eval.meters=true")
    assert train_here(paths) == 0
    counted = [event for event in events(paths, "evaluation") if event["step"]]
    assert [event["best"] for event in counted] == [False, True, False, True, True]
    assert counted[0]["eval_loss"] is None
    assert events(paths, "meter_off") == []
    alarms = [one for one in events(paths, "alarm") if one["kind"] == "nonfinite_evaluation"]
    assert [one["step"] for one in alarms] == [1, 3]
    assert "the validation loss is nan and counts for nothing (row " in alarms[0]["message"]
    assert "of train.jsonl; 1 of 8 rows)" in alarms[0]["message"]
    assert [one["step"] for one in events(paths, "alarm_over")] == [2, 4]
    assert _view(paths).summary()["best_step"] == 5


def test_perplexity_of_what_is_no_number() -> None:
    assert math.isnan(perplexity(math.nan))
    assert perplexity(math.inf) == perplexity(1e4) == math.inf


@given(st.lists(st.lists(st.floats(width=32), max_size=6), min_size=1, max_size=5))
def test_tensors_that_are_not_finite_are_named(values: list[list[float]]) -> None:
    tensors = {f"t{number}": torch.tensor(one) for number, one in enumerate(values)}
    bad = [f"t{number}" for number, one in enumerate(values) if not all(map(math.isfinite, one))]
    assert nonfinite_in(tensors) == bad


@given(st.text(max_size=8), st.integers(1, 10**9))
def test_the_line_of_a_row_is_read_from_its_place(name: str, line: int) -> None:
    assert place(f"{name}:{line}") == line
    assert place(f"{name}:{line}:") == f"{name}:{line}:"


def test_half_precision_is_left_to_its_loss_scaling_until_that_is_below_one() -> None:
    scaling = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaling.scale(torch.ones(()))
    assert _only_scaled_too_much(scaling)
    scaling.update(0.5)
    assert not _only_scaled_too_much(scaling)
    assert not _only_scaled_too_much(torch.amp.GradScaler("cpu", enabled=False))


def _view(paths: RunPaths) -> RunView:
    view = RunView(paths)
    view.refresh()
    return view
