"""Where a row of each layout keeps its texts, so that they can be changed and all else stays as it was."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Change = Callable[[str], str]
_CHAT_KEYS = ("messages", "conversations", "conversation")
_PLAIN = {
    "sharegpt": ("system",),
    "alpaca": ("system", "instruction", "input", "output"),
    "text": ("text",),
}


def chat_key(value: Mapping[str, Any]) -> str:
    """The key of the list of turns, as the readers choose it."""
    return next((key for key in _CHAT_KEYS if value.get(key) is not None), "messages")


def with_texts(value: dict[str, Any], layout: str, change: Change) -> dict[str, Any]:
    """The row with `change` applied to each text that is trained on or shown to the model, tools included."""
    mended = dict(value)
    for key in _PLAIN.get(layout, ()):
        if isinstance(mended.get(key), str):
            mended[key] = change(mended[key])
    if layout in ("messages", "sharegpt"):
        key = chat_key(mended)
        mended[key] = [_turn(turn, change) for turn in mended[key]]
    elif layout == "alpaca" and mended.get("history"):
        mended["history"] = _deep(mended["history"], change)
    elif layout == "prompt_completion":
        for key in ("prompt", "completion"):
            side = mended[key]
            mended[key] = [_turn(turn, change) for turn in side] if isinstance(side, list) else change(side)
    tools = mended.get("tools")
    if tools and layout != "text":
        mended["tools"] = _json_text(tools, change) if isinstance(tools, str) else _deep(tools, change)
    return mended


def _turn(turn: dict[str, Any], change: Change) -> dict[str, Any]:
    mended = dict(turn)
    for key in ("content", "value"):
        text = mended.get(key)
        if isinstance(text, str):
            mended[key] = _json_text(text, change) if turn.get("from") == "function_call" else change(text)
        elif isinstance(text, list):
            mended[key] = [_part(part, change) for part in text]
    if mended.get("tool_calls"):
        mended["tool_calls"] = _call(mended["tool_calls"], change)
    if isinstance(mended.get("tool_call_id"), str):
        mended["tool_call_id"] = change(mended["tool_call_id"])
    return mended


def _part(part: dict[str, Any], change: Change) -> dict[str, Any]:
    return {**part, "text": change(part["text"])} if isinstance(part.get("text"), str) else part


def _call(value: Any, change: Change) -> Any:
    """As `_deep`, where the arguments of a call may be JSON in a string."""
    if isinstance(value, list):
        return [_call(part, change) for part in value]
    if not isinstance(value, dict):
        return _deep(value, change)
    return {
        key: _json_text(part, change) if key == "arguments" and isinstance(part, str) else _call(part, change)
        for key, part in value.items()
    }


def _json_text(text: str, change: Change) -> str:
    """JSON inside a string: its own strings are changed, and it is written anew only where one was."""
    try:
        inner = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return change(text)
    mended = _deep(inner, change)
    return text if mended == inner else msgspec.json.encode(mended).decode()


def _deep(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_deep(part, change) for part in value]
    if isinstance(value, dict):
        return {key: _deep(part, change) for key, part in value.items()}
    return value
