"""Values as they are typed and stepped through: text → value, and the next value up or down."""

import math
from pathlib import Path
from typing import Any

import tomli

from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value, toml_value
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.overrides import parse_value
from finetui_core.recipe.paths import DATA_OPTIONS, FILE_OPTIONS, MODEL_NAME
from finetui_core.recipe.table import OptionInfo

PATHS = {MODEL_NAME, *DATA_OPTIONS, *FILE_OPTIONS}
_DOUBLED = {
    "data.max_length",
    "train.per_device_train_batch_size",
    "train.gradient_accumulation_steps",
    "lora.r",
    "lora.lora_alpha",
    "eval.per_device_eval_batch_size",
    "launch.nproc_per_node",
}
"""Options of which powers of two are usual."""
_COUNTED = {"train.seed"}
"""Options of which one number is as good as another."""
_BY_ONE = 20
_SMALLEST = 0.01


def as_typed(option: OptionInfo, value: Any) -> str:
    """A value as it stands in the line where it is edited: text without its quotes."""
    if value is None:
        return ""
    if option.kind == "names" and isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else toml_value(value)


def typed_value(option: OptionInfo, text: str) -> Any:
    """The value that was typed, of the option's type where it can be read so."""
    text = text.strip()
    if option.kind in ("text", "choice"):
        return _unquoted(text)
    if option.kind == "names":
        if text.startswith("["):
            return parse_value(text)
        word = _unquoted(text)
        return (
            word if word in option.choices else [_unquoted(part) for part in text.split(",") if part.strip()]
        )
    value = parse_value(text)
    if option.kind == "number" and isinstance(value, str):
        try:
            value = float(value)  # "1e-4" and ".5", which TOML writes otherwise
        except ValueError:
            return value
    return value


def _unquoted(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        value = parse_value(text)
        return value if isinstance(value, str) else text
    return text


def check_typed(recipe: str, option: OptionInfo, text: str, folder: Path) -> None:
    """Raises InputError where the option may not have the value that was typed; a file need not be there."""
    edited = set_value(recipe, option.table, option.name, typed_value(option, text))
    found = [
        located.problem
        for located in check_recipe(edited, "", folder).located
        if located.path[:2] == option.path and not located.absent
    ]
    if found and not _are_contradictions(edited, option):
        raise InputError(found)


def _are_contradictions(recipe: str, option: OptionInfo) -> bool:
    """Whether the value by itself is one that the option can have: others may be changed to fit it."""
    value = tomli.loads(recipe)[option.table][option.name]
    alone = {"model": {"name": "o/m"}, "data": {"train": "hub:o/d"}}
    alone.setdefault(option.table, {})[option.name] = value
    text = "".join(
        f"[{table}]\n" + "".join(f"{name} = {toml_value(one)}\n" for name, one in own.items())
        for table, own in alone.items()
    )
    faults = check_recipe(text, "", Path()).located
    return not any(located.path[:2] == option.path and not located.absent for located in faults)


def stepped(option: OptionInfo, value: Any, direction: int) -> Any:
    """The next value up (1) or down (-1) that makes sense; the same one at the end of the range."""
    if option.kind == "switch":
        return not value
    if option.kind == "choice":
        at = option.choices.index(value) if value in option.choices else -direction
        return option.choices[(at + direction) % len(option.choices)]
    if option.kind == "whole number" and isinstance(value, int):
        new: float = _next_whole(option.dotted, value, direction)
    elif option.kind == "number" and isinstance(value, int | float):
        new = _next_number(float(value), direction)
    else:
        return value
    low = option.minimum if option.minimum is not None else -math.inf
    high = option.maximum if option.maximum is not None else math.inf
    new = max(low, min(new, high))
    if (option.above_minimum and new <= low) or (option.below_maximum and new >= high):
        return value
    return int(new) if option.kind == "whole number" else new


def _next_whole(option: str, value: int, direction: int) -> int:
    if option in _DOUBLED:
        power = 1 << max(0, value.bit_length() - 1)
        return (power * 2 if value else 1) if direction > 0 else (power if power < value else power // 2)
    if abs(value + direction) <= _BY_ONE or value <= 0 or option in _COUNTED:
        return value + direction
    return max(_BY_ONE, round(_next_number(float(value), direction)))


def _next_number(value: float, direction: int) -> float:
    """Along 1, 2, 5, 10 at every scale; 0 follows below a hundredth where steps are shares."""
    if value <= 0:
        return _SMALLEST if direction > 0 else 0.0
    scale = math.floor(math.log10(value) + 1e-9)
    steps = [float(f"{digit}e{power}") for power in range(scale - 1, scale + 2) for digit in (1, 2, 5)]
    if direction > 0:
        return next(step for step in steps if step > value * (1 + 1e-9))
    return next(step for step in reversed(steps) if step < value * (1 - 1e-9))
