"""`ftui chat` as a user runs it in a pipe: questions on stdin, answers of both sides on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from finetui_core.cli.main import main
from finetui_core.evaluate.chat_client import ChatProcess, Subject
from finetui_core.evaluate.chat_protocol import (
    SIDES,
    Answered,
    Ask,
    Failed,
    Piece,
    Ready,
    Sampling,
    Stop,
    Turn,
)
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.writer import attempt_of_this_process, write_attempt
from training import new_run, train_here, write_project

LONG = Sampling(max_new_tokens=200, temperature=5.0, seed=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    project = write_project(tmp_path_factory.mktemp("talked"), rows=16)
    paths = new_run(project, "train.max_steps=2")
    assert train_here(paths) == 0
    return paths


@pytest.fixture(scope="module")
def child(run: RunPaths) -> Iterator[ChatProcess]:
    process = ChatProcess(Subject(str(run.root), run.root.parent))
    yield process
    process.close()


def test_questions_in_a_pipe_are_answered_and_kept(run: RunPaths) -> None:
    folder = run.root.parents[1]
    lines = "Where is it?\n/edit As it should be.\n/save rows.jsonl\n/nonsense\nThanks.\n"
    done = subprocess.run(
        [sys.executable, "-m", "finetui_core.cli.main", "chat", "latest", "--json", "--max-new-tokens", "6"],
        cwd=folder,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    assert "there is no /nonsense" in done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["question"], one["side"]) for one in said] == [
        (question, side) for question in ("Where is it?", "Thanks.") for side in SIDES
    ]
    assert all(one["ended"] in ("end", "length") and one["new_tokens"] <= 6 for one in said)
    assert said[3]["cached"] > 0
    (row,) = map(json.loads, (folder / "rows.jsonl").read_text().splitlines())
    assert [turn["content"] for turn in row["messages"]] == ["Where is it?", "As it should be."]


def test_bad_input_is_told_before_anything_is_loaded(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.root.parents[1])
    for arguments, said in (
        (["chat", "nothing"], "no run fits 'nothing'"),
        (["chat", "latest", "--checkpoint", "step-9"], "its steps are"),
        (["chat", "latest", "--temperature", "hot", "--seed", "x"], "--seed: 'x' cannot be the seed"),
        (["chat", "recipe.toml", "--tuned-only"], "a recipe has no tuned weights"),
    ):
        code, told = main(arguments), capsys.readouterr().err
        assert (code, said in told) == (2, True), told


def test_the_process_streams_stops_and_says_how_it_died(child: ChatProcess, run: RunPaths) -> None:
    """In one conversation, since each process takes seconds to start. At last a run trains beside it."""
    replies = child.read()
    ready = next(replies)
    assert isinstance(ready, Ready), ready
    assert (ready.sides, ready.context, ready.beside) == (SIDES, 256, "")
    turns = (Turn("user", "Where is it?"),)
    child.send(Ask(1, dict.fromkeys(SIDES, turns), LONG))
    assert isinstance(next(replies), Piece), "text comes before the answer has ended"
    child.send(Stop())
    ends = []
    for reply in replies:
        if isinstance(reply, Answered):
            ends.append(reply)
        if len(ends) == 2:
            break
    assert {one.side for one in ends} == set(SIDES)
    assert any(one.ended == "stopped" for one in ends)
    assert all(one.new_tokens < 200 for one in ends)
    pid = child._child.pid
    priority = os.getpriority(os.PRIO_PROCESS, pid)
    busy = RunPaths(run.root.with_name("20260101T000000-busy-abcdef"))
    busy.attempts.mkdir(parents=True)
    attempt = attempt_of_this_process(1)
    write_attempt(
        busy, msgspec.structs.replace(attempt, pid=os.getpid(), start_ticks=attempt.supervisor_start_ticks)
    )
    child.send(Ask(2, {"tuned": turns}, Sampling(max_new_tokens=1)))
    for reply in replies:
        if isinstance(reply, Answered):
            break
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, priority + 10)
    os.kill(pid, signal.SIGKILL)
    (last,) = list(replies)
    assert isinstance(last, Failed)
    assert "was killed" in last.problems[0].what


def test_it_ends_with_whoever_started_it(run: RunPaths) -> None:
    """Though it is still loading."""
    process = ChatProcess(Subject(str(run.root), run.root.parent))
    started = process._child
    assert started.stdin is not None
    started.stdin.close()
    began = time.monotonic()
    assert started.wait(120) == 0, time.monotonic() - began
    process.close()
