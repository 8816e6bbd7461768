"""What the check says about rows, as plain values that a report, a command and a screen share."""

from typing import NamedTuple

import msgspec

from finetui_core.data.check.catalogue import Severity


class Hit(NamedTuple):
    """One thing that a rule found in one row.

    `path` is the place inside the row (`$.messages[2].content`, "" for the row as a whole). `excerpt` is some text
    around it, at most 80 characters, raw (whoever shows it makes it safe) but with secrets and personal data
    already masked.
    """

    rule: str
    path: str = ""
    excerpt: str = ""


class Example(msgspec.Struct, frozen=True):
    """A hit with its row. `row` counts from 0 within the file, `line` is where it begins; `other` is the row that
    it repeats or contradicts, in `other_file` (an index into the files of the report), where there is one."""

    file: int
    row: int
    line: int
    path: str = ""
    excerpt: str = ""
    other: int | None = None
    other_file: int | None = None


class Found(msgspec.Struct, frozen=True):
    """All that one rule found: `count` rows of `of`, and the first of them as examples."""

    rule: str
    severity: Severity
    count: int
    of: int
    note: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0
