"""Trouble with GPUs, found in the samples of the machine: what it means and what to do.

Samples are records as `hardware.sample` makes them. Everything is told where it begins, not where it lasts.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from finetui_core.hardware.xids import xid_of
from finetui_core.wording import count

Record = Mapping[str, Any]
Known = Mapping[int, Record]
"""What was last heard of each GPU, by its index; samples do not hold everything each time."""

SLOW, SLOW_STEPS = 1.3, 20
"""A straggler takes 1.3 times the median step for 20 steps on end: an occasional long batch does not."""
DROPPED = 0.9
"""Clocks below that share of the highest one of a busy GPU in this run count as dropped."""
BUSY = 0.5
_RECENT_STEPS = 2000
_LEAST_STEPS = 50  # before there is a usual step
_BY_HARDWARE = ("heat, by hardware", "power brake", "slowed by hardware")
_RESET = "Reset the GPU when nothing runs on it (nvidia-smi --gpu-reset), or restart the machine."
_REPLACE = "Have the GPU checked: it may need to be replaced."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something amiss. `cause` tells it from others of the same GPU; `gpu` is an index, None for all or unknown."""

    kind: Literal["gpu", "gpu_lost", "gpu_memory", "gpu_slowdown", "straggler", "hang"]
    cause: str
    severity: Literal["watch", "act"]
    message: str
    remedy: str
    gpu: int | None = None
    xid: int | None = None


def gpu_troubles(known: Known, sample: Record) -> list[Trouble]:
    """What is amiss since `known`, which holds what was heard before this sample."""
    return [
        *(_xid_trouble(one) for one in _dicts(sample.get("xids"))),
        *_lost(known, sample),
        *(trouble for gpu in _dicts(sample.get("gpus")) for trouble in _of_gpu(known, gpu)),
    ]


def heard(known: Known, sample: Record) -> dict[int, Record]:
    """`known` with what the sample adds."""
    new = {int(gpu["index"]): gpu for gpu in _dicts(sample.get("gpus")) if isinstance(gpu.get("index"), int)}
    return {**known, **{index: {**known.get(index, {}), **gpu} for index, gpu in new.items()}}


def _xid_trouble(error: Record) -> Trouble:
    number, gpu = int(error["xid"]), error.get("gpu")
    meaning = xid_of(number)
    fault = {
        "program": "most often the program's fault",
        "hardware": "a fault of the hardware",
        "driver": "of the driver or the hardware",
    }[meaning.fault]
    return Trouble(
        kind="gpu",
        cause=f"xid {number}",
        severity="watch" if number in (45, 63, 92) else "act",
        message=f"{_name(gpu)}: {meaning.meaning} (Xid {number}, {fault})",
        remedy=meaning.remedy,
        gpu=gpu,
        xid=number,
    )


def _lost(known: Known, sample: Record) -> Iterator[Trouble]:
    """A GPU that was there and is not, of which the note says what became of it."""
    here = {gpu.get("index") for gpu in _dicts(sample.get("gpus"))}
    notes = dict(
        part.partition(": ")[::2] for part in str(sample.get("gpu_note") or "").split("; ") if ": " in part
    )
    for index in known.keys() - here:
        words = notes.get(f"GPU {index}")
        if words:
            remedy = f"Nothing on it can go on. Mend it, then continue from the last checkpoint. {_REPLACE}"
            yield Trouble("gpu_lost", "lost", "act", f"GPU {index}: {words}", remedy, index)


