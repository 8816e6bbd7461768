"""From a recipe or a run to a plan: which rows are asked, how they are scored, in which ways they are answered."""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.reading import context_length, read_with
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.arms import COSTS, Asked, Help, arms_for, prompts
from finetui_core.evaluate.comparison import Planned
from finetui_core.evaluate.documents import Documents, read_documents
from finetui_core.evaluate.endpoint import Endpoint
from finetui_core.evaluate.figures import Arm, ArmName, ComparisonPaths, Plan, TestRow
from finetui_core.evaluate.kept_answers import BEFORE_TRAINING, arm_fingerprint
from finetui_core.evaluate.rendering import length_of
from finetui_core.evaluate.rows import HeldOut, clusters, held_out_rows
from finetui_core.evaluate.scoring import BINARY, Scoring, choose_scoring
from finetui_core.evaluate.statistics import detectable_gain, unit_count
from finetui_core.evaluate.subject import Subject, changed_data, weights_fingerprint
from finetui_core.runs.paths import slug
from finetui_core.wording import count

BASE = "zero_shot"
_SPARE = 1.25
_SHORTEST, _LONGEST = 16, 1024  # tokens
_FOLDER_NAME = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for. `arms` None are all that can be asked, `max_new_tokens` None follows the references;
    `metric_folder` is where a metric of the user's own is imported from."""

    arms: Sequence[ArmName] | None
    documents: Path | None
    shots: int
    max_rows: int
    max_new_tokens: int | None
    metric: str | None
    metric_folder: Path
    endpoint: Endpoint | None


def plan_comparison(subject: Subject, wanted: Wanted, runs: Path) -> Planned:
    """Everything that is known before a model is loaded; writes nothing. Raises InputError."""
    held = held_out_rows(subject.recipe, wanted.max_rows)
    documents = read_documents(wanted.documents) if wanted.documents else None
    scoring = choose_scoring(held.rows, wanted.metric, wanted.metric_folder)
    arms = _chosen_arms(subject, wanted, held)
    reading = read_with(subject.recipe)
    context = context_length(reading.config) or reading.max_length
    longest = wanted.max_new_tokens or _longest_answer(held.rows, reading.tokenizer, context)
    passages = documents.passages if documents else ()
    room = context - longest
    seed = subject.recipe.train.seed
    asked = prompts(
        arms,
        held.rows,
        Help(held.train_rows, passages, wanted.shots, seed, room, length_of(reading.tokenizer)),
    )
    prints = {
        arm.name: arm_fingerprint(
            _weights(subject, arm, wanted.endpoint), longest, held.rows, asked[arm.name].prompts
        )
        for arm in arms
    }
    plan = _plan(subject, wanted, held, scoring, arms, longest, prints, [*_notes(subject, documents, asked)])
    return Planned(
        ComparisonPaths(_folder(subject, prints, runs)),
        plan,
        held.rows,
        {name: one.prompts for name, one in asked.items()},
        scoring,
        runs,
    )


def _plan(
    subject: Subject,
    wanted: Wanted,
    held: HeldOut,
    scoring: Scoring,
    arms: Sequence[Arm],
    longest: int,
    prints: Mapping[ArmName, str],
    notes: Sequence[str],
) -> Plan:
    kept = subject.recipe.data.val is None
    return Plan(
        created=time.time(),
        source=subject.name,
        model=_short_name(subject.recipe.model.name),
        test_file=f"{_short_name(held.file)}{' (the share kept for validation)' if kept else ''}",
        rows=len(held.rows),
        excluded=held.excluded,
        task=scoring.task,
        metric=scoring.metric,
        metrics=tuple(scoring.functions),
        arms=tuple(arms),
        max_new_tokens=longest,
        shots=wanted.shots,
        detectable=detectable_gain(
            unit_count(len(held.rows), clusters(held.rows)), binary=scoring.metric in BINARY
        ),
        notes=tuple(notes),
        fingerprints=prints,
    )


def _chosen_arms(subject: Subject, wanted: Wanted, held: HeldOut) -> list[Arm]:
    """Those that are wanted, and always the base without help, the cheaper ones first."""
    possible = arms_for(
        has_run=subject.checkpoint is not None,
        examples=held.train_rows,
        documents=wanted.documents,
        endpoint=wanted.endpoint,
        shots=wanted.shots,
    )
    there = {arm.name for arm in possible}
    names = there if wanted.arms is None else {BASE, *wanted.arms}
    problems = [_missing(name, subject) for name in sorted(names - there)]
    if problems:
        raise InputError(problems)
    return sorted((arm for arm in possible if arm.name in names), key=lambda arm: arm.cost)


def _missing(name: str, subject: Subject) -> Problem:
    where = "--arms"
    if name not in COSTS:
        return Problem(f"there is no way to answer named {name!r}", where, f"there are: {', '.join(COSTS)}")
    if name == "endpoint":
        return Problem(f"{name} needs an address", where, "name it with --endpoint URL --endpoint-model NAME")
    if name.startswith("tuned") and subject.checkpoint is None:
        return Problem(f"{name} needs a trained run", where, f"train first: ftui train {subject.name}")
    if name.endswith("documents"):
        return Problem(f"{name} needs documents", where, "name their folder with --documents FOLDER")
    what = f"{name} needs training rows that are plain chats: user and assistant by turns"
    return Problem(what, where, "leave it out")


def _longest_answer(rows: Sequence[TestRow], tokenizer: Any, context: int) -> int:
    """A quarter more than the longest reference, in eights, but at most half of what the model reads."""
    longest = max(len(tokenizer(row.reference, add_special_tokens=False)["input_ids"]) for row in rows)
    wanted = 8 * math.ceil(_SPARE * longest / 8)
    return max(1, min(max(wanted, _SHORTEST), _LONGEST, context // 2))


def _weights(subject: Subject, arm: Arm, endpoint: Endpoint | None) -> str:
    if arm.weights == "endpoint" and endpoint is not None:
        return f"{endpoint.url} {endpoint.model}"
    return weights_fingerprint(subject, tuned=arm.weights == "tuned")


def _notes(subject: Subject, documents: Documents | None, asked: Mapping[ArmName, Asked]) -> Iterator[str]:
    if subject.checkpoint is not None:
        yield f"the tuned weights are those of step {subject.checkpoint.step}"
    yield from changed_data(subject)
    if documents is not None:
        left_out = "; ".join(f"{number} {reason}" for reason, number in documents.skipped.items())
        passages = f"{count(len(documents.passages))} passages from {count(documents.files)} documents"
        yield f"{passages}{f'; left out: {left_out}' if left_out else ''}"
    for name, one in asked.items():
        if one.left_out:
            what = "passage" if name.endswith("documents") else "example"
            some = f"{count(one.left_out)} {what}{'' if one.left_out == 1 else 's'}"
            yield f"{name}: {some} left out for want of room in what the model reads"


def _short_name(path: str) -> str:
    """A path by its last part; names of the hub stay."""
    return Path(path).name if Path(path).exists() else path


def _folder(subject: Subject, prints: Mapping[ArmName, str], runs: Path) -> Path:
    if subject.run is not None:
        return subject.run.report / "compare"
    print_of_all = hashlib.sha256("\n".join(sorted(prints.values())).encode()).hexdigest()
    return runs / BEFORE_TRAINING / f"{slug(Path(subject.name).stem)}-{print_of_all[:_FOLDER_NAME]}"
