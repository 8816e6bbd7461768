"""Predictions beside what the runs then took, and how far later predictions are moved by it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import ClassVar

import msgspec

from finetui_core.files import write_atomically
from finetui_core.preflight.figures import Report, Span
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import read_small

_MOST_RUNS = 60
"""The newest runs that calibrate a prediction."""
_LEAST_TENSORS = 128 * 2**20
"""Bytes below which the libraries' own memory drowns that of the tensors."""
_LIKE = 8.0
"""Runs whose work for a token is within this factor tell how quick a run will be."""
_ODD = 4.0
"""A memory ratio beyond this, either way, is of a run that did something else."""


class Calibration(msgspec.Struct, frozen=True):
    """What finished runs on a device came to; None where none tells.

    `memory` is the bytes used as a multiple of the tensors by the closed formula, `flops` the operations a second
    that the trainer reached, counted by `work_of_token`, `start` the seconds before a model was loaded.
    """

    ENOUGH: ClassVar[int] = 3

    runs: int = 0
    memory: Span | None = None
    flops: Span | None = None
    start: Span | None = None


NO_CALIBRATION = Calibration()


class Prediction(msgspec.Struct, frozen=True):
    """report/preflight.json: what was said before the run; `ignored` tells that it went on against the verdict."""

    created: float
    report: Report
    ignored: bool = False


class Actual(msgspec.Struct, frozen=True):
    """report/actual.json: what one attempt took, written by the trainer when its loop ends.

    `seconds` is from the start of the process to the end of the loop, `starting_seconds` of them before the model
    was loaded; `steps` and `tokens` are those of this attempt, trained in `training_seconds`. `resident` is the
    highest resident memory of the process and `libraries` what it held before the model; `allocated` and `reserved`
    are torch's peaks on a GPU. `formula` is the bytes of tensors by the closed formula with the rows known, and
    `work` the operations for one token: what calibrates later predictions, and does not depend on what was known
    then.
    """

    device: str
    reason: str
    seconds: float
    steps: int
    total_steps: int
    tokens: int
    training_seconds: float
    starting_seconds: float | None = None
    resumed: bool = False
    resident: int | None = None
    libraries: int | None = None
    allocated: int | None = None
    reserved: int | None = None
    formula: int | None = None
    work: float | None = None

    @property
    def used(self) -> int | None:
        """Bytes that the run's tensors and the allocator's gaps took."""
        if self.reserved is not None:
            return self.reserved
        if self.resident is None or self.libraries is None:
            return None
        return max(0, self.resident - self.libraries)

    @property
    def shown(self) -> int | None:
        """Bytes that the device showed as used by the run, but for the driver's share."""
        return self.reserved if self.reserved is not None else self.resident


class Compared(msgspec.Struct, frozen=True):
    """One run's prediction and what it took; None where one of the two is not known. Errors are shares."""

    run: str
    prediction: Prediction
    actual: Actual

    @property
    def memory_error(self) -> float | None:
        """How far the middle of the predicted range is above what was used, as a share of that."""
        verdict, shown = self.prediction.report.verdict, self.actual.shown
        return None if verdict is None or not shown else (verdict.low + verdict.high) / 2 / shown - 1

    @property
    def within(self) -> bool | None:
        """Whether what was used lies in the predicted range."""
        verdict, shown = self.prediction.report.verdict, self.actual.shown
        return None if verdict is None or not shown else verdict.low <= shown <= verdict.high

    @property
    def is_whole(self) -> bool:
        return not self.actual.resumed and self.actual.reason == "completed"

    @property
    def time_error(self) -> float | None:
        duration = self.prediction.report.duration
        if duration is None or not self.is_whole or not self.actual.seconds:
            return None
        return duration.seconds.middle / self.actual.seconds - 1


def prediction_file(paths: RunPaths) -> Path:
    return paths.report / "preflight.json"


def actual_file(paths: RunPaths) -> Path:
    return paths.report / "actual.json"


def keep(path: Path, value: Prediction | Actual) -> None:
    """Write one of the two files. Raises OSError."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def compared(root: Path, most: int | None = None) -> list[Compared]:
    """The runs under `root` that have both files, newest first. Raises InputError where `root` cannot be read."""
    found: list[Compared] = []
    for run_id in reversed(run_ids(root)):
        one = _compared(RunPaths(root / run_id))
        if one is not None:
            found.append(one)
        if most is not None and len(found) >= most:
            break
    return found


def _compared(paths: RunPaths) -> Compared | None:
    actual = read_small(actual_file(paths), Actual)
    prediction = read_small(prediction_file(paths), Prediction) if actual is not None else None
    if actual is None or prediction is None:
        return None
    return Compared(paths.id, prediction, actual)


def calibration(runs: Sequence[Compared], device: str, work: float | None = None) -> Calibration:
    """What runs on `device` say of one whose tokens take `work` operations."""
    here = [one.actual for one in runs if one.actual.device == device][:_MOST_RUNS]
    memory, flops = list(_memory_ratios(here)), list(_speeds(here, work))
    start = _start([one.starting_seconds for one in here if one.starting_seconds is not None])
    return Calibration(max(len(memory), len(flops)), _span(memory), _span(flops), start)


def _memory_ratios(runs: Sequence[Actual]) -> Iterator[float]:
    for one in runs:
        used, tensors = one.used, one.formula
        if used and tensors and tensors >= _LEAST_TENSORS and 1 / _ODD <= used / tensors <= _ODD:
            yield used / tensors


def _speeds(runs: Sequence[Actual], work: float | None) -> Iterator[float]:
    for one in runs:
        own, seconds = one.work, one.training_seconds
        if own and seconds > 0 and one.tokens and (work is None or 1 / _LIKE <= work / own <= _LIKE):
            yield own * one.tokens / seconds


def _start(seconds: Sequence[float]) -> Span | None:
    """A start is sooner or later than those before by what the disk's cache holds and what else runs."""
    return Span(0.7 * min(seconds), median(seconds), 2 * max(seconds)) if seconds else None


def _span(values: Sequence[float]) -> Span | None:
    return Span(min(values), median(values), max(values)) if values else None
