"""The probe's process: `python -m finetui_core.train.probe FOLDER`, started by `preflight.probe`.

It does what a run does, with the run's own code: loads, trains three steps at the longest batch, evaluates and saves.
FOLDER holds the recipe and is removed at the end, also when the parent is gone or a signal ends the process. What it
finds goes to stdout, a line of JSON as each phase begins and one at last. Exit codes: 0 it found an answer, also that
memory does not suffice; 2 bad input; 1 it failed.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import torch

from finetui_core.data.reading import load_config
from finetui_core.errors import InputError, Problem, first_line
from finetui_core.preflight.figures import Kind, Memory, OutOfMemory, Phase, Probed
from finetui_core.preflight.probe import Line
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import publish
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of
from finetui_core.train.checkpoint import Progress, state_files, trainable
from finetui_core.train.evaluation import Processes
from finetui_core.train.heaviest import heaviest_pass, heaviest_steps
from finetui_core.train.output import Silent
from finetui_core.train.peaks import Peaks, peaks_of
from finetui_core.train.room import check_room
from finetui_core.train.row_losses import row_losses
from finetui_core.train.setup import Session, build_session, start_processes
from finetui_core.train.shortage import shortage_of
from finetui_core.train.step import train_step

_SAVED_AS = 3
_ENDED = 143
_REMOVING = 40
"""How often removing is tried while another thread may still write."""
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_ASKED = re.compile(r"allocate (\d+(?:\.\d*)?) (bytes|[KMGTP]iB)")


@dataclass
class Found:
    """What is known so far; each phase adds to it."""

    peaks: dict[Phase, dict[Kind, int]] = field(default_factory=dict)
    phase: Phase = "load"
    device: str = ""
    device_used: int | None = None
    load_seconds: float | None = None
    tokens: list[int] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    evaluation_seconds_per_row: float | None = None
    save_seconds: float | None = None
    save_bytes: int | None = None
    save_failed: str = ""
    note: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.train.probe")
    parser.add_argument("folder", type=Path)
    paths = RunPaths(parser.parse_args().folder.absolute())
    os.umask(0o077)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print there

    def say(line: Line) -> None:
        answers.write(msgspec.json.encode(line) + b"\n")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    threading.Thread(target=_end_with_parent, args=(paths.root,), daemon=True).start()
    try:
        recipe = Recipe.model_validate_json(content_of(paths.resolved_recipe))
        say(Line(probed=measure(paths, recipe, lambda phase: say(Line(phase=phase)))))
    except InputError as error:
        say(Line(problems=tuple((one.what, one.where, one.hint) for one in error.problems)))
        return 2
    finally:
        shutil.rmtree(paths.root, ignore_errors=True)
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _end_with_parent(folder: Path) -> None:
    """Wait until the parent closes its end or dies; then nothing of the probe remains."""
    while os.read(0, 1 << 12):
        pass
    for _ in range(_REMOVING):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
    os._exit(_ENDED)


def measure(paths: RunPaths, recipe: Recipe, announce: Any) -> Probed:
    """Go through the phases of a run and measure each; `announce` is told the phases as they begin.

    Raises InputError as the run itself would.
    """
    began = time.perf_counter()
    found, out_of_memory = Found(), None
    try:
        _measure(paths, recipe, found, announce)
    except (InputError, RuntimeError, MemoryError) as error:
        shortage = shortage_of(error)
        if shortage is None:
            raise
        out_of_memory = OutOfMemory(found.phase, _asked(shortage), first_line(shortage))
    later = list(zip(found.tokens, found.step_seconds, strict=True))[1:]
    return Probed(
        memory=Memory("probe", found.peaks, time.perf_counter() - began, found.note),
        device=found.device,
        device_used=found.device_used,
        load_seconds=found.load_seconds,
        tokens=tuple(found.tokens),
        step_seconds=tuple(found.step_seconds),
        tokens_per_second=sum(t for t, _ in later) / sum(s for _, s in later) if later else None,
        evaluation_seconds_per_row=found.evaluation_seconds_per_row,
        save_seconds=found.save_seconds,
        save_bytes=found.save_bytes,
        save_failed=found.save_failed,
        out_of_memory=out_of_memory,
    )


def _measure(paths: RunPaths, recipe: Recipe, found: Found, announce: Any) -> None:
    if recipe.launch.is_sharded:
        what = (
            'with launch.sharding = "full" one process alone cannot be tried: it holds a part of the weights'
        )
        raise InputError(Problem(what, "launch.sharding", "Rely on the figures that are reckoned."))
    accelerator, _ = start_processes(recipe)
    device = accelerator.device
    found.device = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    processes = Processes(0, recipe.launch.world_size, lambda tensor: tensor)
    if processes.count > 1:
        found.note = (
            f"one of {processes.count} processes alone; their messages take time that is not measured"
        )
    _warm_up(recipe, device)
    peaks = peaks_of(device)
    loading_since = time.perf_counter()

    def loading(phase: str) -> None:
        nonlocal loading_since
        if phase == "loading":
            announce("load")
            peaks.begin()
            loading_since = time.perf_counter()

    session, _ = build_session(paths, recipe, accelerator, processes, None, loading)
    _wait_for(device)
    found.load_seconds = time.perf_counter() - loading_since
    found.peaks["load"] = _by_kind(peaks.peak(), held(session))

    with _phase("train", found, peaks, announce):
        _train(session, found)
        kinds = {**held(session), "gradients": _gradients(session)}
        found.peaks["train"] = _by_kind(peaks.peak(), kinds)
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            found.device_used = total - free
    if session.val_rows or session.probe is not None:
        with _phase("evaluate", found, peaks, announce):
            _evaluate(session, found)
            found.peaks["evaluate"] = _by_kind(peaks.peak(), held(session))
    with _phase("save", found, peaks, announce):
        _save(session, found)
        found.peaks["save"] = _by_kind(peaks.peak(), held(session))


@contextmanager
def _phase(name: Phase, found: Found, peaks: Peaks, announce: Any) -> Iterator[None]:
    found.phase = name
    announce(name)
    peaks.reset()
    yield


def _train(session: Session, found: Found) -> None:
    """Three steps; the heaviest comes again at last, since the optimizer has its moments only after a step.

    Of several processes each is the one with the largest pass.
    """
    first, second = heaviest_steps(
        session.schedule, session.data.train.lengths, session.layout, session.processes.count
    )
    for step, process in (first, second, first):
        began = time.perf_counter()
        result = train_step(replace(session, processes=replace(session.processes, index=process)), step)
        _wait_for(session.device)
        found.step_seconds.append(time.perf_counter() - began)
        found.tokens.append(result.tokens)


def _evaluate(session: Session, found: Found) -> None:
    """One pass, the largest, over the validation rows, and one over the text for the forgetting probe."""
    layout = session.evaluation_layout
    arguments = (layout, session.device)
    with session.autocast():
        if session.val_rows:
            rows = heaviest_pass(session.data.val, session.val_rows, layout)
            began = time.perf_counter()
            row_losses(session.model, session.data.val, rows, *arguments)
            found.evaluation_seconds_per_row = (time.perf_counter() - began) / len(rows)
        if session.probe is not None:
            rows = heaviest_pass(session.probe, range(len(session.probe)), layout)
            row_losses(session.model, session.probe, rows, *arguments)


def _save(session: Session, found: Found) -> None:
    """What stops a checkpoint from being written is told, not raised."""

    progress = Progress(step=_SAVED_AS)
    began = time.perf_counter()
    try:
        check_room(session, progress, None, Silent())
        files = state_files(session.configuration, session.model, session.optimizer, session.scaler, progress)
        found.save_bytes = publish(session.paths.checkpoints, _SAVED_AS, files, session.facts).bytes
    except InputError as error:
        found.save_failed = error.problems[0].what
    except OSError as error:
        found.save_failed = f"a checkpoint could not be written: {first_line(error)}"
    else:
        found.save_seconds = time.perf_counter() - began


def held(session: Session) -> dict[Kind, int]:
    """Bytes of the tensors that stay: the base's weights, the adapter's, and the optimizer's moments."""
    learned = {id(one) for one in trainable(session.model).values()}
    is_full = session.recipe.train.method == "full"
    base = [one for one in session.model.parameters() if is_full or id(one) not in learned]
    adapter = [] if is_full else list(trainable(session.model).values())
    moments = [
        value
        for state in session.optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    return {
        "weights": _bytes([*base, *session.model.buffers()]),
        "adapter": _bytes(adapter),
        "optimizer": _bytes(moments),
    }


def _gradients(session: Session) -> int:
    """Each trainable tensor has a gradient of its own size and type between a backward pass and its step."""
    return _bytes(list(trainable(session.model).values()))


def _bytes(tensors: Sequence[torch.Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)


def _by_kind(peak: int, known: dict[Kind, int]) -> dict[Kind, int]:
    """What of the peak no lasting tensor explains are activations, logits and working space."""
    return {**known, "activations": max(0, peak - sum(known.values()))}


def _warm_up(recipe: Recipe, device: torch.device) -> None:
    """Load the libraries' own code and threads before memory is measured: they are no part of the run's tensors."""
    import peft  # noqa: F401
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    MODEL_FOR_CAUSAL_LM_MAPPING.get(type(load_config(recipe.model)), None)
    layer = torch.nn.Linear(64, 64).to(device)
    layer(torch.zeros(64, 64, device=device)).sum().backward()
    torch.optim.AdamW(layer.parameters(), fused=device.type in ("cpu", "cuda")).step()


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _asked(error: BaseException) -> int | None:
    """The bytes in "Tried to allocate 2.00 GiB", "you tried to allocate 99 bytes" or "Unable to allocate 1. TiB"."""
    found = _ASKED.search(str(error))
    return int(float(found[1]) * _UNITS[found[2]]) if found else None


if __name__ == "__main__":
    sys.exit(main())
