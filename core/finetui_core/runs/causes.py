"""Why an attempt ended: one of a few causes, a sentence, and the way out."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from finetui_core.runs import exit_codes
from finetui_core.wording import count

Cause = Literal[
    "done",
    "bad_input",
    "diverged",
    "unsaved",
    "job_failed",
    "job_cancelled",
    "crashed",
    "gpu_memory",
    "memory",
    "kernel_memory",
    "disk_full",
    "killed",
    "segfault",
    "abort",
    "signal",
    "told_to_end",
    "time_limit",
    "hung",
    "lost_peer",
    "not_started",
    "forced",
    "unknown",
    "supervisor_lost",
    "machine_restarted",
]
"""The last two nobody records: a reader finds both processes gone, or another boot id."""

_RESUME = "Continue with: ftui resume {id}"
_LESS = (
    "halve train.per_device_train_batch_size and double train.gradient_accumulation_steps: the result stays the "
    "same. Or set train.gradient_checkpointing = true, or a smaller data.max_length."
)
WAYS_OUT: Mapping[str, str] = {
    "bad_input": "Mend what is named, then: ftui resume {id}",
    "diverged": "Start a new run with a lower train.learning_rate or more train.warmup_steps.",
    "unsaved": "Free space on the disk of the run, then train its last steps again: ftui resume {id}",
    "job_failed": "Mend what the provider names, then start a new job with: ftui hosted start",
    "job_cancelled": "What it had trained may be billed. To begin anew: ftui hosted start",
    "crashed": "The log says why; once it is mended, continue with: ftui resume {id}",
    "gpu_memory": "The GPU ran out of memory: " + _LESS,
    "memory": "The machine ran out of memory: " + _LESS,
    "kernel_memory": "The machine ran out of memory: " + _LESS + " Or close other programs.",
    "disk_full": "Free space on the disk of the run, or lower save.total_limit; then: ftui resume {id}",
    "killed": "Ended from outside ({reason}); SIGKILL without a reason is often the memory that ran out. "
    + _RESUME,
    "segfault": "A library of the trainer failed, mostly a driver or a kernel of a GPU; the log may hold its last "
    "words. " + _RESUME,
    "abort": "A library of the trainer gave up, mostly CUDA or NCCL; the log holds its last words. "
    + _RESUME,
    "signal": "Ended from outside ({reason}). " + _RESUME,
    "told_to_end": "Ended from outside ({reason}) before it could save. " + _RESUME,
    "time_limit": "A time limit ended it: ask for more, or let it be told earlier (SLURM: --signal=TERM@300). "
    + _RESUME,
    "hung": "The log holds where each thread stood; look at the GPU, the disk and the network. " + _RESUME,
    "lost_peer": "Look into the log, and at the other machines of the run; then: ftui resume {id}",
    "not_started": "The log says why: mostly a broken installation; try: ftui doctor",
    "forced": "It did not answer, so it was ended; what came after the last checkpoint is lost. " + _RESUME,
    "unknown": "The log may say why. " + _RESUME,
    "supervisor_lost": "Nobody saw how it ended, as after a power cut. " + _RESUME,
    "machine_restarted": "Nobody saw how it ended, as after a power cut. " + _RESUME,
}
"""What to do, by cause; "{id}" is the run's id and "{reason}" how it ended."""

RESTARTED = frozenset(
    {
        "crashed",
        "kernel_memory",
        "disk_full",
        "killed",
        "segfault",
        "abort",
        "signal",
        "hung",
        "lost_peer",
        "unknown",
    }
)
"""Causes after which another start may go well. A want of memory is met with smaller passes instead (`halving`)."""

_LIMITS = frozenset({signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM})
"""What batch systems and the kernel send when a time limit is near or over."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an attempt's end.

    `code` is as subprocess gives it, negative for a signal. `error` and `finished` are the attempt's last events of
    these types; `spoke` tells whether it wrote any. `step` is the last one done. `told` is the signal by which
    somebody told the run to end before, and `forced` why the supervisor ended it.
    """

    code: int
    error: Mapping[str, Any] | None = None
    finished: Mapping[str, Any] | None = None
    spoke: bool = True
    step: int | None = None
    kernel_oom: bool = False
    told: int | None = None
    forced: str = ""
    processes: int = 1


