"""Eight-byte keys of rows and prompts, so that a set of any size is compared in a few bytes a row."""

import re
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import msgspec

from finetui_core.data.conversation import Conversation, Message, Row, TextDocument

UNREADABLE = 0
"""The key of a row that could not be read; no row has it otherwise."""

_LOWER = bytes.maketrans(bytes(range(65, 91)), bytes(range(97, 123)))
_DIGITS = b"0123456789"
_QUOTES = b"'`\""  # dropped: "don't" and "dont" are one word
_SPACED = (
    b".,;:!?()[]{}_-"  # these part sentences; + * / = < > and the like change what is asked, and are kept
)
_QUOTES_AND_STOPS = (
    _QUOTES + b".,;:!?"
)  # but for numbers a space follows these, and one less is to be collapsed
_TO_SPACE = _SPACED + b"\t\n\v\f\r"
_WORDS = _LOWER.translate(bytes.maketrans(_TO_SPACE, b" " * len(_TO_SPACE)))
_NOT_LETTERS = bytes(byte for byte in range(128) if not chr(byte).isalnum())
_MINUS, _MINUS_SIGN = re.compile(rb"-(?=[0-9])"), b"\x01"

# Punctuation beyond ASCII, as UTF-8: a search for its first byte is fast, and most texts have none of them.
_QUOTES_BEYOND_ASCII = ((b"\xe2", re.compile(rb"\xe2\x80[\x98-\x9f\xb2-\xb6]")),)
_MARKS_BEYOND_ASCII = (
    (b"\xe2", re.compile(rb"\xe2\x80[\x80-\xbf]")),  # dashes, ellipsis, spaces, zero-width characters
    (b"\xc2", re.compile(rb"\xc2[\xa0\xa1\xab\xb4\xb7\xbb\xbf]")),  # no-break space, ¡ « ´ · » ¿
    (b"\xe3", re.compile(rb"\xe3\x80[\x80-\x83\x88-\x91\x94-\x9f]")),  # 、 。 「 」 and the like
    (b"\xef", re.compile(rb"\xef\xbc[\x81\x82\x88\x89\x8c\x8e\x9a\x9b\x9f]")),  # full-width ones
)


def row_key(row: Row) -> int:
    """The key of everything in the row, letter by letter: roles, texts, calls and tools."""
    if isinstance(row, TextDocument):
        return _key(_encoded(row.text))
    parts = [
        f"{message.role} {len(message.content)} 0\n{message.content}"
        if not message.tool_calls
        else _turn(message)
        for message in row.messages
    ]
    if row.tools:
        parts.append(json_text(row.tools))
    return _key(_encoded("".join(parts)))


def prompt_key(row: Row) -> int:
    """The key of what stands before the last answer; case, spaces and sentence punctuation do not matter.

    A document has no prompt: its whole text is taken, so that two files of documents can be compared.
    """
    if isinstance(row, TextDocument):
        return _key(normalised(row.text))
    messages = prompt(row)
    turns = [f"{message.role[0]}\x1f {message.content} \x1e" for message in messages]
    words = normalised("".join(turns))
    calls = [message.tool_calls for message in messages if message.tool_calls]
    if calls or row.tools:
        words += _encoded(json_text([calls, row.tools]))
    if b"\x1f \x1e" in words:  # a turn of nothing but punctuation is told from others by just that
        words += _encoded("".join(turns))
    return _key(words)


def prompt(row: Conversation) -> tuple[Message, ...]:
    """The turns before the last answer."""
    for index in range(len(row.messages) - 1, -1, -1):
        if row.messages[index].role == "assistant":
            return row.messages[:index]
    return row.messages


def answer(row: Row) -> str | None:
    """The text of the last answer; None where there is none, or where it is a call of a tool."""
    if isinstance(row, TextDocument):
        return None
    last = next((message for message in reversed(row.messages) if message.role == "assistant"), None)
    return None if last is None or last.tool_calls else last.content


def normalised(text: str) -> bytes:
    """The words of a text in lower case, one space between them, without the punctuation of sentences.

    Signs that change a meaning stay (`3+4` is not `3*4`, `-5` not `5`, `1.5` not `15`). A text of nothing but
    punctuation is kept as it is.
    """
    if text.isascii():
        raw = words = text.encode()
    else:
        raw = _encoded(text.casefold())
        words = _replaced(_replaced(raw, _QUOTES_BEYOND_ASCII, b""), _MARKS_BEYOND_ASCII, b" ")
    if b"-" in words:
        words = _MINUS.sub(_MINUS_SIGN, words)
    has_numbers = len(words.translate(None, _DIGITS)) != len(words)
    words = words.translate(_WORDS, _QUOTES if has_numbers else _QUOTES_AND_STOPS)
    while b"  " in words:  # in runs of half the length each time; splitting takes twice as long
        words = words.replace(b"  ", b" ")
    return words.strip() or raw.translate(_LOWER)


def letters(text: str) -> bytes:
    """The letters and digits of a text in lower case, and nothing else: what near-duplicates are compared by."""
    if text.isascii():
        return text.encode().translate(_LOWER, _NOT_LETTERS)
    return _replaced(_encoded(text.casefold()), _MARKS_BEYOND_ASCII, b"").translate(None, _NOT_LETTERS)


def _replaced(raw: bytes, marks: Sequence[tuple[bytes, re.Pattern[bytes]]], by: bytes) -> bytes:
    for beginning, pattern in marks:
        if beginning in raw:
            raw = pattern.sub(by, raw)
    return raw


def _turn(message: Message) -> str:
    calls = json_text(message.tool_calls)
    return f"{message.role} {len(message.content)} {len(calls)}\n{message.content}{calls}"


def json_text(value: Any) -> str:
    """Calls and tools as text, the same for the same values."""
    return msgspec.json.encode(value, enc_hook=repr, order="deterministic").decode()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _key(raw: bytes) -> int:
    return int.from_bytes(sha1(raw, usedforsecurity=False).digest()[:8], "little") or 1
