"""The one way by which text that ftui did not write reaches a terminal."""

import re
import unicodedata

MAX_COMBINING = 4
"""Marks kept on one character: more than any living script stacks, far fewer than hide the line above."""

_PLAIN = re.compile(r"[\x20-\x7e]*")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_HIDDEN_OTHERS = frozenset("\u115f\u1160\u3164\uffa0\u034f\ufffd")  # blank letters, joiner, replacement


def visible(text: str, *, keep: str = "") -> str:
    r"""Make every character of `text` visible and harmless to a terminal.

    C0 controls become control pictures (`␛`); C1 controls, bidirectional and zero-width characters, line
    separators, surrogates, variation selectors and U+FFFD become marks like `\u{202e}`, and so does each
    combining mark past `MAX_COMBINING` or without a letter before it. Characters of `keep` ("\n", "\t") stay.
    Applying it twice, or to the parts between spaces, changes nothing.
    """
    if _PLAIN.fullmatch(text):
        return text
    parts: list[str] = []
    marks_left = 0
    for character in text:
        if character in keep:
            parts.append(character)
            marks_left = 0
        elif _is_hidden(character):
            parts.append(_picture(character))
            marks_left = 0
        elif _is_combining(character):
            parts.append(character if marks_left else _mark(character))
            marks_left = max(0, marks_left - 1)
        else:
            parts.append(character)
            marks_left = 0 if character == " " else MAX_COMBINING
    return "".join(parts)


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES
        or character in _HIDDEN_OTHERS
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _is_combining(character: str) -> bool:
    """Marks, skin tones, Hangul vowels and finals: about their width the terminals and we do not agree."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
        or "\ud7b0" <= character <= "\ud7ff"
    )


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else _mark(character)


def _mark(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"
