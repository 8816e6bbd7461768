"""What a chart gets of a long run: never less than its extremes, whatever is in view."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui.curves import AXES, Curves, sampled, trailing_means
from finetui.lens import Lens, fitting_smoothing, next_axis, next_smoothing, panned, zoomed
from finetui_core.runs.columns import Columns
from finetui_core.runs.extremes import Extremes

values = st.lists(st.floats(-100, 100) | st.just(math.nan), min_size=1, max_size=50).flatmap(
    lambda few: st.integers(1, 40).map(lambda times: few * times)
)


def run(losses: list[float]) -> Curves:
    columns = Columns()
    for step, loss in enumerate(losses, 1):
        columns.append(
            {
                "step": step,
                "loss": loss,
                "epoch": step / 10,
                "tokens": 5,
                "t": 1e9 + 2 * step - (step == 7) * 50,
            }
        )
    return Curves(columns)


@given(values, st.integers(0, 2100), st.integers(0, 2100), st.integers(1, 40))
def test_what_is_drawn_of_a_view_has_its_extremes_at_their_own_steps(
    losses: list[float], one: int, other: int, dots: int
) -> None:
    low, high = sorted((one, other))
    curves = run(losses)
    points = sampled(curves.xs("step"), curves.extremes("loss"), (low, high), dots)
    inside = [(s, loss) for s, loss in enumerate(losses, 1) if low <= s <= high and not math.isnan(loss)]
    assert all(low <= x <= high for x, _ in points)
    assert len(points) <= 4 * dots + 2
    if inside:
        drawn = [(x, y) for x, y in points if y is not None]
        assert max(y for _, y in inside) in {y for _, y in drawn}
        assert min(y for _, y in inside) in {y for _, y in drawn}
        greatest = max(y for _, y in drawn)
        assert any(losses[int(x) - 1] == greatest for x, y in drawn if y == greatest)


@given(values, st.integers(1, 300), st.integers(1, 40))
def test_a_smoothed_curve_is_the_mean_of_the_last_values(losses: list[float], steps: int, dots: int) -> None:
    curves = run(losses)
    points = trailing_means(curves.xs("step"), curves.extremes("loss"), (1, len(losses)), dots, steps)
    assert points[-1][0] == len(losses)
    for x, y in points:
        known = [loss for loss in losses[max(0, int(x) - steps) : int(x)] if not math.isnan(loss)]
        if math.isnan(losses[int(x) - 1]):
            assert y is None
        else:
            assert y == pytest.approx(sum(known) / len(known), abs=1e-9)


def test_a_line_goes_on_beyond_the_edges_of_the_view() -> None:
    xs, ys = array("d", [0, 10, 20]), array("d", [0, 10, 0])
    assert sampled(xs, Extremes(ys), (5, 15), 10) == [(5, 5), (10, 10), (15, 5)]
    assert sampled(xs, Extremes(ys), (12, 13), 10) == [(12, 8), (13, 7)]


def test_axes_never_fall_and_grow_with_the_run() -> None:
    curves = run([1.0] * 9)
    for axis in AXES:
        assert curves.has(axis)
        assert list(curves.xs(axis)) == sorted(curves.xs(axis)) and len(curves.xs(axis)) == 9
    assert curves.xs("tokens")[-1] == 45 and curves.xs("time")[-1] == 16
    curves.columns.append({"step": 10, "tokens": 5, "t": 1e9 + 20})
    assert curves.xs("tokens")[-1] == 50 and curves.xs("time")[-1] == 18
    assert curves.xs("epoch")[-1] == 0.9  # not told: it stays where it was
    curves.columns.keep_until(4)
    assert [len(curves.xs(axis)) for axis in AXES] == [4] * 4
    assert curves.x_of_step(3, "tokens") == 15 and curves.step_at(14, "tokens") == 3


def test_zooming_in_at_the_newest_point_follows_it() -> None:
    lens = zoomed(Lens(), 0, 100, None)
    assert lens.window(0, 100) == (50, 100)
    assert lens.window(0, 120) == (70, 120)
    lens = panned(lens, 0, 120, -1)
    assert lens.window(0, 130) == (57.5, 107.5)
    lens = panned(panned(lens, 0, 120, 1), 0, 120, 1)
    assert lens.window(0, 140) == (90, 140)


@given(st.lists(st.sampled_from(["in", "out", "left", "right"]), max_size=60), st.none() | st.floats(0, 100))
def test_a_view_stays_within_the_run(keys: list[str], center: float | None) -> None:
    lens = Lens()
    for key in keys:
        if key in ("in", "out"):
            lens = zoomed(lens, 0, 100, center, out=key == "out")
        else:
            lens = panned(lens, 0, 100, -1 if key == "left" else 1)
        start, end = lens.window(0, 100)
        assert -1e-9 <= start < end <= 100 + 1e-9


def test_axes_that_the_run_lacks_are_passed_over() -> None:
    lens = next_axis(Lens(span=(1, 2)), ("step", "time"))
    assert (lens.axis, lens.span) == ("time", None)
    assert next_axis(lens, ("step", "time")).axis == "step"
    assert next_smoothing(Lens()).smoothing == 1


@given(st.integers(1, 10**7))
def test_the_smoothing_that_fits_is_round(points: int) -> None:
    size = fitting_smoothing(points)
    assert str(size).rstrip("0") in ("1", "2", "5")
    assert size <= max(5, points / 10)
