"""The loss: a sum over supervised tokens, from hidden states, a chunk of tokens at a time.

The vocabulary head runs only where a token is supervised. Its gradient is formed in the forward pass, so that
the logits of one chunk are all that is ever held: (chunk, vocabulary) floats. The caller divides by the number
of supervised tokens of the whole global batch, so the loss does not depend on how that batch is cut.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from finetui_core.train.fused.products import linear

CHUNK_TOKENS = 512


class _HeadLoss(torch.autograd.Function):
    """Cross-entropy summed over tokens, with gradients computed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        head: torch.nn.Module,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        hidden_gradient = torch.empty_like(hidden)
        gradients = [torch.zeros_like(parameter) for parameter in wanted]
        total = hidden.new_zeros((), dtype=torch.float32)
        of_chunk = _of_linear if type(head) is torch.nn.Linear else _of_any
        for start in range(0, hidden.shape[0], CHUNK_TOKENS):
            chunk = slice(start, start + CHUNK_TOKENS)
            loss = of_chunk(head, hidden[chunk], targets[chunk], hidden_gradient[chunk], wanted, gradients)
            total += loss
        ctx.save_for_backward(hidden_gradient, *gradients)
        ctx.wanted = [parameter.requires_grad for parameter in parameters]
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (scale,) = upstream
        hidden_gradient, *gradients = ctx.saved_tensors
        remaining = iter(gradients)
        per_parameter = [next(remaining) * scale if wanted else None for wanted in ctx.wanted]
        return (hidden_gradient * scale, None, None, *per_parameter)


def _of_linear(
    head: Any,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    hidden_gradient: torch.Tensor,
    wanted: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
) -> torch.Tensor:
    """The loss of one chunk; its gradients, softmax minus one at the target, are formed where the logits were.

    Writes that of `hidden` and adds those of the `wanted` parameters of the head to `gradients`.
    """
    logits = head(hidden)
    dtype = logits.dtype
    log_probabilities = F.log_softmax(logits.float(), dim=-1)
    del logits
    loss = F.nll_loss(log_probabilities, targets, reduction="sum")
    of_logits = log_probabilities.exp_()
    of_logits.scatter_add_(1, targets[:, None], of_logits.new_full((len(targets), 1), -1.0))
    of_logits = of_logits.to(dtype)
    hidden_gradient.copy_(linear(of_logits, head.weight.to(dtype).t()))
    for parameter, gradient in zip(wanted, gradients, strict=True):
        if parameter is head.weight:
            gradient += linear(of_logits.t(), hidden.to(dtype).t())
        else:
            gradient += of_logits.sum(0)
    return loss


def _of_any(
    head: torch.nn.Module,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    hidden_gradient: torch.Tensor,
    wanted: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
) -> torch.Tensor:
    """`_of_linear` for a head of any other make, by autograd."""
    with torch.enable_grad():
        chunk = hidden.detach().requires_grad_()
        loss = F.cross_entropy(head(chunk).float(), targets, reduction="sum")
    chunk_gradient, *head_gradients = torch.autograd.grad(loss, [chunk, *wanted])
    hidden_gradient.copy_(chunk_gradient)
    for gradient, part in zip(gradients, head_gradients, strict=True):
        gradient += part
    return loss.detach()


def head_loss(hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module) -> torch.Tensor:
    """Summed cross-entropy of `head(hidden)` against `targets`.

    `hidden` is (tokens, width) at the positions that predict a supervised token, `targets` is (tokens,).
    Returns a float32 scalar; zero tokens give zero.
    """
    if not torch.is_grad_enabled():
        return _head_loss_without_gradient(hidden, targets, head)
    loss: torch.Tensor = _HeadLoss.apply(hidden, targets, head, *head.parameters())
    return loss


def _head_loss_without_gradient(
    hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module
) -> torch.Tensor:
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, hidden.shape[0], CHUNK_TOKENS):
        logits = head(hidden[start : start + CHUNK_TOKENS]).float()
        total += F.cross_entropy(logits, targets[start : start + CHUNK_TOKENS], reduction="sum")
    return total


def head_token_losses(
    hidden: torch.Tensor, targets: torch.Tensor, head: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """`head_loss` without a gradient, the same bit for bit, and what each token adds to it, float32 (tokens,)."""
    total = hidden.new_zeros((), dtype=torch.float32)
    each = []
    for start in range(0, hidden.shape[0], CHUNK_TOKENS):
        chunk = slice(start, start + CHUNK_TOKENS)
        summed, losses = token_losses(head(hidden[chunk]), targets[chunk])
        total += summed
        each.append(losses)
    return total, torch.cat(each) if each else hidden.new_zeros(0, dtype=torch.float32)


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy summed as F.cross_entropy does, and that of each token."""
    log_probabilities = F.log_softmax(logits.float(), dim=-1)
    each = -log_probabilities.gather(1, targets[:, None])[:, 0]
    return F.nll_loss(log_probabilities, targets, reduction="sum"), each
