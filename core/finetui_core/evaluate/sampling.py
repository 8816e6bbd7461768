"""The next token of an answer: the likeliest one, or one drawn from the likeliest ones."""

import random
from collections.abc import Callable

import torch

from finetui_core.evaluate.chat_protocol import Sampling


def chooser(sampling: Sampling) -> Callable[[torch.Tensor], int]:
    """The function that takes the scores of all tokens [vocabulary] and gives the next token of one answer.

    Its random numbers are drawn on the processor, one a token, so that a seed means the same on each device.
    Source of top-p: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if sampling.temperature == 0:
        return lambda scores: int(scores.argmax())
    drawn = random.Random(sampling.seed)

    def choose(scores: torch.Tensor) -> int:
        shares, tokens = torch.softmax(scores.float() / sampling.temperature, -1).sort(descending=True)
        reached = shares.cumsum(-1)
        kept = max(1, int((reached - shares < sampling.top_p).sum()))
        at = int(torch.searchsorted(reached, drawn.random() * reached[kept - 1]))
        return int(tokens[min(at, kept - 1)])

    return choose
