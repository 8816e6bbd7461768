"""What a program of ours may write to a terminal, at each depth of colour; everything else is somebody else's."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from hostile import MARK
from terminal import TOKEN, Terminal

PLACE = re.compile(r"(\d*);?(\d*)H")
SWITCHES = ("1049", "25", "7", "1000", "1003", "1015", "1006", "1004", "2004")
MODES = {f"?{mode}{state}" for mode in SWITCHES for state in "hl"} | {"?2026$p", "?2048$p", ">25u", "<u"}
"""What Textual 8.2 sends at the start and the end, and when another program is started."""
POINTER = re.compile(r"\]22;[a-z-]*(\x07|\x1b\\)")
HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
MOST_MARKS = 4
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"


def _styles(colour: str) -> re.Pattern[str]:
    """The end of the style, or one: bold and the like, then colours."""
    return re.compile(rf"0?m|(?=.)(?:[1-9](?:;[1-9])*)?(?:(?:^|;)(?:{colour}|[34]9))*m")


@dataclass(frozen=True)
class Depth:
    """What tells a program how many colours there are, and the styles that it then writes."""

    environment: Mapping[str, str]
    styles: re.Pattern[str]


_SIXTEEN = _styles("[34][0-7]|9[0-7]|10[0-7]")
_INDEXED = _styles(f"[34]8;5;{_BYTE}")
_TRUE = _styles(f"[34]8;2;{_BYTE};{_BYTE};{_BYTE}")
DEPTHS = {
    "16 colours": Depth({"TERM": "xterm"}, _SIXTEEN),
    "16 colours, asked for": Depth({"TEXTUAL_COLOR_SYSTEM": "standard"}, _SIXTEEN),
    "256 colours": Depth({"TERM": "xterm-256color"}, _INDEXED),
    "256 colours in tmux": Depth({"TERM": "tmux-256color"}, _INDEXED),
    "true colour": Depth({"COLORTERM": "truecolor"}, _TRUE),
    "no colour": Depth({"NO_COLOR": "1"}, _styles("[34]8;5;(?:16|231|23[2-9]|24[0-9]|25[0-5])")),
}
USUAL = DEPTHS["256 colours"]


def leave(terminal: Terminal, depth: Depth = USUAL) -> None:
    """It still answers, and ends as asked."""
    terminal.press("\x11")  # ctrl+q
    assert terminal.wait_for_end() == 0, terminal.screen()
    assert_harmless(terminal.output, terminal.display.rows, terminal.display.columns, depth)


def assert_harmless(output: bytes | bytearray, rows: int, columns: int, depth: Depth = USUAL) -> None:
    """Only what Textual itself writes may be there: colours, places on the screen, and its modes."""
    text = output.decode("utf-8")  # raises where a byte of broken UTF-8 got through
    for match in TOKEN.finditer(text):
        around = repr(text[max(0, match.start() - 60) : match.end() + 60])
        if match["csi"] is not None:
            assert is_ours(match["csi"], rows, columns, depth), around
        elif match["string"] is not None:
            assert POINTER.fullmatch(match["string"]), around
        elif match["text"] is not None:
            assert_plain(match["text"], around)
        else:
            assert match[0] in "\r\n" and text[match.end() - 1 :][:2] in (
                "\r\n",
                "\n" + text[match.end() :][:1],
            )
    sequences = " ".join(match["csi"] or "" for match in TOKEN.finditer(text))
    assert not re.search(rf"{MARK // 1000}[0-9]{{3}}", sequences), "a sequence with a mark of theirs"


def is_ours(csi: str, rows: int, columns: int, depth: Depth) -> bool:
    if csi in MODES or depth.styles.fullmatch(csi):
        return True
    place = PLACE.fullmatch(csi)
    return place is not None and int(place[1] or 1) <= rows and int(place[2] or 1) <= columns


def assert_plain(text: str, around: str) -> None:
    marks = 0
    if text.isascii() and text.isprintable():
        return
    for character in text:
        assert unicodedata.category(character) not in HIDDEN, around
        assert not 0xFE00 <= ord(character) <= 0xFE0F, around
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        assert marks <= MOST_MARKS, around
