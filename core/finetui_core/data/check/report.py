"""The report of a data check: what was found in all files together, and what a person should do about it."""

from collections.abc import Sequence
from itertools import chain
from shlex import quote
from typing import Any, Literal

import msgspec

from finetui_core.data.check.catalogue import RULES, SEVERITIES
from finetui_core.data.check.findings import Found
from finetui_core.data.check.groups import repeated
from finetui_core.data.check.scan import Scan
from finetui_core.data.check.size import SizeGuide
from finetui_core.data.mend.choice import fix_command
from finetui_core.wording import count

SCHEMA = 1
Role = Literal["train", "val"]
Verdict = Literal["errors", "warnings", "clean"]
_EXAMPLES = 50
_NAMED = 3  # findings that the sentence names
_STYLE = 0.3
"""From this share on, what answers look like is the style of the set and no exception in it."""


class FileFacts(msgspec.Struct, frozen=True):
    """One file that was checked. `readable` rows can be trained on. `changed` says what became of the file meanwhile,
    "" for nothing."""

    path: str
    role: Role
    sha256: str
    format: str
    rows: int
    bytes: int
    readable: int
    distinct_rows: int
    distinct_prompts: int
    changed: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`found` is gravest first; examples name a file by its place in `files`. `notes` say what was not looked at.

    `recipe` is a `recipe.RecipeSection` as plain values: its module needs the training libraries, a report does not.
    """

    schema: int = SCHEMA
    verdict: Verdict
    sentence: str
    complete: bool
    files: tuple[FileFacts, ...]
    found: tuple[Found, ...]
    size: SizeGuide | None = None
    recipe: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def file_facts(scan: Scan, role: Role) -> FileFacts:
    readable = sum(1 for key in scan.row_keys if key)
    return FileFacts(
        path=scan.source,
        role=role,
        sha256=scan.sha256,
        format=scan.format,
        rows=scan.rows,
        bytes=scan.size,
        readable=readable,
        distinct_rows=readable - _repeats(scan.row_keys),
        distinct_prompts=readable - _repeats(scan.prompt_keys),
        changed=scan.changed,
    )


def _repeats(keys: Sequence[int]) -> int:
    return sum(len(group) - 1 for group in repeated(keys))


def rows_found(scan: Scan) -> list[Found]:
    """What the rules of single rows found in one file."""
    return [
        Found(rule, RULES[rule].severity, len(rows), scan.rows, "", tuple(scan.examples[rule]))
        for rule, rows in scan.found.items()
    ]


def together(found: Sequence[Found]) -> tuple[Found, ...]:
    """One finding of each rule, the gravest first, with what its share means."""
    by_rule: dict[str, list[Found]] = {}
    for one in found:
        by_rule.setdefault(one.rule, []).append(one)
    merged = [_merged(same) for same in by_rule.values()]
    return tuple(sorted(merged, key=lambda one: (SEVERITIES.index(one.severity), -one.count, one.rule)))


def _merged(same: Sequence[Found]) -> Found:
    first = same[0]
    of, number = sum(one.of for one in same), sum(one.count for one in same)
    notes = [one.note for one in same if one.note] + [_meaning(first.rule, number / of if of else 0.0)]
    examples = tuple(chain.from_iterable(one.examples for one in same))[:_EXAMPLES]
    return Found(first.rule, first.severity, number, of, "; ".join(filter(None, notes)), examples)


def _meaning(rule: str, share: float) -> str:
    """What the share of a finding says that is no fault by itself, but only where it stands out from its set."""
    if rule in ("cut_off", "refusal", "html_leftovers") and share >= _STYLE:
        return "so many that it is the style of this set rather than a fault of single rows"
    return ""


def verdict_of(found: Sequence[Found]) -> Verdict:
    severities = {one.severity for one in found}
    if "error" in severities:
        return "errors"
    return "warnings" if "warning" in severities else "clean"


def sentence_of(files: Sequence[FileFacts], found: Sequence[Found], *, complete: bool) -> str:
    """One to three sentences on what a person should do."""
    number = sum(file.rows for file in files)
    rows = f"{count(number)} row{'s' if number != 1 else ''}{'' if complete else ' so far'}"
    grave = [one for one in found if one.severity != "info"]
    errors = [one for one in grave if one.severity == "error"]
    warnings = [one for one in grave if one.severity == "warning"]
    if not grave:
        facts = f" Good to know: {_named(found)}." if found else ""
        return f"Nothing wrong was found in {rows}.{facts}"
    parts = []
    if errors:
        parts.append(f"Mend before training: {_named(errors)}.")
    if warnings:
        begins = "Then look at" if errors else f"No errors in {rows}. Look at"
        parts.append(f"{begins} {_named(warnings)}.")
    train = next((file.path for file in files if file.role == "train"), files[0].path)
    if any(fix_command(one.rule, train, "") for one in grave):
        parts.append(f"What can be mended, shows: ftui data fix {quote(train)} --plan")
    return " ".join(parts)


def _named(found: Sequence[Found]) -> str:
    """The first findings with their numbers, and how many more there are."""
    named = [f"{RULES[one.rule].title} ({count(one.count)}{_first_line(one)})" for one in found[:_NAMED]]
    more = len(found) - _NAMED
    return ", ".join(named) + (f", and {more} more kind{'s' if more > 1 else ''}" if more > 0 else "")


def _first_line(one: Found) -> str:
    return f", line {count(one.examples[0].line)}" if one.count == 1 and one.examples else ""
