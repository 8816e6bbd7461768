"""The verdict's band, and the changes that lower a peak."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.preflight.devices import find_device
from finetui_core.preflight.figures import Device, Memory, RowLengths, Span
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.history import Calibration
from finetui_core.preflight.knobs import apply, knobs
from finetui_core.preflight.report import Found, quick
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.verdict import highest_in_run, judge
from finetui_core.preflight.workload import workload
from finetui_core.recipe.options import Recipe
from preflight_values import FACTS, GIB, LLAMA, recipe

FITS = ("fits", "tight", "does_not_fit")
CARD = Device("a card", "cuda", 24 * GIB)


def peak_of(one: Recipe) -> Memory:
    shape = model_shape(one.model.name)
    assert shape is not None
    return estimate(workload(one, FACTS, shape, "cuda"))


def of(peak: int, stage: str = "formula") -> Memory:
    return Memory(
        stage, {"train": {"weights": peak}, "load": {"weights": 1}, "merge": {"weights": 99 * peak}}, 0.0
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peak", "fit"),
    [(10 * GIB, "fits"), (16 * GIB, "tight"), (22 * GIB, "tight"), (30 * GIB, "does_not_fit")],
)
def test_the_verdict_has_three_values(peak: int, fit: str) -> None:
    verdict = judge(of(peak), CARD)
    assert verdict.fit == fit and verdict.phase == "train"
    assert verdict.says.endswith(".") and "24.0 GiB free" in verdict.says


@given(st.integers(0, 200 * GIB), st.integers(0, 24 * GIB), st.sampled_from(["cuda", "cpu"]))
def test_a_later_stage_has_a_narrower_band_and_memory_in_use_leaves_less(
    peak: int, used: int, kind: str
) -> None:
    device = Device("a card", kind, 24 * GIB, used=used)  # type: ignore[arg-type]
    widths = [
        (one := judge(of(peak, stage), device)).high - one.low for stage in ("formula", "trace", "probe")
    ]
    assert widths == sorted(widths, reverse=True)
    verdict = judge(of(peak), device)
    assert verdict.room == 24 * GIB - used
    assert (verdict.high <= verdict.room) == (verdict.fit == "fits")
    assert (verdict.low > verdict.room) == (verdict.fit == "does_not_fit")


def test_finished_runs_move_the_band_and_enough_of_them_narrow_it() -> None:
    plain = judge(of(10 * GIB), CARD)
    few = judge(of(10 * GIB), CARD, Calibration(1, Span(1.9, 1.9, 1.9)))
    many = judge(of(10 * GIB), CARD, Calibration(5, Span(1.1, 1.15, 1.2)))
    assert few.high > plain.high and few.low == plain.low
    assert plain.low <= many.low < many.high < plain.high


def test_7b_on_24_gb_is_made_to_fit_by_the_first_knob() -> None:
    asked = recipe(train__per_device_train_batch_size=4)
    report = quick(asked, FACTS, CARD)
    assert report.verdict is not None and report.verdict.fit == "does_not_fit"
    first = report.knobs[0]
    assert first.fit == "fits"
    after = quick(apply(asked, first.changes), FACTS, CARD)
    assert after.verdict is not None and after.verdict.fit == "fits"
    assert after.memory is not None and highest_in_run(after.memory)[1] == first.peak


recipes = st.builds(
    recipe,
    train__method=st.sampled_from(["lora", "qlora", "full"]),
    train__per_device_train_batch_size=st.integers(1, 48),
    train__gradient_accumulation_steps=st.integers(1, 12),
    train__gradient_checkpointing=st.booleans(),
    data__packing=st.booleans(),
    data__max_length=st.sampled_from([256, 2048, 4096]),
    lora__r=st.sampled_from([4, 16, 256]),
    eval__per_device_eval_batch_size=st.sampled_from([0, 1, 64]),
    model__name=st.sampled_from([LLAMA, "openai-community/gpt2", "mistralai/Mistral-7B-v0.1"]),
)
cards = st.sampled_from([8, 16, 24, 48, 80]).map(lambda size: Device("a card", "cuda", size * GIB))


@given(
    recipes,
    cards,
    st.one_of(
        st.none(),
        st.builds(
            RowLengths, st.just(2000), st.just(200.0), st.integers(16, 4096), st.just(0.5), st.just(True)
        ),
    ),
)
def test_a_knob_keeps_its_word(asked: Recipe, card: Device, lengths: RowLengths | None) -> None:
    shape = model_shape(asked.model.name)
    assert shape is not None
    asked = workload(asked, FACTS, shape, "cuda").recipe
    now = highest_in_run(peak_of(asked))[1]
    found = knobs(asked, card, peak_of, shape=shape, lengths=lengths)
    for knob in found:
        changed = Recipe.model_validate(apply(asked, knob.changes).model_dump())
        memory = peak_of(changed)
        assert highest_in_run(memory)[1] == knob.peak == now - knob.gain
        assert knob.gain > 0
        assert FITS.index(judge(memory, card).fit) <= FITS.index(knob.fit)
        before, after = asked.train, changed.train
        assert (
            before.per_device_train_batch_size * before.gradient_accumulation_steps
            == after.per_device_train_batch_size * after.gradient_accumulation_steps
        )
    if any(knob.fit == "fits" for knob in found):
        singles = [knob for knob in found if " + " not in knob.name]
        assert any(one.fit == "fits" for one in singles) or found[0].fit == "fits"


def test_knobs_come_by_what_they_cost() -> None:
    names = [
        knob.name
        for knob in knobs(
            recipe(data__packing=False, train__per_device_train_batch_size=8, lora__r=256),
            Device("a small card", "cuda", 2 * GIB),
            peak_of,
            shape=model_shape(LLAMA),
            lengths=RowLengths(2000, 200.0, 700, 0.5, True),
        )
    ]
    order = (
        "batch 1 x 8",
        "packing",
        "max_length 704",
        "samples 1",
        "gradient checkpointing",
        "qlora",
        "r = 8",
        "fewer modules",
    )
    assert names == [name for name in order if name in names]
    assert {"batch 1 x 8", "gradient checkpointing", "r = 8"} <= set(names)


def test_smaller_evaluation_passes_help_where_those_are_the_peak() -> None:
    asked = recipe(train__per_device_train_batch_size=1, eval__per_device_eval_batch_size=256)
    found = knobs(asked, Device("a card", "cuda", 48 * GIB), peak_of, shape=model_shape(LLAMA))
    assert found[0].fit == "fits" and found[0].name.startswith("evaluation batch ")
    assert [change.key for change in found[0].changes] == ["per_device_eval_batch_size"]


def test_a_chain_of_cheap_changes_comes_before_one_dear_change() -> None:
    asked = recipe(train__per_device_train_batch_size=4, train__gradient_checkpointing=True)
    found = knobs(asked, CARD, peak_of, shape=model_shape(LLAMA))
    assert found[0].fit == "fits" and "quality" not in found[0].costs and " + " in found[0].name
    assert any(knob.name == "qlora" and knob.fit == "fits" for knob in found[1:])


def test_a_trace_takes_the_place_of_the_formula_and_scales_the_knobs() -> None:
    asked = recipe(train__per_device_train_batch_size=4)
    plain = quick(asked, FACTS, CARD)
    assert plain.memory is not None
    peaks = {
        phase: {kind: 2 * taken for kind, taken in kinds.items()}
        for phase, kinds in plain.memory.peaks.items()
    }
    traced = quick(
        asked,
        FACTS,
        CARD,
        found=Found(memory=msgspec.structs.replace(plain.memory, stage="trace", peaks=peaks)),
    )
    by_name = {knob.name: knob for knob in plain.knobs}
    assert traced.memory is not None and traced.memory.stage == "trace"
    for knob in traced.knobs:
        if knob.name in by_name and " + " not in knob.name:
            assert knob.peak == pytest.approx(2 * by_name[knob.name].peak, rel=1e-6)


def test_a_model_that_nobody_knows_is_said_to_be_unknown() -> None:
    report = quick(recipe(model__name="nobody/nothing"), FACTS, find_device("a100"))
    assert report.verdict is None and "nobody/nothing" in report.notes[0]


def test_a_quick_report_takes_milliseconds_and_no_training_library(tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    asked = recipe(train__per_device_train_batch_size=64, train__gradient_accumulation_steps=8)
    quick(asked, FACTS, CARD, root=tmp_path)
    took = []
    for _ in range(5):
        began = time.process_time()  # whatever else runs here
        quick(asked, FACTS, CARD, root=tmp_path)
        took.append(time.process_time() - began)
    assert min(took) < 0.03
    code = (
        "import sys, finetui_core.preflight.report; "
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
