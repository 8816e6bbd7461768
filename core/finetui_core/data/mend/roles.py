"""Turns put in order: one system turn and first, and never two turns of one role in a row."""

from typing import Any

from finetui_core.data.formats import ROLES, SHAREGPT_ROLES
from finetui_core.data.mend.places import chat_key

BETWEEN = "\n\n"
"""What stands between the texts of two turns that became one."""

Turns = list[dict[str, Any]]


def system_first(value: dict[str, Any], layout: str) -> dict[str, Any]:
    """System turns moved to the front and joined, in their order; one that repeats another is left out."""
    key = _turns_key(value, layout)
    if not key:
        return value
    turns: Turns = value[key]
    texts = [_text(turn) for turn in turns if _role(turn) == "system"]
    rest = [turn for turn in turns if _role(turn) != "system"]
    if layout == "sharegpt" and value.get("system"):
        return {**value, "system": _joined([value["system"], *texts]), key: rest}
    if not texts:
        return value
    first = next(turn for turn in turns if _role(turn) == "system")
    return {**value, key: [_with_text(first, _joined(texts)), *rest]}


def one_turn_each(value: dict[str, Any], layout: str) -> dict[str, Any]:
    """Two user or two assistant turns in a row joined by a blank line; one that repeats the other is left out.

    Turns with calls, or of two names, are left.
    """
    key = _turns_key(value, layout)
    if not key:
        return value
    turns: Turns = []
    for turn in value[key]:
        if turns and _can_join(turns[-1], turn):
            turns[-1] = _with_text(turns[-1], _joined([_text(turns[-1]), _text(turn)]))
        else:
            turns.append(turn)
    return {**value, key: turns}


def _turns_key(value: dict[str, Any], layout: str) -> str:
    if layout in ("messages", "sharegpt"):
        return chat_key(value)
    return "prompt" if layout == "prompt_completion" and isinstance(value["prompt"], list) else ""


def _role(turn: dict[str, Any]) -> str:
    return ROLES[turn["role"]] if "role" in turn else SHAREGPT_ROLES[turn["from"]]


def _text(turn: dict[str, Any]) -> str:
    text = turn.get("value") if "from" in turn and "role" not in turn else turn.get("content")
    return "".join(part["text"] for part in text) if isinstance(text, list) else text or ""


def _with_text(turn: dict[str, Any], text: str) -> dict[str, Any]:
    return {**turn, ("value" if "from" in turn and "role" not in turn else "content"): text}


def _joined(texts: list[str]) -> str:
    return BETWEEN.join(dict.fromkeys(texts))


def _can_join(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return (
        _role(first) == _role(second)
        and _role(first) in ("user", "assistant")
        and first.get("name") == second.get("name")
        and not any(turn.get("tool_calls") or turn.get("from") == "function_call" for turn in (first, second))
    )
