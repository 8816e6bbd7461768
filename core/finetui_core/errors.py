"""Typed errors: what happened, where, and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault that the user can mend.

    `where` is `file:line:column`, as much of it as is known, or "" where no place applies.
    """

    what: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n    {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"


class InputError(Exception):
    """Bad input. It carries every problem found, and a command that meets it exits with code 2."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunFailed(Exception):
    """Something was started properly and failed. A command that meets it exits with code 1."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
