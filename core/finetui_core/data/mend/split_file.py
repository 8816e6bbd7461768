"""One file divided into training and validation rows, so that no group is on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.check.keys import prompt_key
from finetui_core.data.check.near import near_text
from finetui_core.data.formats import CONVERTERS
from finetui_core.data.mend import repeats
from finetui_core.data.mend.apply import encoded
from finetui_core.data.mend.new_files import mode_of, new_files, refuse_taken
from finetui_core.data.mend.source import SourceRow, is_json_lines, layout_of, regular_file, source_rows
from finetui_core.data.split import whole_groups
from finetui_core.errors import InputError, Problem

PROMPT = "prompt"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SplitDone:
    """Rows on both sides, and how many groups there were."""

    train_rows: int
    val_rows: int
    groups: int


def split_file(
    source: str,
    val_fraction: float,
    train: Path,
    val: Path,
    *,
    by: str = PROMPT,
    seed: int,
    near: bool = False,
) -> SplitDone:
    """Write two files in the order of the rows. Rows with the same prompt stay together, case, spaces and
    punctuation aside, or those with the same value of the key `by` ("metadata.customer" for a key inside).

    `near` keeps rows that are almost the same together as well. Memory: about 120 bytes a row. Raises
    InputError where a row cannot be read or lacks the key, or where there is only one group.
    """
    path = regular_file(source)
    refuse_taken([train, val])
    json_lines = is_json_lines(source)
    digests = _groups(source, json_lines, by, near)
    chosen = whole_groups(digests, val_fraction, seed)
    groups = len(set(digests))
    if not chosen:
        hint = "Choose another key with --by." if by != PROMPT else "There must be two different prompts."
        raise InputError(Problem(f"the rows cannot be divided: they form {groups} group", source, hint))
    mode = mode_of(path)
    with new_files([train, val], [mode, mode]) as (train_file, val_file):
        for item in source_rows(source, json_lines=json_lines):
            if item.row >= len(digests):
                raise InputError(Problem("the file has grown meanwhile", source, "Try again."))
            if item.row >= 0:
                (val_file if item.row in chosen else train_file).write(_line(item, json_lines))
    return SplitDone(len(digests) - len(chosen), len(chosen), groups)


def _line(item: SourceRow, json_lines: bool) -> bytes:
    """The row's own bytes, with an end of line where the last one of a file had none."""
    if not json_lines:
        return encoded(item.value, b"\n")
    return item.raw if item.raw.endswith(b"\n") else item.raw + b"\n"


def _groups(source: str, json_lines: bool, by: str, near: bool) -> Sequence[bytes]:
    layout = layout_of(source, json_lines=json_lines)
    digests: list[bytes] = []
    problems: list[Problem] = []
    texts = repeats.Texts() if near else None
    for item in source_rows(source, json_lines=json_lines):
        if item.row < 0:
            continue
        place = item.place(source)
        row = item.problem if item.value is None else CONVERTERS[layout](item.value, place)
        if row is None or isinstance(row, Problem):
            problems.append(row or Problem("the row cannot be read", place))
        elif by == PROMPT:
            digests.append(prompt_key(row).to_bytes(8, "little"))
        elif (value := _value_at(item.value, by)) is None:
            problems.append(Problem(f'the row has no "{by}"', place))
        else:
            encoded_value = msgspec.json.encode(value, enc_hook=str, order="sorted")
            digests.append(blake2b(encoded_value, digest_size=8).digest())
        if texts is not None and row is not None and not isinstance(row, Problem):
            texts.append(near_text(row))
    if problems:
        summary = Problem(
            f"{len(problems):,} rows cannot be placed",
            source,
            f"Mend the file first: ftui data fix {source} -o mended.jsonl",
        )
        raise InputError([summary, *problems[:_SHOWN]])
    if texts is not None:
        _join_near(digests, texts)
        texts.close()
    return digests


def _join_near(digests: list[bytes], texts: repeats.Texts) -> None:
    """Give the groups of rows that are alike one digest: the smallest."""
    smallest: dict[bytes, bytes] = {}

    def root(digest: bytes) -> bytes:
        while (up := smallest.get(digest, digest)) != digest:
            digest = up
        return digest

    for group in repeats.near(texts, range(len(digests))):
        roots = {root(digests[row]) for row in group}
        least = min(roots)
        smallest.update(dict.fromkeys(roots, least))
    for row, digest in enumerate(digests):
        digests[row] = root(digest)


def _value_at(value: dict[str, Any] | None, key: str) -> Any:
    """The value under a key, or under keys inside each other with dots between them."""
    found: Any = value
    if value and key in value:
        return value[key]
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
