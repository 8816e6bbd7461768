"""Blind ratings of a comparison as its screen needs them: what was rated, what comes next, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from finetui.compare_folder import Compared
from finetui_core.evaluate.figures import Answer, ArmName, Result
from finetui_core.evaluate.ratings import Choice, Pair, Rating, Summary, next_pair, pair_of, rating, summary
from finetui_core.runs.tail import Tail
from finetui_core.runs.writer import RecordFile

_SEED = 0


@dataclass(frozen=True, slots=True)
class Blind:
    """Two answers to one row, without names; `pair` knows whose they are."""

    pair: Pair
    first: Answer
    second: Answer


class Ratings:
    """The ratings of two arms in the folder of a comparison that has a result; `arm` and the base, where it may be.

    Rows whose answers are alike, or of which one is missing, are not asked about.
    """

    def __init__(self, compared: Compared, arm: ArmName | None) -> None:
        assert compared.outcome is not None
        outcome = compared.outcome
        self._compared = compared
        self._result = Result(outcome.plan, outcome.arms, outcome.verdict, {})
        base = outcome.arms[0].arm.name
        others = [one.arm.name for one in outcome.arms[1:]]
        self.arms = (arm, base) if arm in others else pair_of(self._result)
        self.rated = [one for record in Tail(compared.paths.ratings).read() if (one := _rating(record))]
        self._alike = _not_asked(compared, self.arms)

    @property
    def number(self) -> int:
        """How many rows can be rated."""
        return self._result.plan.rows - len(self._alike)

    def next(self) -> Blind | None:
        """What to rate next; reads the answers."""
        while (pair := next_pair(self._result, self.rated, _SEED, self.arms, self._alike)) is not None:
            if (blind := self.of(pair)) is not None:
                return blind
            self._alike.add(pair.index)
        return None

    def of(self, pair: Pair) -> Blind | None:
        first = self._compared.answer(pair.first, pair.index)
        second = self._compared.answer(pair.second, pair.index)
        return Blind(pair, first, second) if first is not None and second is not None else None

    def rate(self, pair: Pair, choice: Choice, t: float) -> bool:
        """Keep a rating; whether it is on the disk."""
        one = rating(pair, choice, t)
        self.rated.append(one)
        file = RecordFile(self._compared.paths.ratings, durable=True)
        file.append(one)
        file.close()
        return not file.lost

    def summary(self) -> Summary | None:
        return summary(self._result, self.rated, self.arms)


def _rating(record: object) -> Rating | None:
    try:
        return msgspec.convert(record, Rating)
    except msgspec.ValidationError:
        return None


def _not_asked(compared: Compared, arms: Sequence[ArmName] | None) -> set[int]:
    if arms is None or compared.plan is None:
        return set()
    one, other = (compared.answers.get(name) for name in arms)
    if one is None or other is None:
        return set(range(compared.plan.rows))
    return {
        index
        for index in range(compared.plan.rows)
        if one.texts.get(index) == other.texts.get(index)
        or "error" in (one.ended.get(index, "error"), other.ended.get(index, "error"))
    }