def _of_gpu(known: Known, gpu: Record) -> Iterator[Trouble]:
    index = gpu.get("index")
    before = known.get(index, {}) if isinstance(index, int) else {}
    name = _name(index)
    if (new := _grown(before, gpu, "ecc_uncorrected")) is not None:
        message = f"{name}: {new} errors of its memory could not be corrected"
        yield Trouble("gpu_memory", "ecc", "act", message, f"{_RESET} {_REPLACE}", index)
    for field, words in (("rows_remapped", "rows"), ("pages_retired", "pages")):
        if (new := _grown(before, gpu, field)) is not None:
            message = f"{name}: {new} {words} of its memory were taken out of use after errors"
            yield Trouble("gpu_memory", field, "watch", message, _RESET, index)
    if gpu.get("row_remap_pending") and not before.get("row_remap_pending"):
        message = f"{name}: rows of its memory with errors wait to be replaced"
        yield Trouble("gpu_memory", "pending", "watch", message, _RESET, index)
    if gpu.get("row_remap_failed") and not before.get("row_remap_failed"):
        message = f"{name}: rows of its memory with errors could not be replaced"
        yield Trouble("gpu_memory", "failed", "act", message, _REPLACE, index)
    slowed = [cause for cause in gpu.get("throttling") or () if cause in _BY_HARDWARE]
    if slowed and not set(slowed) & set(before.get("throttling") or ()):
        message = f"{name}: its hardware has slowed it down: {', '.join(slowed)} ({_degrees(gpu)})"
        remedy = "Look at cooling and power: fans, dust, room temperature, cables, the supply."
        yield Trouble("gpu_slowdown", slowed[0], "watch", message, remedy, index)


def _grown(before: Record, now: Record, field: str) -> int | None:
    """By how much a counter has grown since it was last heard; None where it has not, or is not known."""
    old, new = before.get(field), now.get(field)
    return new - old if isinstance(old, int) and isinstance(new, int) and new > old else None


class Straggler:
    """Whether the steps have become slow while something held the clocks down. A new one for each attempt."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._slow = self._fast = 0
        self._highest: dict[Any, float] = {}
        self.standing = False

    def see(self, steps: Iterable[float], sample: Record) -> Trouble | Literal["over"] | None:
        """The news of a sample, with the seconds of the steps since the last one: slow, as usual again, or none."""
        gpus = _dicts(sample.get("gpus"))
        held = [words for gpu in gpus if (words := self._held_down(gpu))]
        usual = median(self._seconds) if len(self._seconds) >= _LEAST_STEPS else None
        for seconds in steps:
            is_slow = usual is not None and seconds > SLOW * usual
            self._slow = self._slow + 1 if is_slow else 0
            self._fast = 0 if is_slow else self._fast + 1
            self._seconds.append(seconds)
        if self.standing:
            self.standing = self._fast < SLOW_STEPS
            return None if self.standing else "over"
        if usual is None or self._slow < SLOW_STEPS or not held:
            return None
        self.standing = True
        recent = median([*self._seconds][-SLOW_STEPS:])
        message = (
            f"steps take {recent / usual:.1f} times as long as usual, {recent:.2f} s, for {count(self._slow)} steps "
            f"({'; '.join(held)})"
        )
        remedy = "Look at cooling and power of the machine, and at what else runs on it. The result stays the same."
        return Trouble("straggler", "straggler", "watch", message, remedy)

    def _held_down(self, gpu: Record) -> str:
        """What holds a GPU's clocks down, in words; "" where nothing does."""
        index, clock, busy = gpu.get("index"), gpu.get("clock"), gpu.get("utilization")
        causes = [str(cause) for cause in gpu.get("throttling") or ()]
        if isinstance(clock, int | float) and isinstance(busy, int | float) and busy >= BUSY:
            highest = self._highest[index] = max(clock, self._highest.get(index, 0.0))
            if clock < DROPPED * highest:
                causes.append(f"{clock:.0f} of {highest:.0f} MHz")
        return f"{_name(index)}: {', '.join(causes)}" if causes else ""


def _dicts(value: Any) -> Sequence[Record]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _name(index: Any) -> str:
    return "a GPU" if index is None else f"GPU {index}"


def _degrees(gpu: Record) -> str:
    degrees = gpu.get("temperature")
    return f"{degrees} °C" if degrees is not None else "temperature not known"
