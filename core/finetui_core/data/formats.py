"""The row layouts in common use, each turned into a Conversation or a TextDocument, or refused with a reason.

Places inside a row are JSON paths (`$.messages[2].content`). Keys that no layout knows are ignored.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.errors import InputError, Problem

# OpenAI's "developer" is its newer name for "system"; chat templates know the older one.
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}
_CHAT_KEYS = ("messages", "conversations", "conversation")
KNOWN_KEYS = frozenset(
    {
        *_CHAT_KEYS,
        "system",
        "tools",
        "instruction",
        "input",
        "output",
        "history",
        "prompt",
        "completion",
        "text",
    }
)
"""Every key that a layout reads; others are ignored."""
_SNIFFED_ROWS = 100
_KINDS: dict[type, str] = {
    type(None): "nothing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


RejectedBy = Literal["bad_shape", "no_answer", "empty_answer"]
"""The rule of the data check that a refused row breaks."""


class Rejected(Exception):
    """What is wrong with the row, the JSON path, the way out, and the rule of the data check that it breaks."""

    def __init__(self, what: str, path: str = "", hint: str = "", rule: RejectedBy = "bad_shape") -> None:
        super().__init__(what)
        self.what, self.path, self.hint, self.rule = what, path, hint, rule

    def problem(self, source: str) -> Problem:
        return Problem(f"{self.what} (at {self.path})" if self.path else self.what, source, self.hint)


def convert(layout: str, value: dict[str, Any], source: str) -> Row | Rejected:
    """The row of an object in one of the layouts of `CONVERTERS`, or why there is none."""
    try:
        return _CONVERTERS[layout](value, source)
    except Rejected as fault:
        return fault


def _row_or_problem(layout: str, value: dict[str, Any], source: str) -> Row | Problem:
    row = convert(layout, value, source)
    return row.problem(source) if isinstance(row, Rejected) else row


def sniff(rows: Sequence[dict[str, Any]], source: str) -> str:
    """The name of the layout that most of the first 100 rows have.

    Raises InputError that lists the keys found when no row fits any layout.
    """
    found = Counter(layout for row in rows[:_SNIFFED_ROWS] if (layout := _layout(row)))
    if found:
        return found.most_common(1)[0][0]
    keys = Counter(key for row in rows[:_SNIFFED_ROWS] for key in row)
    seen = ", ".join(key[:40] for key, _ in keys.most_common(12)) or "none"
    raise InputError(
        Problem(
            f"the rows fit no known layout; their keys are: {seen}",
            source,
            _unknown_layout_hint(rows[0] if rows else {}),
        )
    )


def _layout(row: dict[str, Any]) -> str | None:
    key = _chat_key(row)
    if key is not None:
        turns = row[key]
        first = turns[0] if isinstance(turns, list) and turns else None
        return (
            "sharegpt" if isinstance(first, dict) and "from" in first and "role" not in first else "messages"
        )
    for layout, needed in (
        ("alpaca", {"instruction", "output"}),
        ("prompt_completion", {"prompt", "completion"}),
        ("text", {"text"}),
    ):
        if needed <= row.keys():
            return layout
    return None


def _chat_key(row: dict[str, Any]) -> str | None:
    return next((key for key in _CHAT_KEYS if row.get(key) is not None), None)


def _unknown_layout_hint(row: dict[str, Any]) -> str:
    lists = [
        key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if {"chosen", "rejected"} <= row.keys():
        return "These look like preference pairs; training needs one answer: rename chosen to completion."
    if len(row) == 1 and lists:
        return f'The rows seem to be inside "{lists[0]}": save that list as the file.'
    return (
        "Known layouts: messages; conversations (ShareGPT); instruction, input, output (Alpaca); "
        "prompt, completion; text."
    )


def _messages(value: dict[str, Any], source: str) -> Row:
    """OpenAI's layout: `messages` of {role, content, tool_calls?, name?, tool_call_id?}, and `tools?`."""
    key = _chat_key(value) or "messages"
    messages = _message_list(value.get(key), f"$.{key}")
    return _conversation(messages, value.get("tools"), source)


def _sharegpt(value: dict[str, Any], source: str) -> Row:
    """ShareGPT's layout: `conversations` of {from, value}, `system?`, `tools?` (JSON text or a list)."""
    key = _chat_key(value) or "conversations"
    turns = _expect_list(value.get(key), f"$.{key}")
    messages = [_sharegpt_turn(turn, f"$.{key}[{index}]") for index, turn in enumerate(turns)]
    return _conversation(_optional_system(value) + messages, value.get("tools"), source)


def _sharegpt_turn(turn: Any, path: str) -> Message:
    turn = _expect_object(turn, path)
    spoken_by = turn.get("from")
    role = _role(spoken_by, SHAREGPT_ROLES, f"{path}.from")
    content = _expect_text(turn.get("value"), f"{path}.value")
    if spoken_by == "function_call":
        return Message(role, "", _tool_calls(_parsed(content, f"{path}.value"), f"{path}.value"))
    return Message(role, content)


def _alpaca(value: dict[str, Any], source: str) -> Row:
    """Alpaca's layout: `instruction`, `input?`, `output`, `system?`, `history?` of [question, answer] pairs.

    Instruction and input are joined by a line break, as LLaMA-Factory does.
    """
    messages = _optional_system(value)
    for index, pair in enumerate(_expect_list(value.get("history") or [], "$.history")):
        path = f"$.history[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise Rejected("expected a pair [question, answer]", path)
        messages.append(Message("user", _expect_text(pair[0], f"{path}[0]")))
        messages.append(Message("assistant", _expect_text(pair[1], f"{path}[1]")))
    question = [_expect_text(value.get("instruction"), "$.instruction")]
    if value.get("input"):
        question.append(_expect_text(value["input"], "$.input"))
    messages.append(Message("user", "\n".join(question)))
    messages.append(Message("assistant", _expect_text(value.get("output"), "$.output")))
    return _conversation(messages, value.get("tools"), source)


