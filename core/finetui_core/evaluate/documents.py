"""A folder of documents, cut into passages that can stand before a question."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.document_files import READERS, Block, Unusable, blocks_of
from finetui_core.evaluate.retrieval import terms

MOST_BYTES = 5_000_000
"""Of one file; a longer one is a dump or a log rather than a document."""
MOST_IN_ALL = 200_000_000
WORDS = 220
"""Of one passage, about 300 tokens of English (Anthropic and others retrieve passages of that size)."""

_Skipped = Counter[str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document. `source` is `file:line`, the file named from the folder; `title` is the heading above."""

    text: str
    source: str
    title: str


@dataclass(frozen=True, slots=True)
class Documents:
    """The passages in the order of files and lines; `skipped` counts the files that were left out by reason."""

    passages: tuple[Passage, ...]
    files: int
    skipped: Mapping[str, int]


def read_documents(folder: Path) -> Documents:
    """The passages of all readable files under `folder`. Raises InputError where it has none."""
    if not folder.is_dir():
        what = (
            "the documents must be in a folder" if folder.exists() else "there is no such folder of documents"
        )
        raise InputError(Problem(what, str(folder), "Name a folder with --documents."))
    skipped: _Skipped = Counter()
    passages: list[Passage] = []
    files, left = 0, MOST_IN_ALL
    for path in _files(folder, skipped):
        try:
            content = _content(path, left)
            blocks = blocks_of(path.suffix.lower(), content)
        except Unusable as reason:
            skipped[str(reason)] += 1
            continue
        found = list(_passages(blocks, path.relative_to(folder).as_posix()))
        if not found:
            skipped["without text"] += 1
            continue
        files += 1
        left -= len(content)
        passages += found
    if not passages:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items()) or "it is empty"
        kinds = " ".join(READERS)
        raise InputError(
            Problem(
                f"no document in the folder can be read ({reasons})", str(folder), f"Kinds that can: {kinds}"
            )
        )
    return Documents(tuple(passages), files, dict(skipped))


def _files(folder: Path, skipped: _Skipped) -> Iterator[Path]:
    """Regular files in the order of their names. Links are followed to files inside the folder only."""

    def unreadable(error: OSError) -> None:
        skipped["in a folder that cannot be read"] += 1

    inside = folder.resolve()
    for root, folders, names in os.walk(folder, onerror=unreadable):
        for name in list(folders):
            hidden, link = name.startswith("."), (Path(root) / name).is_symlink()
            if hidden or link:
                folders.remove(name)
                skipped["hidden" if hidden else "a link to a folder"] += 1
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if name.startswith("."):
                skipped["hidden"] += 1
            elif path.is_symlink() and not path.resolve().is_relative_to(inside):
                skipped["a link out of the folder"] += 1
            elif path.suffix.lower() not in READERS:
                skipped["of another kind"] += 1
            else:
                yield path


def _content(path: Path, left: int) -> str:
    try:
        # Opened without waiting: a pipe of that name has no writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Unusable("not a file")
            if found.st_size > MOST_BYTES:
                raise Unusable(f"over {MOST_BYTES // 1_000_000} MB")
            if found.st_size > left:
                raise Unusable(f"beyond {MOST_IN_ALL // 1_000_000} MB in all")
            raw = file.read(MOST_BYTES)
    except OSError as error:
        raise Unusable("cannot be opened") from error
    if b"\0" in raw:
        raise Unusable("binary")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("not UTF-8 text") from error


def _passages(blocks: Iterator[Block], file: str) -> Iterator[Passage]:
    """Neighbouring blocks under one heading, together as long as a passage may be."""
    texts: list[str] = []
    size, line, title = 0, 0, ""
    for block in blocks:
        for text in _pieces(block.text):
            words = len(terms(text))
            if texts and (block.title != title or size + words > WORDS):
                yield Passage("\n\n".join(texts), f"{file}:{line}", title)
                texts, size = [], 0
            if not texts:
                line, title = block.line, block.title
            texts.append(text)
            size += words
    if texts:
        yield Passage("\n\n".join(texts), f"{file}:{line}", title)


def _pieces(text: str) -> Iterator[str]:
    """A block that is longer than a passage is cut between lines, then sentences, then words, then characters."""
    if len(terms(text)) <= WORDS:
        yield text
        return
    for mark in ("\n", ". ", "。", " "):
        middle = text.find(mark, len(text) // 2)
        at = middle if middle >= 0 else text.rfind(mark)
        if 0 < at < len(text) - len(mark):
            break
    else:
        at, mark = len(text) // 2, ""
    for part in (text[: at + len(mark)].strip(), text[at + len(mark) :].strip()):
        if part:
            yield from _pieces(part)
