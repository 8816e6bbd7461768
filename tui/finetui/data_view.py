"""Which rows of a data set are shown, and why, and what can be done with them."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetui.data_check import Check
from finetui.data_file import DataFile
from finetui_core.data.mend.choice import can_be_dropped, fix_command

_OF_A_FILE = ("filter", "switch", "panel", "fix", "fix_all", "drop", "edit", "recipe", "again", "everything")


@dataclass
class DataView:
    """One file and what is known of it.

    `finding` is the rule whose rows are shown, "" for all; of these, `fitting` has the ones that `filter` has found
    so far, and `searching` says how far that search is.
    """

    file: DataFile
    check: Check = field(default_factory=Check)
    change: str = ""
    finding: str = ""
    filter: str = ""
    fitting: "array[int]" = field(default_factory=lambda: array("Q"))
    searching: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all rows are shown."""
        return not self.filter and not self.finding

    @property
    def among(self) -> Sequence[int] | None:
        """The rows that a filter looks through; None for all."""
        return self.check.rows_of(self.finding) if self.finding else None

    @property
    def numbers(self) -> Sequence[int]:
        """The rows that are shown, ascending."""
        if self.filter:
            return self.fitting
        among = self.among
        return range(self.file.rows.rows) if among is None else among

    def place_of(self, key: str) -> int | None:
        """Where a row stands among those that are shown."""
        numbers, number = self.numbers, int(key)
        at = bisect_left(numbers, number)
        return at if at < len(numbers) and numbers[at] == number else None

    @property
    def named(self) -> str:
        """What the rows have to fit. Examples are never taken for all rows of a finding."""
        one = self.check.one(self.finding)
        if one is None:
            return self.filter
        listed = len(self.check.rows_of(self.finding))
        part = f" (the first {listed:,} of {one.count:,})" if listed < one.count else ""
        return " ".join(word for word in (f"rule:{self.finding}{part}", self.filter) if word)

    def show_finding(self, rule: str) -> None:
        """Show the rows of one rule, or all rows."""
        self.finding = rule
        self.show_fitting("")

    def show_fitting(self, filter: str) -> "array[int]":
        """Show what fits a filter: the rows are put into what is returned as they are found."""
        self.filter, self.searching, self.fitting = filter, "", array("Q")
        return self.fitting

    def rules_of_set(self, row: int) -> Sequence[str]:
        """What the check found of a row beside others."""
        return [rule for rule, _ in self.check.examples_of(row)]

    def rules_of(self, row: int) -> Sequence[str]:
        """What a filter finds by rule: what the row itself shows, and what the check found of it."""
        rules = [hit.rule for hit in self.file.hits(row)]
        return [*rules, *(one.rule for one in self.check.found if self.check.holds(one.rule, row))]


def unavailable(view: DataView | None, finding: str | None, row: str | None) -> dict[str, str]:
    """Why actions cannot be done now, by id; `finding` and `row` are those under the cursors."""
    if view is None:
        reasons = {f"data.{name}": "no file is open" for name in _OF_A_FILE}
        return reasons | {"data.cancel": "nothing is under way"}
    reasons = {}
    one = view.check.one(finding)
    if one is None:
        reasons |= dict.fromkeys(("data.fix", "data.drop"), "no finding is chosen")
    elif not fix_command(one.rule, view.file.source, ""):
        reasons["data.fix"] = "it has no safe mend: a person must decide"
    if one is not None and not can_be_dropped(one.rule):
        reasons["data.drop"] = "it is not about single rows of this file"
    if view.is_whole:
        reasons["data.everything"] = "all rows are shown"
    if row is None:
        reasons["data.edit"] = "there is no row"
    if view.check.state != "running" and not view.searching:
        reasons["data.cancel"] = "nothing is under way"
    return reasons
