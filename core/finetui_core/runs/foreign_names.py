"""The names under which other trainers record the same quantities, and ours for them."""

import re
from collections.abc import Mapping
from typing import Any

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_OURS: Mapping[str, tuple[str, ...]] = {
    "step": ("global_step", "train_global_step", "current_steps", "iteration", "iter", "steps"),
    "t": ("timestamp", "time", "wall_time"),
    "epoch": ("train_epoch", "epochs"),
    "loss": (
        "train_loss",
        "training_loss",
        "loss_train",
        "loss_training",
        "train_mean_loss",
        "train_mean_nll",
    ),
    "eval_loss": (
        *("val_loss", "valid_loss", "validation_loss", "loss_val", "loss_valid", "loss_validation"),
        *("loss_eval", "evaluation_loss", "eval_eval_loss", "test_mean_nll"),
    ),
    "learning_rate": ("lr", "train_lr", "train_learning_rate", "optim_lr"),
    "grad_norm": ("train_grad_norm", "gradient_norm", "total_grad_norm", "optim_grad_norm"),
    "tokens": ("num_tokens", "train_num_tokens", "num_input_tokens_seen", "train_num_input_tokens_seen"),
    "tokens_per_second": (
        *("train_tokens_per_second", "tokens_per_sec", "tok_s", "tps"),
        *("tokens_per_second_per_gpu", "train_tokens_per_sec"),
    ),
}
"""Ours → those of transformers, Lightning, torchtune, nanoGPT, LLaMA-Factory, TRL and tinker-cookbook."""
_BY_NAME = {name: ours for ours, names in _OURS.items() for name in (ours, *names)}


def our_name(name: str) -> str:
    """The name of a quantity in this program; one that is not known keeps its own.

    Case and separators do not matter: "train/loss", "Loss/train" and "train_loss" are all "loss".
    """
    plain = _SEPARATORS.sub("_", name.lower()).strip("_")
    return _BY_NAME.get(plain, name)


def our_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with our names and its numbers alone; where two names mean the same, the first counts."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if type(value) is float or type(value) is int:
            found.setdefault(our_name(name), value)
    return found
