"""A training in which every save meets another fault of the disk, and what must hold after each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults import Fault, faulty
from finetui_core.runs.checkpoints import Checkpoint, newest_valid, published
from finetui_core.runs.paths import RunPaths


@dataclass(slots=True)
class Ledger:
    """What became of the saves: how many faults there were, how many of them struck, how many of those saves were
    written all the same; `broken` are promises that were not kept, in words."""

    faults: int = 0
    struck: int = 0
    written: int = 0
    broken: list[str] = field(default_factory=list)


def places(paths: RunPaths) -> Sequence[Path]:
    """What a save writes: checkpoints, and beside them the files that point to two of them."""
    return (paths.checkpoints, paths.latest, paths.best)


@contextmanager
def saves_replaced(save: Any) -> Iterator[None]:
    """Within the block the loop calls `save(real, session, progress, output, reason)` to save."""
    from finetui_core.train import loop

    real = loop.save_checkpoint
    loop.save_checkpoint = lambda *arguments: save(real, *arguments)
    try:
        yield
    finally:
        loop.save_checkpoint = real


def count_calls(calls: list[Counter[str]]) -> Any:
    """A save that only counts what it calls."""

    def save(real: Any, session: Any, progress: Any, output: Any, reason: str) -> bool:
        with faulty(places(session.paths)) as disk:
            written = bool(real(session, progress, output, reason))
        calls.append(disk.calls)
        return written

    return save


class Listening:
    """Passes on what the save says, and remembers it."""

    def __init__(self, output: Any) -> None:
        self._output = output
        self.said: list[str] = []

    def event(self, type: str, **fields: Any) -> None:
        self.said.append(f"alarm {fields['severity']}" if type == "alarm" else type)
        self._output.event(type, **fields)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def with_faults(faults: Iterator[Fault], ledger: Ledger) -> Any:
    """A save that meets the next fault where older checkpoints are there to be deleted; all others go well."""

    def save(real: Any, session: Any, progress: Any, output: Any, reason: str) -> bool:
        older = published(session.paths.checkpoints)
        fault = next(faults, None) if len(older) >= session.recipe.save.total_limit else None
        if fault is None:
            return bool(real(session, progress, output, reason))
        before, _ = newest_valid(session.paths.checkpoints)
        listening = Listening(output)
        with faulty(places(session.paths), fault) as disk:
            written = bool(real(session, progress, listening, reason))
        ledger.faults += 1
        ledger.struck += disk.struck > 0
        ledger.written += written and disk.struck > 0
        after, _ = newest_valid(session.paths.checkpoints)
        ledger.broken += [
            f"{fault}, step {progress.step}: {broken}"
            for broken in _broken(fault, before, after, progress.step, written, listening.said)
        ]
        return written

    return save


def _broken(
    fault: Fault,
    before: Checkpoint | None,
    after: Checkpoint | None,
    step: int,
    written: bool,
    said: Sequence[str],
) -> Iterator[str]:
    """No checkpoint is lost but for a newer one, what is said is so, and one fault alone costs nothing."""
    if before is not None and (after is None or after.step < before.step):
        yield f"the checkpoint of step {before.step} is lost"
    if written and (after is None or after.step != step):
        yield "it is said to be saved and is not"
    if ("checkpoint" in said) != written:
        yield "the event does not tell what happened"
    if not written and not {"checkpoint_failed", "alarm act"} <= set(said):
        yield "it was not saved, and that is not said"
    if not written and not fault.lasting:
        yield "one fault alone cost it"
