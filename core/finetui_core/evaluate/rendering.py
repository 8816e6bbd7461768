"""Prompts as the model reads them, with and without the reference after them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.render import Example, renderer, special_ids
from finetui_core.data.template import Unrenderable, chat_of
from finetui_core.errors import Problem
from finetui_core.evaluate.figures import Prompt, TestRow

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """`prompt` [tokens] ends in what asks for an answer. `whole` is the prompt with the reference as in training, of
    which the reference and its end are learned; None where the template cannot show it."""

    index: int
    prompt: NDArray[np.int32]
    whole: Example | None


def length_of(tokenizer: Any) -> Callable[..., int]:
    """The function of messages (and tools) that counts the tokens of their prompt.

    It is 0 where the template refuses them: no shortening helps, and the answer will say why.
    """

    def length(messages: Messages, tools: Tools | None = None) -> int:
        try:
            return len(_prompt_ids(_conversation(messages, "", tools, ""), tokenizer))
        except Unrenderable:
            return 0

    return length


def prompt_renderer(tokenizer: Any) -> Callable[[Prompt, TestRow], Rendered | str]:
    """The function that renders what an arm is asked for a row, or says why the template refuses it."""
    render_whole = renderer(tokenizer, "last")

    def render(prompt: Prompt, row: TestRow) -> Rendered | str:
        conversation = _conversation(prompt.messages, row.reference, row.tools, row.source)
        try:
            ids = _prompt_ids(conversation, tokenizer)
        except Unrenderable as error:
            return f"the chat template cannot show this prompt: {error}"
        whole = render_whole(conversation)
        return Rendered(row.index, ids, None if isinstance(whole, Problem) else whole)

    return render


def turn_ends(rendered: Iterable[Rendered], tokenizer: Any) -> set[int]:
    """The special tokens that close an answer in this template, which need not be the model's own end tokens."""
    wholes = [one.whole for one in rendered if one.whole is not None and one.whole.mask.any()]
    return {int(one.ids[np.flatnonzero(one.mask)[-1]]) for one in wholes} & special_ids(tokenizer)


def _conversation(messages: Messages, reference: str, tools: Tools | None, source: str) -> Conversation:
    turns = [*(_message(one) for one in messages), Message("assistant", reference)]
    return Conversation(tuple(turns), tuple(dict(tool) for tool in tools) if tools else None, source)


def _message(message: Mapping[str, Any]) -> Message:
    calls = message.get("tool_calls")
    return Message(
        message["role"],
        message.get("content") or "",
        tuple(calls) if calls else None,
        message.get("name"),
        message.get("tool_call_id"),
    )


def prompt_text(messages: Messages, tokenizer: Any) -> str:
    """Messages as the model reads them, with what asks for an answer after them. Raises Unrenderable."""
    return _prompt_text(_conversation(messages, "", None, ""), tokenizer)


def _prompt_text(conversation: Conversation, tokenizer: Any) -> str:
    chat = chat_of(conversation, tokenizer, keep_rest=False)
    return chat.text(chat.messages[:-1], prompt=True)


def _prompt_ids(conversation: Conversation, tokenizer: Any) -> NDArray[np.int32]:
    return text_ids(_prompt_text(conversation, tokenizer), tokenizer)


def text_ids(text: str, tokenizer: Any) -> NDArray[np.int32]:
    """The tokens [tokens] of a rendered text, which has all special ones that the model wants."""
    return np.array(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int32)
