"""How often what costs time beside the validation loss is measured.

All meters that run by default may together take `SHARE` of the time that the steps have taken so far. A probe that
the recipe names was asked for: it is measured at every evaluation and not counted. The base's own text is measured
before training and at the end in any case, since forgetting is the difference. At every other evaluation the meter
that was longest not measured comes first, and is measured if what all have taken, with it and with what the end still
takes (the text and a score), is within the share. What a meter takes is known from its last time; before its first,
it is guessed from the writing of the base's own text, token for token. So a short run is measured at its ends and a
long one at every evaluation. A run whose two measurements of the text alone are more than the share exceeds it: one
of less than a minute with a small model.

The clock decides only what is measured at an evaluation, never what is trained: weights, random numbers and schedule
are the same whatever is measured. What somebody asks for is measured whole and not counted.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

SHARE = 0.02


@dataclass(slots=True)
class Budget:
    """Seconds that steps and meters took in this process. `costs` is what each meter takes, `last` its last step.

    `trained` is added to by whoever times the steps.
    """

    trained: float = 0.0
    spent: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def turns(self, meters: Sequence[str]) -> list[str]:
        """The meters, the one that was longest not measured first."""
        return sorted(meters, key=lambda name: self.last.get(name, -1))

    def affords(self, name: str, at_the_end: Sequence[str]) -> bool:
        """Whether there is time for the meter, when those `at_the_end` are still to be paid for."""
        kept = sum(self.costs.get(one, 0.0) for one in at_the_end)
        cost = self.costs.get(name, 0.0)
        return self.spent + cost + kept <= SHARE * self.trained

    def guess(self, costs: Mapping[str, float]) -> None:
        """Take these for the costs of meters that were not measured yet."""
        self.costs |= {name: cost for name, cost in costs.items() if name not in self.last}

    @contextmanager
    def charge(self, name: str, step: int, without: str = "") -> Iterator[None]:
        """Count what the block takes as what the meter takes at a time, less what `without` took alone."""
        before = self.costs.get(without, 0.0)
        with self.time(name):
            yield
        self.costs[name] = max(0.0, self.costs[name] - before)
        self.spent += self.costs[name]
        self.last[name] = step

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Note what the block takes."""
        began = time.perf_counter()
        yield
        self.costs[name] = time.perf_counter() - began
