"""`ftui preflight` and the gate of `ftui train`, at the command line."""

import datetime
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finetui_core.cli import preflight as command
from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.preflight import gate
from finetui_core.preflight import report as reports
from finetui_core.preflight.devices import find_device
from finetui_core.preflight.figures import Device, Memory, Probed, RowLengths, Span
from finetui_core.preflight.history import (
    Actual,
    Prediction,
    actual_file,
    calibration,
    compared,
    keep,
    prediction_file,
)
from finetui_core.preflight.report import Found, quick
from finetui_core.recipe.facts import look
from finetui_core.recipe.load import load_recipe
from finetui_core.runs.paths import RunPaths, create_run
from training import write_rows

LLAMA = "meta-llama/Llama-2-7b-hf"
GIB = 2**30
SMALL = Device("a small GPU", "cuda", 2 * GIB)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path / "runs"))
    write_rows(tmp_path / "train.jsonl", 400)
    file = tmp_path / "recipe.toml"
    file.write_text(
        f'[model]\nname = "{LLAMA}"\n[data]\ntrain = "train.jsonl"\nmax_length = 2048\n'
        "[train]\nper_device_train_batch_size = 4\n[cost]\ngpu_hour_price = 2.0\n"
    )
    return file


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["preflight", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_what_does_not_fit_is_told_with_the_way_out_and_exit_code_3(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ask(capsys, recipe, "--on", "24GB", "--quick", "--json")
    report = json.loads(out)
    assert code == 3 and report["ok"] is False and report["verdict"]["fit"] == "does_not_fit"
    assert set(report["memory"]["peaks"]) == {"load", "train", "evaluate", "save", "merge"}
    changes = report["knobs"][0]["changes"]
    again = [f"--set={one['table']}.{one['key']}={json.dumps(one['value'])}" for one in changes]
    code, out, _ = ask(capsys, recipe, "--on", "24GB", "--quick", "--json", *again)
    assert code == 0 and json.loads(out)["verdict"]["fit"] == "fits"


def test_the_text_fits_80_columns_and_begins_with_the_verdict(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ask(capsys, recipe, "--on", "4090", "--quick", "--volume", "100000")
    lines = out.splitlines()
    assert code == 3 and lines[0].startswith("Does not fit: ")
    assert [line for line in lines if len(line) > 80] == []
    for word in ("gradient checkpointing", "disk", "time", "cost", "2 USD an hour", "pays from", "Assumed"):
        assert word in out


def test_a_trace_takes_the_place_of_the_formula(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory("trace", {"load": {"weights": GIB}, "train": {"weights": GIB, "adapter": 8}}, 4.0)
    lengths = RowLengths(380, 40.0, 90, 0.5, True, 20)
    monkeypatch.setattr(reports, "traced", lambda *_: Found(memory, lengths))
    code, out, _ = ask(capsys, recipe, "--on", "4090", "--json")
    report = json.loads(out)
    assert code == 0 and report["memory"]["stage"] == "trace"
    duration = report["duration"]
    assert (duration["steps_per_epoch"], duration["total_steps"]) == (95, 285)
    assert duration["tokens_per_epoch"] == 380 * 40
    assert report["cost"]["price"]["middle"] == pytest.approx(duration["seconds"]["middle"] / 3600 * 2.0)


def test_a_trace_that_fails_leaves_the_formula_and_says_why(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "traced", lambda *_: "no trace: it is broken")
    code, out, _ = ask(capsys, recipe, "--on", "h100", "--json")
    report = json.loads(out)
    assert (
        code == 0 and report["memory"]["stage"] == "formula" and "no trace: it is broken" in report["notes"]
    )


def test_a_probe_gives_the_speed(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory("probe", {"load": {"weights": 9}, "train": {"weights": 9}}, 4.0)
    found = Probed(memory, "cpu", None, 1.0, (9, 9, 9), (1.0, 1.0, 1.0), 500.0, 0.1, 0.1, 10, "", None)
    monkeypatch.setattr("finetui_core.preflight.probe.probe", lambda *_, **__: found)
    code, out, _ = ask(capsys, recipe, "--probe", "--json")
    report = json.loads(out)
    assert code == 0 and report["memory"]["stage"] == "probe" and report["duration"]["basis"] == "probe"
    assert report["duration"]["tokens_per_second"]["middle"] == 500.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no recipe is named"),
        (["nothing.toml"], "nothing.toml"),
        (["RECIPE", "--on", "h1000"], "did you mean"),
        (["RECIPE", "--set", "train.learning_rate=fast"], "learning_rate"),
        (["RECIPE", "--probe", "--on", "h100"], "a probe runs on this machine"),
        (["RECIPE", "--volume", "many"], "not a number of requests"),
        (["RECIPE", "--quick", "--probe"], "not allowed with"),
    ],
)
def test_bad_input_is_exit_code_2_with_a_way_out(
    recipe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = ask(capsys, *(recipe if one == "RECIPE" else one for one in arguments))
    assert code == 2 and out == "" and said in err and "Traceback" not in err


def test_an_unknown_model_still_has_steps_and_disk(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, recipe, "--on", "a100", "--set", "model.name=nobody/nothing")
    assert code == 0
    words = " ".join(out.split())
    assert "nobody/nothing is neither on this disk nor in the table" in words
    assert "95 steps an epoch and 285 in all" in words and "free for runs" in words


def test_devices_and_prices_are_listed(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, "--devices")
    assert code == 0 and "NVIDIA GeForce RTX 4090" in out and "this machine:" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    _, out, _ = ask(capsys, "--devices", "--json")
    assert all(one["source"] for one in json.loads(out)["devices"])
    code, out, _ = ask(capsys, "--prices")
    assert code == 0 and "history" in out and "RunPod secure" in out
    _, out, _ = ask(capsys, "--prices", "--json")
    rows = json.loads(out)["training"]
    assert {row["price"]: row["open"] for row in rows if "guide" in row["service"]} == {
        8.0: False,
        30.0: False,
    }


def test_old_prices_are_warned_about(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime.date):
        @classmethod
        def today(cls) -> "Later":
            return cls(2028, 1, 1)

    monkeypatch.setattr(command.datetime, "date", Later)
    _, out, _ = ask(capsys, recipe, "--on", "a100", "--quick", "--json")
    assert any("older than 90 days" in note for note in json.loads(out)["notes"])
    _, _, err = ask(capsys, "--prices")
    assert "older than 90 days" in err


def finished(
    root: Path, recipe: Path, *, resident: int, seconds: float, device: Device | None = None
) -> RunPaths:
    """A run that ended, with what was said before it."""
    checked = load_recipe(recipe)
    device = device or find_device("4090")
    report = quick(checked, look(checked), device, root=root)
    paths = create_run(root, "done", recipe.read_text(), {}, {})
    keep(prediction_file(paths), Prediction(1.0, report))
    actual = Actual(
        device=device.name,
        reason="completed",
        seconds=seconds,
        steps=10,
        total_steps=10,
        tokens=20_000,
        training_seconds=10.0,
        reserved=resident,
        formula=GIB,
        work=4e10,
    )
    keep(actual_file(paths), actual)
    return paths


def test_history_lists_prediction_beside_actual_and_calibrates(
    recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    code, out, err = ask(capsys, "--history")
    assert (code, out) == (0, "") and "no run" in err
    before = json.loads(ask(capsys, recipe, "--on", "4090", "--quick", "--json")[1])
    for _ in range(3):
        finished(root, recipe, resident=round(1.2 * GIB), seconds=300.0)
    code, out, _ = ask(capsys, "--history")
    assert code == 0 and "3 runs" in out and all(len(line) <= 80 for line in out.splitlines())
    rows = json.loads(ask(capsys, "--history", "--json")[1])["runs"]
    assert len(rows) == 3
    foretold = rows[0]["prediction"]["report"]["duration"]["seconds"]["middle"]
    assert rows[-1]["time_error"] == pytest.approx(foretold / 300 - 1, rel=0.5)
    after = json.loads(ask(capsys, recipe, "--on", "4090", "--quick", "--json")[1])
    assert any("memory calibrated by 3 runs" in note for note in after["notes"])
    assert after["duration"]["basis"] == "history" and "calibrated by 3 runs" in after["duration"]["says"]
    width = [one["verdict"]["high"] - one["verdict"]["low"] for one in (before, after)]
    assert width[1] < width[0]
    other = json.loads(ask(capsys, recipe, "--on", "a100", "--quick", "--json")[1])
    assert other["duration"]["basis"] == "table"


def test_what_is_no_history_is_passed_over(recipe: Path, tmp_path: Path) -> None:
    paths = finished(tmp_path / "runs", recipe, resident=GIB, seconds=1.0)
    prediction_file(paths).write_bytes(b'{"created": "yesterday"}')
    assert compared(tmp_path / "runs") == []
    assert calibration([], "any").memory is None


def test_the_gate_refuses_only_what_formula_and_trace_both_refuse(recipe: Path, tmp_path: Path) -> None:
    checked = load_recipe(recipe)
    large = Found(Memory("trace", {"train": {"weights": 9 * GIB}}, 1.0))
    small = Found(Memory("trace", {"train": {"weights": GIB // 8}}, 1.0))
    root = tmp_path / "runs"
    with pytest.raises(InputError) as error:
        gate.before_run(checked, root, device=SMALL, trace=lambda *_: large)
    hint = error.value.problems[0].hint
    assert "--set train." in hint and gate.IGNORE in hint
    allowed = gate.before_run(checked, root, device=SMALL, trace=lambda *_: small)
    assert not allowed.ignored and allowed.report.verdict is not None and allowed.report.verdict.fit == "fits"
    untraced = gate.before_run(checked, root, device=SMALL, trace=lambda *_: "it cannot be traced")
    assert not untraced.ignored, "the formula alone refuses nothing"
    went_on = gate.before_run(checked, root, ignore=True, device=SMALL, trace=lambda *_: large)
    assert went_on.ignored and gate.IGNORE in gate.in_a_line(went_on)
    assert msgspec.json.decode(msgspec.json.encode(went_on), type=Prediction) == went_on


def test_the_gate_traces_nothing_that_the_formula_lets_pass(recipe: Path, tmp_path: Path) -> None:
    def never(*_: Any) -> Found:
        raise AssertionError("traced")

    roomy = Device("a GPU", "cuda", 200 * GIB)
    busy = Device("a processor", "cpu", 300 * GIB, used=299 * GIB)
    for device in (roomy, busy):
        assert not gate.before_run(load_recipe(recipe), tmp_path, device=device, trace=never).ignored


def test_a_disk_without_room_stops_a_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("finetui_core.preflight.disk.shutil.disk_usage", lambda _: Usage(10 * GIB, 0, 1000))
    code, out, _ = ask(capsys, recipe, "--on", "h200", "--quick")
    assert code == 3 and "Not enough room" in out
    code = main(["train", str(recipe), "--detach", "--set", "model.name=openai-community/gpt2"])
    said = capsys.readouterr()
    assert code == 2 and "not enough room" in said.err and gate.IGNORE in said.err
    assert not list((tmp_path / "runs").glob("*")), "nothing is half-written"


class Usage:
    def __init__(self, total: int, used: int, free: int) -> None:
        self.total, self.used, self.free = total, used, free


def test_a_run_keeps_what_was_predicted_and_what_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import new_run, train_here, write_project

    recipe = write_project(tmp_path / "project", rows=24)
    paths = new_run(recipe, "train.num_train_epochs=1", "eval.samples=0")
    assert "preflight: " in capsys.readouterr().err
    assert train_here(paths) == 0
    (one,) = compared(recipe.parent / "runs")
    assert one.actual.reason == "completed" and one.is_whole
    assert (one.actual.steps, one.actual.total_steps) == (3, 3)
    assert one.actual.tokens > 0 and one.actual.formula and one.actual.work
    foretold = one.prediction.report.duration
    assert foretold is not None and foretold.total_steps == 3
    assert isinstance(foretold.seconds, Span) and 0 < foretold.seconds.low < foretold.seconds.high
