"""Which rows a step sees, and how they are laid out."""

from hypothesis import given
from hypothesis import strategies as st

from finetui_core.recipe.defaults import total_steps
from finetui_core.train.batches import (
    Schedule,
    packed_passes,
    padded_passes,
    share_of_process,
    shares,
)

row_lengths = st.lists(st.integers(1, 300), min_size=1, max_size=40).map(lambda xs: dict(enumerate(xs)))


@given(rows=st.integers(1, 200), batch=st.integers(1, 40), seed=st.integers(0, 99), epochs=st.integers(1, 3))
def test_each_epoch_sees_each_row_once(rows: int, batch: int, seed: int, epochs: int) -> None:
    schedule = Schedule(rows, batch, seed, total_steps(rows, batch, epochs, -1))
    for epoch in range(epochs):
        first = epoch * schedule.steps_per_epoch + 1
        steps = range(first, first + schedule.steps_per_epoch)
        seen = [row for step in steps for row in schedule.rows_of_step(step)]
        assert sorted(seen) == list(range(rows))
        assert schedule.epoch_after(steps[-1]) == epoch + 1
        assert schedule.ends_epoch(steps[-1])


def test_order_changes_with_seed_and_epoch() -> None:
    schedule = Schedule(100, 100, 1, 2)
    assert schedule.rows_of_step(1) != schedule.rows_of_step(2)
    assert schedule.rows_of_step(1) != Schedule(100, 100, 2, 2).rows_of_step(1)
    assert schedule.rows_of_step(1) == Schedule(100, 100, 1, 2).rows_of_step(1)


def test_max_steps_wins_over_epochs() -> None:
    assert total_steps(100, 8, 3, -1) == 39
    assert total_steps(100, 8, 3, 5) == 5


@given(lengths=row_lengths, budget=st.integers(1, 600))
def test_packed_passes_hold_every_row_once_within_the_budget(lengths: dict[int, int], budget: int) -> None:
    passes = packed_passes(list(lengths), lengths, budget)
    assert sorted(row for group in passes for row in group) == sorted(lengths)
    for group in passes:
        assert sum(lengths[row] for row in group) <= budget or len(group) == 1


@given(lengths=row_lengths, width=st.integers(1, 9))
def test_padded_passes_hold_every_row_once_and_similar_lengths(lengths: dict[int, int], width: int) -> None:
    passes = padded_passes(list(lengths), lengths, width)
    assert sorted(row for group in passes for row in group) == sorted(lengths)
    assert all(len(group) <= width for group in passes)
    shortest_before = [min(lengths[row] for row in group) for group in passes]
    longest_after = [max(lengths[row] for row in group) for group in passes[1:]]
    assert all(a >= b for a, b in zip(shortest_before, longest_after, strict=False))


@given(lengths=row_lengths, count=st.integers(1, 5))
def test_processes_share_the_rows_of_a_step(lengths: dict[int, int], count: int) -> None:
    dealt = shares(list(lengths), lengths, count)
    assert sorted(row for share in dealt for row in share) == sorted(lengths)
    assert dealt == [share_of_process(list(lengths), lengths, index, count) for index in range(count)]


@given(lengths=row_lengths, count=st.integers(1, 5))
def test_no_process_could_give_a_row_away_and_end_the_step_earlier(
    lengths: dict[int, int], count: int
) -> None:
    def work(share: list[int]) -> int:
        return sum(lengths[row] * (6 * 4096 + lengths[row]) for row in share)

    dealt = shares(list(lengths), lengths, count)
    busiest = max(dealt, key=work)
    least = min(map(work, dealt))
    assert all(least + work([row]) >= work(busiest) for row in busiest)


def test_one_row_of_many_tokens_weighs_as_much_as_many_short_ones() -> None:
    lengths = {0: 900, **dict.fromkeys(range(1, 16), 100)}
    long, short = shares(list(lengths), lengths, 2)
    assert (sum(lengths[row] for row in long), sum(lengths[row] for row in short)) == (1200, 1200)
