"""Dropout whose zeros are kept as their places: few random numbers, and no mask to multiply by.

On a processor the gaps between zeros are drawn, which follow the geometric distribution, so that a dropout of 0.05
draws a twentieth of what a mask needs. A GPU draws a mask of one byte an element. Both come from torch's own
generators, which a step seeds.
"""

import math

import torch

_MARGIN = 8
"""Standard deviations of the number of zeros that are drawn for beyond the mean; a shortage has a chance of 1e-15."""


def draw_zeros(like: torch.Tensor, share: float) -> torch.Tensor:
    """The elements of `like` to be zeroed, each with the chance `share`, independently.

    On a processor their places in the flat tensor, ascending, int64; elsewhere a mask of its shape, which is true for
    them.
    """
    if like.device.type != "cpu":
        return torch.empty(like.shape, dtype=torch.bool, device=like.device).bernoulli_(share)
    places = draw_places(like, share)
    return places[: torch.searchsorted(places, like.numel())]


def draw_places(like: torch.Tensor, share: float) -> torch.Tensor:
    """The places of zeros in the flat tensor, and beyond its end: as many as it might have."""
    mean = like.numel() * share
    enough = math.ceil(mean + _MARGIN * math.sqrt(mean) + 32)
    gaps = _uniform(enough).log_().div_(math.log1p(-share)).floor_()
    return gaps.long().add_(1).cumsum_(0).sub_(1)


def _uniform(count: int) -> torch.Tensor:
    """Numbers above 0 and up to 1, of 24 random bits each, two from one 64-bit word."""
    words = torch.empty(count // 2 + 1, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int32)[:count].bitwise_and_(0xFFFFFF)
    return bits.to(torch.float32).add_(0.5).mul_(2.0**-24)


def with_zeros(x: torch.Tensor, zeros: torch.Tensor) -> torch.Tensor:
    """A contiguous copy of `x` that is zero where `draw_zeros` says."""
    if zeros.dtype == torch.bool:
        return x.masked_fill(zeros, 0)
    copy = x.clone(memory_format=torch.contiguous_format)
    copy.view(-1).index_fill_(0, zeros, 0)
    return copy


def add_elsewhere(
    total: torch.Tensor, first: torch.Tensor, second: torch.Tensor, zeros: torch.Tensor, scale: float
) -> torch.Tensor:
    """`total + scale * first @ second`, in place, but for the elements that `zeros` names, which stay."""
    if zeros.dtype == torch.bool:
        return total.add_((first @ second).masked_fill_(zeros, 0), alpha=scale)
    flat = total.view(-1)
    kept = flat.index_select(0, zeros)
    total.addmm_(first, second, alpha=scale)
    flat.index_copy_(0, zeros, kept)
    return total
