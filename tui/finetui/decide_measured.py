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
    """What a comparison found, in words.

    `verdict` is the one of the questions that it stands for, None where its rows could not tell; `run` is what it
    compared, None where that was a recipe before its run.
    """

    run: Path | None
    rows: int
    test_file: str
    says: str
    reasons: tuple[str, ...]
    verdict: Verdict | None


def newest_measured(root: Path) -> Measured | None:
    """The newest finished comparison among the runs in `root`, and before a run; one that cannot be read is none."""
    from finetui_core.evaluate.figures import Result  # with numpy, which nothing else here needs

    for path, run in sorted(_results(root), key=lambda one: _written(one[0]), reverse=True):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Result)
        except (OSError, msgspec.MsgspecError):
            continue
        judged, plan = found.verdict, found.plan
        verdict = _OF_ARMS.get(judged.arm) if judged.judgement != "no_difference_shown" else None
        return Measured(run, plan.rows, plan.test_file, judged.says, judged.reasons, verdict)
    return None


def _results(root: Path) -> Iterator[tuple[Path, Path | None]]:
    from finetui_core.evaluate.figures import ComparisonPaths

    for name in run_ids(root):
        yield ComparisonPaths(RunPaths(root / name).report / "compare").result, root / name
    for folder in (root / ".compare").glob("*"):
        yield ComparisonPaths(folder).result, None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
