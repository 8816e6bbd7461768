"""Chat rows as OpenAI's fine-tuning takes them, and everything in them that it refuses.

A limit is a fact of its day with a source, since such limits change. Tokens are not counted, because the tokenizer is
the provider's own: they are estimated from the bytes of the texts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.export import (
    OPENAI_LAST_LIMIT,
    OPENAI_MAX_BYTES,
    OPENAI_MIN_ROWS,
    OPENAI_ROWS_LIMIT,
    OPENAI_SIZE_LIMIT,
    Limit,
    exporter,
    other_keys,
)
from finetui_core.data.formats import CONVERTERS
from finetui_core.data.mend.apply import encoded
from finetui_core.data.mend.source import SourceRow, is_json_lines, layout_of, source_rows
from finetui_core.errors import InputError, Problem

MOST_TOKENS = 65_536
TOKENS_LIMIT = Limit(
    f"a row has at most {MOST_TOKENS:,} tokens, and what is longer is cut",
    "65,536 for gpt-4o-mini as quoted in community.openai.com/t/884424; 16,385 for gpt-3.5-turbo and that longer "
    "rows are cut: openai/openai-cookbook pull request 1413",
    "2026-11",
)
NAME_LIMIT = Limit(
    "a function's name has 1 to 64 letters, digits, underscores and dashes",
    "the package openai 3.57, types/shared_params/function_definition.py",
    "2026-11",
)
WEIGHT_LIMIT = Limit(
    "a weight is 0 or 1 and stands on an assistant turn",
    "copies of the API reference of fine-tuning, chat input",
    "2026-11",
)
BYTES_PER_TOKEN = (5.0, 4.0, 2.0)
"""Bytes of text for a token: in easy, usual and hard texts. English has about 4, other scripts and code fewer."""
_TOKENS_PER_TURN = 4  # around each turn, as OpenAI's cookbook counts them
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KNOWN = frozenset({"parallel_tool_calls"})
_MOST_SHOWN = 50


@dataclass(slots=True)
class ChatFile:
    """What a data set is as such a file: its rows and bytes, its text for the estimate of tokens, and its faults.

    `left_out` are keys of rows that the provider does not know. `problems` beyond 50 are only counted, in `more`.
    """

    rows: int = 0
    size: int = 0
    turns: int = 0
    text_bytes: int = 0
    learned: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    more: int = 0

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Tokens of one epoch: few, probably, many."""
        few, usual, many = (round(self.text_bytes / each) for each in BYTES_PER_TOKEN)
        around = self.turns * _TOKENS_PER_TURN
        return few + around, usual + around, many + around


def check_chat_file(source: str, most_tokens: int = MOST_TOKENS) -> ChatFile:
    """Look at every row. Raises InputError where the file cannot be read at all."""
    return _passed(source, None, most_tokens)


def write_chat_file(source: str, file: BinaryIO) -> ChatFile:
    """Write every row that can be told; what is wrong with the rows was asked before."""
    return _passed(source, file, MOST_TOKENS)


def refuse_faults(source: str, found: ChatFile) -> None:
    """Raise InputError with everything that the provider would refuse."""
    if found.problems:
        raise InputError([*found.problems, *unlisted(source, found)])


def unlisted(source: str, found: ChatFile) -> list[Problem]:
    """That more faults were found than are listed, where it is so."""
    return [Problem(f"{found.more:,} more faults of rows are not listed", source)] if found.more else []


def _passed(source: str, file: BinaryIO | None, most_tokens: int) -> ChatFile:
    json_lines = is_json_lines(source)
    layout = layout_of(source, json_lines=json_lines)
    found = ChatFile()
    export = exporter("openai")
    for item in source_rows(source, json_lines=json_lines):
        if item.row < 0:
            continue
        found.rows += 1
        where = item.place(source)
        row = item.problem if item.value is None else CONVERTERS[layout](item.value, where)
        if row is None or isinstance(row, Problem):
            _add(found, [row or Problem("the row cannot be read", where)])
            continue
        made = export(row)
        if made.value is None:
            _add(found, [Problem("; ".join(made.lost), where, "Only chats can be trained on there.")])
            continue
        value = _with_weights(made.value, item, layout)
        _note_keys(found, item)
        _add(found, list(_row_problems(value, row, where, most_tokens)))
        _count(found, value)
        line = encoded(value, b"\n")
        found.size += len(line)
        if file is not None:
            file.write(line)
    found.problems += _file_problems(found, source)
    return found


def _with_weights(value: dict[str, Any], item: SourceRow, layout: str) -> dict[str, Any]:
    """The weights of turns, which a conversation does not hold, and the switch of parallel calls, carried over."""
    given = item.value or {}
    turns = next(
        (given[key] for key in ("messages", "conversations", "conversation") if given.get(key)), None
    )
    if layout != "messages" or not isinstance(turns, list):
        return value
    weighted = [
        {**turn, "weight": its["weight"]} if isinstance(its, dict) and "weight" in its else turn
        for turn, its in zip(value["messages"], turns, strict=True)
    ]
    return {**value, "messages": weighted, **{key: given[key] for key in _KNOWN if key in given}}


