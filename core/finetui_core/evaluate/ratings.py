"""Blind ratings: a person says which of two answers is better without knowing whose they are.

Which row comes next, and which answer stands first, follow from a seed, so that a rating can be put off and gone
on with. The order of the answers is fair: each arm stands first about as often.
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from statistics import NormalDist
from typing import Literal

import msgspec

from finetui_core.evaluate.figures import ArmName, Plan, Result
from finetui_core.evaluate.statistics import LEVEL, POWER, Interval, mcnemar, wilson

Choice = Literal["first", "second", "tie", "skip"]


class Pair(msgspec.Struct, frozen=True):
    """A row and the arms whose answers are shown, in this order; `answers` says which answers they are."""

    index: int
    first: ArmName
    second: ArmName
    answers: str


class Rating(msgspec.Struct, frozen=True):
    """A line of ratings.jsonl. `answers` is that of the pair: ratings of other answers do not count."""

    t: float
    index: int
    first: ArmName
    second: ArmName
    choice: Choice
    answers: str


class Summary(msgspec.Struct, frozen=True):
    """How `arm` stands against `against` by the ratings. `share` is the interval of wins among wins and losses.

    `more` is how many further ratings would show a difference of the size seen, in four of five cases: 0 where one
    is shown, None where there is none in sight.
    """

    arm: ArmName
    against: ArmName
    wins: int
    ties: int
    losses: int
    skipped: int
    share: Interval
    p: float
    more: int | None
    says: str


def pair_of(result: Result) -> tuple[ArmName, ArmName] | None:
    """The two arms that are worth rating: the tuned one, or else the chosen, against the base without help."""
    names = [one.arm.name for one in result.arms]
    if len(names) < 2:
        return None
    base = names[0]
    best = max(result.arms[1:], key=lambda one: one.scores[result.plan.metric].mean).arm.name
    chosen = result.verdict.arm if result.verdict.arm != base else best
    return ("tuned" if "tuned" in names[1:] else chosen), base


def next_pair(
    result: Result,
    rated: Collection[Rating],
    seed: int,
    arms: tuple[ArmName, ArmName] | None = None,
    same: Collection[int] = (),
) -> Pair | None:
    """The next row to rate, None where all are rated; `same` are rows whose answers are equal, which nobody rates."""
    chosen = arms or pair_of(result)
    if chosen is None:
        return None
    answers = answers_key(result.plan, chosen)
    done = {one.index for one in rated if one.answers == answers} | set(same)
    left = [index for index in range(result.plan.rows) if index not in done]
    if not left:
        return None
    index = min(left, key=lambda one: _drawn(seed, answers, one))
    one, other = sorted(chosen)
    turned = _drawn(seed, answers, index)[-1] % 2
    return Pair(index, other, one, answers) if turned else Pair(index, one, other, answers)


def rating(pair: Pair, choice: Choice, t: float) -> Rating:
    return Rating(t, pair.index, pair.first, pair.second, choice, pair.answers)


def summary(
    result: Result, rated: Sequence[Rating], arms: tuple[ArmName, ArmName] | None = None
) -> Summary | None:
    """What the ratings of two arms say, the last one of each row; None where there are no two arms."""
    chosen = arms or pair_of(result)
    if chosen is None:
        return None
    arm, against = chosen
    answers = answers_key(result.plan, chosen)
    last = {one.index: one for one in rated if one.answers == answers}
    winners = [_winner(one) for one in last.values()]
    wins, losses, ties = winners.count(arm), winners.count(against), winners.count("tie")
    skipped = winners.count("skip")
    p, more = mcnemar(wins, losses), _more_needed(wins, losses, ties)
    says = _says(arm, against, wins, losses, ties, p, more)
    return Summary(arm, against, wins, ties, losses, skipped, wilson(wins, wins + losses), p, more, says)


def answers_key(plan: Plan, arms: tuple[ArmName, ArmName]) -> str:
    """Names the answers of two arms, in whichever order they are given."""
    asked = [f"{name}:{plan.fingerprints.get(name, '')}" for name in sorted(arms)]
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]


def _drawn(seed: int, answers: str, index: int) -> bytes:
    return hashlib.blake2b(f"{seed} {answers} {index}".encode(), digest_size=8).digest()


def _winner(one: Rating) -> str:
    return {"first": one.first, "second": one.second}.get(one.choice, one.choice)


def _more_needed(wins: int, losses: int, ties: int) -> int | None:
    """From the normal approximation of the sign test's power at the share of wins seen."""
    decided = wins + losses
    if decided and mcnemar(wins, losses) <= LEVEL:
        return 0
    share = wins / decided if decided else 0.5
    if share == 0.5:
        return None
    z, power = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(POWER)
    needed = ((z / 2 + power * math.sqrt(share * (1 - share))) / (share - 0.5)) ** 2
    needed = max(needed, 6.0)  # fewer on one side never reach 5 %
    return max(1, math.ceil((needed - decided) * (decided + ties) / decided))


def _says(arm: str, against: str, wins: int, losses: int, ties: int, p: float, more: int | None) -> str:
    if wins + losses == 0:
        return "no answer was preferred yet" if not ties else f"{ties} ties, and no answer was preferred yet"
    better, worse = (arm, against) if wins >= losses else (against, arm)
    count = f"{max(wins, losses)} to {min(wins, losses)} with {ties} {'tie' if ties == 1 else 'ties'}"
    if p <= LEVEL:
        return f"{better} is preferred to {worse}, {count} (p = {p:.3f})"
    if more is None:
        return f"no preference: {count}"
    needed = f"about {more} more ratings would show one this large"
    return f"no preference is shown yet: {count} for {better} (p = {p:.2f}); {needed}"
