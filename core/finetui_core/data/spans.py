"""Which characters of a rendered conversation the model learns to write.

Spans come from the template's `{% generation %}` marks where it has them. Otherwise a turn's span runs from
the end of the prompt that asks for it to the end of the text up to it, both checked to be exact prefixes of
the whole text. A template that writes a turn differently once more turns follow (it drops old thoughts, say)
fails that check: the span is then where the text changes when the turn's content is changed.
"""

from collections.abc import Sequence
from typing import Any

from finetui_core.data.template import Chat, Span, Unrenderable

_STAND_INS = ("a", "b")


def learned_spans(chat: Chat, train_on: str) -> tuple[str, list[Span]]:
    """The rendered text and its learned spans, in characters.

    `train_on`: "assistant" takes every assistant turn, "last" the last one, "all" the whole text.
    Raises Unrenderable if the template cannot show the conversation.
    """
    if train_on == "all":
        text = chat.text(chat.messages)
        return text, [(0, len(text))]
    answers = [index for index, message in enumerate(chat.messages) if message["role"] == "assistant"]
    if chat.has_marks:
        text, spans = chat.marked(chat.messages)
        return text, spans[_marks_before(chat, answers[-1]) :] if train_on == "last" else spans
    text = chat.text(chat.messages)
    learned = answers[-1:] if train_on == "last" else answers
    return text, [_turn_span(chat, index, text) for index in learned]


def _marks_before(chat: Chat, index: int) -> int:
    """How many spans the template marks before the turn at `index`."""
    if not any(message["role"] == "assistant" for message in chat.messages[:index]):
        return 0
    return len(chat.marked(chat.messages[:index])[1])


def _turn_span(chat: Chat, index: int, whole: str) -> Span:
    start = _prefix_end(chat, chat.messages[:index], whole, prompt=True)
    is_last = index == len(chat.messages) - 1
    end = len(whole) if is_last else _prefix_end(chat, chat.messages[: index + 1], whole, prompt=False)
    if start is None or end is None:
        changed_start, changed_end = _changed_span(chat, index, whole)
        start = changed_start if start is None else start
        end = changed_end if end is None else end
    if end <= start:
        raise Unrenderable(f"turn {index + 1}, an assistant turn, does not appear in its text")
    return start, end


def _prefix_end(chat: Chat, messages: Sequence[dict[str, Any]], whole: str, *, prompt: bool) -> int | None:
    """The length of the text of the first turns, or None if the whole text does not begin with it."""
    if not messages:
        return None
    try:
        part = chat.text(messages, prompt=prompt)
    except Unrenderable:
        return None
    return len(part) if whole.startswith(part) else None


def _changed_span(chat: Chat, index: int, whole: str) -> Span:
    """Where the text changes with one turn's content; spaces before it may be part of its first token."""
    start, end = len(whole), 0
    for content in _STAND_INS:
        turn = {"role": "assistant", "content": content}
        other = chat.text([*chat.messages[:index], turn, *chat.messages[index + 1 :]])
        start = min(start, _equal_characters(whole, other))
        end = max(end, len(whole) - _equal_characters(whole[::-1], other[::-1]))
    return len(whole[:start].rstrip(" ")), end


def _equal_characters(one: str, other: str) -> int:
    """How many characters two texts have in common before they part."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))