def _note_keys(found: ChatFile, item: SourceRow) -> None:
    for key in other_keys(item.value or {}):
        if key not in _KNOWN:
            found.left_out[key] = found.left_out.get(key, 0) + 1


def _row_problems(value: dict[str, Any], row: Row, where: str, most_tokens: int) -> Iterator[Problem]:
    turns = value["messages"]
    if isinstance(row, Conversation) and row.messages[-1].role != "assistant":
        what = f"the last turn is of {row.messages[-1].role}"
        yield Problem(
            what, where, _rule("End the row with an answer, or remove what follows it.", OPENAI_LAST_LIMIT)
        )
    yield from _weight_problems(turns, where)
    yield from _tool_problems(value, where)
    switch = value.get("parallel_tool_calls", True)
    if not isinstance(switch, bool):
        yield Problem("parallel_tool_calls must be true or false (at $.parallel_tool_calls)", where)
    tokens = round(_text_bytes(value) / BYTES_PER_TOKEN[1]) + len(turns) * _TOKENS_PER_TURN
    if tokens > most_tokens:
        hint = "Shorten or divide the row, or name the model's own limit with --max-tokens."
        yield Problem(f"the row has about {tokens:,} tokens", where, _rule(hint, TOKENS_LIMIT))


def _weight_problems(turns: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    for at, turn in enumerate(turns):
        if "weight" not in turn:
            continue
        place = f"(at $.messages[{at}].weight)"
        if turn["role"] != "assistant":
            hint = _rule("Take it away: other turns are never learned.", WEIGHT_LIMIT)
            yield Problem(f"a weight on a turn of {turn['role']} {place}", where, hint)
        elif isinstance(turn["weight"], bool) or turn["weight"] not in (0, 1):
            yield Problem(f"a weight other than 0 and 1 {place}", where, _rule("Write 0 or 1.", WEIGHT_LIMIT))
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if answers and all(turn.get("weight", 1) == 0 for turn in answers):
        yield Problem("every answer has weight 0: nothing of the row is learned", where, "Remove the row.")


def _tool_problems(value: dict[str, Any], where: str) -> Iterator[Problem]:
    """Names that the provider refuses, calls of tools that are not offered, results of calls that are not made."""
    offered = [tool.get("function", {}).get("name") for tool in value.get("tools", ())]
    for at, name in enumerate(offered):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            what = f"a tool's name is not allowed (at $.tools[{at}].function.name)"
            yield Problem(what, where, _rule("Rename it, in its calls too.", NAME_LIMIT))
    waiting: set[str] = set()
    for at, turn in enumerate(value["messages"]):
        place = f"$.messages[{at}]"
        if waiting and turn["role"] != "tool":
            yield Problem(
                f"a call before this turn has no result (at {place})", where, "Add a turn of role tool."
            )
            waiting = set()
        for call in turn.get("tool_calls") or ():
            name = call["function"]["name"]
            waiting.add(call["id"])
            if not _NAME.fullmatch(name):
                yield Problem(
                    f"a called name is not allowed (at {place}.tool_calls)", where, _rule("", NAME_LIMIT)
                )
            elif name not in offered:
                hint = "List it in the row's tools."
                yield Problem(
                    f'the call of "{name[:64]}", which is no tool of the row (at {place})', where, hint
                )
        if turn["role"] == "tool":
            if turn.get("tool_call_id") not in waiting:
                hint = "Give it the tool_call_id of a call in the turn before."
                yield Problem(f"the result of no call (at {place})", where, hint)
            waiting.discard(turn.get("tool_call_id", ""))


def _file_problems(found: ChatFile, source: str) -> Iterator[Problem]:
    if found.rows < OPENAI_MIN_ROWS:
        rows = f"{found.rows} row{'' if found.rows == 1 else 's'}"
        yield Problem(f"the file has {rows}", source, _rule("Collect more.", OPENAI_ROWS_LIMIT))
    if found.size > OPENAI_MAX_BYTES:
        size = f"{found.size / 1e6:,.0f} MB"
        yield Problem(f"the file would have {size}", source, _rule("Use fewer rows.", OPENAI_SIZE_LIMIT))


def _rule(hint: str, limit: Limit) -> str:
    return f"{hint} OpenAI: {limit.says} ({limit.source}; read {limit.read}).".strip()


def _count(found: ChatFile, value: dict[str, Any]) -> None:
    turns = value["messages"]
    found.turns += len(turns)
    found.text_bytes += _text_bytes(value)
    found.learned += sum(turn["role"] == "assistant" and turn.get("weight", 1) != 0 for turn in turns)


def _text_bytes(value: dict[str, Any]) -> int:
    texts = [turn["content"] or "" for turn in value["messages"]]
    calls = [call["function"] for turn in value["messages"] for call in turn.get("tool_calls") or ()]
    texts += [part for call in calls for part in (call["name"], call["arguments"])]
    tools = encoded({"tools": value["tools"]}, b"") if value.get("tools") else b""
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + len(tools)


def _add(found: ChatFile, problems: list[Problem]) -> None:
    room = max(0, _MOST_SHOWN - len(found.problems))
    found.problems += problems[:room]
    found.more += len(problems[room:])
