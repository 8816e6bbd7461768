"""Charts as text: any data fits, extremes are never lost, and what is left out is named."""

import math

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from finetui.widgets.plot import Look, Mark, Row, Series, plot
from finetui.widgets.scales import LARGEST, in_unit, log_ticks, rounded_range, ticks, time_ticks, usual_range

any_number = st.floats(allow_nan=True, allow_infinity=True)
any_points = st.lists(st.tuples(any_number, st.none() | any_number), max_size=30).map(tuple)
kinds = st.sampled_from(("line", "dots", "markers"))
steps = st.lists(
    st.none() | st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda y: round(y, 6)),
    min_size=1,
    max_size=60,
).map(lambda ys: tuple(enumerate(ys)))
looks = st.builds(
    Look,
    title=st.sampled_from(["", "loss"]),
    unit=st.sampled_from(["step", "epoch", "tokens", "time"]),
    window=st.none() | st.tuples(st.floats(-10, 10), st.floats(11, 1e6)),
    log=st.booleans(),
    full=st.booleans(),
    steady=st.booleans(),
    at=st.none() | st.floats(-100, 100),
)


def text(row: Row) -> str:
    return "".join(part for part, _ in row)


def line(points: list[tuple[float, float | None]], kind: str = "line", mark: str = "") -> Series:
    return Series("x", "train", kind, tuple(points), mark)


def drawing(rows: tuple[Row, ...]) -> list[str]:
    """What is drawn between the y axis and the right edge."""
    return [
        text(row).partition("┤")[2] or text(row).partition("│")[2]
        for row in rows
        if "┤" in text(row) or "│" in text(row)
    ]


@given(
    st.lists(st.tuples(kinds, any_points), max_size=3),
    st.integers(-1, 60),
    st.integers(-1, 20),
    looks,
)
def test_any_data_fits_into_any_size(drawn: list, width: int, height: int, look: Look) -> None:
    series = [Series("name", "train", kind, points) for kind, points in drawn]
    marks = [Mark(3.0, "▲", "checkpoint"), Mark(math.inf, "!", "alarm")]
    rows = plot(series, width, height, look=look, marks=marks)
    assert len(rows) == (max(0, height) if width > 0 else 0)
    assert all(cell_len(text(row)) <= width for row in rows)


@given(kinds, steps)
def test_in_full_the_extremes_are_in_the_first_and_the_last_row(kind: str, points: tuple) -> None:
    if len({y for _, y in points if y is not None}) < 2:
        return
    curves = drawing(plot([line(points, kind)], 60, 13, look=Look(full=True)))
    assert curves[0].strip() and curves[-1].strip()


def test_one_spike_among_many_points_is_drawn() -> None:
    points = [(step, 9.0 if step == 54_321 else 1.0 + step % 7 / 10) for step in range(100_000)]
    assert drawing(plot([line(points)], 80, 12, look=Look(full=True)))[0].strip()


def test_a_lone_spike_is_cut_off_and_named_until_all_is_asked_for() -> None:
    points = [(step, 9.8 if step == 3 else 2.0 + step % 5 / 10) for step in range(1, 101)]
    cut = plot([line(points)], 60, 12)
    assert "↑ 9.8 at step 3" in text(cut[0])
    assert drawing(cut)[0].lstrip("⠀ ").startswith("↑")
    assert float(text(cut[1]).strip().partition("┤")[0] or 2.4) < 3
    assert "↑" not in "".join(text(row) for row in plot([line(points)], 60, 12, look=Look(full=True)))


def test_a_spike_downwards_is_named_too() -> None:
    points = [(step, 5.0 if step == 1 else 1200.0 + step % 9) for step in range(1, 101)]
    assert "↓ 5 at step 1" in text(plot([line(points)], 60, 12)[0])


def test_a_missing_value_is_a_gap_with_a_mark_that_says_so() -> None:
    def chart(missing: range) -> list[str]:
        points = [(x, None if x in missing else 1.0) for x in range(100)]
        mark = Mark(40, "×", "nan at step 40", "bad")
        return [text(row) for row in plot([line(points)], 60, 4, marks=[mark] if missing else [])]

    assert " " not in chart(range(0))[1][4:].rstrip()
    gap = chart(range(40, 60))
    assert " " * 5 in gap[1].rstrip()
    assert "× nan at step 40" in gap[0] and "×" in gap[2]


