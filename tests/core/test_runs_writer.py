"""Writing never stops the training: a full disk is survived, and a kill tears the last line at most."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetui_core.runs import writer as module
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import read_records
from finetui_core.runs.records import Heartbeat as Beat
from finetui_core.runs.records import read_small
from finetui_core.runs.writer import Heartbeat, RecordFile, RunWriter


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "writer", "", {}, {})


class Disk:
    """Stands in for os.write: writes `room` bytes, then fails as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self._write = os.write
        monkeypatch.setattr(module.os, "write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if self.room is None:
            return self._write(descriptor, content)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, bytes(content)[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 5, 9, 10])
def test_records_wait_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    disk = Disk(monkeypatch)
    records = RecordFile(tmp_path / "x.jsonl")
    records.append({"step": 0})
    disk.room = room
    for step in (1, 2, 3):
        records.append({"step": step})
    disk.room = None
    records.append({"step": 4})
    records.close()
    assert [record["step"] for record in read_records(tmp_path / "x.jsonl")] == [0, 1, 2, 3, 4]
    assert records.lost == 0


def test_of_too_many_waiting_records_old_ones_are_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.room = 0
    records = RecordFile(tmp_path / "x.jsonl")
    for step in range(10_002):
        records.append({"step": step})
    assert records.lost == 2
    disk.room = None
    records.close()
    assert [record["step"] for record in read_records(tmp_path / "x.jsonl")] == [0, *range(3, 10_002)]


def test_what_still_waits_at_the_end_is_lost_and_counted(tmp_path: Path) -> None:
    records = RecordFile(tmp_path / "no" / "folder" / "x.jsonl")
    records.append({"step": 1})
    records.close()
    assert records.lost == 1


def test_a_half_line_of_an_earlier_writer_costs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a":1}\n{"torn')
    records = RecordFile(path, durable=True)
    records.append({"a": 2})
    records.close()
    assert read_records(path) == [{"a": 1}, {"a": 2}]


APPENDER = """
import sys
from pathlib import Path
from finetui_core.runs.writer import RecordFile
records = RecordFile(Path(sys.argv[1]))
print("ready", flush=True)
step = 0
while True:
    step += 1
    records.append({"step": step, "loss": 1.5, "text": "x" * 500})
"""


def test_a_kill_at_any_moment_tears_the_last_line_at_most(tmp_path: Path) -> None:
    chance = random.Random(0)
    path = tmp_path / "x.jsonl"
    core = str(Path(module.__file__).parents[2])
    for _ in range(20):
        path.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": core},
        )
        assert child.stdout is not None
        with child.stdout:
            child.stdout.readline()
            while not path.exists() or path.stat().st_size < chance.randrange(1, 500_000):
                assert child.poll() is None
            child.send_signal(signal.SIGKILL)
            child.wait()
        *lines, _ = path.read_bytes().split(b"\n")
        assert [json.loads(line)["step"] for line in lines] == list(range(1, len(lines) + 1))


def test_metrics_and_events_reach_the_run_directory(run: RunPaths) -> None:
    writer = RunWriter(run, 2)
    writer.metric({"step": 1, "loss": float("nan")})
    writer.event("phase", phase="training")
    assert read_records(run.events)[0]["phase"] == "training"
    writer.sync()
    writer.close()
    (point,) = read_records(run.metrics(2))
    (event,) = read_records(run.events)
    assert (point["step"], point["loss"], point["nonfinite"]) == (1, None, {"loss": "nan"})
    assert (event["type"], event["attempt"]) == ("phase", 2)
    assert point["t"] > 0 and event["t"] > 0
    assert writer.lost == 0


def test_an_event_on_a_full_disk_does_not_raise(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    writer = RunWriter(run, 1)
    disk.room = 3
    writer.event("alarm", kind="disk", message="full", step=1)
    disk.room = None
    writer.event("finished", reason="completed", step=1)
    writer.close()
    assert [event["type"] for event in read_records(run.events)] == ["alarm", "finished"]


def test_the_heartbeat_tells_step_and_phase_and_stops_with_its_context(run: RunPaths) -> None:
    with Heartbeat(run, every=0.001) as heartbeat:
        heartbeat.update(phase="training", total_steps=10)
        heartbeat.update(step=3)
        first = read_small(run.heartbeat, Beat)
        while (beat := read_small(run.heartbeat, Beat)) is None or beat.step != 3:
            pass
        while (later := read_small(run.heartbeat, Beat)) is None or later.seq <= beat.seq:
            pass
    assert first is None or first.seq <= beat.seq
    last = read_small(run.heartbeat, Beat)
    assert last is not None
    assert (last.step, last.total_steps, last.phase, last.pid) == (3, 10, "training", os.getpid())
    assert last.step_age_s >= 0
    assert read_small(run.heartbeat, Beat) == last


def test_a_heartbeat_without_a_disk_does_not_raise(tmp_path: Path) -> None:
    with Heartbeat(RunPaths(tmp_path / "gone"), every=0.001) as heartbeat:
        heartbeat.update(step=1, phase="training")
