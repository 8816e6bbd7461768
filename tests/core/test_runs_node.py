"""Another host takes part in each attempt that the first one begins, and records it in its own file."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finetui_core.cli.main import main
from finetui_core.files import write_atomically
from finetui_core.runs import exit_codes, node
from finetui_core.runs.lock import take_file_lock
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.records import Attempt, End, NodeEnd, encode_line, read_small

LOST = "rank 0 (pid 4) on host-a has died or cannot be reached"
TRAINER = f"""
import msgspec, sys
from pathlib import Path
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import NodeEnd
paths, number = RunPaths(Path(sys.argv[1])), int(sys.argv[-1])
if number == 1:
    paths.node_end(1, 1).write_bytes(msgspec.json.encode(NodeEnd(6, {LOST!r}, True)))
    sys.exit(6)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPaths]:
    """A run of two hosts, whose trainer loses its peer in the first attempt and ends well in the second."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    monkeypatch.setattr(node, "_POLL_EVERY", 0.01)

    def command(paths: RunPaths, resolved: Any, number: int) -> list[str]:
        assert number == 1
        return [sys.executable, "-c", TRAINER, str(paths.root)]

    monkeypatch.setattr(node, "trainer_command", command)
    yield create_run(tmp_path, "two", "", {"launch": {"nnodes": 2}}, {})
    for number, handler in handlers.items():
        signal.signal(number, handler)


def record(run: RunPaths, number: int, end: End | None = None) -> None:
    """What the supervisor of the first host writes."""
    attempt = Attempt(number, os.getpid(), 0, "boot", "host-a", os.getpid(), 0, 0.0, end=end)
    write_atomically(run.attempt(number), msgspec.json.encode(attempt))


def resolved(restarts: int) -> dict[str, Any]:
    return {"launch": {"nnodes": 2, "max_restarts": restarts}}


def on(said: list[str], acts: dict[str, Callable[[], None]]) -> Callable[[str], None]:
    """Remembers what is said, and lets the first host answer it."""

    def say(line: str) -> None:
        said.append(line)
        if line in acts:
            acts.pop(line)()

    return say


def test_a_failed_attempt_is_the_end_without_restarts(run: RunPaths) -> None:
    said: list[str] = []
    acts = {f"attempt 1: {LOST}": lambda: record(run, 1, End(0.0, exit_code=6, reason="lost"))}
    record(run, 1)
    assert node.take_part(run, resolved(0), 1, on(said, acts)) == 1
    mine = read_small(run.node_attempt(1, 1), Attempt)
    assert mine is not None and mine.end is not None
    assert (mine.end.exit_code, mine.end.reason) == (exit_codes.LOST_PEER, LOST)
    assert said[1:] == ["attempt 1: taking part", f"attempt 1: {LOST}", "the run has ended: lost"]


def test_the_next_attempt_is_joined_with_restarts(run: RunPaths) -> None:
    def again() -> None:
        record(run, 1, End(0.0, exit_code=6, reason="lost"))
        record(run, 2)

    def done() -> None:
        finished = {"t": 0.0, "type": "finished", "attempt": 2, "reason": "completed", "step": 9}
        run.events.write_bytes(encode_line(finished))
        record(run, 2, End(0.0, exit_code=0))

    said: list[str] = []
    record(run, 1)
    acts = {f"attempt 1: {LOST}": again, "attempt 2: exit code 0": done}
    assert node.take_part(run, resolved(3), 1, on(said, acts)) == 0
    assert said[-1] == "the run is over: finished, all steps done"
    assert read_small(run.node_end(1, 1), NodeEnd) == NodeEnd(6, LOST, True)


def test_a_first_host_that_records_nothing_is_not_waited_for(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "SETTLES_WITHIN", 0.05)
    said: list[str] = []
    record(run, 1)
    assert node.take_part(run, resolved(0), 1, on(said, {})) == 1
    assert said[-1].startswith("the first host has recorded no end")


def test_an_attempt_that_this_host_has_left_is_not_joined_twice(run: RunPaths) -> None:
    record(run, 1)
    run.node_attempt(1, 1).write_bytes(b"{}")
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    assert node.take_part(run, resolved(3), 1, told) == 128 + signal.SIGTERM
    assert len(said) == 1


def test_a_run_has_as_many_places_as_its_recipe_says(
    run: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = take_file_lock(run.node_lock(1))
    assert lock is not None
    assert main(["join", str(run.root)]) == 2
    assert "all 2 hosts of this run have joined already" in capsys.readouterr().err
    os.close(lock)
    run.resolved_recipe.write_text('{"launch": {"nnodes": 1}}')
    assert main(["join", str(run.root)]) == 2
    assert "this run trains on one host" in capsys.readouterr().err
