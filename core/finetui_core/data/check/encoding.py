"""Damaged encoding, control characters and characters that nobody sees."""

import re
from collections.abc import Iterator

CLOSING = frozenset("\u00a0»›”’“‘…–—™®©°¹²³†‡•")
"""What follows a capital in sound text too (`“IRMÔ`), so that such a pair alone is no sign of damage."""

_OPENING = frozenset("\"'“„«‘‚‹([")
_MOST_PASSES = 4  # text damaged more often than this is not worth reading


def _windows_1252() -> dict[str, int]:
    """Character to byte as browsers have it: the five bytes that Windows-1252 leaves out stay controls."""
    table = {chr(code): code for code in range(0x80, 0x100)}
    for code in range(0x80, 0xA0):
        table[bytes([code]).decode("cp1252", "replace").replace("\ufffd", chr(code))] = code
    return table


_BYTES = _windows_1252()
_TRAIL = "[" + re.escape("".join(char for char, code in _BYTES.items() if code <= 0xBF)) + "]"
_RUN = re.compile(rf"(?:[\xc2-\xdf]{_TRAIL}|[\xe0-\xef]{_TRAIL}{{2}}|[\xf0-\xf4]{_TRAIL}{{3}})+")

_WESTERN = re.compile(
    "[\x80-\u017f\u0192\u01a0\u01a1\u01af\u01b0\u01cd-\u01dc\u0218-\u021b\u02c6-\u02dd\u2000-\u206f\u20a0-\u20bf\u2100-\u27bf\u2b00-\u2bff"
    "\ufb01\ufb02\ufe0f\ufeff\ufffd\U0001f000-\U0001faff]+"
)
_OTHER_SCRIPT = re.compile(
    "[\u0370-\u07ff\u0900-\u0eff\u10a0-\u11ff\u1e00-\u1fff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_ASCII_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPE_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*(?:\x07|\x1b\\\\|\x9c)"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_JOINING = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf]")
_PICTOGRAPH = re.compile("[\xa9\xae\u203c-\u3299\ufe0f\U0001f000-\U0001faff\U000e007f]")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


# What the UTF-8 of a text holds where the rules below can find something. A pattern that begins with one byte is
# looked for ten times as fast as a class of characters.
_DAMAGED_BYTES = re.compile(b"\xc3[\x82-\xb4][\xc2\xc5\xc6\xcb\xe2]")
_HIDDEN_BYTES = tuple(
    (pattern[0], re.compile(pattern))
    for pattern in (
        b"\xc2[\x80-\x9f\xad]",
        b"\xcd\x8f",
        b"\xd8\x9c",
        b"\xe1(?:\x85[\x9f\xa0]|\xa0[\x8b-\x8f])",
        b"\xe2(?:\x80[\x8b-\x8f\xa8-\xae]|\x81[\xa0-\xaf])",
        b"\xe3\x85\xa4",
        b"\xef(?:\xb8[\x80-\x8f]|\xbb\xbf|\xbe\xa0|\xbf[\xb9-\xbb])",
        b"\xf3\xa0",
    )
)


def may_be_damaged(utf8: bytes) -> bool:
    """Whether `mojibake_places` of this text can find anything: a gate for the many texts where it cannot."""
    return _DAMAGED_BYTES.search(utf8) is not None


def may_hide(utf8: bytes) -> bool:
    """Whether this text can hold a C1 control or an invisible character: the gate of `invisible_place`."""
    return any(lead in utf8 and pattern.search(utf8) for lead, pattern in _HIDDEN_BYTES)


def mojibake_places(text: str) -> list[tuple[int, int]]:
    """Where UTF-8 was read as Latin-1 or Windows-1252: `(start, end)` of each run that, put back into bytes,
    is UTF-8 for something that people write. Sound text that looks alike (`“IRMÔ`, `café »`) is left out."""
    if text.isascii():
        return []
    return [(start, end) for start, end, _ in _damaged(text)]


def repair_mojibake(text: str) -> str:
    """`text` with its damaged runs read as what they were, twice damaged ones too."""
    for _ in range(_MOST_PASSES):
        parts: list[str] = []
        done = 0
        for start, end, was in _damaged(text):
            parts += (text[done:start], was)
            done = end
        if not done:
            break
        text = "".join(parts) + text[done:]
    return text


