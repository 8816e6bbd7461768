"""Every death has a cause and a way out; the last words of the trainer, and real processes that die."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest

from dying_trainers import WAYS, die
from finetui_core.runs import exit_codes
from finetui_core.runs.causes import WAYS_OUT, Cause, Facts, cause_of, in_words
from finetui_core.train.last_words import last_words


def error(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "problems": [{"what": "RuntimeError: so", "where": "", "hint": ""}], **fields}


CASES: dict[str, tuple[Facts, Cause, str]] = {
    "done": (Facts(0), "done", "exit code 0"),
    "crash": (Facts(1, error("crash")), "crashed", "RuntimeError: so"),
    "crash without a word": (Facts(1), "crashed", "exit code 1"),
    "input": (Facts(2, error("input")), "bad_input", "RuntimeError: so"),
    "input, by torchrun": (Facts(1, error("input"), processes=2), "bad_input", "RuntimeError: so"),
    "a process of several died": (
        Facts(1, processes=2, step=7),
        "lost_peer",
        "died or could not be reached at step 7",
    ),
    "GPU memory": (
        Facts(4, error("out_of_memory", device="gpu"), step=3),
        "gpu_memory",
        "no memory left at step 3",
    ),
    "GPU memory, by torchrun": (
        Facts(1, error("out_of_memory", device="gpu"), processes=2),
        "gpu_memory",
        "GPU",
    ),
    "memory": (Facts(4, error("out_of_memory", device="machine")), "memory", "the machine"),
    "disk": (Facts(1, error("disk_full")), "disk_full", "the disk is full: RuntimeError: so"),
    "hung": (Facts(exit_codes.HUNG, step=9), "hung", "it hung: no step for too long at step 9"),
    "an earlier error, then hung": (Facts(exit_codes.HUNG, error("crash")), "hung", "it hung"),
    "diverged": (Facts(3, finished={"reason": "diverged"}), "diverged", "not finite"),
    "unsaved": (Facts(7, finished={"reason": "unsaved"}), "unsaved", "could not be written"),
    "a hosted job failed": (
        Facts(1, finished={"reason": "job_failed"}),
        "job_failed",
        "failed at the provider",
    ),
    "a hosted job was cancelled": (
        Facts(0, finished={"reason": "cancelled"}),
        "job_cancelled",
        "cancelled at the provider",
    ),
    "crash after the finish": (Facts(-11, finished={"reason": "completed"}), "done", "killed by SIGSEGV"),
    "SIGKILL": (Facts(-9, step=412), "killed", "killed by SIGKILL at step 412"),
    "kernel": (Facts(-9, kernel_oom=True), "kernel_memory", "killed by SIGKILL (out of memory)"),
    "SIGBUS": (Facts(-7), "segfault", "SIGBUS"),
    "SIGILL": (Facts(-4), "signal", "SIGILL"),
    "walltime": (Facts(-9, told=15), "time_limit", "killed by SIGKILL, after SIGTERM had told it to end"),
    "SIGXCPU": (Facts(-24), "time_limit", "SIGXCPU"),
    "never spoke": (Facts(1, spoke=False), "not_started", "before it said a word"),
    "a usage error": (Facts(2, spoke=False), "not_started", "before it said a word"),
    "forced": (Facts(-9, forced="no answer to the stop"), "forced", "no answer to the stop"),
    "forced after its last word": (
        Facts(-9, finished={"reason": "stopped"}, forced="no end of the process"),
        "done",
        "no end of the process",
    ),
    "an odd code": (Facts(77), "unknown", "exit code 77"),
}


@pytest.mark.parametrize("name", CASES)
def test_cause(name: str) -> None:
    facts, cause, words = CASES[name]
    assert cause_of(facts) == cause
    assert words in in_words(facts, cause)


def test_every_cause_but_a_good_end_has_a_way_out() -> None:
    assert set(WAYS_OUT) == set(get_args(Cause)) - {"done"}


def test_errors_are_told_apart() -> None:
    wrapped = RuntimeError("the checkpoint could not be written")
    wrapped.__cause__ = OSError(28, "No space left on device")
    found = {
        "crash": RuntimeError("a bug"),
        "out_of_memory": MemoryError(),
        "disk_full": wrapped,
    }
    for kind, one in found.items():
        code, fields = last_words(one)
        assert fields["kind"] == kind
        assert code == (exit_codes.OUT_OF_MEMORY if kind == "out_of_memory" else exit_codes.CRASHED)


def test_the_want_of_a_gpus_memory_is_told_from_that_of_the_machine() -> None:
    import torch

    assert last_words(torch.OutOfMemoryError("CUDA out of memory."))[1]["device"] == "gpu"
    assert last_words(RuntimeError("DefaultCPUAllocator: can't allocate memory"))[1]["device"] == "machine"
    assert last_words(RuntimeError("CUDA error: an illegal memory access"))[1]["kind"] == "crash"


SHORT = (
    *("exception", "MemoryError by RLIMIT_AS", "SIGSEGV", "SIGTERM, then SIGKILL", "disk full"),
    *("a stop that is not answered", "a broken installation", "supervisor killed as well"),
)


def test_real_deaths_are_told_apart_and_leave_nobody(tmp_path: Path) -> None:
    """The short form of tests/proofs/deaths.py."""
    with ThreadPoolExecutor(4) as pool:
        outcomes = dict(zip(SHORT, pool.map(lambda name: die(tmp_path, WAYS[name]), SHORT), strict=True))
    for name, outcome in outcomes.items():
        assert outcome.cause == WAYS[name].cause, name
        assert outcome.left == () and outcome.way_out, name
        assert outcome.seconds is None or outcome.seconds < 10.0, (
            name
        )  # the proof asks for 2 s, on a quiet machine
