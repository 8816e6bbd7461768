"""A whole check: each file scanned, compared with itself and the others, and read as the recipe's model will."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from finetui_core.data.check.findings import Found
from finetui_core.data.check.groups import group_found, label_set, repeated
from finetui_core.data.check.leakage import leakage_found, leaked, near_leakage_found
from finetui_core.data.check.near import near_found, near_pairs, unavailable
from finetui_core.data.check.report import (
    FileFacts,
    Report,
    Role,
    file_facts,
    rows_found,
    sentence_of,
    together,
    verdict_of,
)
from finetui_core.data.check.reread import Rows
from finetui_core.data.check.scan import Progress, Scan, scan
from finetui_core.data.check.size import SizeGuide, size_guide
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import Recipe

MOST_ROWS_TOLD = 200_000
"""Rows of one rule that are named; a filter of more rows than that helps nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to check; the layout is told only where a recipe does."""

    path: str
    role: Role = "train"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class Checked:
    """The report, and which rows of the first file each rule found."""

    report: Report
    rows: dict[str, list[int]]


class Follower:
    """What is told while a check goes on; this one tells nothing and never ends it."""

    def progress(self, progress: Progress) -> None:
        """How far the reading of all files together is."""

    def stage(self, name: str) -> None:
        """What is done now: a sentence's beginning."""

    def partial(self, found: Sequence[Found]) -> None:
        """What is found so far."""

    def cancelled(self) -> bool:
        return False


def check(
    sources: Sequence[Source],
    recipe: Recipe | None = None,
    *,
    fast: bool = False,
    workers: int | None = None,
    follower: Follower | None = None,
) -> Checked:
    """Check files together. `fast` leaves near-duplicates out and reads nothing as tokens.

    Raises InputError with the problems of all files that cannot be used.
    """
    follower = follower or Follower()
    scans = _scans(sources, workers, follower)
    complete = all(one.complete for one in scans) and not follower.cancelled()
    found = [one for scanned in scans for one in rows_found(scanned)]
    follower.partial(together(found))
    rows = {rule: list(numbers[:MOST_ROWS_TOLD]) for rule, numbers in scans[0].found.items()}
    notes = [scanned.changed + ": check it again" for scanned in scans if scanned.changed]
    with ExitStack() as opened:
        readers = [opened.enter_context(Rows(scanned)) for scanned in scans]
        if complete:
            found += _compared(sources, scans, readers, rows, notes, follower, fast=fast)
            follower.partial(together(found))
    section = None
    if complete and recipe is not None and not fast:
        section = _under_recipe(recipe, follower)
        found += msgspec.convert(section["found"], list[Found])
    complete = complete and not follower.cancelled()
    if not complete:
        notes.append("the check was ended before it was done")
    files = tuple(file_facts(scanned, source.role) for scanned, source in zip(scans, sources, strict=True))
    merged = together(found)
    report = Report(
        verdict=verdict_of(merged),
        sentence=sentence_of(files, merged, complete=complete),
        complete=complete,
        files=files,
        found=merged,
        size=_size(files, recipe, section) if complete else None,
        recipe=section,
        notes=tuple(notes),
    )
    return Checked(report, rows)


def _scans(sources: Sequence[Source], workers: int | None, follower: Follower) -> list[Scan]:
    scans: list[Scan] = []
    problems: list[Problem] = []
    for number, source in enumerate(sources):
        try:
            scans.append(
                scan(
                    source.path,
                    format=source.format,
                    workers=workers,
                    file=number,
                    progress=follower.progress,
                    cancelled=follower.cancelled,
                )
            )
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return scans


def _compared(
    sources: Sequence[Source],
    scans: Sequence[Scan],
    readers: Sequence[Rows],
    rows: dict[str, list[int]],
    notes: list[str],
    follower: Follower,
    *,
    fast: bool,
) -> list[Found]:
    """What the rules find that compare rows; their rows in the first file are put into `rows`."""
    found: list[Found] = []
    missing = "near-duplicates were left out, as --fast says" if fast else unavailable()
    if missing:
        notes.append(missing)
    for number, (scanned, reader) in enumerate(zip(scans, readers, strict=True)):
        follower.stage("comparing rows")
        found += group_found(scanned, reader.read, number)
        if number == 0:
            repeats = [row for group in repeated(scanned.row_keys) for row in group[1:]]
            rows["exact_duplicate"] = sorted(repeats)[:MOST_ROWS_TOLD]
        if not missing and not follower.cancelled():
            follower.stage("looking for near-duplicates")
            pairs = near_pairs(scanned, reader.all(), reader.read)
            found += near_found(scanned, pairs, reader.read, label_set(scanned, reader.read), number)
            if number == 0:
                rows["near_duplicate"] = sorted({pair.row for pair in pairs})[:MOST_ROWS_TOLD]
    follower.stage("comparing training and validation rows")
    for one, val in enumerate(sources):
        for other, train in enumerate(sources):
            if (train.role, val.role) != ("train", "val") or follower.cancelled():
                continue
            found += leakage_found(scans[other], scans[one], (other, one))
            if one == 0:
                rows["leakage"] = sorted(leaked(scans[other], scans[one]))
            if not missing:
                found += near_leakage_found(
                    scans[other],
                    scans[one],
                    readers[other].all(),
                    readers[one].all(),
                    readers[other].read,
                    readers[one].read,
                    (other, one),
                )
    return found


def _under_recipe(recipe: Recipe, follower: Follower) -> dict[str, object]:
    from finetui_core.data.check.recipe import recipe_section
    from finetui_core.data.reading import read_with

    follower.stage("reading the rows as the model will")
    section = recipe_section(recipe, read_with(recipe), cancelled=follower.cancelled)
    values: dict[str, object] = msgspec.to_builtins(section)
    return values


def _size(files: Sequence[FileFacts], recipe: Recipe | None, section: dict[str, object] | None) -> SizeGuide:
    train = [file for file in files if file.role == "train"]
    val_rows = sum(file.rows for file in files if file.role == "val")
    tokens = None
    if section is not None:
        tokens = int(str(section["train_supervised_tokens"]))
        val_rows = int(str(section["val_rows"]))
    return size_guide(
        sum(file.rows for file in train),
        sum(file.distinct_rows for file in train),
        sum(file.distinct_prompts for file in train),
        val_rows,
        tokens,
        recipe.train.method if recipe else "lora",
    )
