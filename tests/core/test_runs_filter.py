"""The grammar of filters, over the runs of a list, and the order of these."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.runs.filter import SORT_KEYS, run_filter, sort_runs
from finetui_core.runs.summary import RunSummary

NOW = 1_000_000.0
RUN = RunSummary(
    id="20260101T000000-chat-aaa111",
    name="My Chat",
    path="/runs/x",
    model="tiny/llama-3",
    method="lora",
    created=NOW - 7200,
    state="out_of_memory",
    reason="",
    step=1500,
    total_steps=2000,
    loss=0.5,
    eval_loss=0.75,
    best_eval_loss=None,
    updated=NOW,
    tags=("baseline", "seed:1"),
    note="as in the paper",
)


def fits(text: str, run: RunSummary = RUN) -> bool:
    return run_filter(text, NOW)(run)


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "chat", "CHAT aaa", "llama", "basel", '"my chat"', "-mistral", "-state:running"),
        *("state:out_of_memory", 'state:"out of memory"', "state:running,memory", "name:chat", "id:aaa111"),
        *("tag:baseline", "tag:BASELINE", 'tag:"seed:1"', "-tag:base", "tags:baseline", 'note:"the paper"'),
        *("loss<0.6", "loss<=.5", "loss=0.5", "loss!=1", "val>0.5", "eval_loss>=7.5e-1", "kind:ftui"),
        *("step>100", "step>1k", "step<2k", "age>1h", "age<3h", "age>119min", "age<1d", "-best<9"),
        "chat tag:baseline loss<1 -note:draft",
    ],
)
def test_the_run_fits(text: str) -> None:
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "mistral",
            "chat mistral",
            '"chat my"',
            "-chat",
            "tag:base",
            "state:running",
            "paper",
            "model:chat",
        ),
        *("loss<0.5", "loss>0.5", "step<1k", "age<1h", "best<9", "best>0", "best!=1", "name:chat -llama"),
    ],
)
def test_the_run_does_not_fit(text: str) -> None:
    assert not fits(text)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("los<1", "there is no field los", "did you mean loss?"),
        ("http://x", "there is no field http", "quote it"),
        ("loss<", "a number is missing after loss<", "loss<1"),
        ("loss<x", "x is no number", "units are k"),
        ("loss<1x", "1x is no number", "units are k"),
        ("loss:1", "loss is a number", "loss<1"),
        ("state<1", "state is a text", "state:"),
        ("state:", "a word is missing after state:", "state:WORD"),
        ('a "b', "a quote is not closed", 'add a "'),
    ],
)
def test_a_fault_is_named_with_what_to_do(text: str, what: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        run_filter(text, NOW)
    (problem,) = caught.value.problems
    assert what in problem.what and hint in problem.hint and problem.where.startswith("filter, column ")


def test_all_faults_are_told_at_once_with_their_places() -> None:
    with pytest.raises(InputError) as caught:
        run_filter("ok los<1 step>1 val<x", NOW)
    assert [problem.where for problem in caught.value.problems] == ["filter, column 4", "filter, column 17"]


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_fault(text: str) -> None:
    try:
        assert isinstance(fits(text), bool)
    except InputError as error:
        assert error.problems and all(problem.what and problem.hint for problem in error.problems)


@given(st.text(min_size=1, max_size=20).filter(lambda text: '"' not in text), st.text(max_size=20))
def test_quoted_text_finds_the_names_that_hold_it(part: str, rest: str) -> None:
    run = msgspec.structs.replace(RUN, name=rest + part + rest)
    assert fits(f'"{part}"', run)
    assert not fits(f'-"{part}"', run)


TERMS = st.sampled_from(
    ["chat", "-chat", "loss<1", "loss>1", "tag:baseline", "-tag:x", "state:running", "best<1"]
)


@given(st.lists(TERMS, max_size=5))
def test_all_terms_must_fit(terms: list[str]) -> None:
    assert fits(" ".join(terms)) == all(fits(term) for term in terms)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_numbers_compare_as_numbers(value: float, limit: float) -> None:
    run = msgspec.structs.replace(RUN, loss=value)
    assert fits(f"loss<{limit!r}", run) == (value < limit)
    assert fits(f"loss>={limit!r}", run) == (value >= limit)


LOSSES = st.lists(st.none() | st.floats(allow_nan=False), max_size=12)


@given(LOSSES, st.booleans())
def test_runs_without_a_value_come_last_and_equal_ones_keep_their_order(
    losses: list[float | None], reverse: bool
) -> None:
    runs = [msgspec.structs.replace(RUN, id=str(at), loss=loss) for at, loss in enumerate(losses)]
    shown = sort_runs(runs, "loss", reverse=reverse)
    known = [run.loss for run in shown if run.loss is not None]
    assert known == sorted(known, reverse=reverse)
    assert [run.loss for run in shown[len(known) :]] == [None] * (len(runs) - len(known))
    for one, other in pairwise(shown):
        assert one.loss != other.loss or int(one.id) < int(other.id)


def test_every_column_sorts_and_an_unknown_one_is_refused() -> None:
    for column in SORT_KEYS:
        assert len(sort_runs([RUN, RUN], column)) == 2
    younger = msgspec.structs.replace(RUN, created=NOW)
    assert sort_runs([RUN, younger], "age")[0] is younger
    with pytest.raises(InputError, match="cannot be sorted by colour"):
        sort_runs([RUN], "colour")
