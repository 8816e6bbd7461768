"""One row of training data → everything that the rules of one row find in it."""

from collections.abc import Iterator, Sequence
from typing import Any

from finetui_core.data.check.findings import Hit
from finetui_core.data.check.languages import language_hits, scripts_of
from finetui_core.data.check.plain import is_plain, plain_script
from finetui_core.data.check.texts import answer_hits, text_hits
from finetui_core.data.conversation import Conversation, Message, Row, TextDocument
from finetui_core.data.formats import Rejected

_EXCERPT = 80


def row_hits(row: Row, *, secrets: bool = True) -> list[Hit]:
    """Everything found in one row: in its shape, in each of its texts, and in its answers.

    Places are those of the conversation whatever the layout of the file was: `$.messages[2].content`. `secrets` is
    False where `may_hold_secret` has ruled them out for the bytes of the row.
    """
    return look(row, secrets=secrets)[0]


def look(row: Row, raw: bytes | None = None, *, secrets: bool = True) -> tuple[list[Hit], str]:
    """What `row_hits` finds, and the script that most letters of the row are written in, "" where it has none.

    `raw` is the JSON of the row where it is at hand: it rules out most rules at once.
    """
    if isinstance(row, TextDocument):
        hits = text_hits(row.text, "$.text", "text", secrets=secrets)
        return hits, plain_script([row.text]) or _script([row.text])
    hits = structure_hits(row)
    if raw is not None and is_plain(raw):
        for index, message in enumerate(row.messages):
            if message.role == "assistant" and message.content:
                hits += answer_hits(message.content, f"$.messages[{index}].content")
        if raw.isascii():
            return hits, "Latin"
    else:
        for index, message in enumerate(row.messages):
            if message.content:
                path = f"$.messages[{index}].content"
                hits += text_hits(message.content, path, message.role, secrets=secrets)
                if message.role == "assistant":
                    hits += answer_hits(message.content, path)
            if message.tool_calls:
                hits += _loose_hits(message.tool_calls, f"$.messages[{index}].tool_calls", "assistant")
        if row.tools:
            hits += _loose_hits(row.tools, "$.tools", "system")
    spoken = [message.content for message in row.messages if message.role != "system"]
    script = plain_script(spoken)
    if not script or (script != "Latin" and any("`" in text or "http" in text for text in spoken)):
        hits += language_hits(row)  # which leaves out code and addresses
    return hits, script or _script(spoken)


def _script(texts: Sequence[str]) -> str:
    return max(scripts_of(" ".join(texts)).items(), key=lambda item: item[1], default=("", 0))[0]


def rejected_hits(value: dict[str, Any], rejected: Rejected) -> list[Hit]:
    """Why an object is no row, and what stands in its texts all the same."""
    return [Hit(rejected.rule, rejected.path, rejected.what[:_EXCERPT]), *_loose_hits(value, "$", "text")]


def structure_hits(row: Conversation) -> list[Hit]:
    """What is wrong with the roles, their order, empty turns and calls of tools."""
    messages = row.messages
    hits: list[Hit] = []
    before: Message | None = None
    spoken = False
    open_calls: frozenset[str] | None = (
        None  # the calls that may be answered now; empty where they have no ids
    )
    answered = False
    for index, message in enumerate(messages):
        role, content = message.role, message.content
        if role != "assistant" and role != "tool" and (not content or content.isspace()):
            hits.append(Hit("empty_turn", f"$.messages[{index}].content", role))
        if role == "system":
            if before is not None:
                hits.append(Hit("misplaced_system", f"$.messages[{index}]", content[:_EXCERPT]))
        elif not spoken:
            spoken = True
            if role == "assistant":
                hits.append(Hit("starts_with_answer", f"$.messages[{index}]", content[:_EXCERPT]))
        if before is not None and before.role == role and (role == "user" or role == "assistant"):
            hits.append(Hit("repeated_role", f"$.messages[{index}]", content[:_EXCERPT]))
        if role == "tool":
            if open_calls is None or not _answers(message, open_calls):
                hits.append(Hit("tool_mismatch", f"$.messages[{index}]", content[:_EXCERPT]))
            answered = True
        else:
            if open_calls is not None and not answered:
                hits.append(Hit("tool_mismatch", f"$.messages[{index - 1}]", _called(messages[index - 1])))
            open_calls = _ids(message) if message.tool_calls else None
            answered = False
        before = message
    if before is not None and before.role != "assistant":
        hits.append(Hit("unanswered_end", f"$.messages[{len(messages) - 1}]", before.content[:_EXCERPT]))
    return hits


def _ids(message: Message) -> frozenset[str]:
    return frozenset(call["id"] for call in message.tool_calls or () if "id" in call)


def _answers(result: Message, calls: frozenset[str]) -> bool:
    return not calls or result.tool_call_id is None or result.tool_call_id in calls


def _called(message: Message) -> str:
    names = (str(call["function"]["name"]) for call in message.tool_calls or ())
    return ", ".join(names)[:_EXCERPT]


def _loose_hits(value: Any, path: str, role: str) -> list[Hit]:
    """What stands in the texts of any value, wherever they are in it."""
    return [hit for text, place in _texts(value, path) for hit in text_hits(text, place, role)]


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string of a value with its path; without recursion, since rows can be nested very deeply."""
    waiting = [(value, path)]
    while waiting:
        part, place = waiting.pop()
        if isinstance(part, str):
            if part:
                yield part, place
        elif isinstance(part, dict):
            waiting += [(inner, f"{place}.{key}"[:200]) for key, inner in reversed(part.items())]
        elif isinstance(part, list | tuple):
            waiting += [(inner, f"{place}[{index}]"[:200]) for index, inner in reversed([*enumerate(part)])]
