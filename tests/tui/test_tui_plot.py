import math

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from finetui.picture import loss_curves, smoothed
from finetui.widgets.plot import LARGEST, Row, Series, plot, ticks

any_number = st.floats(allow_nan=True, allow_infinity=True)
any_points = st.lists(st.tuples(any_number, st.none() | any_number), max_size=30).map(tuple)
kinds = st.sampled_from(("line", "dots", "markers"))
steps = st.lists(
    st.none() | st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda y: round(y, 6)),
    min_size=1,
    max_size=60,
).map(lambda ys: tuple(enumerate(ys)))


def text(row: Row) -> str:
    return "".join(part for part, _ in row)


@given(st.lists(st.tuples(kinds, any_points), max_size=3), st.integers(-1, 60), st.integers(-1, 20))
def test_any_data_fits_into_any_size(drawn: list, width: int, height: int) -> None:
    series = [Series("name", "train", kind, points) for kind, points in drawn]
    rows = plot(series, width, height, checkpoints=[3.0, math.inf])
    assert len(rows) == (max(0, height) if width > 0 else 0)
    assert all(cell_len(text(row)) <= width for row in rows)


@given(kinds, steps)
def test_the_extremes_are_in_the_first_and_the_last_row(kind: str, points: tuple) -> None:
    values = {y for _, y in points if y is not None}
    if len(values) < 2:
        return
    rows = [text(row) for row in plot([Series("x", "train", kind, points)], 60, 13)[1:-2]]
    curves = [row.partition("┤")[2] or row.partition("│")[2] for row in rows]
    assert curves[0].strip() and curves[-1].strip()


def test_one_spike_among_many_points_is_drawn() -> None:
    points = tuple((step, 9.0 if step == 54_321 else 1.0) for step in range(100_000))
    assert set(text(plot([Series("x", "train", "line", points)], 80, 12)[1])[2:]) - set(" │┤0123456789.")


def test_a_missing_value_is_a_gap() -> None:
    def row(missing: range) -> str:
        points = tuple((x, None if x in missing else 1.0) for x in range(100))
        return text(plot([Series("x", "train", "line", points)], 60, 4)[1])

    assert " " not in row(range(0))[4:]
    assert " " * 5 in row(range(40, 60))


def test_the_whole_chart() -> None:
    curve = tuple((x, 4.0 - x / 10) for x in range(1, 31))
    validation = ((10, 3.5), (20, 2.5), (30, 1.5))
    series = [
        Series("train 1.0", "train", "line", curve),
        Series("val 1.5", "validation", "markers", validation),
    ]
    assert "\n".join(text(row).rstrip() for row in plot(series, 44, 9, checkpoints=[20])) == CHART


CHART = """\
━ train 1.0   ◆ val 1.5   ▲ checkpoint
 │⠉⠒⠢⠤⠤⣀⡀      ◆
 │      ⠈⠉⠒⠢⠤⠤⢄⣀⠉⠉⠒⠢⠤⢄⣀
3┤              ⠉⠒⠢⠤⠤⢄⣀⠉⠉⠒⠢⠤⢄◆
2┤                     ⠉⠑⠒⠒⠢⢄⣀⠉⠉⠒⠒⠤⢄⣀⡀
 │                            ⠉⠑⠒⠒⠢⠤⣀⡈⠉⠒⠒⠤⠤◆
1┤                                   ⠈⠑⠒⠒⠢⠤⣀
 └─────────────┬─────────────▲─────────────┬
              10            20            30"""


@given(st.floats(-LARGEST / 2, LARGEST / 2), st.floats(-LARGEST / 2, LARGEST / 2), st.integers(1, 20))
def test_ticks_are_few_and_inside(one: float, other: float, wanted: int) -> None:
    low, high = sorted((one, other))
    found = ticks(low, high, wanted)
    slack = (high - low) * 1e-6
    assert len(found) <= wanted
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_ticks_are_round() -> None:
    assert ticks(0.0, 10.0, 6) == [0, 2, 4, 6, 8, 10]
    assert ticks(7.0, 7.0, 3) == [7]


def test_smoothing_starts_at_the_first_value_and_skips_gaps() -> None:
    assert smoothed([(1, 4.0), (2, None), (3, 4.0)]) == [(1, 4.0), (2, None), (3, 4.0)]
    (_, first), (_, second) = smoothed([(1, 1.0), (2, 2.0)], weight=0.5)
    assert (first, round(second or 0, 6)) == (1.0, round((0.25 * 1 + 0.5 * 2) / 0.75, 6))


def test_curves_without_values_are_left_out() -> None:
    assert loss_curves([], []) == ()
    assert [curve.label for curve in loss_curves([{"step": 1, "loss": None}], [])] == [
        "train –",
        "train, smoothed –",
    ]
