"""How long a run will take, as a range, before it starts."""

import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from finetui_core.preflight.disk import checkpoint_bytes
from finetui_core.preflight.figures import Device, Duration, Memory, RowLengths, Span, Workload
from finetui_core.preflight.history import NO_CALIBRATION, Calibration
from finetui_core.preflight.sampled_rows import characters_per_token
from finetui_core.preflight.work import forward_of_token, work_of_token
from finetui_core.preflight.workload import PROBE_TOKENS
from finetui_core.recipe.defaults import default_epochs, total_steps
from finetui_core.recipe.options import Method, Recipe
from finetui_core.wording import duration as in_words

UTILISATION: Mapping[Method, Span] = {
    "lora": Span(0.25, 0.42, 0.55),
    "qlora": Span(0.20, 0.38, 0.55),
    "full": Span(0.30, 0.48, 0.63),
}
"""Share of a GPU's dense peak that training reaches, counted as in `work_of_token`. Public A100 runs: LoRA 7B 0.51,
3B 0.39; QLoRA 0.44 to 0.55; full 7B 0.61 to 0.63, 3B 0.51. The low end is for small models and short passes."""
PROCESSOR = Span(0.13, 0.31, 0.63)
"""The same for a processor, against small multiplications measured there, on all of its cores."""
PADDING = 0.65
"""Share of tokens that are not padding in rows of mixed length that are not packed; 0.3 in the worst sets."""
LAUNCH = Span(4e-4, 8e-4, 1.6e-3)
"""Seconds that one pass takes for each layer at least on a GPU, whatever its size: the launches of its kernels."""
REPLAY_LENGTH = 128
"""Tokens of a piece of general text."""
START = Span(3, 6, 40)
"""Seconds for libraries and rows, before the weights, on a machine without finished runs: 4 to 8 where measured."""
_LOADING = Span(2e9, 7e8, 1.5e8)  # bytes a second of weights: cache, disk, network disk
SAVES_SHARE = 0.01
"""The share of the time that saves by time may take."""
_SAVING = Span(1e9, 3e8, 8e7)  # bytes a second of a checkpoint, which is hashed and flushed
_TOKEN = Span(2e-4, 1e-3, 3e-3)  # seconds of a layer for one token of all sample answers together
_GUESSED_LENGTHS = (0.75, 1.0, 1.35)  # what a length guessed from characters may be off by


