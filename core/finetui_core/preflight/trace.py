"""Memory by a trace of the real model class, in a process of its own (`train.memory_trace`).

The process keeps torch out of this one, and takes with it what may go wrong in there. It reads nothing from the
network and asks for one thread.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.preflight.config_files import is_on_disk
from finetui_core.preflight.figures import Memory, RowLengths, Shape, Workload
from finetui_core.preflight.sharded import of_one_process
from finetui_core.preflight.trace_words import RowsOf, TraceAnswer, TraceRequest, decode_answer, encode
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

TIMEOUT = 120.0  # seconds
NO_TOKENIZER = "the rows are not read: the model's tokenizer is not on this machine"
_LOOK = 0.1  # seconds between looks at `cancelled`
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "CUDA_VISIBLE_DEVICES": "",
}


def trace(work: Workload, timeout: float = TIMEOUT, cancelled: Callable[[], bool] = lambda: False) -> Memory:
    """Peaks of a workload's longest passes, by running its model without numbers.

    Raises InputError where the model cannot be built or run so, RunFailed where the process ended without an answer,
    took longer than `timeout` seconds, or was `cancelled`.
    """
    return of_one_process(_memory(_ask(TraceRequest(work), timeout, cancelled)), work)


def trace_recipe(
    recipe: Recipe,
    facts: Facts,
    shape: Shape,
    device_kind: Literal["cuda", "cpu"],
    timeout: float = TIMEOUT,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Memory, RowLengths | None]:
    """As `trace`, of the longest passes of the recipe's real rows, and their lengths.

    Where the model's tokenizer or the data is not on this machine, the passes are the longest that the recipe allows,
    the lengths are None, and the note says why.
    """
    work = workload(recipe, facts, shape, device_kind)
    if not is_on_disk(recipe.model.name, recipe.model.revision):
        memory = trace(work, timeout, cancelled)
        return replace(memory, note="; ".join(filter(None, (NO_TOKENIZER, memory.note)))), None
    answer = _ask(TraceRequest(work, RowsOf(recipe, facts)), timeout, cancelled)
    return of_one_process(_memory(answer), work), answer.lengths


def _memory(answer: TraceAnswer) -> Memory:
    if answer.problem:
        raise InputError(
            Problem(answer.problem, hint="The closed formula's figures are shown in place of the trace's.")
        )
    return Memory("trace", answer.peaks, answer.seconds, answer.note)


def _ask(request: TraceRequest, timeout: float, cancelled: Callable[[], bool]) -> TraceAnswer:
    process = subprocess.Popen(
        [sys.executable, "-m", "finetui_core.train.memory_trace"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _QUIET,
        start_new_session=True,
    )
    said: list[bytes] = [b"", b""]
    talk = threading.Thread(target=_talk, args=(process, encode(request), said), daemon=True)
    talk.start()
    deadline = time.monotonic() + timeout
    try:
        while talk.is_alive():
            talk.join(_LOOK)
            if cancelled():
                raise RunFailed("the memory trace was ended before it was done")
            if time.monotonic() > deadline:
                raise RunFailed(f"the memory trace took more than {timeout:.0f} seconds and was ended")
    finally:
        if process.poll() is None and talk.is_alive():
            process.kill()
        talk.join()
        process.wait()
    try:
        return decode_answer(said[0])
    except msgspec.MsgspecError as error:
        raise RunFailed(
            f"the memory trace ended without an answer: {_last_words(process, said[1])}"
        ) from error


def _talk(process: "subprocess.Popen[bytes]", request: bytes, said: list[bytes]) -> None:
    said[:] = process.communicate(request)


def _last_words(process: "subprocess.Popen[bytes]", told: bytes) -> str:
    """The last line that a process said on standard error, or what ended it."""
    lines = [line for line in told.decode(errors="replace").splitlines() if line.strip()]
    if process.returncode < 0:
        return f"a signal ended it ({-process.returncode})"
    return lines[-1].strip()[:300] if lines else f"it ended with code {process.returncode}"
