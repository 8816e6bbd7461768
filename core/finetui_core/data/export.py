"""Rows written in another layout, with a list of all that it cannot hold: nothing is lost in silence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.data.formats import KNOWN_KEYS

LAYOUTS = ("messages", "openai", "sharegpt", "alpaca", "prompt_completion")
TEXT_ROW = "plain text has no turns"


@dataclass(frozen=True, slots=True)
class Exported:
    """`value` is None where the row cannot be told in the layout at all; `lost` says what is left out."""

    value: dict[str, Any] | None
    lost: tuple[str, ...]


def exporter(layout: str) -> Callable[[Row], Exported]:
    """The function that writes one row in a layout of `LAYOUTS`."""
    write = _EXPORTERS[layout]

    def export(row: Row) -> Exported:
        if isinstance(row, TextDocument):
            return Exported(None, (TEXT_ROW,))
        lost: list[str] = []
        value = write(row, lost)
        return Exported(value, tuple(dict.fromkeys(lost)))

    return export


def other_keys(value: dict[str, Any]) -> dict[str, Any]:
    """What a row holds beside the chat: ids, sources and the like, which are carried over as they are."""
    return {key: part for key, part in value.items() if key not in KNOWN_KEYS}


def is_one_turn(row: Row) -> bool:
    """Whether the row is one question and one answer and nothing else, so that two strings hold it."""
    return (
        isinstance(row, Conversation)
        and [message.role for message in row.messages] == ["user", "assistant"]
        and all(_is_plain(message) for message in row.messages)
    )


def pair_of_strings(row: Conversation) -> dict[str, Any]:
    """Prompt and completion as strings, for a set in which every row `is_one_turn`."""
    question, answer = row.messages
    return {"prompt": question.content, "completion": answer.content, **_tools(row)}


def _messages(row: Conversation, lost: list[str]) -> dict[str, Any]:
    return {"messages": [_turn(message) for message in row.messages], **_tools(row)}


def _openai(row: Conversation, lost: list[str]) -> dict[str, Any]:
    """The chat layout of OpenAI's fine-tuning: calls carry ids, their arguments are JSON in a string."""
    turns: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, message in enumerate(row.messages):
        turn = _turn(message)
        if message.tool_calls:
            turn["tool_calls"] = [
                _call_with_id(call, f"call_{number}_{place}") for place, call in enumerate(message.tool_calls)
            ]
            waiting = [call["id"] for call in turn["tool_calls"]]
            if not message.content:
                turn["content"] = None
        if message.role == "tool":
            turn.setdefault("tool_call_id", waiting[0] if waiting else f"call_{number}")
            waiting = [one for one in waiting if one != turn["tool_call_id"]]
        turns.append(turn)
    return {"messages": turns, **_tools(row)}