def _prompt_completion(value: dict[str, Any], source: str) -> Row:
    """`prompt` and `completion`, each a string or a list of messages, as in TRL; becomes a chat."""
    messages = _side(value.get("prompt"), "user", "$.prompt")
    messages += _side(value.get("completion"), "assistant", "$.completion")
    return _conversation(messages, value.get("tools"), source)


def _side(value: Any, role: str, path: str) -> list[Message]:
    return (
        _message_list(value, path) if isinstance(value, list) else [Message(role, _expect_text(value, path))]
    )


def _text(value: dict[str, Any], source: str) -> Row:
    """`text`: a document to continue training on, without a chat template."""
    text = _expect_text(value.get("text"), "$.text")
    if not text.strip():
        raise Rejected("the text is empty", "$.text", rule="no_answer")
    return TextDocument(text, source)


def _optional_system(value: dict[str, Any]) -> list[Message]:
    system = value.get("system")
    return [Message("system", _expect_text(system, "$.system"))] if system else []


def _conversation(messages: list[Message], tools: Any, source: str) -> Conversation:
    answers = [message for message in messages if message.role == "assistant"]
    if not answers:
        raise Rejected(
            "no assistant turn: there is nothing to learn",
            "",
            "Add an answer, or remove the row.",
            "no_answer",
        )
    for index, message in enumerate(messages):
        if message.role == "assistant" and not message.content.strip() and not message.tool_calls:
            raise Rejected(
                f"turn {index + 1} is an empty assistant turn",
                "",
                "Fill it in, or remove the row.",
                "empty_answer",
            )
    return Conversation(tuple(messages), _tools(tools), source)


def _message_list(value: Any, path: str) -> list[Message]:
    return [_message(item, f"{path}[{index}]") for index, item in enumerate(_expect_list(value, path))]


def _message(item: Any, path: str) -> Message:
    item = _expect_object(item, path)
    role = _role(item.get("role"), ROLES, f"{path}.role")
    calls = item.get("tool_calls")
    return Message(
        role,
        _content(item.get("content"), f"{path}.content", may_be_null=bool(calls)),
        _tool_calls(calls, f"{path}.tool_calls") if calls else None,
        _optional_text(item.get("name"), f"{path}.name"),
        _optional_text(item.get("tool_call_id"), f"{path}.tool_call_id"),
    )


def _role(value: Any, known: dict[str, str], path: str) -> str:
    name = _expect_text(value, path)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower().strip(), known, n=1, cutoff=0.6)
    hint = f'Did you mean "{near[0]}"?' if near else f"Known roles: {', '.join(known)}."
    raise Rejected(f'unknown role "{name[:40]}"', path, hint)


def _content(value: Any, path: str, *, may_be_null: bool) -> str:
    """A string, or text parts, which are joined as they stand."""
    if value is None and may_be_null:
        return ""
    if not isinstance(value, list):
        return _expect_text(value, path)
    return "".join(_text_part(part, f"{path}[{index}]") for index, part in enumerate(value))


def _text_part(part: Any, path: str) -> str:
    part = _expect_object(part, path)
    if part.get("type", "text") != "text":
        raise Rejected(
            f'content part of type "{str(part["type"])[:40]}"',
            path,
            "Only text is trained on; remove the part or the row.",
        )
    return _expect_text(part.get("text"), f"{path}.text")


def _tool_calls(value: Any, path: str) -> tuple[dict[str, Any], ...]:
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise Rejected("the list of tool calls is empty", path)
    return tuple(_tool_call(call, f"{path}[{index}]") for index, call in enumerate(calls))


def _tool_call(call: Any, path: str) -> dict[str, Any]:
    """A call in the form templates expect, arguments as an object; `{name, arguments}` alone is taken too."""
    call = _expect_object(call, path)
    function = _expect_object(call.get("function", call), f"{path}.function")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parsed(arguments, f"{path}.arguments") if arguments.strip() else {}
    arguments = {} if arguments is None else _expect_object(arguments, f"{path}.arguments")
    name = _expect_text(function.get("name"), f"{path}.name")
    identity = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _tools(value: Any) -> tuple[dict[str, Any], ...] | None:
    """Tool schemas, from a list or its JSON text; a bare function schema is put in its wrapper."""
    if isinstance(value, str):
        value = _parsed(value, "$.tools") if value.strip() else None
    if not value:
        return None
    schemas = [
        _expect_object(tool, f"$.tools[{index}]") for index, tool in enumerate(_expect_list(value, "$.tools"))
    ]
    return tuple(
        tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool}
        for tool in schemas
    )


def _parsed(text: str, path: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"the text is not valid JSON: {error}", path) from error


def _expect_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Rejected(f"expected a list, found {_kind(value)}", path)
    return value


def _expect_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Rejected(f"expected an object, found {_kind(value)}", path)
    return value


def _expect_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Rejected(f"expected a string, found {_kind(value)}", path)
    return value


def _optional_text(value: Any, path: str) -> str | None:
    return None if value is None else _expect_text(value, path)


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


_CONVERTERS: dict[str, Callable[[dict[str, Any], str], Row]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
    "text": _text,
}
CONVERTERS: dict[str, Callable[[dict[str, Any], str], Row | Problem]] = {
    layout: partial(_row_or_problem, layout) for layout in _CONVERTERS
}
