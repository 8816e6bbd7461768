"""Which arm to take: the cheapest one, unless a dearer one is shown to be better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetui_core.evaluate.figures import Arm, ArmName
from finetui_core.evaluate.statistics import Comparison, compare


@dataclass(frozen=True, slots=True)
class Choice:
    """`against_base` has every arm but the first, `against_chosen` every arm but the chosen one.

    `undecided` are arms that cost less than the chosen one, which is not shown to be better than they are.
    """

    arm: ArmName
    base: ArmName
    against_base: Mapping[ArmName, Comparison]
    against_chosen: Mapping[ArmName, Comparison]
    undecided: tuple[ArmName, ...]


def choose(
    arms: Sequence[Arm],
    scores: Mapping[ArmName, Sequence[float]],
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Choice:
    """The cheapest arm that is better than the first one, the base, and that no dearer one is better than.

    All arms are compared with the base (Holm over them). Of those that are better the cheapest is taken, and the
    dearer ones of them are compared with it (Holm again), until none is better. An arm that costs less, and would be
    as good, may have been missed by chance: so the chosen one is compared with all cheaper ones as well, and those
    that it is not shown to be better than are named. How often that goes wrong:
    tests/benchmarks/compare_statistics.py.
    """
    cost = {arm.name: arm.cost for arm in arms}
    base = arms[0].name

    def against(name: ArmName, others: Sequence[ArmName]) -> dict[ArmName, Comparison]:
        found = compare([scores[one] for one in others], scores[name], seed=seed, groups=groups)
        return dict(zip(others, found, strict=True))

    against_base = against(base, [arm.name for arm in arms[1:]])
    rivals = [name for name, one in against_base.items() if one.judgement == "better"]
    if not rivals:
        return Choice(base, base, against_base, against_base, ())
    while True:
        chosen, *dearer = sorted(rivals, key=lambda name: cost[name])
        found = against(chosen, dearer)
        rivals = [name for name in dearer if found[name].judgement == "better"]
        if not rivals:
            break
    cheaper = [arm.name for arm in arms[1:] if arm.name != chosen and cost[arm.name] <= cost[chosen]]
    found_cheaper = against(chosen, cheaper)
    undecided = tuple(name for name in cheaper if found_cheaper[name].judgement != "worse")
    others = [name for name in against_base if name not in (chosen, *dearer, *cheaper)]
    against_chosen = {**found_cheaper, **found, **against(chosen, others)}
    return Choice(chosen, base, against_base, against_chosen, undecided)