def cause_of(facts: Facts) -> Cause:
    """The cause. The trainer's own last words count more than its exit code, which torchrun replaces by 1."""
    if facts.finished is not None:
        return BY_FINISH.get(facts.finished.get("reason"), "done")
    if facts.forced:
        return "forced"
    if facts.code < 0:
        return _of_signal(-facts.code, facts)
    kind = _kind(facts)
    if kind is not None:
        return kind
    if facts.code == exit_codes.DONE:
        return "done"
    if not facts.spoke and facts.code in (exit_codes.CRASHED, exit_codes.BAD_INPUT, 126, 127):
        return "not_started"
    if facts.code == exit_codes.CRASHED and facts.processes > 1:
        return "lost_peer"  # torchrun's code for a process that died without a word
    return _BY_CODE.get(facts.code, "unknown")


BY_FINISH: Mapping[object, Cause] = {
    "diverged": "diverged",
    "unsaved": "unsaved",
    "job_failed": "job_failed",
    "cancelled": "job_cancelled",
}
"""Causes that the trainer names itself as it finishes; each has an exit code of its own."""
_BY_CODE: Mapping[int, Cause] = {
    exit_codes.CRASHED: "crashed",
    exit_codes.BAD_INPUT: "bad_input",
    exit_codes.DIVERGED: "diverged",
    exit_codes.OUT_OF_MEMORY: "memory",
    exit_codes.HUNG: "hung",
    exit_codes.LOST_PEER: "lost_peer",
    exit_codes.UNSAVED: "unsaved",
}
_BY_KIND: Mapping[object, Cause] = {
    "input": "bad_input",
    "crash": "crashed",
    "disk_full": "disk_full",
    "hang": "hung",
    "hung": "hung",
    "lost_peer": "lost_peer",
}


def _kind(facts: Facts) -> Cause | None:
    """The cause that the trainer's last error names."""
    if facts.error is None or facts.code == exit_codes.DONE:
        return None
    kind = facts.error.get("kind")
    if kind == "out_of_memory":
        return "gpu_memory" if facts.error.get("device") == "gpu" else "memory"
    if kind == "crash" and facts.code not in (exit_codes.CRASHED, exit_codes.DONE):
        return None
    return _BY_KIND.get(kind)


def _of_signal(number: int, facts: Facts) -> Cause:
    if facts.kernel_oom and number == signal.SIGKILL:
        return "kernel_memory"
    if number in _LIMITS or (number == signal.SIGKILL and facts.told is not None):
        return "time_limit"
    known: Mapping[int, Cause] = {
        signal.SIGKILL: "killed",
        signal.SIGSEGV: "segfault",
        signal.SIGBUS: "segfault",
        signal.SIGABRT: "abort",
        signal.SIGTERM: "told_to_end",
        signal.SIGINT: "told_to_end",
        signal.SIGHUP: "told_to_end",
        signal.SIGQUIT: "told_to_end",
    }
    return known.get(number, "signal")


def in_words(facts: Facts, cause: Cause) -> str:
    """How it ended, in one sentence without the way out."""
    at = f" at step {count(facts.step)}" if facts.step else ""
    if facts.forced:
        return f"{facts.forced}{at}"
    if facts.code < 0:
        how = f"killed by {signal_name(-facts.code)}{at}"
        after = f", after {signal_name(facts.told)} had told it to end" if facts.told is not None else ""
        return how + (" (out of memory)" if cause == "kernel_memory" else "") + after
    said = _said(facts.error)
    sentence = _SENTENCES.get(cause, "")
    if cause in ("bad_input", "crashed") and said:
        return said
    if sentence:
        return f"{sentence}{at}" + (f": {said}" if said else "")
    return f"exit code {facts.code}"


_SENTENCES: Mapping[str, str] = {
    "gpu_memory": "the GPU had no memory left",
    "memory": "the machine gave it no more memory",
    "disk_full": "the disk is full",
    "hung": "it hung: no step for too long",
    "lost_peer": "another process of the run died or could not be reached",
    "not_started": "the trainer ended before it said a word",
    "diverged": "the loss or the gradients were not finite",
    "unsaved": "the last checkpoint could not be written",
    "job_failed": "the job failed at the provider",
    "job_cancelled": "the job was cancelled at the provider",
}


def _said(error: Mapping[str, Any] | None) -> str:
    problems = error.get("problems") if error is not None else None
    if not isinstance(problems, list):
        return ""
    return "; ".join(str(one["what"]) for one in problems if isinstance(one, dict) and one.get("what"))


def way_out(cause: str, run_id: str, reason: str) -> str:
    """What to do about it, "" where nothing is amiss."""
    return WAYS_OUT.get(cause, "").replace("{id}", run_id).replace("{reason}", reason)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
