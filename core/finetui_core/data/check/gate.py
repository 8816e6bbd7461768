"""What training says of its data before it begins, and what it refuses.

Rows are looked at as they are loaded anyway, so the verdict costs no second reading. Only errors count here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from finetui_core.data.check.catalogue import RULES
from finetui_core.errors import Problem
from finetui_core.wording import count

ACCEPT = "--accept-data-errors"
_SHOWN = 5

Errors = dict[str, list[str]]
"""Rule → the rows (`file:line`) in which it found something, in order, each row once."""


def verdict(errors: Mapping[str, Sequence[str]], rows: int, *, accepted: bool, unusable: int = 0) -> str:
    """One sentence on the rows of a run; `unusable` more could not be read."""
    left_out = f"; {count(unusable)} rows cannot be used and are left out" if unusable else ""
    if not errors:
        return f"data check: no errors in {count(rows)} rows{left_out}"
    wrong = len({source for sources in errors.values() for source in sources})
    rules = ", ".join(f"{RULES[rule].title} ({count(len(sources))})" for rule, sources in errors.items())
    end = f"; trained on all the same, as {ACCEPT} says" if accepted else ""
    return f"data check: errors in {count(wrong)} of {count(rows)} rows: {rules}{left_out}{end}"


def error_problems(errors: Mapping[str, Sequence[str]], rows: int, files: Sequence[str]) -> list[Problem]:
    """The refusal: the verdict with the way out, and each rule with its number and its first rows."""
    if not errors:
        return []
    problems = [Problem(verdict(errors, rows, accepted=False), "", way_out(files))]
    for rule, sources in errors.items():
        more = f", and {count(len(sources) - _SHOWN)} more" if len(sources) > _SHOWN else ""
        others = f", also {', '.join(map(_line_of, sources[1:_SHOWN]))}{more}" if len(sources) > 1 else ""
        what = f"{rule}: {RULES[rule].title}: {count(len(sources))} of {count(rows)} rows{others}"
        problems.append(Problem(what, sources[0], RULES[rule].costs))
    return problems


def way_out(files: Sequence[str]) -> str:
    """How rows with errors are seen, mended, or trained on in spite of them."""
    train, *val = map(str, files)
    named = " --val ".join([train, *val])
    return (
        f"See them with: ftui data check {named}; mend them with: ftui data fix {named} -o NEW; "
        f"or train on them all the same with: ftui train {ACCEPT}"
    )


def _line_of(source: str) -> str:
    file, _, line = source.rpartition(":")
    return f"{Path(file).name}:{line}"