def steps_of(recipe: Recipe, rows: int) -> tuple[int, int]:
    """(steps of an epoch, steps of the run), as the trainer counts them."""
    train = recipe.train
    batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * recipe.launch.world_size
    epochs = train.num_train_epochs or default_epochs(rows)
    return -(-rows // batch), total_steps(rows, batch, epochs, train.max_steps)


def with_replay(recipe: Recipe, lengths: RowLengths) -> RowLengths:
    """The rows with the pieces of general text trained on along with them, as `train.replay` counts these."""
    share = recipe.data.replay
    if not share:
        return lengths
    tokens = lengths.rows * lengths.mean
    pieces = round(tokens * lengths.supervised_share * share / (1 - share) / (REPLAY_LENGTH - 1))
    rows = lengths.rows + pieces
    return msgspec.structs.replace(lengths, rows=rows, mean=(tokens + pieces * REPLAY_LENGTH) / rows)


def estimate_duration(
    work: Workload,
    lengths: RowLengths,
    device: Device,
    memory: Memory,
    calibration: Calibration = NO_CALIBRATION,
    speed: float | None = None,
) -> Duration | str:
    """The range of a run's seconds, or a sentence on why it cannot be told.

    `speed` is the tokens per second that a probe measured. Else the speed is that of earlier runs on the device,
    else its peak in operations a second times the share of it that training reaches; on a processor its peak is
    measured, which takes a twentieth of a second once.
    """
    recipe = work.recipe
    processes = recipe.launch.world_size
    found = _speed(work, device, calibration, speed)
    if isinstance(found, str):
        return found
    rate, basis, why = found
    lengths = with_replay(recipe, lengths)
    per_epoch, steps = steps_of(recipe, lengths.rows)
    tokens_per_epoch = round(lengths.rows * lengths.mean)
    tokens = tokens_per_epoch * steps / max(1, per_epoch)
    evaluations = (
        _count(recipe.eval.steps, per_epoch, steps) + recipe.eval.on_start if lengths.val_rows else 0
    )
    due = _count(recipe.save.steps, per_epoch, steps)
    counts = []
    val_rows = min(lengths.val_rows, recipe.eval.max_rows or lengths.val_rows)
    forward = forward_of_token(work) / work_of_token(work)
    every = zip(("low", "middle", "high"), _reversed(rate), _GUESSED_LENGTHS, strict=True)
    seconds = []
    for name, one, guessed in every:
        scale = 1.0 if lengths.exact else guessed
        train = scale * tokens / one / processes
        evaluated = val_rows * lengths.mean * scale + _probe_tokens(work)
        validating = evaluations * evaluated * forward / one / processes
        answers = recipe.eval.sample_max_new_tokens if min(recipe.eval.samples, val_rows) else 0
        sampling = evaluations * answers * work.shape.layers * getattr(_TOKEN, name)
        weights = memory.peaks.get("load", {}).get("weights", 0)
        saved = checkpoint_bytes(recipe, memory) / getattr(_SAVING, name)
        counts.append(_with_those_by_time(due, train + validating + sampling, recipe.save.minutes, saved))
        saving = counts[-1] * saved
        starting = getattr(calibration.start or START, name) + weights / getattr(_LOADING, name)
        seconds.append(train + validating + sampling + saving + starting)
    span = Span(*seconds)
    guess = "" if lengths.exact else "; the rows' lengths are guessed from their first characters"
    says = f"{in_words(span.low)} to {in_words(span.high)}, probably {in_words(span.middle)}: {why}{guess}."
    return Duration(
        span,
        _times(rate, processes),
        tokens_per_epoch,
        per_epoch,
        steps,
        counts[1],
        evaluations,
        basis,
        says,
    )


def _probe_tokens(work: Workload) -> int:
    """Tokens of the text that forgetting is measured on; its characters are counted as its bytes."""
    probe = work.recipe.eval.forgetting_probe
    if probe is None:
        return 0
    try:
        written = Path(probe).stat().st_size / characters_per_token(work.shape.vocabulary)
    except (OSError, ValueError):
        return PROBE_TOKENS
    return min(PROBE_TOKENS, round(written))


def _count(every: int, per_epoch: int, steps: int) -> int:
    """How often something is done that is due every so many steps, or after each epoch, and once at the end."""
    period = every or per_epoch
    return steps // period + (steps % period > 0)


def _with_those_by_time(due: int, seconds: float, minutes: float, each: float) -> int:
    """How many checkpoints are written where `due` lie evenly in `seconds`, with those that `minutes` adds.

    Each takes `each` seconds; as in `train.saves`, a dear one is written less often.
    """
    if not minutes:
        return due
    apart = max(60 * minutes, each / SAVES_SHARE)
    return due * (1 + int(seconds / max(1, due) // apart))


def _speed(
    work: Workload, device: Device, calibration: Calibration, measured: float | None
) -> tuple[Span, str, str] | str:
    """Tokens a second of one process, where that is from, and the same in words."""
    if measured is not None and measured > 0:
        return Span(0.93 * measured, measured, 1.05 * measured), "probe", "by the speed of the probe"
    operations = work_of_token(work)
    if calibration.flops is not None:
        past = calibration.flops
        rate = Span(0.85 * past.low / operations, past.middle / operations, 1.15 * past.high / operations)
        runs = f"{calibration.runs} runs" if calibration.runs != 1 else "1 run"
        return rate, "history", f"calibrated by {runs} on this device"
    if device.kind == "cpu":
        peak = multiplications_per_second()
        if peak is None:
            return "no time: this processor's speed is not known before the first run on it"
        rate = Span(
            *(peak * share / operations for share in (PROCESSOR.low, PROCESSOR.middle, PROCESSOR.high))
        )
        return rate, "measured", "from a multiplication measured on this processor"
    if device.tflops is None:
        return "no time: the table has no speed for this device; a run or a probe on it would tell"
    useful = 1.0 if work.recipe.data.packing else PADDING
    share = UTILISATION[work.recipe.train.method]
    peak = device.tflops * 1e12 * useful
    layers = work.shape.layers / work.tokens_per_pass
    rate = Span(
        1 / (operations / (peak * share.low) + layers * LAUNCH.high),
        1 / (operations / (peak * share.middle) + layers * LAUNCH.middle),
        1 / (operations / (peak * share.high) + layers * LAUNCH.low),
    )
    why = f"{share.low:.0%} to {share.high:.0%} of {device.tflops:g} TFLOPS"
    return rate, "table", why


@functools.cache
def multiplications_per_second(size: int = 64, budget: float = 0.02) -> float | None:
    """Operations a second of float32 matrix products here, the best within `budget` seconds; None without numpy.

    A product this small is computed by one core, and what a core does best hardly depends on what else runs: with
    all cores and other work beside it, a large one came out five to thirty times too slow.
    """
    try:
        import numpy as np
    except ImportError:
        return None

    one = np.ones((size, size), dtype=np.float32)
    best, until = 0.0, time.perf_counter() + budget
    while True:
        began = time.perf_counter()
        one @ one
        now = time.perf_counter()
        best = max(best, 2 * size**3 / max(now - began, 1e-9))
        if now >= until:
            return best * _cores()


def _cores() -> int:
    """Those that this process may use, two threads of one core counted once, as torch does."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def _reversed(rate: Span) -> tuple[float, float, float]:
    """The speeds of the shortest, the likely and the longest run."""
    return rate.high, rate.middle, rate.low


def _times(rate: Span, factor: float) -> Span:
    return Span(rate.low * factor, rate.middle * factor, rate.high * factor)
