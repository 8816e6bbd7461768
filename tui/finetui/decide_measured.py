"""What a comparison has measured, to stand beside what the answers say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from finetui_core.decide.rule import Verdict
from finetui_core.runs.paths import RunPaths, run_ids

_OF_ARMS: dict[str, Verdict] = {
    "zero_shot": "prompt_first",
    "few_shot": "prompt_first",
    "retrieved": "prompt_first",
    "documents": "rag",
    "tuned": "fine_tune",
    "tuned_retrieved": "both",
    "tuned_documents": "both",
}
"""The verdict of the questions that each arm of a comparison stands for."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The verdict of a comparison in words; `verdict` is the one of the questions that it stands for, if any."""

    rows: int
    test_file: str
    says: str
    reasons: tuple[str, ...]
    verdict: Verdict | None


def newest_measured(root: Path) -> Measured | None:
    """The newest finished comparison among the runs in `root`, and before a run; one that cannot be read is none."""
    from finetui_core.evaluate.figures import Result  # with numpy, which nothing else here needs

    for path in sorted(_results(root), key=_written, reverse=True):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Result)
        except (OSError, msgspec.MsgspecError):
            continue
        verdict, plan = found.verdict, found.plan
        return Measured(plan.rows, plan.test_file, verdict.says, verdict.reasons, _OF_ARMS.get(verdict.arm))
    return None


def _results(root: Path) -> Iterator[Path]:
    from finetui_core.evaluate.figures import ComparisonPaths

    for name in run_ids(root):
        yield ComparisonPaths(RunPaths(root / name).report / "compare").result
    yield from (ComparisonPaths(folder).result for folder in (root / ".compare").glob("*"))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
