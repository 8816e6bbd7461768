"""What is said between a conversation and the process that holds the model: one JSON object a line, both ways.

Requests go to its stdin, replies come from its stdout. Each request that wants a reply has a number, which the reply
repeats. A request holds whole conversations: what the process remembers of earlier ones only saves time.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from finetui_core.errors import Problem

Side = Literal["base", "tuned"]
SIDES: tuple[Side, ...] = ("base", "tuned")
Role = Literal["system", "user", "assistant"]
Ended = Literal["end", "length", "stopped", "error"]
Fault = Literal["", "context", "memory", "template", "other"]
"""Why there is no answer: the conversation is too long, memory does not suffice, the template refuses it."""


class Sampling(msgspec.Struct, frozen=True):
    """How an answer is made. Temperature 0 takes the likeliest token each time; else tokens are drawn by `seed` from
    the likeliest ones that together have the share `top_p`."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Turn(msgspec.Struct, frozen=True):
    """A message, as chat templates read it."""

    role: Role
    content: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Answer the last turn of each conversation."""

    number: int
    conversations: Mapping[Side, tuple[Turn, ...]]
    sampling: Sampling


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the answers to all that was asked before."""


class Show(msgspec.Struct, frozen=True, tag="show"):
    """Show a conversation as the model reads it."""

    number: int
    turns: tuple[Turn, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The first reply. `context` is the most tokens of a conversation with its answer, None where there is no bound;
    `beside` names a run that trains on this machine, for which this process keeps back."""

    source: str
    model: str
    checkpoint: str
    sides: tuple[Side, ...]
    device: str
    context: int | None
    beside: str = ""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The first reply where there will be no other."""

    problems: tuple[Problem, ...]


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """What an answer goes on with."""

    number: int
    side: Side
    text: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The end of an answer. Seconds count from when the answers were asked for; `cached` are the prompt's tokens that
    had been read before."""

    number: int
    side: Side
    text: str
    ended: Ended
    prompt_tokens: int = 0
    cached: int = 0
    new_tokens: int = 0
    first_seconds: float = 0.0
    seconds: float = 0.0
    fault: Fault = ""
    error: str = ""


class Shown(msgspec.Struct, frozen=True, tag="shown"):
    """A conversation as the model reads it: its text, and each token's id with the text that it stands for."""

    number: int
    text: str
    tokens: tuple[tuple[int, str], ...]
    error: str = ""


Request = Ask | Stop | Show
Reply = Ready | Failed | Piece | Answered | Shown

requests = msgspec.json.Decoder(Request)
replies = msgspec.json.Decoder(Reply)


def line_of(message: Request | Reply) -> bytes:
    """A request or a reply as it is written."""
    return msgspec.json.encode(message) + b"\n"
