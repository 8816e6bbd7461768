"""The time that a run still takes, foretold from the work that is left; on a clock of the test's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.train.batches import Schedule, padded_passes
from finetui_core.train.time_left import TimeLeft, work_of_epoch

EVALUATION, SAVE = 3.0, 0.7


def skewed(rows: int, seed: int) -> np.ndarray:
    """Row lengths as real sets have them: most short, some 50 times as long."""
    drawn = np.random.default_rng(seed).lognormal(5.0, 1.0, rows)
    return np.clip(drawn, 8, 4096).astype(np.int64)


def predictions(
    seed: int, *, per_pass: int | None, costs: tuple[float, float, float], noise: float
) -> tuple[list[float], list[float]]:
    """What was foretold after each step, and what was then true."""
    rows, batch = 2400, 8
    lengths = skewed(rows, seed)
    schedule = Schedule(rows, batch, seed, 2 * -(-rows // batch))
    left = TimeLeft(schedule, lengths, per_pass, 0, 0, True, save_guess=0.5)
    random = np.random.default_rng(seed + 1)
    foretold, ends, now = [], [], 0.0
    left.evaluated(EVALUATION, best=None)
    for step in range(1, schedule.total_steps + 1):
        epoch, index = divmod(step - 1, schedule.steps_per_epoch)
        if index == 0:
            work = work_of_epoch(schedule, lengths, epoch, per_pass) @ np.array(costs)
        took = float(work[index]) * random.lognormal(0, noise)
        took *= 6 if step == 1 else 1
        now += took
        left.stepped(step, took)
        foretold.append(left.after(step) or 0.0)
        ends.append(now)
        if schedule.ends_epoch(step):
            left.evaluated(EVALUATION, best=True)
            left.saved(SAVE)
            now += EVALUATION + SAVE
    return foretold, [now - end for end in ends]


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([None, 2, 4]),
    st.sampled_from(
        [(0.0, 1e-4, 0.0), (0.05, 1e-4, 0.0), (0.0, 1e-4, 3e-8), (0.02, 5e-5, 1e-8), (0.1, 1e-6, 0.0)]
    ),
)
def test_after_20_steps_within_a_tenth_and_after_a_tenth_within_a_twentieth(
    seed: int, per_pass: int | None, costs: tuple[float, float, float]
) -> None:
    foretold, true = predictions(seed, per_pass=per_pass, costs=costs, noise=0.08)
    total = true[0] + 1e-9
    assert foretold[19] == pytest.approx(true[19], abs=0.10 * total)
    tenth = len(true) // 10
    assert all(
        abs(ahead - actual) < 0.05 * total
        for ahead, actual in zip(foretold[tenth:], true[tenth:], strict=True)
    )
    assert foretold[-1] == pytest.approx(EVALUATION + SAVE)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_the_work_of_a_step_is_what_its_passes_hold(rows: int, batch: int, per_pass: int, seed: int) -> None:
    lengths = skewed(rows, seed)
    schedule = Schedule(rows, batch, seed, 1)
    known = {row: int(length) for row, length in enumerate(lengths)}
    packed, padded = (work_of_epoch(schedule, lengths, 0, one) for one in (None, per_pass))
    for index, numbers in enumerate(schedule.steps_of_epoch(0)):
        assert packed[index, 1] == sum(known[row] for row in numbers)
        passes = padded_passes(numbers, known, per_pass)
        assert padded[index, 1] == sum(len(group) * known[group[0]] for group in passes)


def test_a_run_that_is_cut_by_max_steps_counts_only_these() -> None:
    lengths = skewed(100, 1)
    left = TimeLeft(Schedule(100, 10, 1, 14), lengths, None, None, 5, False, save_guess=1.0)
    assert left.after(0) is None
    for step in range(1, 15):
        left.stepped(step, 2.0)
    assert left.after(14) == 1.0, "the last save is still to come"


def test_what_others_ask_for_is_learned_from() -> None:
    """Saves are guessed until one is seen; the first step does not count."""
    lengths = np.full(100, 50)
    left = TimeLeft(Schedule(100, 10, 1, 10), lengths, None, None, 4, False, save_guess=1.0)
    left.stepped(1, 100.0)
    left.stepped(2, 2.0)
    assert left.after(2) == pytest.approx(8 * 2.0 + 3 * 1.0)
    left.saved(0.1)
    assert left.after(2) == pytest.approx(8 * 2.0 + 3 * 0.1)


def test_the_meters_are_foreseen_within_their_share_and_those_of_the_end_in_any_case() -> None:
    lengths = np.full(100, 50)
    left = TimeLeft(Schedule(100, 10, 1, 10), lengths, None, 2, 20, False, meter_share=0.1)
    for step in (1, 2):
        left.stepped(step, 2.0)
    bare = left.after(2)
    assert bare is not None
    for each, at_the_end, foreseen in ((0.1, 0.1, 5 * 0.1), (9.0, 0.3, 0.1 * 20.0 - 0.5), (9.0, 4.0, 4.0)):
        left.metered(spent=0.5, each=each, at_the_end=at_the_end)
        assert left.after(2) == pytest.approx(bare + foreseen)
