"""The first examples of a rule by rank, kept while rows stream by."""

from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.findings import Example, Found

KEPT = 50


class Examples:
    """At most KEPT examples, the lowest ranks; memory does not grow with what is added."""

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[float, ...], Example]] = []

    def add(self, rank: tuple[float, ...], example: Example) -> None:
        self._kept.append((rank, example))
        if len(self._kept) >= 4 * KEPT:
            self._cut()

    def all(self) -> tuple[Example, ...]:
        self._cut()
        return tuple(example for _, example in self._kept)

    def _cut(self) -> None:
        self._kept.sort(key=lambda item: item[0])
        del self._kept[KEPT:]


def finding(rule: str, count: int, of: int, note: str = "", examples: Examples | None = None) -> Found | None:
    """What a rule found, None where it found nothing."""
    if not count:
        return None
    return Found(rule, RULES[rule].severity, count, of, note, examples.all() if examples else ())
