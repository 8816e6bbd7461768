"""The text of a document, in blocks under their headings, whatever kind of file it is in."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a record or a table row. `line` counts from 1 (JSON records do), `title` is the heading."""

    text: str
    line: int
    title: str


class Unusable(Exception):
    """Why a file is left out, in a few words."""


def blocks_of(suffix: str, content: str) -> Iterator[Block]:
    """The blocks of a document of a kind in READERS. Raises Unusable where it is not what its name says."""
    try:
        return iter(list(READERS[suffix](content)))
    except (ValueError, csv.Error, RecursionError) as error:
        raise Unusable(f"not valid {suffix.removeprefix('.')}") from error


_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")


class _Headings:
    """The headings above a place, the outermost first."""

    def __init__(self) -> None:
        self._levels: list[tuple[int, str]] = []

    def meet(self, level: int, text: str) -> None:
        self._levels = [*(one for one in self._levels if one[0] < level), (level, text)]

    def __str__(self) -> str:
        return " > ".join(text for _, text in self._levels if text)


def _marked_text(content: str) -> Iterator[Block]:
    """Paragraphs between blank lines; headings are `# Heading` or a line that is underlined."""
    lines = content.splitlines()
    headings, begin = _Headings(), 0
    marks: list[str] = []
    paragraph: list[str] = []
    fenced = False
    for at, line in enumerate([*lines, ""]):
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else _HEADING.match(line)
        underlined = (
            _UNDERLINE.match(line) and len(paragraph) == 1 and len(line.strip()) >= len(paragraph[0]) - 1
        )
        if heading or underlined or (not line.strip() and not fenced) or at == len(lines):
            if underlined and not fenced:
                marks += [] if line[0] in marks else [line[0]]  # of each mark the first use tells its level
                headings.meet(marks.index(line[0]) + 1, paragraph[0].strip())
            elif paragraph:
                yield Block("\n".join(paragraph), begin + 1, str(headings))
            paragraph = []
            if heading:
                headings.meet(len(heading[1]), heading[2])
        else:
            begin = begin if paragraph else at
            paragraph.append(line.rstrip())


_APART = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "footer",
    }
    | {"form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td", "th", "title"}
    | {"tr", "ul"}
)
_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg"})


class _Text(HTMLParser):
    """Collects the text that a reader sees; elements that stand apart are separated by a blank line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._parts: list[str] = []
        self._unseen = 0
        self._headings = _Headings()
        self._line = 1

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self._unseen += tag in _UNSEEN
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        if _is_heading(tag):
            self._headings.meet(int(tag[1]), self._taken())
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen and data.strip():
            if not self._parts:
                self._line = self.getpos()[0]
            self._parts.append(data)

    def _separate(self, tag: str) -> None:
        if (tag in _APART or _is_heading(tag)) and (text := self._taken()):
            self.blocks.append(Block(text, self._line, str(self._headings)))

    def _taken(self) -> str:
        text = " ".join("".join(self._parts).split())
        self._parts = []
        return text

    def close(self) -> None:
        super().close()
        self._separate("p")


def _is_heading(tag: str) -> bool:
    return len(tag) == 2 and tag[0] == "h" and tag[1] in "123456"


def _html(content: str) -> Iterator[Block]:
    parser = _Text()
    parser.feed(content)
    parser.close()
    yield from parser.blocks


def _json(content: str) -> Iterator[Block]:
    """A record for each element of a list, or for each value of an object."""
    value = json.loads(content)
    if isinstance(value, Mapping):
        for number, (key, part) in enumerate(value.items(), 1):
            yield Block(_as_lines({key: part}), number, "")
    elif isinstance(value, list):
        for number, part in enumerate(value, 1):
            yield Block(_as_lines(part), number, "")
    else:
        yield Block(str(value), 1, "")


def _as_lines(value: Any, name: str = "") -> str:
    """`a.b: value` for each value inside; a text alone is itself."""
    if isinstance(value, Mapping):
        named = ((f"{name}.{key}" if name else str(key), part) for key, part in value.items())
        return "\n".join(_as_lines(part, key) for key, part in named if part is not None)
    if isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
        return "\n".join(_as_lines(part, name) for part in value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name}: {text}" if name else text


def _csv(content: str) -> Iterator[Block]:
    """A record for each row, each value with the name of its column."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=False)
    columns = next(reader, [])
    for row in reader:
        named = [f"{column}: {value}" for column, value in zip(columns, row, strict=False) if value.strip()]
        if named:
            yield Block("\n".join(named), reader.line_num, "")


READERS: Mapping[str, Callable[[str], Iterator[Block]]] = {
    ".md": _marked_text,
    ".markdown": _marked_text,
    ".txt": _marked_text,
    ".rst": _marked_text,
    ".html": _html,
    ".htm": _html,
    ".json": _json,
    ".csv": _csv,
}
"""The kinds of documents that are read, by the end of their name."""
