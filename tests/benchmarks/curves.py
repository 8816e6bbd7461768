"""How the cost of a training step grows with the length of its rows and with the size of the model.

    python tests/benchmarks/curves.py [--rounds 3] [--methods lora full]

Each step holds as many tokens as every other (2,048) of the random Llama of step_parts.py, in rows of 256, 512, 1,024
and 2,048 tokens, and then in rows of 512 with 4, 8 and 16 layers. One thread; processor seconds; the sizes take
turns, and each figure is the median over the rounds. The exponent is the slope of a straight line through the
logarithms: 0 of a cost a token that does not grow, 1 of one that doubles with the size. rows_scale.py beside this
does the same for the number of rows, processes.py for processes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from step_parts import VOCABULARY, Rows, build, step

from finetui_core.train.fused.dropout import draw_zeros
from finetui_core.train.fused.linear import fuse_linears
from finetui_core.train.fused.lora import fuse_adapters
from finetui_core.train.fused.norm import fuse_norms

TOKENS = 2048
LENGTHS = (256, 512, 1024, 2048)
LAYERS = (4, 8, 16)
LENGTH_OF_LAYERS, LAYERS_OF_LENGTHS = 512, 8


def rows_of(length: int) -> Rows:
    """Rows of the same length, whose second half carries loss."""
    generator = np.random.default_rng(5)
    learned = np.arange(length) >= length // 2
    return [(generator.integers(0, VOCABULARY, length), learned) for _ in range(TOKENS // length)]


def fused(method: str, layers: int = LAYERS_OF_LENGTHS) -> Any:
    """The model with all forms that a run gives it."""
    model = build(method, 0.0, layers)
    if method == "lora":
        fuse_adapters(model, draw_zeros)
    fuse_norms(model)
    fuse_linears(model)
    return model


def step_of(model: Any, rows: Rows) -> None:
    model.zero_grad()
    step(model, rows)


def seconds_of(steps: Mapping[int, Callable[[], None]], rounds: int) -> dict[int, float]:
    """The median processor seconds of each size; the first round, which warms up, does not count."""
    taken: dict[int, list[float]] = {size: [] for size in steps}
    for number in range(rounds + 1):
        for size, one in steps.items():
            began = time.process_time()
            one()
            if number:
                taken[size].append(time.process_time() - began)
    return {size: statistics.median(seconds) for size, seconds in taken.items()}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of the line through the logarithms by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def tell(title: str, method: str, seconds: Mapping[int, float]) -> None:
    each = {size: 1e6 * taken / TOKENS for size, taken in seconds.items()}
    figures = ", ".join(f"{size:,}: {cost:.0f}" for size, cost in each.items())
    print(f"| {method} | {title} | {figures} | {exponent(list(each), list(each.values())):.2f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=("lora", "full"), default=["lora", "full"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| method | size | processor microseconds a token | exponent |")
    print("|---|---|---|---|")
    for method in options.methods:
        model = fused(method)
        by_length = {length: partial(step_of, model, rows_of(length)) for length in LENGTHS}
        tell("tokens of a row", method, seconds_of(by_length, options.rounds))
        rows = rows_of(LENGTH_OF_LAYERS)
        by_layers = {layers: partial(step_of, fused(method, layers), rows) for layers in LAYERS}
        tell("layers", method, seconds_of(by_layers, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