def _damaged(text: str) -> list[tuple[int, int, str]]:
    """The damaged runs with what they were. A run that is no proof alone is taken for damage beside another that
    begins with the same character."""
    runs = []
    leads = set()
    for run in _RUN.finditer(text):
        try:
            was = bytes(_BYTES[char] for char in run[0]).decode()
        except UnicodeDecodeError:  # not UTF-8: overlong, a surrogate, beyond U+10FFFF
            continue
        western = _WESTERN.fullmatch(was) is not None
        if western or all(_WESTERN.match(char) or _OTHER_SCRIPT.match(char) for char in was):
            sure = _is_proof(text, *run.span(), western)
            runs.append((*run.span(), was, sure))
            if sure:
                leads.add(run[0][0])
    return [(start, end, was) for start, end, was, sure in runs if sure or text[start] in leads]


def _is_proof(text: str, start: int, end: int, western: bool) -> bool:
    if any(_BYTES[char] < 0xC0 and char not in CLOSING for char in text[start:end]):
        return True
    more = sum(_BYTES[char] >= 0xC0 for char in text[start:end]) > 1
    return more or (western and not _closes_a_word(text, start, end))


def _closes_a_word(text: str, start: int, end: int) -> bool:
    """Whether the pair is a letter and the punctuation after its word, as in `“IRMÔ` and `2 Å–3 Å`."""
    before, lead, after = text[start - 1 : start], text[start], text[end : end + 1]
    if after.isalpha():
        return False
    if lead.islower():
        return before.isalpha()
    return before.isupper() or before in _OPENING or (lead not in "ÂÃ" and not before.isalpha())


def control_place(text: str) -> int | None:
    """Where the first C0 or C1 control character stands that is no tab or line end. C1 controls that are half
    of a damaged character (see `mojibake_places`) do not count: mending the encoding mends them."""
    if text.isascii():
        found = _ASCII_CONTROL.search(text)
        return found.start() if found else None
    return next((place for place in _hidden_places(text) if _is_control(text[place])), None)


def invisible_place(text: str) -> int | None:
    """Where the first character stands that is not seen or changes the direction, and does no work: joiners in
    emoji and in Persian or Indic words, marks of direction beside Arabic or Hebrew, and the like are sound."""
    if text.isascii():
        return None
    return next((place for place in _hidden_places(text) if not _is_control(text[place])), None)


def strip_hidden(text: str) -> str:
    """`text` without what `control_place` and `invisible_place` find; escape sequences go as a whole."""
    text = _ESCAPE_SEQUENCE.sub("", text)
    while places := list(_hidden_places(text)):  # taking one out can bring the ends of another together
        parts = [
            text[start + 1 : end] for start, end in zip([-1, *places], [*places, len(text)], strict=True)
        ]
        text = _ESCAPE_SEQUENCE.sub("", "".join(parts))
    return text


def _is_control(char: str) -> bool:
    return char < "\x20" or "\x7f" <= char <= "\x9f"


def _hidden_places(text: str) -> Iterator[int]:
    if _HIDDEN.search(text) is None:
        return
    right_to_left = _RIGHT_TO_LEFT.search(text) is not None
    damaged = iter(mojibake_places(text))
    run = next(damaged, None)
    for found in _HIDDEN.finditer(text):
        place = found.start()
        while run and run[1] <= place:
            run = next(damaged, None)
        if not (run and run[0] <= place) and not _does_work(text, place, right_to_left):
            yield place


def _does_work(text: str, place: int, right_to_left: bool) -> bool:
    """Whether a hidden character is one that its script or the emoji around it needs."""
    char, before, after = text[place], text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    match char:
        case "\u200c" | "\u200d":
            if _JOINING.match(before) or _JOINING.match(after):
                return True
            return char == "\u200d" and bool(_PICTOGRAPH.match(before) and _PICTOGRAPH.match(after))
        case "\u200b":
            return bool(_WITHOUT_SPACES.match(before) or _WITHOUT_SPACES.match(after))
        case (
            "\u061c"
            | "\u200e"
            | "\u200f"
            | "\u202a"
            | "\u202b"
            | "\u202c"
            | "\u2066"
            | "\u2067"
            | "\u2068"
            | "\u2069"
        ):
            return right_to_left
        case "\u1160":
            return "\u1100" <= before <= "\u115f"
    if "\u180b" <= char <= "\u180f":
        return "\u1800" <= before <= "\u18af"
    if "\ufe00" <= char <= "\ufe0f":
        return before in tuple("0123456789#*©®") or (
            before >= "\u2000" and not "\ufe00" <= before <= "\ufe0f"
        )
    if "\U000e0020" <= char <= "\U000e007f":  # the tags of a flag: England, Scotland, Wales
        flag = text.rfind("\U0001f3f4", max(0, place - 8), place)
        return flag >= 0 and all("\U000e0020" <= tag <= "\U000e007e" for tag in text[flag + 1 : place])
    return "\U000e0100" <= char <= "\U000e01ef" and _IDEOGRAPH.match(before) is not None
