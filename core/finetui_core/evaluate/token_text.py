"""The text of an answer while its tokens come."""

from typing import Any

_BROKEN = "\ufffd"
_MOST_HELD = 4
"""A character of UTF-8 has at most four bytes: more tokens that make none are no character at all."""


class TokenText:
    """Gives the text that each token adds. A character whose bytes have not all come is held back.

    Tokens are decoded after the few before them, since the first of a text may lose its space.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._before = self._given = 0

    def add(self, token: int) -> str:
        """What can be shown now."""
        self._ids.append(token)
        return self._gained(len(self._ids) - self._given > _MOST_HELD)

    def rest(self) -> str:
        """What was held back, once no further token comes."""
        return self._gained(True)

    def _gained(self, whole_or_not: bool) -> str:
        before = self._text(self._ids[self._before : self._given])
        now = self._text(self._ids[self._before :])
        if len(now) <= len(before) or (now.endswith(_BROKEN) and not whole_or_not):
            return ""
        self._before, self._given = self._given, len(self._ids)
        return now[len(before) :]

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text