def _call_with_id(call: dict[str, Any], name: str) -> dict[str, Any]:
    function = call["function"]
    arguments = msgspec.json.encode(function["arguments"]).decode()
    return {
        "id": call.get("id", name),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _sharegpt(row: Conversation, lost: list[str]) -> dict[str, Any]:
    messages = row.messages
    first = messages[0]
    lead = first.role == "system" and bool(first.content) and first.name is None
    turns = [_sharegpt_turn(message, lost) for message in messages[lead:]]
    system = {"system": first.content} if lead else {}
    tools = {"tools": msgspec.json.encode(row.tools).decode()} if row.tools else {}
    return {"conversations": turns, **system, **tools}


def _sharegpt_turn(message: Message, lost: list[str]) -> dict[str, Any]:
    if message.name is not None:
        lost.append("names of speakers and tools")
    if message.tool_call_id is not None:
        lost.append("ids that tie a tool's result to its call")
    if not message.tool_calls:
        return {"from": _SHAREGPT_NAMES[message.role], "value": message.content}
    if message.content:
        lost.append("text beside a call")
    calls = [
        {**({"id": call["id"]} if "id" in call else {}), **call["function"]} for call in message.tool_calls
    ]
    return {"from": "function_call", "value": msgspec.json.encode(calls).decode()}


def _alpaca(row: Conversation, lost: list[str]) -> dict[str, Any] | None:
    messages = _up_to_last_answer(row, lost)
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[bool(messages[0].role == "system") :]
    if row.tools or any(message.tool_calls or message.role == "tool" for message in turns):
        lost.append("tools: Alpaca has no place for them")
        return None
    if [turn.role for turn in turns] != ["user", "assistant"] * (len(turns) // 2):
        lost.append("turns that do not alternate between user and assistant")
        return None
    if messages[0].role == "system" and not system:
        lost.append("empty system turns")
    if any(message.name is not None for message in messages):
        lost.append("names of speakers and tools")
    texts = [turn.content for turn in turns]
    pairs = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
    return {
        **({"system": system} if system else {}),
        **({"history": pairs} if pairs else {}),
        "instruction": texts[-2],
        "input": "",
        "output": texts[-1],
    }


def _prompt_completion(row: Conversation, lost: list[str]) -> dict[str, Any]:
    """Lists of turns on both sides, as TRL takes them."""
    messages = _up_to_last_answer(row, lost)
    return {
        "prompt": [_turn(message) for message in messages[:-1]],
        "completion": [_turn(messages[-1])],
        **_tools(row),
    }


def _up_to_last_answer(row: Conversation, lost: list[str]) -> tuple[Message, ...]:
    last = max(index for index, message in enumerate(row.messages) if message.role == "assistant")
    if last + 1 < len(row.messages):
        lost.append("turns after the last answer")
    return row.messages[: last + 1]


def _turn(message: Message) -> dict[str, Any]:
    calls = {"tool_calls": list(message.tool_calls)} if message.tool_calls else {}
    name = {"name": message.name} if message.name is not None else {}
    answers = {"tool_call_id": message.tool_call_id} if message.tool_call_id is not None else {}
    return {"role": message.role, "content": message.content, **calls, **name, **answers}


def _tools(row: Conversation) -> dict[str, Any]:
    return {"tools": list(row.tools)} if row.tools else {}


def _is_plain(message: Message) -> bool:
    return not message.tool_calls and message.name is None and message.tool_call_id is None


_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_EXPORTERS: dict[str, Callable[[Conversation, list[str]], dict[str, Any] | None]] = {
    "messages": _messages,
    "openai": _openai,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of OpenAI's fine-tuning, the text that was read for it, and when: limits change, so look again."""

    says: str
    source: str
    read: str


OPENAI_MIN_ROWS = 10
OPENAI_MAX_BYTES = 512 * 1000 * 1000
OPENAI_ROWS_LIMIT = Limit(
    f"at least {OPENAI_MIN_ROWS} rows",
    "a stored copy of developers.openai.com/docs/guides/distillation",
    "2026-11",
)
OPENAI_SIZE_LIMIT = Limit(
    "a file holds at most 512 MB",
    "copies of the API reference of POST /files, at w3cschool.cn and in tryAGI/OpenAI",
    "2026-11",
)
OPENAI_LAST_LIMIT = Limit(
    "the last turn of a row is what is learned",
    "OpenAI's cookbook as quoted in community.openai.com/t/358402; no text was found that says whether other rows "
    "are refused",
    "2026-11",
)


def openai_faults(rows: int, size: int, last_not_assistant: Sequence[int]) -> list[str]:
    """What OpenAI may refuse, each with the limit and its source. `last_not_assistant` are line numbers."""
    faults: list[tuple[str, Limit]] = []
    if rows < OPENAI_MIN_ROWS:
        faults.append((f"there are {rows} rows", OPENAI_ROWS_LIMIT))
    if size > OPENAI_MAX_BYTES:
        faults.append((f"the file has {size / 1e6:,.0f} MB", OPENAI_SIZE_LIMIT))
    if last_not_assistant:
        first = ", ".join(str(line) for line in last_not_assistant[:5])
        what = f"{len(last_not_assistant):,} rows do not end with an assistant turn (lines {first})"
        faults.append((what, OPENAI_LAST_LIMIT))
    return [f"{what}; OpenAI: {limit.says} ({limit.source}; read {limit.read})" for what, limit in faults]
