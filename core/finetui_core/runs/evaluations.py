"""What an evaluation measured of each row, in a file of its own: for viewers, and for a run that goes on."""

from typing import Any

import msgspec
import numpy as np

from finetui_core.files import private_folder, write_atomically
from finetui_core.runs.paths import RunPaths, step_of
from finetui_core.runs.records import content_of
from finetui_core.train.meters.figures import Measured, Overlaps, RowLosses

Number = float | None
"""JSON has no number that is not finite: it is null there."""

_LARGEST = 1 << 28  # bytes: those of some ten million rows


class Losses(msgspec.Struct, frozen=True):
    """Nats summed over the judged tokens of each row, and how many these are."""

    sums: list[Number]
    tokens: list[int]


class Evaluation(msgspec.Struct, frozen=True, omit_defaults=True):
    """evaluations/step-000500.json. `rows` are the numbers of the validation rows, `seconds` what each meter took."""

    step: int
    epoch: float
    rows: list[int] = []
    val: Losses | None = None
    probe: Losses | None = None
    own_text: Losses | None = None
    probe_kl: list[Number] | None = None
    own_text_kl: list[Number] | None = None
    train_loss: float | None = None
    overlap_train: list[Number] | None = None
    overlap_val: list[Number] | None = None
    seconds: dict[str, float] = {}


def keep_evaluation(paths: RunPaths, measured: Measured, rows: list[int], seconds: dict[str, float]) -> None:
    """Write the file of one evaluation. Raises OSError."""
    overlaps = measured.overlaps
    kept = Evaluation(
        step=measured.step,
        epoch=measured.epoch,
        rows=rows,
        val=_losses(measured.val),
        probe=_losses(measured.probe),
        own_text=_losses(measured.own_text),
        probe_kl=_list(measured.probe_kl),
        own_text_kl=_list(measured.own_text_kl),
        train_loss=measured.train_loss,
        overlap_train=None if overlaps is None else _list(overlaps.train),
        overlap_val=None if overlaps is None else _list(overlaps.val),
        seconds=seconds,
    )
    private_folder(paths.evaluations)
    write_atomically(paths.evaluation(measured.step), msgspec.json.encode(kept) + b"\n", durable=False)


def kept_evaluations(paths: RunPaths, until: int) -> list[Evaluation]:
    """Those of the steps up to `until`, in order; a file that cannot be read is passed over."""
    found = []
    for path in sorted(paths.evaluations.glob("step-*.json")):
        step = step_of(path.stem)
        if step is None or step > until:
            continue
        try:
            found.append(msgspec.json.decode(content_of(path, _LARGEST), type=Evaluation))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return sorted(found, key=lambda one: one.step)


def measured_in(kept: Evaluation) -> Measured:
    """What was measured, as it was when it was kept."""
    overlaps = None
    if kept.overlap_train is not None and kept.overlap_val is not None:
        overlaps = Overlaps(_array(kept.overlap_train), _array(kept.overlap_val))
    return Measured(
        step=kept.step,
        epoch=kept.epoch,
        val=_row_losses(kept.val),
        probe=_row_losses(kept.probe),
        own_text=_row_losses(kept.own_text),
        probe_kl=_array(kept.probe_kl),
        own_text_kl=_array(kept.own_text_kl),
        train_loss=kept.train_loss,
        overlaps=overlaps,
    )


def _losses(losses: RowLosses | None) -> Losses | None:
    return None if losses is None else Losses(losses.sums.tolist(), losses.tokens.tolist())


def _row_losses(losses: Losses | None) -> RowLosses | None:
    if losses is None:
        return None
    return RowLosses(np.array(losses.sums, dtype=np.float64), np.array(losses.tokens, dtype=np.int64))


def _list(values: Any) -> list[Number] | None:
    return None if values is None else values.tolist()


def _array(values: list[Number] | None) -> Any:
    return None if values is None else np.array(values, dtype=np.float64)
