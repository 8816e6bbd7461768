"""Each option of a recipe as it is shown: its value, where that comes from, and why it is so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from finetui_core.recipe.defaults import explain, fill_defaults
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.load import Checked
from finetui_core.recipe.table import OptionInfo, option_table

Origin = Literal["given", "default", "run"]
_NEEDS_ROWS = ("train.num_train_epochs", "lora.lora_dropout")


@dataclass(frozen=True, slots=True)
class Shown:
    """`origin` is "given", "default", or "run" where it is decided when the run starts; `value` is then what
    is expected, or None."""

    option: OptionInfo
    value: Any
    origin: Origin
    why: str


def shown_options(checked: Checked, facts: Facts) -> list[Shown]:
    """Every option, in the order of declaration."""
    filled = fill_defaults(
        checked.recipe,
        train_rows=facts.rows or 0,
        hidden_size=facts.hidden_size,
        model_type=facts.model_type,
        parameters=None,
        context_length=facts.context_length,
    )
    decided = {one["option"]: one for one in explain(checked.recipe, filled)}
    return [_one(option, checked, decided, facts) for option in option_table()]


def _one(option: OptionInfo, checked: Checked, decided: Mapping[str, dict[str, Any]], facts: Facts) -> Shown:
    value = getattr(getattr(checked.recipe, option.table), option.name)
    if option.path in checked.given:
        return Shown(option, value, "given", checked.given[option.path])
    if option.dotted in decided:
        found = decided[option.dotted]
        known = facts.rows is not None or option.dotted not in _NEEDS_ROWS
        return Shown(option, found["value"] if known else None, "run", f"{found['why']} ({found['source']})")
    if value is None:
        return Shown(option, None, "default", "none")
    if value != option.default:
        return Shown(option, value, "default", "follows from the method")
    return Shown(option, value, "default", option.source or option.help)
