"""What a run writes, where, and how long it takes before it has begun."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.preflight import disk
from finetui_core.preflight.devices import find_device
from finetui_core.preflight.disk import existing, file_system, plan_disk
from finetui_core.preflight.duration import estimate_duration, multiplications_per_second, steps_of
from finetui_core.preflight.figures import Device, Duration, Memory, RowLengths, Span, Workload
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.history import Calibration
from finetui_core.preflight.report import quick
from finetui_core.preflight.sampled_rows import characters_per_token, sample_lengths
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.work import work_of_token
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts, look
from finetui_core.recipe.load import load_recipe
from finetui_core.train.batches import Schedule
from preflight_values import LLAMA, recipe
from training import write_project, write_rows

ROWS = RowLengths(1000, 300.0, 900, 0.5, True, 50)


def work(**changes: object) -> Workload:
    shape = model_shape(LLAMA)
    assert shape is not None
    return workload(recipe(**changes), Facts(rows=1000), shape, "cuda", ROWS)


def duration(device: str = "a100", **changes: object) -> Duration:
    one = work(**changes)
    found = estimate_duration(one, ROWS, find_device(device), estimate(one))
    assert isinstance(found, Duration), found
    return found


MOUNTS = """/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
server:/x /home nfs4 rw 0 0
/dev/sdb1 /home/a\\040b xfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/x/y", "ext4"),
        ("/run/runs", "tmpfs"),
        ("/home/me", "nfs4"),
        ("/home/a b/c", "xfs"),
        ("/runner", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system(Path(folder), mounts) == kind
    assert file_system(Path(folder), tmp_path / "none") == ""


def test_a_file_system_that_may_surprise_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = work()
    for kind, word in (("tmpfs", "gone after a restart"), ("nfs4", "network"), ("ext4", "")):
        monkeypatch.setattr(disk, "file_system", lambda _, kind=kind: kind)
        says = plan_disk(one.recipe, estimate(one), tmp_path, checkpoints=5, total_steps=9, parameters=9).says
        assert (word in says) if word else "Mind" not in says


@pytest.mark.parametrize(
    ("limit", "best", "written", "at_once"),
    [(3, True, 20, 4), (3, True, 2, 2), (1, True, 20, 3), (1, False, 20, 2)],
)
def test_as_many_checkpoints_as_are_kept_and_the_one_being_written(
    tmp_path: Path, limit: int, best: bool, written: int, at_once: int
) -> None:
    one = work(save__total_limit=limit, save__keep_best=best)
    plan = plan_disk(
        one.recipe,
        estimate(one),
        tmp_path / "not" / "yet",
        checkpoints=written,
        total_steps=100,
        parameters=7,
    )
    assert plan.checkpoints_at_once == at_once
    assert plan.needed >= at_once * plan.checkpoint
    assert existing(tmp_path / "not" / "yet") == tmp_path


def test_a_full_checkpoint_holds_weights_and_both_moments(tmp_path: Path) -> None:
    adapter, full = (
        plan_disk(one.recipe, estimate(one), tmp_path, checkpoints=1, total_steps=1, parameters=7).checkpoint
        for one in (work(), work(train__method="full"))
    )
    assert full == pytest.approx(12 * 6.74e9, rel=0.05)
    assert adapter == pytest.approx(12 * 39.98e6, rel=0.05)


@given(
    st.integers(1, 5000),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([-1, 1, 77]),
)
def test_steps_are_those_of_the_trainer(rows: int, batch: int, parts: int, epochs: int, most: int) -> None:
    asked = recipe(
        train__per_device_train_batch_size=batch,
        train__gradient_accumulation_steps=parts,
        train__num_train_epochs=epochs,
        train__max_steps=most,
        train__warmup_steps=0.0,
    )
    per_epoch, steps = steps_of(asked, rows)
    assert per_epoch == Schedule(rows, batch * parts, 1, steps).steps_per_epoch
    assert steps == (most if most > 0 else epochs * per_epoch)


def test_work_is_counted_as_hardware_does_it() -> None:
    """2 N forward, as much for activations, again for weights in full training, and again with checkpointing."""
    plain = work_of_token(work())
    assert plain == pytest.approx(4 * 6.6e9, rel=0.05)
    assert work_of_token(work(train__gradient_checkpointing=True)) == pytest.approx(1.5 * plain)
    assert work_of_token(work(train__method="full")) == pytest.approx(1.5 * plain)


def test_the_range_holds_the_published_speeds_of_a100() -> None:
    """LoRA on 7B with checkpointing reaches 51 % of 312 TFLOPS: 3,900 tokens a second, by reliability.md 4.4."""
    speed = duration(
        train__gradient_checkpointing=True, lora__target_modules=["q_proj", "v_proj"]
    ).tokens_per_second
    assert speed.low < 0.51 * 312e12 / work_of_token(work(train__gradient_checkpointing=True)) < speed.high


def test_the_range_is_ordered_and_grows_with_the_work() -> None:
    one, three = duration(train__num_train_epochs=1), duration(train__num_train_epochs=3)
    assert one.seconds.low < one.seconds.middle < one.seconds.high
    assert one.seconds.middle < three.seconds.middle
    assert (one.steps_per_epoch, three.total_steps, three.checkpoints, three.evaluations) == (125, 375, 3, 4)
    assert duration("t4").seconds.middle > duration("h100").seconds.middle


def test_a_device_without_a_speed_has_no_time_and_says_why() -> None:
    one = work()
    found = estimate_duration(one, ROWS, find_device("24GB"), estimate(one))
    assert isinstance(found, str) and found.startswith("no time: ")


def test_starts_and_probe_texts_are_counted(tmp_path: Path) -> None:
    plain, probed = work(), work(eval__forgetting_probe=str(tmp_path / "text"))
    (tmp_path / "text").write_text("word " * 100_000)

    def seconds(one: Workload, start: Span | None = None) -> Span:
        calibrated = Calibration(1, start=start)
        found = estimate_duration(one, ROWS, find_device("a100"), estimate(one), calibrated)
        assert isinstance(found, Duration)
        return found.seconds

    sooner, later = seconds(plain, Span(1, 2, 3)), seconds(plain, Span(101, 102, 103))
    assert (later.low - sooner.low, later.high - sooner.high) == pytest.approx((100, 100))
    assert seconds(plain).low < seconds(probed).low


def test_a_processor_is_measured_once() -> None:
    peak = multiplications_per_second()
    assert peak is not None and peak > 1e8 and multiplications_per_second() == peak
    one = work()
    found = estimate_duration(one, ROWS, Device("p", "cpu", 2**40), estimate(one))
    assert isinstance(found, Duration) and found.basis == "measured"


def test_lengths_are_guessed_from_rows_all_over_and_the_longest_of_the_file(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", 2000)
    (tmp_path / "recipe.toml").write_text(f'[model]\nname = "{LLAMA}"\n[data]\ntrain = "rows.jsonl"\n')
    checked = load_recipe(tmp_path / "recipe.toml")
    found = sample_lengths(checked, look(checked), 32_000)
    assert found is not None and (found.rows, found.val_rows, found.exact) == (1900, 100, False)
    assert 15 < found.mean < 40 and found.longest < 90 and found.deviation is not None
    lines = rows.read_text().splitlines()
    for text, least in (("word " * 700, 700), ("数据" * 500, 1000), ("7" * 2000, 2000)):
        lines[1001] = json.dumps({"messages": [{"role": "assistant", "content": text}]}, ensure_ascii=False)
        rows.write_text("\n".join(lines))
        longer = sample_lengths(checked, look(checked), 32_000)
        assert longer is not None and least <= longer.longest <= 3 * least
        assert longer.mean == pytest.approx(found.mean, rel=0.3)


def test_a_pass_is_as_long_as_the_rows_that_are_known(tmp_path: Path) -> None:
    """Of a model on this disk, whose tokenizer a trace would take; else as long as the recipe allows."""
    file = write_project(tmp_path, rows=400)
    checked, device = load_recipe(file, ["data.max_length=256"]), Device("p", "cpu", 2**40)
    told = quick(checked, look(checked), device, root=tmp_path, past=())
    (tmp_path / "train.jsonl").rename(tmp_path / "train.txt")
    unknown = quick(checked, Facts(rows=380), device, root=tmp_path, past=())
    assert told.memory is not None and unknown.memory is not None
    assert sum(told.memory.peaks["train"].values()) < 0.7 * sum(unknown.memory.peaks["train"].values())
    shape = model_shape(checked.model.name)
    assert shape is not None
    for rows, deviation, tokens in (
        (8, 30.0, 8 * 300),
        (64, 30.0, 64 * 100 + 6 * 8 * 30),
        (64, None, 64 * 300),
    ):
        asked = recipe(train__per_device_train_batch_size=rows, data__max_length=600)
        lengths = RowLengths(1000, 100.0 if rows > 8 else 270.0, 300, 0.5, False, 50, deviation)
        assert workload(asked, Facts(rows=1000), shape, "cuda", lengths).tokens_per_pass == tokens
        assert workload(asked, Facts(rows=1000), shape, "cpu", lengths).tokens_per_pass == min(tokens, 2048)


@given(st.binary(max_size=400), st.integers(1, 300_000))
def test_no_file_breaks_the_guess(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, vocabulary: int
) -> None:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_bytes(content)
    asked = recipe(data__train=str(file))
    found = sample_lengths(asked, Facts(rows=5), vocabulary)
    assert found is None or found.mean > 0
    assert 1 <= characters_per_token(vocabulary) <= 5


def test_memory_of_a_probe_that_lacks_phases_is_no_reason_to_fail(tmp_path: Path) -> None:
    plan = plan_disk(
        recipe(),
        Memory("probe", {"load": {"weights": 5}}, 1.0),
        tmp_path,
        checkpoints=0,
        total_steps=None,
        parameters=1,
    )
    assert plan.checkpoints_at_once == 1 and plan.enough