def test_the_whole_chart() -> None:
    curve = tuple((x, 4.0 - x / 10) for x in range(1, 31))
    validation = ((10, 3.5), (20, 2.5), (30, 1.5))
    series = [
        Series("train 1.0", "train", "line", curve),
        Series("val 1.5", "validation", "markers", validation),
    ]
    marks = [Mark(20, "▲", "checkpoint"), Mark(20, "◆", "evaluation", weight=-1)]
    rows = plot(series, 60, 12, look=Look(title="loss", at=25.0), marks=marks)
    assert "\n".join(text(row).rstrip() for row in rows) == WHOLE
    assert [style for _, style in rows[0]] == ["strong", "train", "validation", "axis", "axis"]


WHOLE = """\
 loss   ━ train 1.0  ◆ val 1.5  ▲ checkpoint  ◆ evaluation
 │⠉⠑⠒⠤⠤⡀                                         │
 │     ⠈⠉⠑⠒⠤⠤⣀⡀    ◆⠢⠤⣀⣀                         │
3┤            ⠈⠉⠑⠤⠤⣀⡀   ⠉⠑⠒⠤⢄⣀⡀                  │
 │                  ⠈⠉⠉⠒⠢⠤⢄   ⠈⠉⠒⠢⠤⣀⣀            │
 │                         ⠉⠉⠒⠢⠤⢄⡀   ⠉⠑◆⠤⢄⣀⡀     │
2┤                               ⠈⠉⠒⠤⠤⢄⣀   ⠈⠉⠒⠢⠤⣀│
 │                                      ⠉⠉⠑⠢⠤⣀   │⠉⠑⠒⠤⢄⣀⡀
 │                                            ⠉⠉⠑│⠤⠤⣀   ⠈⠉◆
1┤                                               │   ⠉⠑⠢⠤⠤⣀
 └─────────────────┬───────────────────▲──────────────────┬
                  10                  20                 30"""


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm() -> None:
    points = [(x, 10.0 ** (x - 4)) for x in range(9)] + [(9, 0.0), (10, -3.0)]
    rows = plot([line(points)], 60, 12, look=Look(log=True, full=True, window=(0, 10)))
    curves = drawing(rows)
    labels = [text(row).partition("┤")[0].strip() for row in rows if "┤" in text(row)]
    assert labels == ["1e+03", "1", "0.001"]
    ends = [max((i for i, c in enumerate(row) if c.strip()), default=0) for row in curves]
    assert ends == sorted(ends, reverse=True)  # a straight line
    assert max(ends) < 50


def test_runs_are_told_apart_without_colour() -> None:
    curve = [(x, 1.0 + x / 100) for x in range(100)]
    rows = plot([line(curve, mark="●"), line([(x, 2.0) for x in range(100)], mark="■")], 60, 14)
    drawn = "".join(drawing(rows))
    assert drawn.count("●") > 1 and drawn.count("■") > 1
    assert "● x" in text(rows[0]) and "■ x" in text(rows[0])


def test_hostile_labels_are_made_safe() -> None:
    rows = plot([Series("\x1b[2J[red]", "train", "line", ((0, 1.0),))], 40, 8)
    assert "␛[2J[red]" in text(rows[0]) and "\x1b" not in "".join(map(text, rows))


@given(st.floats(-LARGEST, LARGEST), st.floats(-LARGEST, LARGEST), st.integers(1, 20))
def test_ticks_are_few_and_within(one: float, other: float, wanted: int) -> None:
    low, high = sorted((one, other))
    found = ticks(low, high, wanted)
    assert len(found) <= wanted
    slack = (high - low) * 1e-6 + 1e-300
    assert all(low - slack <= value <= high + slack for value in found)


@given(st.floats(1e-30, 1e30), st.floats(1, 1e30), st.integers(2, 20))
def test_logarithmic_ticks_are_few_and_within(low: float, factor: float, wanted: int) -> None:
    found = log_ticks(low, low * factor, wanted)
    assert len(found) <= wanted
    assert all(low * 0.999 <= value <= low * factor * 1.001 for value in found)


@given(st.floats(0, 1e7), st.floats(1, 1e7), st.integers(2, 20))
def test_times_are_round(low: float, length: float, wanted: int) -> None:
    found = time_ticks(low, low + length, wanted)
    assert len(found) <= wanted + 1
    assert in_unit(5400, "time", 600) == "1:30 h" and in_unit(90, "time", 30) == "1.5 min"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100))
def test_the_usual_range_lies_within_the_values_and_holds_most(values: list[float]) -> None:
    low, high = usual_range(values)
    assert low in values and high in values
    assert sum(low <= value <= high for value in values) >= 0.9 * len(values) - 1


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_a_rounded_range_holds_the_range(low: float, extent: float) -> None:
    found = rounded_range(low, low + extent)
    slack = extent * 1e-6
    assert found[0] <= low + slack and found[1] >= low + extent - slack
    assert found[1] - found[0] <= 1.5 * extent + 1e-6
