"""Each state of a run, judged from what was recorded and seen; no processes are needed."""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from finetui_core.runs.liveness import Here, RunState, judge
from finetui_core.runs.process import boot_id, process_identity, start_ticks
from finetui_core.runs.records import Again, Attempt, End, Heartbeat

TRAINER, SUPERVISOR = 100, 99
ATTEMPT = Attempt(2, TRAINER, 7, "boot", "here", SUPERVISOR, 6, started_at=1000.0)
BEAT = Heartbeat(5, t=1100.0, step=3, total_steps=9, step_age_s=1.0, phase="training", pid=TRAINER)
BOTH = {TRAINER: 7, SUPERVISOR: 6}
ERROR = "data.jsonl:3: no messages"


@dataclass(frozen=True)
class Case:
    state: str
    reason: str
    attempt: dict[str, Any] | None = None
    beat: dict[str, Any] | None = None
    finished: str | None = None
    error: str | None = None
    beat_age: float = 0.0
    step_seconds: float | None = 0.5
    alive: dict[int, int] | None = None
    no_beat: bool = False


def ended(**fields: Any) -> dict[str, Any]:
    return {"end": End(2000.0, **fields)}


CASES = {
    "training": Case("running", "training"),
    "evaluating": Case("running", "evaluating", beat={"phase": "evaluating", "step_age_s": 500.0}),
    "loading": Case("starting", "loading", beat={"phase": "loading"}),
    "preparing": Case("starting", "preparing", beat={"phase": "preparing"}),
    "paused": Case("paused", "paused", beat={"phase": "paused", "step_age_s": 9999.0}),
    "no heartbeat yet": Case("starting", "no heartbeat yet", no_beat=True),
    "only an earlier attempt's heartbeat": Case("starting", "no heartbeat yet", beat={"t": 999.0}),
    "before the trainer": Case("starting", "being started", attempt={"pid": 0}, alive={SUPERVISOR: 6}),
    "never got a trainer": Case("died", "nobody recorded", attempt={"pid": 0}, alive={}),
    "a long step": Case("running", "training", beat={"step_age_s": 119.0}),
    "no step for long": Case("stalled", "no step for 2 min 01 s", beat={"step_age_s": 121.0}),
    "steps are always long": Case("running", "training", beat={"step_age_s": 299.0}, step_seconds=30.0),
    "longer than ten steps": Case("stalled", "5 min 01 s", beat={"step_age_s": 301.0}, step_seconds=30.0),
    "frozen with its heartbeat": Case("stalled", "no step", beat_age=200.0),
    "no step length known": Case("stalled", "no step", beat={"step_age_s": 121.0}, step_seconds=None),
    "supervisor killed": Case("running", "training; supervisor gone", alive={TRAINER: 7}),
    "trainer just ended": Case("running", "ending", alive={SUPERVISOR: 6}),
    "both killed": Case("died", "the trainer and its supervisor are gone", alive={}),
    "both pids used again": Case("died", "are gone", alive={TRAINER: 8, SUPERVISOR: 9}),
    "both gone after the finish": Case("finished", "all steps done", alive={}, finished="completed"),
    "restarted machine": Case("died", "the machine was restarted", attempt={"boot_id": "other"}),
    "completed": Case("finished", "all steps done", ended(exit_code=0), finished="completed"),
    "early stopping": Case("finished", "stopped early", ended(exit_code=0), finished="early_stopping"),
    "stopped": Case("stopped", "on request", ended(exit_code=0), finished="stopped"),
    "aborted": Case("stopped", "aborted", ended(exit_code=0), finished="aborted"),
    "diverged": Case("failed", "diverged", ended(exit_code=1), finished="diverged"),
    "crash after the finish": Case(
        "finished", "then ended by SIGSEGV", ended(signal=11), finished="completed"
    ),
    "exit code after the finish": Case(
        "finished", "then exit code 1", ended(exit_code=1), finished="completed"
    ),
    "bad input": Case("failed", ERROR, ended(exit_code=2), error=ERROR),
    "crash": Case("failed", "CUDA", ended(exit_code=1, reason="exit code 1"), error="CUDA out of memory"),
    "crash without a word": Case("failed", "exit code 3; see log/0002.txt", ended(exit_code=3)),
    "could not be started": Case("failed", "no python", ended(reason="no python")),
    "killed": Case("killed", "SIGKILL", ended(signal=9)),
    "killed by an unknown signal": Case("killed", "signal 250", ended(signal=250)),
    "out of memory": Case("out_of_memory", "no memory left", ended(signal=9, oom=True)),
    "silent exit": Case("finished", "exit code 0", ended(exit_code=0)),
    "a recorded cause": Case(
        "killed",
        "killed by SIGSEGV at step 4",
        ended(signal=11, cause="segfault", reason="killed by SIGSEGV at step 4"),
    ),
    "memory of a GPU": Case(
        "out_of_memory", "no memory", ended(exit_code=4, cause="gpu_memory", reason="no memory")
    ),
    "told, then gone with its supervisor": Case(
        "died", "after SIGTERM had told it to end", attempt={"told": 15}, alive={}
    ),
    "waits to start again": Case(
        "restarting",
        "starts again in 24 s, 2nd of 3 restarts: killed by SIGSEGV",
        ended(signal=11, cause="segfault", reason="killed by SIGSEGV", again=Again(3024.0, 2, 3)),
        alive={SUPERVISOR: 6},
    ),
    "was to start again, and its supervisor died": Case(
        "killed",
        "killed by SIGSEGV; its supervisor is gone, so it does not start again",
        ended(signal=11, cause="segfault", reason="killed by SIGSEGV", again=Again(3024.0, 2, 3)),
        alive={},
    ),
    "waits elsewhere to start again": Case(
        "restarting",
        "2nd of 3 restarts, on there",
        {"host": "there", **ended(signal=11, cause="segfault", again=Again(2030.0, 2, 3))},
    ),
    "was to start again elsewhere, long ago": Case(
        "silent",
        "nothing heard from there",
        {"host": "there", **ended(signal=11, cause="segfault", again=Again(2030.0, 2, 3))},
        beat_age=631.0,
    ),
    "called off": Case(
        "stopped",
        "stopped on request while it waited to start again (killed by SIGSEGV)",
        ended(signal=11, cause="segfault", reason="killed by SIGSEGV"),
        finished="called_off",
    ),
    "elsewhere": Case("running", "training, on there", {"host": "there"}, alive={}, beat_age=59.0),
    "elsewhere, starting": Case("starting", "on there", {"host": "there"}, no_beat=True),
    "elsewhere, silent": Case(
        "silent", "no heartbeat from there for 1 min 00 s", {"host": "there"}, beat_age=60.0
    ),
    "elsewhere, dead": Case("silent", "presumed dead", {"host": "there"}, beat_age=600.0),
    "elsewhere, finished": Case("finished", "all steps", {"host": "there"}, finished="completed"),
    "elsewhere, ended": Case("killed", "SIGTERM", {"host": "there", **ended(signal=15)}),
}


@pytest.mark.parametrize("name", CASES)
def test_state(name: str) -> None:
    case = CASES[name]
    state = judge(
        msgspec.structs.replace(ATTEMPT, **case.attempt or {}),
        None if case.no_beat else msgspec.structs.replace(BEAT, **case.beat or {}),
        None if case.finished is None else {"reason": case.finished, "t": 1500.0},
        case.error,
        case.beat_age,
        case.step_seconds,
        Here("here", "boot", (BOTH if case.alive is None else case.alive).get, clock=lambda: 3000.0),
    )
    assert state.state == case.state
    assert case.reason in state.reason


def test_a_run_that_was_never_started() -> None:
    state = judge(None, None, None, None, 0.0, None, Here("here", "boot", lambda pid: None))
    assert state == RunState("starting", "not started yet")


def test_a_process_is_known_by_its_start() -> None:
    assert process_identity(os.getpid()) == (start_ticks(os.getpid()), boot_id())
    assert start_ticks(0) is None


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert start_ticks(child.pid) is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(child.pid) is None
    child.wait()
