"""What a row of training data is, whatever its file format was."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, with the keys that chat templates read.

    `role` is one of system, user, assistant, tool. `tool_calls` holds the calls of an assistant turn in the
    form `{"type": "function", "function": {"name": str, "arguments": dict}}`, with the `id` where the data
    has one.
    """

    role: str
    content: str
    tool_calls: tuple[dict[str, Any], ...] | None = None
    name: str | None = None
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat. `tools` are the JSON schemas the model was offered; `source` is `file:line`."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] | None
    source: str


@dataclass(frozen=True, slots=True)
class TextDocument:
    """Plain text to continue training on; `source` is `file:line`."""

    text: str
    source: str


Row = Conversation | TextDocument
