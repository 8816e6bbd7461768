"""Runs of other trainers: recognised, read past tears, followed while they are written, never written to."""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import event_files
from event_files import field, record, scalar, tensor, version
from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.runs.foreign import ForeignView, kind_of, open_foreign, open_view
from finetui_core.runs.foreign_events import EventFile, scalars_of
from finetui_core.runs.foreign_names import our_name
from finetui_core.runs.foreign_records import LONGEST, RecordTail, masked_crc
from finetui_core.runs.listing import list_runs
from finetui_core.runs.paths import create_run, find_run
from finetui_core.runs.reader import RunView


def curve(view: ForeignView, name: str = "loss") -> list[tuple[float, float]]:
    columns = view.columns
    pairs = zip(columns.column("step"), columns.column(name), strict=True)
    return [(step, round(value, 4)) for step, value in pairs if not math.isnan(value)]


def write_state(folder: Path, step: int, total: int = 40, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    history: list[dict[str, Any]] = [
        {"step": at, "loss": 4 - at / 20, "learning_rate": 1e-4, "grad_norm": 1.0, "epoch": at / 20}
        for at in range(5, step + 1, 5)
    ]
    history += [
        {"step": at, "eval_loss": 4.125 - at / 20, "epoch": at / 20} for at in range(10, step + 1, 10)
    ]
    history += [{"step": step, "train_runtime": 1.0, "train_loss": 99.0}] if step == total else []
    state = {"global_step": step, "max_steps": total, "log_history": history, **more}
    (folder / "trainer_state.json").write_text(json.dumps(state))


# Folders.


def test_folders_are_recognised(tmp_path: Path) -> None:
    names = ("trainer", "checkpoints", "board", "lines", "factory", "empty", "ours")
    folders = {name: tmp_path / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    (folders["trainer"] / "trainer_state.json").write_text("{}")
    write_state(folders["checkpoints"] / "checkpoint-10", 10)
    (folders["board"] / "events.out.tfevents.1700000000.host.1.0").touch()
    (folders["lines"] / "metrics.jsonl").touch()
    (folders["factory"] / "trainer_log.jsonl").touch()
    assert {name: kind_of(folder) for name, folder in folders.items()} == {
        "trainer": "trainer_state",
        "checkpoints": "trainer_state",
        "board": "tensorboard",
        "lines": "metrics_jsonl",
        "factory": "metrics_jsonl",
        "empty": None,
        "ours": None,
    }
    assert kind_of(tmp_path / "missing") is None


def test_a_folder_without_a_run_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no run\n.*trainer_state.json"):
        open_foreign(tmp_path)


def test_our_own_runs_open_as_ours(tmp_path: Path) -> None:
    run = create_run(tmp_path, "ours", "", {}, {})
    (run.root / "metrics.jsonl").write_text('{"loss": 1}\n')
    assert isinstance(open_view(run.root), RunView)


# transformers' trainer_state.json.


def test_the_state_of_the_newest_checkpoint_counts(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-10", 10)
    os.utime(tmp_path / "checkpoint-10" / "trainer_state.json", (1000, 1000))
    view = ForeignView(tmp_path, "trainer_state", now=lambda: 1010.0, clock=lambda: 0.0)
    assert view.refresh() and not view.refresh()
    assert curve(view) == [(5, 3.75), (10, 3.5)]
    assert (view.state.state, view.summary()["total_steps"]) == ("running", 40)
    write_state(tmp_path / "checkpoint-40", 40)
    assert view.refresh()
    facts = view.summary()
    assert curve(view)[-1] == (40, 2.0)
    assert (facts["state"], facts["step"], facts["loss"]) == ("finished", 40, 2.0)
    assert (facts["best_eval_loss"], facts["best_step"], facts["last_checkpoint"]) == (
        2.125,
        40,
        "checkpoint-40",
    )
    assert [one["step"] for one in view.evaluations] == [10, 20, 30, 40]
    assert 99.0 not in [value for _, value in curve(view)]


def test_a_state_that_is_being_written_is_tried_again(tmp_path: Path) -> None:
    write_state(tmp_path, 20)
    whole = (tmp_path / "trainer_state.json").read_text()
    view = open_foreign(tmp_path)
    (tmp_path / "trainer_state.json").write_text(whole[: len(whole) // 2])
    view.refresh()
    assert len(view.columns) == 0
    (tmp_path / "trainer_state.json").write_text(whole)
    assert view.refresh() and len(view.columns) == 4


def test_a_resumed_trainer_loses_what_it_does_anew(tmp_path: Path) -> None:
    write_state(tmp_path, 40)
    view = open_foreign(tmp_path)
    view.refresh()
    write_state(tmp_path, 20)
    view.refresh()
    assert [step for step, _ in curve(view)] == [5, 10, 15, 20]


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{}", '{"log_history": 3}', '{"log_history": [1, {"loss": 1}]}']
)
def test_a_state_that_makes_no_sense_is_no_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "trainer_state.json").write_text(text)
    view = open_foreign(tmp_path)
    view.refresh()
    assert view.summary()["step"] == 0


# Lines of JSON.


def test_lines_are_followed_under_our_names(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"global_step": 1, "train/loss": 3.0, "lr": 1e-4}\n'
        '{"global_step": 2, "train/loss": NaN}\ntorn{\n'
        '{"global_step": 2, "val_loss": 2.5, "note": "x"}\n{"global_step": 3, "trai'
    )
    view = open_foreign(tmp_path)
    view.refresh()
    assert curve(view) == [(1, 3.0)] and curve(view, "learning_rate") == [(1, 1e-4)]
    assert view.columns.nonfinite == [(2, "loss", "nan")]
    assert [(one["step"], one["eval_loss"], one["best"]) for one in view.evaluations] == [(2, 2.5, True)]
    assert view.skipped == 1
    with file.open("a") as stream:
        stream.write('n/loss": 2.0}\n')
    assert view.refresh() and curve(view)[-1] == (3, 2.0)


def test_lines_without_steps_are_counted(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"loss": 3}\n{"loss": 2}\n{"loss": 1}\n')
    view = open_foreign(tmp_path)
    view.refresh()
    assert curve(view) == [(1, 3), (2, 2), (3, 1)]


def test_lines_that_count_all_steps_say_when_the_run_has_ended(tmp_path: Path) -> None:
    lines = [
        {"current_steps": at, "total_steps": 4, "loss": 1.0, "percentage": 25.0 * at} for at in range(1, 5)
    ]
    (tmp_path / "trainer_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    view = open_foreign(tmp_path)
    view.refresh()
    assert (view.summary()["step"], view.summary()["total_steps"], view.state.state) == (4, 4, "finished")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *((name, "loss") for name in ("loss", "train/loss", "Loss/train", "train_loss", "Train Loss")),
        *((name, "eval_loss") for name in ("eval/loss", "val_loss", "Loss/val", "validation-loss")),
        ("lr", "learning_rate"),
        ("train/learning_rate", "learning_rate"),
        ("train/train_loss", "train/train_loss"),
        ("reward", "reward"),
    ],
)
def test_names_of_other_trainers_are_ours(name: str, ours: str) -> None:
    assert our_name(name) == ours


STEPS = st.integers(0, 30)


@settings(max_examples=50)
@given(st.lists(st.lists(st.tuples(STEPS, st.sampled_from(["loss", "lr"]), st.floats(-9, 9))), max_size=5))
def test_points_in_any_order_are_the_last_value_of_each_step(
    batches: list[list[tuple[int, str, float]]],
) -> None:
    expected: dict[tuple[int, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metrics.jsonl"
        file.touch()
        view = open_foreign(Path(folder))
        for batch in batches:
            expected |= {(step, name): value for step, name, value in batch}
            with file.open("a") as stream:
                stream.writelines(
                    json.dumps({"step": step, name: value}) + "\n" for step, name, value in batch
                )
            view.refresh()
        for name, ours in (("loss", "loss"), ("lr", "learning_rate")):
            points = sorted((step, round(value, 4)) for (step, one), value in expected.items() if one == name)
            assert curve(view, ours) == points


# TensorBoard's event files.


def test_the_checksum_is_that_of_the_standard() -> None:
    crc = 0xE3069283  # of b"123456789", RFC 3720 and every catalogue of checksums
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_scalars_of_all_writers_are_read(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1.h"
    file.write_bytes(
        version()
        + scalar(1, "train/loss", 2.5)
        + tensor(1, "eval/loss", 2.25)
        + tensor(2, "eval/loss", 2.0, packed=False)
        + tensor(3, "eval/loss", 1.75, double=True)
        + event_files.event(4, field(1, b"picture") + field(4, b"\x00" * 9))
        + scalar(-1, "odd", 1.0)
    )
    found = [(one.step, one.tag, one.value) for one in EventFile(file).read()]
    assert found == [
        *((1, "train/loss", 2.5), (1, "eval/loss", 2.25), (2, "eval/loss", 2.0), (3, "eval/loss", 1.75)),
        (-1, "odd", 1.0),
    ]


def test_event_files_are_followed_live_and_later_files_count(tmp_path: Path) -> None:
    first = tmp_path / "events.out.tfevents.1.h"
    first.write_bytes(
        version() + b"".join(scalar(step, "train/loss", 9 - step, 1e9 + step) for step in range(1, 6))
    )
    view = open_foreign(tmp_path)
    view.refresh()
    assert curve(view) == [(step, 9 - step) for step in range(1, 6)]
    piece = scalar(6, "train/loss", 3) + scalar(6, "train/learning_rate", 0.5)
    for byte in piece:
        with first.open("ab") as stream:
            stream.write(bytes([byte]))
        view.refresh()
    assert curve(view)[-1] == (6, 3) and curve(view, "learning_rate") == [(6, 0.5)]
    second = tmp_path / "events.out.tfevents.2.h"
    second.write_bytes(version() + scalar(4, "train/loss", 0.5) + scalar(4, "eval/loss", 0.75))
    view.refresh()
    assert dict(curve(view))[4] == 0.5
    assert [(one["step"], one["eval_loss"]) for one in view.evaluations] == [(4, 0.75)]
    first.unlink()
    view.refresh()
    assert curve(view) == [(4, 0.5)]


def test_a_picture_is_passed_over_and_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1.h"
    picture = record(field(5, os.urandom(LONGEST + 1000)))
    whole = version() + scalar(1, "loss", 1) + picture + scalar(2, "loss", 2)
    file.write_bytes(whole[: len(whole) // 2])
    events = EventFile(file)
    assert [one.step for one in events.read()] == [1]
    file.write_bytes(whole)
    assert [one.step for one in events.read()] == [2]
    assert events.tail.tears == 0
    assert [one.step for one in EventFile(file, last=64).read()] == [2]
    file.write_bytes(whole + picture)
    assert [one.step for one in EventFile(file, last=1000).read()] == [1, 2]


RECORDS = [scalar(step, "loss", step) for step in range(1, 9)]
NOISE = st.binary(max_size=60) | st.just(b"\0" * 50)


def read_back(content: bytes) -> tuple[list[int], int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events"
        file.write_bytes(content)
        tail = RecordTail(file)
        steps = [one.step for payload in tail.read() for one in scalars_of(payload)]
        assert tail.read() == []
        return steps, tail.tears


@given(st.integers(0, len(b"".join(RECORDS))))
def test_a_torn_tail_hides_nothing_before_it(cut: int) -> None:
    steps, tears = read_back(b"".join(RECORDS)[:cut])
    assert steps == list(range(1, cut // len(RECORDS[0]) + 1)) and tears == 0


@given(st.integers(0, 7), st.integers(1, len(RECORDS[0]) - 1), NOISE)
def test_a_tear_in_the_middle_hides_nothing_but_itself(torn: int, kept: int, noise: bytes) -> None:
    records = [*RECORDS[:torn], RECORDS[torn][:kept], noise, *RECORDS[torn + 1 :], scalar(9, "loss", 9)]
    steps, tears = read_back(b"".join(records))
    assert steps == [step for step in range(1, 10) if step != torn + 1]
    assert tears >= 1


@given(st.integers(0, len(b"".join(RECORDS)) - 1), st.integers(1, 255))
def test_a_changed_byte_costs_its_record_alone(at: int, change: int) -> None:
    content = bytearray(b"".join(RECORDS))
    content[at] ^= change
    steps, tears = read_back(bytes(content))
    assert steps == [step for step in range(1, 9) if step != at // len(RECORDS[0]) + 1]
    assert tears == 1


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_a_crash(content: bytes) -> None:
    read_back(content)
    scalars_of(content)


@given(st.lists(st.integers(0, len(b"".join(RECORDS))), max_size=6))
def test_a_file_that_grows_in_any_pieces_is_read_once(cuts: list[int]) -> None:
    content = b"".join(RECORDS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events"
        file.touch()
        events = EventFile(file)
        found = []
        for end in [*sorted(cuts), len(content)]:
            file.write_bytes(content[:end])
            found += [one.step for one in events.read()]
        assert found == list(range(1, 9)) and events.tail.tears == 0


# What people see.


def test_a_run_is_running_while_its_files_change_and_silent_after(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 1}\n')
    os.utime(file, (1000, 1000))
    seconds = [0.0]
    view = ForeignView(tmp_path, "metrics_jsonl", clock=lambda: seconds[0], now=lambda: 1300.0)
    states = []
    for now, changed in (
        (0.0, None),
        (299.0, None),
        (301.0, None),
        (302.0, 2000),
        (901.0, None),
        (3002.0, None),
    ):
        seconds[0] = now
        if changed:
            os.utime(file, (changed, changed))
        view.refresh()
        states.append(view.state.state)
    assert states == ["running", "running", "silent", "running", "running", "silent"]
    assert "nothing new for 45 min" in view.state.reason


def test_the_summary_has_the_keys_of_our_own_runs(tmp_path: Path) -> None:
    write_state(tmp_path / "other", 20)
    ours = RunView(create_run(tmp_path, "ours", "", {}, {}))
    assert open_foreign(tmp_path / "other").summary().keys() == ours.summary().keys()


def test_they_are_listed_found_and_shown_by_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path))
    write_state(tmp_path / "theirs", 40)
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "events.out.tfevents.1.h").write_bytes(version() + scalar(3, "Loss/train", 0.5))
    ours = create_run(tmp_path, "ours", "", {}, {})
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*")}
    runs = {run.id: run for run in list_runs(tmp_path)}
    assert runs.keys() == {"theirs", "board", ours.id}
    assert (runs["theirs"].kind, runs["theirs"].best_eval_loss) == ("trainer_state", 2.125)
    assert runs["theirs"].recent_losses[-1] == 2.0 and runs["board"].loss == 0.5
    assert find_run(tmp_path, "latest").id == ours.id and find_run(tmp_path, "theirs").id == "theirs"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "board")).id == "board"
    assert main(["status", "theirs", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["state"], facts["best_step"]) == ("finished", 40)
    assert main(["status", str(tmp_path / "theirs")]) == 0
    assert "transformers' Trainer" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*")}


def test_a_run_of_transformers_is_followed_while_it_trains(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from tiny_models import save_model

    out = tmp_path / "out"
    view: list[ForeignView] = []
    seen: list[int] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_save(self, arguments: Any, state: Any, control: Any, **more: Any) -> None:
            view[:] = view or [open_foreign(out)]
            view[0].refresh()
            seen.append(view[0].summary()["step"])

    rows = [{"input_ids": [(3 * at + n) % 290 for n in range(8)]} for at in range(16)]
    rows = [{**row, "labels": row["input_ids"]} for row in rows]
    arguments = TrainingArguments(
        str(out),
        report_to="none",
        max_steps=6,
        logging_steps=1,
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        use_cpu=True,
        disable_tqdm=True,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "model", "gpt2"))
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:4], callbacks=[Watch()])
    trainer.train()
    assert seen == [2, 4, 6]
    logged = [
        (entry["step"], round(entry["loss"], 4)) for entry in trainer.state.log_history if "loss" in entry
    ]
    assert curve(view[0]) == logged
    assert view[0].state.state == "finished"
    assert [one["step"] for one in view[0].evaluations] == [2, 4, 6]
    assert view[0].summary()["last_checkpoint"] == "checkpoint-6"
