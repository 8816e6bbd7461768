"""What the bytes of a row rule out, so that sound rows cost next to nothing."""

import re
from collections.abc import Sequence

from finetui_core.data.check.encoding import may_be_damaged, may_hide
from finetui_core.data.check.secrets import holds_mark
from finetui_core.data.check.traces import traces_of

_SIGNS = ("@", "<", "&", "\0", "0000", "0.0")
_LOST = "\ufffd".encode()
_ESCAPES = re.compile(rb"\\[ubf]")
# The first byte of a letter in UTF-8 says its script, for those that most data is written in. "?" where it does not.
_SCRIPTS = {
    "L": "Latin",
    "G": "Greek",
    "C": "Cyrillic",
    "H": "Hebrew",
    "A": "Arabic",
    "Z": "Chinese",
    "K": "Korean",
}
_FIRSTS = {
    "L": [*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xC3, 0xCA)],
    "G": [0xCE, 0xCF],
    "C": range(0xD0, 0xD4),
    "H": [0xD7],
    "A": range(0xD8, 0xDC),
    "Z": range(0xE4, 0xEA),
    "K": [0xEB, 0xEC],
    "?": [0xCA, 0xCD, 0xD4, 0xD5, 0xD6, *range(0xDC, 0xE2), 0xE3, 0xEA, 0xED],
}
_LETTERS = {code: ord(letter) for letter, codes in _FIRSTS.items() for code in codes}
_TO_LETTER = bytes(_LETTERS.get(code, code) for code in range(256))
_NO_LETTER = bytes(code for code in range(256) if code not in _LETTERS)
_NEARLY_ALL = 0.9


def is_plain(raw: bytes) -> bool:
    """Whether no text of a row can break a rule of `text_hits`; `raw` is its JSON. False says nothing."""
    traces = traces_of(raw)
    for sign in _SIGNS:
        if sign in traces:
            return False
    if b"\\" in raw and _ESCAPES.search(raw):
        return False
    if not raw.isascii() and (
        may_hide(raw) or (b"\xc3" in raw and may_be_damaged(raw)) or (b"\xef" in raw and _LOST in raw)
    ):
        return False
    return not holds_mark(traces)


def plain_script(texts: Sequence[str]) -> str:
    """The script that nearly all letters of each of the texts are written in; "" where it is not that simple."""
    if all(text.isascii() for text in texts):
        return "Latin"
    script = ""
    for text in texts:
        letters = text.encode("utf-8", "surrogatepass").translate(_TO_LETTER, _NO_LETTER)
        enough = _NEARLY_ALL * len(letters)
        if script and letters.count(script.encode()) >= enough:
            continue
        likely = next((letter for letter in _SCRIPTS if letters.count(letter.encode()) >= enough), "")
        if not likely or script:
            return ""
        script = likely
    return _SCRIPTS[script]
