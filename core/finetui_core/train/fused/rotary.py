"""Rotary positions as one operation: three passes over memory each way, and nothing kept but sines and cosines.

Su et al., RoFormer, https://arxiv.org/abs/2104.09864
"""

from typing import Any

import torch


class Rotated(torch.autograd.Function):
    """Each head's two halves turned by its position's angle, as Llama's rotate_half has it."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        """`states` end in (tokens, head_dim); `cosine` and `sine` broadcast against them."""
        ctx.save_for_backward(cosine, sine)
        half = states.shape[-1] // 2
        turned = states * cosine
        turned[..., :half].addcmul_(states[..., half:], sine[..., :half], value=-1)
        turned[..., half:].addcmul_(states[..., :half], sine[..., half:])
        return turned

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = upstream
        cosine, sine = ctx.saved_tensors
        half = gradient.shape[-1] // 2
        turned = gradient * cosine
        turned[..., :half].addcmul_(gradient[..., half:], sine[..., half:])
        turned[..., half:].addcmul_(gradient[..., :half], sine[..., :half], value=-1)
        return turned, None, None
