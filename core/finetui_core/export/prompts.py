"""The prompts by which an export is compared with its run: short, long, and with what templates stumble over."""

from collections.abc import Callable
from typing import Any

import msgspec

_SENTENCE = "Every part of this order, number 1204, was packed by hand and sent on Monday. "
_TOOL = {
    "type": "function",
    "function": {
        "name": "track",
        "description": "Where a parcel is",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
}
LONGEST = 600
"""Tokens of the long prompt at most."""


class Asked(msgspec.Struct, frozen=True):
    """A prompt and an answer to it, as chat templates read them; the answer is never the model's own."""

    name: str
    messages: tuple[dict[str, Any], ...]
    answer: str
    tools: tuple[dict[str, Any], ...] | None = None


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _turns(*texts: str) -> tuple[dict[str, Any], ...]:
    roles = ("user", "assistant")
    return tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(texts))


ASKED = (
    Asked("one turn", _turns("Where is my order?"), "On its way."),
    Asked(
        "several turns", _turns("Hello!", "How can I help?", "Do you open at 9?", "Yes.", "Thanks."), "Bye!"
    ),
    Asked("system", ({"role": "system", "content": "Answer in one word."}, _user("Is it open?")), "Yes"),
    Asked("tools", (_user("Where is parcel 7?"),), "Let me look.", (_TOOL,)),
    Asked("empty", (_user(""),), "Yes?"),
    Asked("non-Latin", _turns("Где мой заказ? 荷物はどこですか。 أين طلبي؟"), "Скоро. もうすぐ。"),
    Asked("emoji", _turns("Thanks 👍🏽 for the 🎁!"), "You are welcome 😀"),
)


def asked_with(tokens: Callable[[Asked], int], context: int | None) -> list[Asked]:
    """All prompts, with a long one that fits; `tokens` counts those of a prompt, 0 where it is refused."""
    most = LONGEST if context is None else min(LONGEST, context - 40)
    times = 1
    while times < 64 and 0 < tokens(_long(times + 1)) <= most:
        times += 1
    return [*ASKED, _long(times)]


def _long(times: int) -> Asked:
    return Asked("long", (_user(_SENTENCE * times + "Is that right?"),), "It is.")
