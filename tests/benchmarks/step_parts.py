"""What each fused form saves of a training step, and how near the step comes to the machine's best matrix product.

    python tests/benchmarks/step_parts.py [--threads 1] [--rounds 5] [--method lora|full] [--dropout 0.05]

A random Llama of 40 million parameters (8 layers, width 512, grouped keys, 32,000 tokens) and 16 chats of skewed
lengths; forward and backward pass. All forms run in one process, one after the other in each round, from the same
weights; the ratio is the median over the rounds. With one thread the clock is the process's own processor time,
which other work on the machine disturbs least. The share is that of the operations that the mathematics need: no
padding, no dropout, scores below the diagonal alone, the head where a token carries loss.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

from finetui_core.train.evaluation import passes_of  # noqa: E402
from finetui_core.train.forward import Layout, running, summed_loss, supervised_tokens  # noqa: E402
from finetui_core.train.fused.dropout import draw_zeros  # noqa: E402
from finetui_core.train.fused.last_layer import narrow_last_layer  # noqa: E402
from finetui_core.train.fused.linear import fuse_linears  # noqa: E402
from finetui_core.train.fused.lora import fuse_adapters  # noqa: E402
from finetui_core.train.fused.norm import fuse_norms  # noqa: E402
from finetui_core.train.model import causal_model  # noqa: E402

WIDTH, INNER, LAYERS, HEADS, KEY_HEADS, VOCABULARY, RANK = 512, 1408, 8, 8, 2, 32_000, 16
LAYOUT = Layout(True, True, 8, 2048)
CPU = torch.device("cpu")
Rows = list[tuple[np.ndarray, np.ndarray]]


class HeadByAutograd(torch.nn.Linear):
    """A head of no known make, whose gradient is left to autograd."""


def build(method: str, dropout: float, layers: int = LAYERS) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config)
    if method == "full":
        return model
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=32, lora_dropout=dropout, target_modules="all-linear"
    )
    model = get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def chats(count: int = 16) -> Rows:
    generator = np.random.default_rng(3)
    lengths = np.clip(np.exp(generator.normal(5.4, 0.8, count)), 30, 1024).astype(int)
    return [
        (generator.integers(0, VOCABULARY, length), np.arange(length) > 0.55 * length) for length in lengths
    ]


def needed(rows: Rows, method: str) -> float:
    """Floating-point operations of forward and backward pass."""
    size = WIDTH // HEADS
    pairs = [
        *((WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, KEY_HEADS * size), (WIDTH, KEY_HEADS * size)),
        *((WIDTH, INNER), (WIDTH, INNER), (INNER, WIDTH)),
    ]
    tokens = sum(len(ids) for ids, _ in rows)
    supervised = sum(supervised_tokens(mask) for _, mask in rows)
    of_layer = sum(inputs * outputs for inputs, outputs in pairs)
    of_adapters = 3 * RANK * sum(map(sum, pairs)) if method == "lora" else 0
    times = 2 if method == "lora" else 3
    scores = sum(len(ids) ** 2 / 2 for ids, _ in rows)
    return (
        2 * tokens * LAYERS * (times * of_layer + of_adapters)
        + 2 * supervised * times * WIDTH * VOCABULARY
        + LAYERS * scores * HEADS * size * 2 * 2 * 3
    )


def best_product(clock: Callable[[], float]) -> float:
    """Operations a second of the fastest of some matrix products."""
    fastest = 0.0
    for inner in (WIDTH, INNER):
        x, weight = torch.randn(2048, inner), torch.randn(WIDTH, inner)
        for _ in range(20):
            began = clock()
            x @ weight.t()
            fastest = max(fastest, 2 * 2048 * inner * WIDTH / (clock() - began))
    return fastest


def step(model: Any, rows: Rows) -> float:
    inner, loss_of_step = causal_model(model), 0.0
    tokens = sum(supervised_tokens(mask) for _, mask in rows)
    model.train()
    for one in passes_of(rows, range(len(rows)), LAYOUT, CPU):
        with running(inner, one):
            loss = summed_loss(inner, one, own_head=True) / tokens
            loss.backward()
        loss_of_step += float(loss.detach())
    return loss_of_step


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--dropout", type=float, default=0.05)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    rows, lora = chats(), options.method == "lora"

    plain = build(options.method, 0.0)
    causal_model(plain).lm_head.__class__ = HeadByAutograd
    forms = {"plain": plain}
    changes: list[tuple[str, Callable[[Any], Any]]] = [
        ("+ head", lambda model: setattr(causal_model(model).lm_head, "__class__", torch.nn.Linear)),
        ("+ norms", fuse_norms),
        ("+ linear layers", fuse_linears),
        ("+ last layer", lambda model: narrow_last_layer(causal_model(model))),
    ]
    if lora:
        changes.insert(1, ("+ adapters", lambda model: fuse_adapters(model, draw_zeros)))
    built: list[Callable[[Any], Any]] = []
    for title, change in changes:
        built.append(change)
        forms[title] = copy.deepcopy(plain)
        for one in built:
            one(forms[title])
    if lora and options.dropout:
        dropping = build("lora", options.dropout)
        forms[f"all, dropout {options.dropout}"] = copy.deepcopy(dropping)
        for one in built:
            one(forms[f"all, dropout {options.dropout}"])
        causal_model(dropping).lm_head.__class__ = HeadByAutograd
        forms[f"plain, dropout {options.dropout}"] = dropping

    seconds: dict[str, list[float]] = {title: [] for title in forms}
    for number in range(options.rounds + 1):
        for title, model in forms.items():
            model.zero_grad()
            torch.manual_seed(number)
            began = clock()
            step(model, rows)
            if number:
                seconds[title].append(clock() - began)
    rate, work = best_product(clock), needed(rows, options.method)
    print(
        f"{work / 1e9:.0f} GFLOP a step; the best product {rate / 1e9:.0f} GFLOP/s; {options.threads} threads"
    )
    print("| form | seconds (least to most) | times plain | share of the best product |")
    print("|---|---|---|---|")
    for title, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds["plain"], taken, strict=True))
        median = statistics.median(taken)
        share = work / median / rate
        print(
            f"| {title} | {median:.2f} ({min(taken):.2f} to {max(taken):.2f}) | {ratio:.2f} | {share:.0%} |"
        )
    profile(forms[changes[-1][0]], rows)
    return 0


def profile(model: Any, rows: Rows) -> None:
    """Where the time of a step with all forms goes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as taken:
        step(model, rows)
    parts = {"products": 0.0, "attention": 0.0, "rest": 0.0}
    for one in taken.key_averages():
        products = one.key in ("aten::mm", "aten::addmm", "aten::addmm_", "mkldnn::_linear_pointwise")
        part = "products" if products else "attention" if "scaled_dot_product" in one.key else "rest"
        parts[part] += one.self_cpu_time_total
    print(", ".join(f"{part} {time / sum(parts.values()):.0%}" for part, time in parts.items()))


if __name__ == "__main__":
    sys.exit(main())
