"""What an attempt of a run took in all, to be held against what was predicted of it."""

import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from finetui_core.preflight.devices import processor
from finetui_core.preflight.figures import RowLengths
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.history import Actual, actual_file, keep
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.verdict import highest_in_run
from finetui_core.preflight.work import work_of_token
from finetui_core.preflight.workload import workload
from finetui_core.recipe.facts import Facts
from finetui_core.train.setup import Session

_STATUS = Path("/proc/self/status")


@dataclass(slots=True)
class Tally:
    """Counts of this process.

    `libraries` is its resident memory when all is imported and no model loaded, `starting` its seconds until the rows
    are there and the model is to be loaded.
    """

    began: float = field(default_factory=time.perf_counter)
    libraries: int | None = None
    starting: float | None = None
    steps: int = 0
    tokens: int = 0
    training_seconds: float = 0.0

    def imported(self) -> None:
        self.libraries = _status("VmRSS")

    def rows_read(self) -> None:
        self.starting = time.perf_counter() - self.began

    def step(self, tokens: int, seconds: float) -> None:
        self.steps += 1
        self.tokens += tokens
        self.training_seconds += seconds

    def keep(self, session: Session, reason: str, *, resumed: bool) -> None:
        """Write report/actual.json. Raises OSError."""
        device = session.device
        on_gpu = device.type == "cuda"
        formula, work = _by_formula(session)
        actual = Actual(
            device=torch.cuda.get_device_name(device) if on_gpu else processor().name,
            reason=reason,
            seconds=round(time.perf_counter() - self.began, 3),
            steps=self.steps,
            total_steps=session.schedule.total_steps,
            tokens=self.tokens,
            training_seconds=round(self.training_seconds, 3),
            starting_seconds=None if self.starting is None else round(self.starting, 3),
            resumed=resumed,
            resident=_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            libraries=self.libraries,
            allocated=torch.cuda.max_memory_allocated(device) if on_gpu else None,
            reserved=torch.cuda.max_memory_reserved(device) if on_gpu else None,
            formula=formula,
            work=work,
        )
        keep(actual_file(session.paths), actual)


def _by_formula(session: Session) -> tuple[int | None, float | None]:
    """Bytes of tensors and operations for a token by the closed formula, now that the rows are known."""
    recipe, data = session.recipe, session.data.report
    shape = model_shape(recipe.model.name, recipe.model.revision)
    if shape is None:
        return None, None
    lengths = RowLengths(
        rows=data.train_rows,
        mean=data.train_tokens / max(1, data.train_rows),
        longest=data.longest_row_tokens,
        supervised_share=data.train_supervised_tokens / max(1, data.train_tokens),
        exact=True,
        val_rows=data.val_rows,
        deviation=float(session.data.train.lengths.std()),
    )
    kind: Literal["cuda", "cpu"] = "cuda" if session.device.type == "cuda" else "cpu"
    work = workload(recipe, Facts(rows=data.train_rows), shape, kind, lengths)
    return highest_in_run(estimate(work))[1], work_of_token(work)


def _status(name: str) -> int | None:
    """Bytes of one line of this process's status; None where the system keeps none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    line = next((line for line in lines if line.startswith(f"{name}:")), "")
    return int(line.split()[1]) * 1024 if line else None
