"""Which rules are mended, and how: the catalogue's safe mends, or those that were asked for by name."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from finetui_core.data.check.catalogue import RULES
from finetui_core.errors import InputError, Problem

KEEP = ("first", "last", "longest")
BY_NAME_ONLY = frozenset({"near_duplicate", "near_leakage"})
"""Rows that differ may differ in what matters: never taken out unless asked for."""
NEED_VAL = frozenset({"leakage", "near_leakage"})
SET_RULES = frozenset({"exact_duplicate", "near_duplicate", "leakage", "near_leakage"})
"""Found by comparing rows."""
NOT_OF_ROWS = frozenset(
    {
        "repeated_prompt",
        "contradiction",
        "inconsistent_label",
        "length_outlier",
        "mixed_system_prompts",
        "language_mix",
    }
)
"""Said of the whole set: no row by itself is at fault, so none can be dropped for it."""
UNDER_A_RECIPE = frozenset(
    {"template_error", "nothing_supervised", "overlength", "end_not_learned", "doubled_special", "missing_start",
     "special_in_text"}
)  # fmt: skip
"""Found with a recipe's tokenizer and template, which are not at hand here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`mends` names the mend of each rule: drop, encoding, strip_controls, roles, mask, deduplicate, drop_leaked.

    `val` is the file that no prompt may be shared with, "" for none. `keep` says which of several equal rows
    stays.
    """

    mends: Mapping[str, str]
    keep: str = "first"
    val: str = ""


def choose(
    only: Sequence[str] = (),
    drop: Sequence[str] = (),
    *,
    keep: str = "first",
    val: str = "",
    mask: bool = False,
) -> Choice:
    """The mends of the rules in `only`, or else every safe one; rows of the rules in `drop` are dropped.

    Raises InputError for rules that are unknown or cannot be mended so.
    """
    problems = [problem for name in (*only, *drop) if (problem := _unusable(name, val))]
    problems += [
        _no_mend(name) for name in only if name in RULES and not _mend(name, mask) and name not in drop
    ]
    if problems:
        raise InputError(problems)
    wanted = only or [name for name in RULES if _is_safe(name, val)]
    mends = {name: _mend(name, mask) for name in wanted if name not in drop}
    mends |= {name: RULES[name].fix if name in SET_RULES else "drop" for name in drop}
    return Choice(mends, keep, val)


def fix_command(rule: str, train: str, val: str) -> str:
    """The command that mends a rule in the training file; "" where a person must decide."""
    if rule in UNDER_A_RECIPE | NOT_OF_ROWS or not RULES[rule].fix or (rule in NEED_VAL and not val):
        return ""
    against = f" --val {quote(val)}" if rule in NEED_VAL else ""
    return f"ftui data fix {quote(train)}{against} --only {rule} -o NEW"


def can_be_dropped(rule: str) -> bool:
    """Whether the rows that a rule finds can be taken out, without another file at hand."""
    return rule in RULES and _unusable(rule, "") is None


def _is_safe(name: str, val: str) -> bool:
    usable = name not in BY_NAME_ONLY | UNDER_A_RECIPE and (bool(val) or name not in NEED_VAL)
    return usable and bool(RULES[name].fix)


def _mend(name: str, mask: bool) -> str:
    if mask and name in ("secret", "personal_data"):
        return "mask"
    return RULES[name].fix


def _unusable(name: str, val: str) -> Problem | None:
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        return Problem(
            f'there is no rule "{name}"',
            "",
            f"Did you mean {near[0]}?" if near else f"Rules: {', '.join(RULES)}.",
        )
    if name in NEED_VAL and not val:
        return Problem(f"{name} is a matter of two files", "", "Name the other one with --val FILE.")
    if name in UNDER_A_RECIPE:
        hint = "Set data.overlength, data.max_length or the chat template in the recipe."
        return Problem(f"{name} depends on the model of a recipe, and cannot be mended in the file", "", hint)
    if name in NOT_OF_ROWS:
        hint = "Look at its rows with ftui data check, and edit them: ftui data edit FILE ROW -o NEW"
        return Problem(f"{name} says something of the set: which row is wrong a person must decide", "", hint)
    return None


def _no_mend(name: str) -> Problem:
    hint = f"Look at its rows, or drop them all: --drop {name}"
    if name == "personal_data":
        hint = f"Add --mask, or drop the rows: --drop {name}"
    return Problem(f"{name} has no mend that is safe", "", hint)
