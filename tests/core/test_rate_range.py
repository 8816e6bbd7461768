"""The range test: the rates, the stop at divergence, and what is read off curves of which the answer is known."""

import json
import math
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.cli.train import make_run
from finetui_core.runs.paths import RATE_RANGE, RunPaths, create_run
from finetui_core.runs.rate_range import Divergence, RateRange, find_range, read_range
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End
from finetui_core.train.schedule import rising_rate
from training import events, train_here, write_project

GOLDEN = {1: 5.728, 16: 5.367, 25: 4.466, 31: 3.016}


@given(low=st.floats(1e-8, 1e-3), factor=st.floats(10, 1e4), total=st.integers(2, 500), data=st.data())
def test_the_rate_rises_by_equal_factors_from_end_to_end(
    low: float, factor: float, total: int, data: st.DataObject
) -> None:
    def at(step: int) -> float:
        return rising_rate(step, low=low, high=low * factor, total_steps=total)

    assert at(1) == pytest.approx(low) and at(total) == pytest.approx(low * factor)
    step = data.draw(st.integers(1, total - 1))
    assert at(step + 1) / at(step) == pytest.approx(factor ** (1 / (total - 1)))


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_told(text: str) -> None:
    rates, problems = read_range(text)
    assert problems or (0 < rates.low < rates.high <= 1 and text.count(",") == 1)


@given(seed=st.integers(0, 2**32), level=st.floats(0.5, 12), noise=st.floats(0.001, 1.0))
def test_noise_alone_is_no_divergence(seed: int, level: float, noise: float) -> None:
    chance, divergence = random.Random(seed), Divergence()
    assert not any(divergence.seen(level + chance.gauss(0, noise)) for _ in range(200))


def test_a_loss_that_rises_for_good_or_is_no_number_is_divergence() -> None:
    for bad in (math.nan, math.inf):
        assert Divergence().seen(bad)
    divergence = Divergence()
    falling = [6 - step / 20 for step in range(100)]
    assert not any(divergence.seen(loss) for loss in falling)
    rising = [1 + step / 10 for step in range(60)]
    seen = [divergence.seen(loss) for loss in rising]
    assert seen.index(True) < 50  # once half of the fall is lost


FALL, EDGE = -3.5, -2.0


def range_run(
    folder: Path,
    *,
    edge: float | None = EDGE,
    fall: float = 4.0,
    noise: float = 0.15,
    seed: int = 0,
    steps: int = 200,
) -> RunPaths:
    """A range test from 1e-6 to 0.1 whose loss falls fastest at 10**FALL, and rises tenfold steeper past the edge."""
    chance = random.Random(seed)
    files = {RATE_RANGE: msgspec.json.encode(RateRange(1e-6, 0.1))}
    paths = create_run(folder, f"range-{seed}", "", {}, {}, files)
    lines = []
    for step in range(1, steps + 1):
        x = -6 + 5 * (step - 1) / (steps - 1)
        loss = 6 - fall / (1 + math.exp(-(x - FALL) * 5)) + chance.gauss(0, noise)
        if edge is not None and x > edge:
            loss += 20 * (x - edge)
        lines.append(json.dumps({"step": step, "learning_rate": 10**x, "loss": loss, "epoch": step / 400}))
    attempt = Attempt(1, 1, 1, "", "", 1, 1, 0.0, None, End(1.0, 0))
    paths.attempt(1).write_bytes(msgspec.json.encode(attempt))
    paths.metrics(1).write_text("\n".join(lines) + "\n")
    return paths


@pytest.mark.parametrize("seed", range(12))
def test_edge_and_steepest_fall_are_found_and_the_span_holds_the_answer(tmp_path: Path, seed: int) -> None:
    found = find_range(range_run(tmp_path, seed=seed))
    assert found.edge is not None and found.steepest is not None and found.suggested is not None
    assert abs(math.log10(found.edge) - EDGE) < 0.15
    assert abs(math.log10(found.steepest) - FALL) < 0.3
    low, high = found.suggested_span or (0.0, 0.0)
    assert low <= found.suggested <= high
    assert low < 10 ** (EDGE - 1) < high * 1.3 and low < 10**FALL * 1.3
    edge_low, edge_high = found.edge_span or (0.0, 0.0)
    assert edge_low <= found.edge <= edge_high < 2 * edge_low
    assert "The loss diverges at about" in found.says
    assert any("finds the edge well and the best rate only roughly" in note for note in found.notes)
    assert not any("by heart" in note for note in found.notes)


def test_the_same_curve_gives_the_same_answer(tmp_path: Path) -> None:
    paths = range_run(tmp_path)
    assert find_range(paths) == find_range(paths)


@pytest.mark.parametrize("seed", range(6))
def test_a_flat_curve_gives_no_suggestion(tmp_path: Path, seed: int) -> None:
    found = find_range(range_run(tmp_path, edge=None, fall=0.0, seed=seed))
    assert (found.edge, found.suggested) == (None, None)
    assert "no rate can be suggested" in found.says


def test_a_curve_without_an_edge_says_so(tmp_path: Path) -> None:
    found = find_range(range_run(tmp_path, edge=None))
    assert found.edge is None and found.suggested == pytest.approx(found.steepest)
    assert "does not diverge up to 0.1" in found.says


def test_a_run_of_many_steps_is_read_in_bins(tmp_path: Path) -> None:
    found = find_range(range_run(tmp_path, steps=2000))
    assert found.edge is not None and abs(math.log10(found.edge) - EDGE) < 0.1
    assert len(found.curve) < 30


def test_a_test_that_has_hardly_begun_says_so(tmp_path: Path) -> None:
    found = find_range(range_run(tmp_path, steps=3))
    assert (found.suggested, "too little to read" in found.says) == (None, True)


def test_a_range_test_of_the_tiny_model(tmp_path: Path) -> None:
    """Golden losses; the recipe's schedule, evaluations and checkpoints have no part in it."""
    recipe = write_project(tmp_path, dropout=0.0)
    files = {RATE_RANGE: msgspec.json.encode(RateRange(1e-4, 1.0))}
    overrides = ("train.max_steps=60", "train.method=full")
    paths = make_run(recipe, overrides, None, tmp_path / "runs", files=files)
    assert train_here(paths) == 0
    view = RunView(paths)
    view.refresh()
    losses = {step["step"]: step["loss"] for step in view.steps}
    assert {step: losses[step] for step in GOLDEN} == pytest.approx(GOLDEN, rel=1e-3)
    assert [step["learning_rate"] for step in view.steps] == pytest.approx(
        [1e-4 * 10 ** (4 * step / 59) for step in range(len(losses))]
    )
    (finished,) = events(paths, "finished")
    assert finished == {**finished, "reason": "edge", "step": len(losses)} and len(losses) < 60
    assert events(paths, "evaluation") == events(paths, "checkpoint") == []
    assert list(paths.checkpoints.iterdir()) == []
    found = find_range(paths)
    assert found.edge is not None and 0.05 < found.edge < 0.3
