"""What would be mended in a file, found without writing anything."""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from finetui_core.data.check.groups import repeated
from finetui_core.data.check.keys import UNREADABLE, prompt_key, row_key
from finetui_core.data.check.near import near_text
from finetui_core.data.conversation import Row, TextDocument
from finetui_core.data.mend import repeats
from finetui_core.data.mend.choice import Choice
from finetui_core.data.mend.preview import Preview, preview, shortened
from finetui_core.data.mend.rows import Mended, mend_row
from finetui_core.data.mend.source import is_json_lines, layout_of, regular_file, rows_of, source_rows
from finetui_core.errors import InputError, Problem

SHOWN = 5
COPY, CHANGE, DROP = 0, 1, 2
"""What becomes of a row: DROP plus the place of the rule in `Plan.counts` says what it is dropped for."""


@dataclass(slots=True)
class RuleCount:
    """Rows of one rule that are changed, dropped, or left since they could not be mended; the first few shown."""

    rule: str
    mend: str
    changed: int = 0
    dropped: int = 0
    left: int = 0
    shown: list[Preview] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """`fates` says what becomes of each row, one byte a row; `others` which row a dropped one repeats.

    `sha256` is the source's, so that the file that is mended later is the one looked at.
    """

    source: str
    sha256: str
    layout: str
    json_lines: bool
    choice: Choice
    fates: bytearray
    others: dict[int, int]
    counts: dict[str, RuleCount]

    @property
    def rows(self) -> int:
        return len(self.fates)

    @property
    def changed(self) -> int:
        return self.fates.count(CHANGE)

    @property
    def dropped(self) -> int:
        return self.rows - self.changed - self.fates.count(COPY)

    def rule_of(self, row: int) -> str:
        """The rule that a dropped row is dropped for."""
        return list(self.counts)[self.fates[row] - DROP]


@dataclass(slots=True)
class _Seen:
    """What is kept of each row while a file is read: 13 bytes, and the texts in a file where they are compared."""

    fates: bytearray = field(default_factory=bytearray)
    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    texts: repeats.Texts | None = None
    text_rows: "array[int]" = field(default_factory=lambda: array("I"))


def plan(source: str, choice: Choice) -> Plan:
    """Look at every row by itself, then beside the others.

    Raises InputError for a file that cannot be used, or of which no row would be left.
    """
    digest = sha256_of(regular_file(source))
    json_lines = is_json_lines(source)
    layout = layout_of(source, json_lines=json_lines)
    counts = {rule: RuleCount(rule, mend) for rule, mend in choice.mends.items()}
    seen = _Seen(texts=repeats.Texts() if {"near_duplicate", "near_leakage"} & counts.keys() else None)
    barred = {prompt_key(row) for row in rows_of(choice.val)} if "leakage" in counts else set()
    for item in source_rows(source, json_lines=json_lines):
        if item.row < 0:
            continue
        mended = mend_row(item.value, layout, item.place(source), choice, item.raw or None)
        if mended.row is not None and prompt_key(mended.row) in barred:
            mended = Mended(None, None, (*mended.done, "leakage"), (), mended.hits)
        if item.value is None and not mended.done and not json_lines:
            hint = "Add unreadable_row to --only."
            raise InputError(Problem("a row that cannot be read cannot be copied", item.place(source), hint))
        _keep(seen, mended, counts)
        for rule in _count(counts, mended):
            counts[rule].shown.append(preview(item, mended.value, mended.hits, rule))
    made = Plan(source, digest, layout, json_lines, choice, seen.fates, {}, counts)
    try:
        _drop_repeats(made, seen)
    finally:
        if seen.texts is not None:
            seen.texts.close()
    _show_repeats(made)
    if made.dropped == made.rows:
        raise InputError(Problem("no row would be left", source, f"Look first: ftui data check {source}"))
    return made


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(seen: _Seen, mended: Mended, counts: dict[str, RuleCount]) -> None:
    is_dropped = mended.value is None and bool(mended.done)
    place = list(counts).index(mended.done[-1]) if is_dropped else 0
    seen.fates.append(DROP + place if is_dropped else CHANGE if mended.done else COPY)
    seen.keys.append(UNREADABLE if mended.row is None else row_key(mended.row))
    seen.sizes.append(0 if mended.row is None else _size(mended.row))
    if seen.texts is not None and mended.row is not None:
        seen.text_rows.append(len(seen.fates) - 1)
        seen.texts.append(near_text(mended.row))


def _size(row: Row) -> int:
    texts = [row.text] if isinstance(row, TextDocument) else [message.content for message in row.messages]
    return min(sum(map(len, texts)), 0xFFFFFFFF)


def _count(counts: dict[str, RuleCount], mended: Mended) -> list[str]:
    """Count a row under its rules; returns those of which another row is to be shown."""
    is_dropped = mended.value is None and bool(mended.done)
    rules = mended.done[-1:] if is_dropped else mended.done
    for rule in rules:
        counts[rule].dropped += is_dropped
        counts[rule].changed += not is_dropped
    for rule in mended.left:
        counts[rule].left += 1
    return [rule for rule in rules if len(counts[rule].shown) < SHOWN]


def _drop_repeats(made: Plan, seen: _Seen) -> None:
    def drop(rule: str, row: int, other: int | None = None) -> None:
        if made.fates[row] < DROP:
            made.counts[rule].dropped += 1
            made.fates[row] = DROP + list(made.counts).index(rule)
            if other is not None:
                made.others[row] = other

    if seen.texts is not None and "near_leakage" in made.counts:
        texts = (near_text(row) for row in rows_of(made.choice.val))
        for row in repeats.near_others(seen.texts, texts, seen.text_rows):
            drop("near_leakage", row)
    for rule in ("exact_duplicate", "near_duplicate"):
        if rule not in made.counts:
            continue
        for group in _groups(rule, seen):
            present = [row for row in group if made.fates[row] < DROP]
            if len(present) > 1:
                kept = repeats.kept_of(present, made.choice.keep, seen.sizes)
                for row in present:
                    if row != kept:
                        drop(rule, row, kept)


def _groups(rule: str, seen: _Seen) -> Iterator[list[int]]:
    if rule == "near_duplicate" and seen.texts is not None:
        return repeats.near(seen.texts, seen.text_rows)
    return repeated(seen.keys)


def _show_repeats(made: Plan) -> None:
    """Read the first rows that are dropped as repeats once more, to show them."""
    wanted: dict[int, str] = {}
    for rule in ("exact_duplicate", "near_duplicate", "near_leakage"):
        if rule in made.counts and made.counts[rule].dropped:
            fate = bytes([DROP + list(made.counts).index(rule)])
            place = made.fates.find(fate)
            for _ in range(SHOWN):
                if place >= 0:
                    wanted[place] = rule
                    place = made.fates.find(fate, place + 1)
    for item in source_rows(made.source, json_lines=made.json_lines) if wanted else ():
        if item.row in wanted:
            shown = Preview(item.row, item.line, shortened(item), other=made.others.get(item.row))
            made.counts[wanted.pop(item.row)].shown.append(shown)
            if not wanted:
                return
