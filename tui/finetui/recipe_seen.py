"""What is known of a recipe's text: its options, their values, advice, and what is wrong at which line."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.advice import Advice, advise
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.load import Checked, Located, check_recipe
from finetui_core.recipe.shown import Shown, shown_options

Lines = tuple[int, int]
"""The first and the last line of something, from 0."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`key` is what is at fault: "table.option", "[table]" or "" for the file; line and column are from 0."""

    problem: Problem
    key: str
    line: int
    column: int
    located: Located | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """`text` is what it is about. Where that is no TOML, `syntax` says so, and the rest is of the last text that was.

    `where` has the lines of each option that is written, `headers` the line of each table.
    """

    text: str
    checked: Checked | None = None
    facts: Facts = field(default_factory=Facts)
    shown: Mapping[str, Shown] = field(default_factory=dict)
    advice: Mapping[str, Advice] = field(default_factory=dict)
    syntax: Fault | None = None
    faults: Sequence[Fault] = ()
    where: Mapping[str, Lines] = field(default_factory=dict)
    headers: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_current(self) -> bool:
        """Whether the options are those of the text."""
        return self.checked is not None and self.syntax is None

    def fault_of(self, key: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.key == key), None)

    def option_at(self, line: int) -> str | None:
        """The option or the table that is written at a line, where that is known."""
        if not self.is_current:
            return None
        for key, (first, last) in self.where.items():
            if first <= line <= last:
                return key
        return next((f"[{table}]" for table, at in self.headers.items() if at == line), None)

    def line_of(self, key: str) -> Lines | None:
        """The lines at which an option is written, or the header of its table."""
        if not self.is_current:
            return None
        if key in self.where:
            return self.where[key]
        header = self.headers.get(table_of(key))
        return None if header is None else (header, header)


def table_of(key: str) -> str:
    """The table of "table.option" or "[table]"."""
    return key.strip("[]") if key.startswith("[") else key.partition(".")[0]


def see(text: str, name: str, folder: Path, facts: Facts, before: Seen | None) -> Seen:
    """Check a text; what was known `before` stays where it is no TOML. Takes about a millisecond."""
    try:
        checked = check_recipe(text, name, folder)
    except InputError as error:
        fault = _syntax_fault(text, error.problems[0])
        known = replace(before, text=text) if before is not None else Seen(text)
        return replace(known, syntax=fault, faults=(fault,))
    starts = [0, *(at + 1 for at, one in enumerate(text) if one == "\n")]

    def line(offset: int) -> int:
        return bisect_right(starts, offset) - 1

    positions = checked.positions
    where = {
        f"{path[0]}.{path[1]}": (line(pair.key), line(max(pair.key, pair.end - 1)))
        for path, pair in positions.pairs.items()
        if len(path) == 2
    }
    where |= {
        f"[{path[0]}]": (line(pair.key), line(max(pair.key, pair.end - 1)))
        for path, pair in positions.pairs.items()
        if len(path) == 1
    }
    return Seen(
        text,
        checked,
        facts,
        {one.option.dotted: one for one in shown_options(checked, facts)},
        {one.option: one for one in advise(checked.recipe, facts)},
        None,
        tuple(_fault(located) for located in checked.located),
        where,
        {str(path[0]): line(end - 1) for path, end in positions.headers.items() if len(path) == 1},
    )


def _fault(located: Located) -> Fault:
    path = located.path
    key = f"{path[0]}.{path[1]}" if len(path) > 1 else f"[{path[0]}]" if path else ""
    line, column = located.place or (1, 1)
    return Fault(located.problem, key, line - 1, column - 1, located)


def _syntax_fault(text: str, problem: Problem) -> Fault:
    """A text that is no TOML: the place is at the end of what the problem names."""
    _, line, column = [*problem.where.rsplit(":", 2), "", ""][:3]
    if not (line.isdecimal() and column.isdecimal()):
        return Fault(problem, "", 0, 0)
    last = text.count("\n")
    return Fault(problem, "", min(int(line) - 1, last), int(column) - 1)
