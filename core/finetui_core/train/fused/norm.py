"""RMSNorm as one operation: two passes over memory forward and five backward, where autograd makes fifteen.

Zhang and Sennrich, Root Mean Square Layer Normalization, https://arxiv.org/abs/1910.07467
"""

from functools import partial
from typing import Any

import torch


class RootMeanSquareNorm(torch.autograd.Function):
    """`x / rms(x) * (offset + weight)` in float32, over the last axis of (rows, width)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float, offset: int, dtype: torch.dtype
    ) -> torch.Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        mean_square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean_square.add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        ctx.offset = offset
        return (wide * inverse).mul_(_gain(weight, offset, wide.dtype)).to(dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = upstream
        x, weight, inverse = ctx.saved_tensors
        wide = x if x.dtype == torch.float64 else x.float()
        gradient = gradient.to(wide.dtype)
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (gradient * wide).mul_(inverse).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            scaled = gradient * _gain(weight, ctx.offset, wide.dtype)
            along = (scaled * wide).sum(-1, keepdim=True)
            along.mul_(inverse.pow(3)).div_(-x.shape[-1])
            of_x = scaled.mul_(inverse).addcmul_(wide, along).to(x.dtype)
        return of_x, of_weight, None, None, None


def _gain(weight: torch.Tensor, offset: int, dtype: torch.dtype) -> torch.Tensor:
    return weight.to(dtype) + offset if offset else weight.to(dtype)


def fuse_norms(model: torch.nn.Module) -> list[str]:
    """Run the RMSNorms in `model` as one operation each; returns a note for each kind that cannot be.

    A kind is known by its class's name and proven on made-up numbers: output and gradients must be those of its own
    forward, with its weight as it is, or counted from one as Gemma has it.
    """
    notes: list[str] = []
    offsets: dict[type, int | None] = {}
    for module in model.modules():
        kind = type(module)
        if not kind.__name__.endswith("RMSNorm") or _epsilon(module) is None or module.weight is None:
            continue
        if kind not in offsets:
            offsets[kind] = next((one for one in (0, 1) if _is_exact(module, one)), None)
            if offsets[kind] is None:
                notes.append(f"{kind.__name__} keeps its own form, as the other one's results differ")
        offset = offsets[kind]
        if offset is not None:
            module.forward = partial(norm_forward, module, offset)
    return notes


def _epsilon(module: Any) -> float | None:
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return found if isinstance(found, float) else None


def norm_forward(module: Any, offset: int, x: torch.Tensor) -> torch.Tensor:
    weight = module.weight
    dtype = x.dtype if offset else torch.promote_types(x.dtype, weight.dtype)
    rows = x.reshape(-1, x.shape[-1])
    output: torch.Tensor = RootMeanSquareNorm.apply(rows, weight, _epsilon(module), offset, dtype)
    return output.view(x.shape)


def _is_exact(module: Any, offset: int) -> bool:
    """Whether output and gradients are those of the module's own forward, on rows large and small beside epsilon."""
    weight = module.weight
    if weight.is_meta:
        return True  # a model without numbers is asked for its sizes alone
    generator = torch.Generator().manual_seed(0)
    x, upstream = (
        torch.randn(4, weight.shape[-1], generator=generator).to(weight.device, weight.dtype)
        for _ in range(2)
    )
    x = x * torch.logspace(0, -3, len(x), device=x.device, dtype=x.dtype)[:, None]
    own = _results(partial(type(module).forward, module), x, upstream, weight)
    other = _results(partial(norm_forward, module, offset), x, upstream, weight)
    allowed = 1e-5 if weight.dtype == torch.float32 else 2e-2
    return all(
        one.dtype == two.dtype
        and bool((one.float() - two.float()).abs().max() <= allowed * one.float().abs().max())
        for one, two in zip(own, other, strict=True)
    )


def _results(forward: Any, x: torch.Tensor, upstream: torch.Tensor, weight: Any) -> list[torch.Tensor]:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        output = forward(x)
        asked = [x, weight] if weight.requires_grad else [x]
        return [output.detach(), *torch.autograd.grad(output, asked, upstream.to(output.dtype))]
