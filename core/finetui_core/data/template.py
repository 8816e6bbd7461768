"""The chat template of a run, and conversations rendered through it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.template_process import TemplateFault, render_chats, render_template
from finetui_core.errors import InputError, Problem
from finetui_core.runs.records import content_of

Span = tuple[int, int]
DEFAULT_TEMPLATE = Path(__file__).with_name("default_chat_template.jinja")
# The pattern by which transformers recognises a template that marks what the model generates.
LARGEST_TEMPLATE = 1 << 20
"""Bytes; the longest known templates have a twentieth of it."""
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_QUESTION = [{"role": "user", "content": "a"}]


def template_of(tokenizer: Any, path: str | None) -> tuple[str, str]:
    """A run's chat template, and where it is from: the file `path`, the model, or the default of ftui.

    Raises InputError if the file cannot be read, or if the model has several templates and no default one.
    """
    if path is not None:
        try:
            return content_of(Path(path), LARGEST_TEMPLATE).decode(), f"the file {path}"
        except (OSError, ValueError) as error:
            raise InputError(
                Problem(f"the chat template cannot be read: {error}", path, "Check model.chat_template.")
            ) from error
    if tokenizer.chat_template:
        try:
            return tokenizer.get_chat_template(), "the model's own"
        except ValueError as error:
            raise InputError(
                Problem(
                    str(error), "tokenizer", "Save one of them to a file and name it in model.chat_template."
                )
            ) from error
    start = "{{- bos_token }}" if own_bos(tokenizer) is not None else ""
    return start + DEFAULT_TEMPLATE.read_text(encoding="utf-8"), "the default of ftui (the model has none)"


def ensure_template(tokenizer: Any, path: str | None, *, tried: bool = False) -> str:
    """Give the tokenizer the template of `template_of`, and return where it is from.

    Unless it was `tried` before, it is rendered for a trial. Raises InputError if there is none to be had, if it is
    not valid Jinja, or if it does not come to an end.
    """
    template, origin = template_of(tokenizer, path)
    if not tried:
        _try(tokenizer, template, path)
    if path is not None or not tokenizer.chat_template:
        tokenizer.chat_template = template
    return origin


def _try(tokenizer: Any, template: str, path: str | None) -> None:
    try:
        render_template(template, conversations=[])
    except TemplateFault as error:
        where = f"{path or 'chat template'}:{error.line}" if error.line else path or "chat template"
        raise InputError(Problem(f"the chat template is not valid Jinja: {error}", where)) from error
    with suppress(Unrenderable):  # it may refuse such a chat, and show those of the data
        _short_chat(tokenizer, template).text(_QUESTION, prompt=True)


def own_bos(tokenizer: Any) -> int | None:
    """The start token's id if the tokenizer puts one before every text."""
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.bos_token_id if first == [tokenizer.bos_token_id] else None


class Unrenderable(Exception):
    """The template cannot show this conversation; the text says why."""


Renderer = Callable[..., tuple[list[str], list[list[list[int]]]]]
"""`template_process.render_template`, or what stands for it where the template runs in the same process."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation in the form that templates read, with its template."""

    template: str
    tools: list[dict[str, Any]] | None
    messages: list[dict[str, Any]]
    variables: dict[str, Any]
    renders: Renderer = render_template

    @property
    def has_marks(self) -> bool:
        """Whether the template marks what the model generates."""
        return _MARK.search(self.template) is not None

    def text(self, messages: Sequence[dict[str, Any]], *, prompt: bool = False) -> str:
        """Some messages rendered; with `prompt`, followed by what asks for an answer. Raises Unrenderable."""
        return self._rendered(messages, prompt, marks=False)[0]

    def marked(self, messages: Sequence[dict[str, Any]]) -> tuple[str, list[Span]]:
        """Some messages rendered, and the spans that the template marks. Raises Unrenderable."""
        return self._rendered(messages, False, marks=True)

    def _rendered(
        self, messages: Sequence[dict[str, Any]], prompt: bool, marks: bool
    ) -> tuple[str, list[Span]]:
        try:
            texts, spans = self.renders(
                self.template,
                conversations=[list(messages)],
                tools=self.tools,
                add_generation_prompt=prompt,
                return_assistant_tokens_mask=marks,
                **self.variables,
            )
        except TemplateFault as error:
            raise Unrenderable(str(error)) from error
        return texts[0], [(begin, end) for begin, end in spans[0]] if marks else []


def chat_of(row: Conversation, tokenizer: Any, *, keep_rest: bool) -> Chat:
    """The chat as templates expect it; turns after the last answer teach nothing and are left out."""
    last = max(index for index, message in enumerate(row.messages) if message.role == "assistant")
    messages = row.messages if keep_rest else row.messages[: last + 1]
    tools = list(row.tools) if row.tools else None
    return Chat(
        tokenizer.get_chat_template(tools=tools),
        tools,
        [message_dict(message) for message in messages],
        dict(tokenizer.special_tokens_map),
    )


def learned_spans_of(chats: Sequence[Chat], train_on: str) -> list[tuple[str, list[Span]] | Unrenderable]:
    """`spans.learned_spans` of many chats at once, in the process that renders templates; or why there are none.

    Raises InputError where one of them had to be stopped.
    """
    asked = [(chat.template, _asked(chat, train_on)) for chat in chats]
    return [
        Unrenderable(reply["error"])
        if "error" in reply
        else (reply["text"], [(begin, end) for begin, end in reply["spans"]])
        for reply in render_chats(asked)
    ]


def _asked(chat: Chat, train_on: str) -> dict[str, Any]:
    return {"tools": chat.tools, "messages": chat.messages, "variables": chat.variables, "train_on": train_on}


def message_dict(message: Message) -> dict[str, Any]:
    """Only the keys that are set: many templates test for presence, and would print None."""
    optional = {"name": message.name, "tool_call_id": message.tool_call_id}
    calls = {"tool_calls": list(message.tool_calls)} if message.tool_calls else {}
    present = {key: value for key, value in optional.items() if value is not None}
    return {"role": message.role, "content": message.content, **calls, **present}


def prompt_ids(tokenizer: Any) -> list[int]:
    """The tokens that the template adds to ask for an answer; none if it cannot show a short chat."""
    if not tokenizer.chat_template:
        return []
    chat = _short_chat(tokenizer, tokenizer.get_chat_template())
    try:
        before, after = chat.text(_QUESTION), chat.text(_QUESTION, prompt=True)
    except Unrenderable:
        return []
    added = after.removeprefix(before) if after.startswith(before) else ""
    return tokenizer(added, add_special_tokens=False)["input_ids"] if added else []


def _short_chat(tokenizer: Any, template: str) -> Chat:
    return Chat(template, None, _QUESTION, dict(tokenizer.special_tokens_map))
