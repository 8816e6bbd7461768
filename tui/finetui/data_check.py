"""The check of a data set as the Data station follows it: lines of its child → what is known by now."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from finetui import launching
from finetui.data_child import follow
from finetui_core.data.check.catalogue import RULES, SEVERITIES
from finetui_core.data.check.findings import Example, Found

State = Literal["none", "running", "done", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What is found so far, the gravest first. `fault` says why there is no result."""

    state: State = "none"
    share: float = 0.0
    stage: str = ""
    found: tuple[Found, ...] = ()
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)
    files: Sequence[str] = ()
    sentence: str = ""
    fault: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether it is over and no error was found."""
        return self.state == "done" and all(one.severity != "error" for one in self.found)

    def words(self) -> str:
        """How far it is, in a sentence."""
        if self.state == "running":
            return f"{self.stage or 'checking'} … {self.share * 100:.0f} %   x ends it"
        if self.state == "failed":
            return f"not checked: {self.fault}"
        if self.state == "cancelled":
            return "the check was ended: what it had found until then is shown   r checks again"
        if self.state == "done":
            return self.sentence or self._counted()
        return ""

    def _counted(self) -> str:
        numbers = {severity: sum(one.severity == severity for one in self.found) for severity in SEVERITIES}
        parts = [f"{number} kinds of {severity}" for severity, number in numbers.items() if number]
        return f"checked: {', '.join(parts)}" if parts else "checked: nothing was found"

    def one(self, rule: str | None) -> Found | None:
        return next((found for found in self.found if found.rule == rule), None)

    def rows_of(self, rule: str) -> Sequence[int]:
        """The rows of a finding, ascending: all of them, or those of the examples where no more are told."""
        if rule in self.rows:
            return self.rows[rule]
        found = self.one(rule)
        return sorted({row for one in found.examples if (row := _row_here(one)) is not None}) if found else ()

    def holds(self, rule: str, row: int) -> bool:
        """Whether a row is among those of a finding."""
        rows = self.rows_of(rule)
        at = bisect_left(rows, row)
        return at < len(rows) and rows[at] == row

    def examples_of(self, row: int) -> list[tuple[str, Example]]:
        """What was found of a row beside others: repeats, contradictions, leaks."""
        return [
            (found.rule, example)
            for found in self.found
            for example in found.examples
            if _row_here(example) == row
        ]

    def double_of(self, row: int) -> tuple[str, int] | None:
        """The row, and the file that holds it ("" for this one), that a row repeats or contradicts."""
        for _, example in self.examples_of(row):
            if example.other is None:
                continue
            if example.file == 0:
                return self._file(example.other_file or 0), example.other
            return self._file(example.file), example.row
        return None

    def _file(self, number: int) -> str:
        return self.files[number] if 0 < number < len(self.files) else ""


def _row_here(example: Example) -> int | None:
    """Which row of the first file an example is about; a leak is told of the validation row."""
    if example.file == 0:
        return example.row
    return example.other if example.other_file == 0 else None


def follow_check(
    source: str, recipe: str, tell: Callable[[Check], object], cancelled: Callable[[], bool]
) -> None:
    """Check the file at `source` in a child, under a recipe where one is given, and tell what is known by now
    again and again, and at the end."""
    arguments = ["data", "check", source, "--stream", *(["--recipe", recipe] if recipe else [])]
    check = Check(state="running")

    def take(line: bytes) -> None:
        nonlocal check
        check = taken(check, line)
        if not cancelled():
            tell(check)

    ended = follow([*launching.PROGRAM, *arguments], take, cancelled)
    tell(_ended(check, ended.code, ended.said))


def taken(check: Check, line: bytes) -> Check:
    """The check after a line of its child; a line that is not understood changes nothing."""
    try:
        message = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return check
    return _taken(check, message) if isinstance(message, dict) else check


def _taken(check: Check, message: dict[str, Any]) -> Check:
    kind = message.get("type")
    if kind == "progress":
        done, total, rows = (message.get(name) for name in ("bytes_done", "bytes_total", "rows"))
        counts = message.get("found")
        share = done / total if isinstance(done, int) and isinstance(total, int) and total else 0.0
        known = counts if isinstance(counts, dict) else {}
        found = [
            Found(rule, RULES[rule].severity, number, rows or 0)
            for rule, number in known.items()
            if rule in RULES and isinstance(number, int)
        ]
        return replace(
            check, state="running", share=min(1.0, share), found=gravest_first(found) or check.found
        )
    if kind == "stage":
        return replace(check, stage=str(message.get("stage", "")))
    report = message.get("report", message)
    try:
        found = msgspec.convert(report["found"], list[Found])
    except (KeyError, TypeError, msgspec.ValidationError):
        return check
    rows_of = report.get("rows")
    return Check(
        state="done" if kind == "report" else "running",
        share=check.share,
        stage=check.stage,
        found=gravest_first(found),
        rows={rule: rows for rule, rows in rows_of.items() if isinstance(rows, list)}
        if isinstance(rows_of, dict)
        else {},
        files=_paths(report.get("files")),
        sentence=str(report.get("sentence", "")),
    )


def _paths(files: object) -> list[str]:
    return (
        [str(one.get("path", "")) for one in files if isinstance(one, dict)]
        if isinstance(files, list)
        else []
    )


def gravest_first(found: Sequence[Found]) -> tuple[Found, ...]:
    known = [one for one in found if one.rule in RULES]
    return tuple(sorted(known, key=lambda one: (SEVERITIES.index(one.severity), -one.count)))


def _ended(check: Check, code: int | None, said: str) -> Check:
    """The check once its child has ended."""
    if code is None:
        return replace(check, state="cancelled")
    if check.state == "done":
        return check
    return replace(check, state="failed", fault=said.partition("\n")[0] or f"it ended with exit code {code}")
