"""Answers on disk: which of them belong to what is asked now, and which can be taken from another comparison.

What an arm is asked, and by which weights, has a fingerprint. Answers are used again only under the same one, so a
changed plan never mixes old answers with new ones, and what the untrained model said before training need not be
asked again for the run.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.figures import Answer, ArmName, ComparisonPaths, Plan, Prompt, TestRow
from finetui_core.files import private_folder, write_atomically
from finetui_core.runs.paths import run_ids
from finetui_core.runs.records import encode_line

BEFORE_TRAINING = ".compare"
"""The folder inside the folder of runs for comparisons of recipes that have no run yet."""
_SET_ASIDE = "aside"
_PIECE = 1 << 16


def arm_fingerprint(
    weights: str, max_new_tokens: int, rows: Sequence[TestRow], prompts: Sequence[Prompt]
) -> str:
    """Of everything that decides an arm's answers and likelihoods; `weights` names the model and its checkpoint."""
    digest = hashlib.sha256(f"{weights}\n{max_new_tokens}\n".encode())
    for row, prompt in zip(rows, prompts, strict=True):
        digest.update(encode_line(prompt))
        digest.update(encode_line({"reference": row.reference, "tools": row.tools}))
    return digest.hexdigest()[:32]


def folder_fingerprint(paths: Iterable[Path]) -> str:
    """Of a folder's files by name, size, and their first and last bytes: whole weights would take minutes."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(_PIECE))
            stream.seek(max(_PIECE, size - _PIECE))
            digest.update(stream.read(_PIECE))
    return digest.hexdigest()[:32]


def read_plan(paths: ComparisonPaths) -> Plan | None:
    """The plan of a comparison, None where there is none that can be read."""
    try:
        return msgspec.json.decode(paths.plan.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def ready_answers(paths: ComparisonPaths, plan: Plan, runs: Path) -> dict[ArmName, int]:
    """Leave in the folder only answers that belong to the plan, as many as there are anywhere; returns their numbers.

    Those of another plan are set aside, and come back with it. Answers that could not be had are asked again.
    """
    before = read_plan(paths)
    old = before.fingerprints if before else {}
    for arm, fingerprint in old.items():
        if plan.fingerprints.get(arm) != fingerprint and paths.answers(arm).exists():
            aside = _aside(paths, arm, fingerprint)
            private_folder(aside.parent)
            paths.answers(arm).replace(aside)
    ready = {}
    for arm, fingerprint in plan.fingerprints.items():
        own = paths.answers(arm)
        if old.get(arm) != fingerprint:
            own.unlink(missing_ok=True)  # of no known plan
        found = [read_answers(path) for path in (own, *_elsewhere(paths, arm, fingerprint, runs))]
        most = max(found, key=_answered)
        kept = {index: one for index, one in most.items() if one.ended != "error" and index < plan.rows}
        if kept != found[0] or _is_torn(own):
            _write_lines(own, kept.values())
        ready[arm] = len(kept)
    return ready


def _is_torn(path: Path) -> bool:
    """Whether the last line has no end, so that the next answer would be lost in it."""
    try:
        return not path.read_bytes().endswith(b"\n")
    except OSError:
        return False


def _answered(answers: Mapping[int, Answer]) -> int:
    return sum(one.ended != "error" for one in answers.values())


def _write_lines(path: Path, answers: Iterable[Answer]) -> None:
    private_folder(path.parent)
    write_atomically(path, b"".join(encode_line(one) for one in answers))


def _aside(paths: ComparisonPaths, arm: ArmName, fingerprint: str) -> Path:
    return paths.root / _SET_ASIDE / f"{arm}-{fingerprint[:16]}.jsonl"


def _elsewhere(paths: ComparisonPaths, arm: ArmName, fingerprint: str, runs: Path) -> Iterator[Path]:
    """Files of answers to exactly these questions: set aside here, or in the other comparisons."""
    yield _aside(paths, arm, fingerprint)
    for other in comparison_folders(runs):
        if other.root != paths.root:
            plan = read_plan(other)
            if plan is not None and plan.fingerprints.get(arm) == fingerprint:
                yield other.answers(arm)
            yield _aside(other, arm, fingerprint)


def comparison_folders(runs: Path) -> list[ComparisonPaths]:
    """All comparisons in a folder of runs: those of recipes, and those of its runs."""
    before = runs / BEFORE_TRAINING
    folders = sorted(before.iterdir()) if before.is_dir() else []
    folders += [runs / run_id / "report" / "compare" for run_id in run_ids(runs)]
    return [ComparisonPaths(folder) for folder in folders if (folder / "plan.json").is_file()]
