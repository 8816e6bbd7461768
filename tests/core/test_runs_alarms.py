"""Which alarms of a run stand, as `ftui status` and the follower of a run tell them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finetui_core.cli.follow import describe
from finetui_core.cli.main import main
from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name
from finetui_core.runs.records import Attempt
from run_folders import START, add_lines, write_run


def alarm(kind: str, severity: str, step: int, **more: Any) -> dict[str, Any]:
    message = f"{kind} is seen (on 60 rows)"
    return {
        "type": "alarm", "kind": kind, "severity": severity, "step": step, "message": message,
        "go_back_to": 20, "remedy": "Lower train.learning_rate.", **more,
    }  # fmt: skip


def status(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, int]]:
    assert main(["status", str(paths.root), "--json"]) == 0
    alarms = json.loads(capsys.readouterr().out)["alarms"]
    assert all(set(one) == {"kind", "severity", "step", "message", "go_back_to", "remedy"} for one in alarms)
    return [(one["kind"], one["severity"], one["step"]) for one in alarms]


def test_status_tells_the_alarms_that_stand_the_gravest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path)
    assert status(paths, capsys) == []
    add_lines(paths.events, alarm("overfitting", "watch", 30), alarm("overfitting", "act", 40))
    add_lines(paths.events, alarm("plateau", "watch", 50), alarm("forgetting", "watch", 50))
    grave = ("overfitting", "act", 40)
    assert status(paths, capsys) == [grave, ("forgetting", "watch", 50), ("plateau", "watch", 50)]
    add_lines(paths.events, {"type": "alarm_over", "kind": "forgetting", "step": 55})
    assert status(paths, capsys) == [grave, ("plateau", "watch", 50)]
    assert main(["status", str(paths.root)]) == 0
    told = capsys.readouterr().out
    assert "alarm      act: overfitting at step 40: overfitting is seen (on 60 rows)\n" in told
    assert "           Lower train.learning_rate.\n" in told


def test_a_checkpoint_that_is_written_at_last_ends_the_alarm_of_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path)
    add_lines(
        paths.events, {"type": "alarm", "kind": "checkpoint", "step": 20, "message": "the disk is full"}
    )
    assert status(paths, capsys) == [("checkpoint", None, 20)]
    add_lines(paths.events, {"type": "checkpoint", "step": 40, "path": "checkpoints/step-000040"})
    assert status(paths, capsys) == []


def test_alarms_beyond_the_checkpoint_resumed_from_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path)
    add_lines(paths.events, alarm("forgetting", "watch", 30), alarm("overfitting", "act", 50))
    add_lines(paths.events, {"type": "alarm_over", "kind": "forgetting", "step": 50})
    second = Attempt(2, 10, 1, "boot", host_name(), 9, 1, START + 900, "step-000040")
    write_atomically(paths.attempt(2), msgspec.json.encode(second), durable=False)
    assert status(paths, capsys) == [("forgetting", "watch", 30)]


def test_a_follower_tells_an_alarm_with_its_remedy_and_its_end() -> None:
    assert describe(alarm("not_learning", "act", 1200)) == (
        "act: not learning at step 1,200: not_learning is seen (on 60 rows)\nLower train.learning_rate."
    )
    assert describe({"type": "alarm_over", "kind": "not_learning", "step": 1300}) == (
        "not learning is over at step 1,300"
    )
    failed = {"type": "alarm", "kind": "checkpoint", "step": 3, "message": "the disk is full"}
    assert describe(failed) == "the disk is full at step 3"
    rises = {"eval_loss": 1.0, "probe_loss": 2.0, "probe_rise": 0.081}
    assert ", general text 2.0000 (+0.081) at" in describe({"type": "evaluation", "step": 3, **rises})
