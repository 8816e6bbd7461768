"""The best evaluation in files that are too long to be read whole before a list is shown."""

import math
from pathlib import Path

from finetui_core.runs.foreign_kinds import Kind
from finetui_core.runs.foreign_sources import source_of

_PIECE = 1 << 17  # bytes read at a time, some hundredths of a second


class BestScan:
    """Reads the whole files of one run, a piece at a time; `done` once it has come to their end.

    `best` is then the least loss and the first step that has it, if any; while more is read, it stays. Only the
    evaluations are kept: of two of one step the later counts, as in the view of the run.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.done = False
        self.best: tuple[float, int] | None = None
        self._source = source_of(path, kind)
        self._losses: dict[float, float] = {}

    def read_on(self) -> None:
        """Read the next piece."""
        news = self._source.read(_PIECE)
        if news.anew:
            self._losses, self.best = {}, None
        for record in news.records:
            loss = record.get("eval_loss")
            if isinstance(loss, int | float):
                self._losses[record["step"]] = loss
        self.done = not self._source.more
        if self.done:
            known = [(loss, int(step)) for step, loss in self._losses.items() if _is_finite(loss)]
            self.best = min(known, default=None)


def _is_finite(loss: float) -> bool:
    try:
        return math.isfinite(loss)
    except OverflowError:  # an integer beyond all floats
        return False
