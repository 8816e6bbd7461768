"""Where two readings of the same prompts part, and how far their logits are apart."""

from collections.abc import Mapping, Sequence

import torch


def parting(one: Sequence[object], other: Sequence[object]) -> int:
    """The place of the first difference; where one is the beginning of the other, that of its end."""
    shared = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(shared, min(len(one), len(other)))


def differing(one: Sequence[int], other: Sequence[int]) -> int:
    """How many places differ; those that one alone has do."""
    same = sum(a == b for a, b in zip(one, other, strict=False))
    return max(len(one), len(other)) - same


def logits_apart(
    expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> tuple[float, str]:
    """The largest difference of a logit, and of which prompt; without limit where a prompt was not answered."""
    largest, where = 0.0, ""
    for name, logits in expected.items():
        apart = float((logits - found[name]).abs().max()) if name in found else float("inf")
        if not apart <= largest:
            largest, where = apart, name
    return largest, where
