"""The scan of a file: every row counted and placed, however it is divided, and quick ways that change nothing."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.data import json_array
from finetui_core.data.check import checking, part, scan
from finetui_core.data.check.part import EXAMPLES, Part, add_json, add_value
from finetui_core.data.check.reread import Rows
from finetui_core.data.check.scan import Progress, Scan
from finetui_core.data.json_lines import lines_of
from finetui_core.data.readers import RawRow, read_rows
from finetui_core.errors import InputError, Problem

GOOD = b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "A."}]}'
LINES = st.lists(
    st.sampled_from([GOOD, b"", b"  ", b"{oops", b"[1]", b'{"messages": []}', b"\xff", GOOD + b"  \r"]),
    max_size=30,
)
# What texts are made of: all that a quick way might overlook.
PIECES = st.sampled_from(
    ["word ", "Word. ", "\n", "\x1b[2J", "\x07", "\x7f", "\u202e", "\u200b", "\ufffd", "Ã©", "é", "год ", "你好。",
     "ελλ ", "<p>", "&amp;", "a@b.org", "john.smith@corp.com ", "4539 1488 0343 6467", "10.1.2.3", "81.2.69.142 ",
     '"role": ', '\\"', "`code` ", "http://x.y/?q=1 ", "I'm sorry, but I can't help with that. ", "0000", " and and",
     "```\n", "\\u001b", "\x08", "\x0c", "🙂", "\ud7ff", "ghp_" + "a1B2c3D4e5" * 4, "AKIA" + "Q3EGRUAZ7YXW2PLM",
     "]", "{", "    "]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)
CHATS = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant", "tool", "developer", "bot"]), TEXTS), max_size=5
).map(lambda turns: {"messages": [{"role": role, "content": text} for role, text in turns]})


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def known(scanned: Scan) -> dict[str, Any]:
    return {field.name: getattr(scanned, field.name) for field in fields(scanned)}


@settings(deadline=None, max_examples=60)
@given(LINES, st.integers(20, 300), st.booleans())
def test_rows_lines_and_places_do_not_depend_on_the_parts(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int, ends: bool
) -> None:
    source = write(tmp_path_factory.mktemp("scan") / "a.jsonl", b"\n".join([GOOD, *lines]) + b"\n" * ends)
    whole = scan.scan(source)
    assert whole.sha256 == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_PART_BYTES", size)
        assert known(scan.scan(source)) == known(whole)
    read = list(read_rows(source))
    assert whole.rows == len(read)
    with Rows(whole) as rows:
        for number, row in enumerate(read):
            if isinstance(row, RawRow):
                assert whole.line_of(number) == row.number
                stored = Path(source).read_bytes()[whole.offsets[number] :][: whole.sizes[number]]
                assert msgspec.json.decode(stored) == row.value
            assert isinstance(rows.read(number), Problem) == (whole.row_keys[number] == 0)
    bad = {number for number, row in enumerate(read) if isinstance(row, Problem)}
    assert bad == set(whole.found.get("unreadable_row", ()))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=12).map(b"\n".join), st.integers(1, 20))
def test_ranges_divide_the_lines(content: bytes, size: int) -> None:
    found = []
    for start in range(0, len(content), size):
        found += lines_of(io.BytesIO(content), start, min(start + size, len(content)))
    assert b"".join(line or b"" for _, line in found) == content
    assert [line for _, line in found] == list(io.BytesIO(content))


def test_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        GOOD,
        b"",
        b"{",
        b'{"messages": [{"role": "user", "content": "q"}]}',
        GOOD.replace(b"A.", b"\xc3\x83\xc2\xa9"),
    ]
    source = write(tmp_path / "a.jsonl", b"\n".join(rows * 200))
    alone = scan.scan(source, workers=1)
    monkeypatch.setattr(scan, "_WORTH_WORKERS", 0)
    monkeypatch.setattr(scan, "_PART_BYTES", 7_000)
    told: list[Progress] = []
    shared = scan.scan(source, workers=2, progress=told.append)
    assert known(shared) == known(alone)
    assert told[-1].bytes_done == alone.size and told[-1].rows == 800
    assert [one.rows for one in told] == sorted(one.rows for one in told)
    assert len(shared.found["unreadable_row"]) == 200
    assert len(shared.examples["unreadable_row"]) == EXAMPLES
    assert [(one.row, one.line) for one in shared.examples["unreadable_row"][:2]] == [(1, 3), (5, 8)]


def test_a_scan_that_is_cancelled_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.jsonl", (GOOD + b"\n") * 500)
    monkeypatch.setattr(scan, "_PART_BYTES", 1_000)
    scanned = scan.scan(source, cancelled=lambda: True)
    assert not scanned.complete and 0 < scanned.rows < 500
    assert len(scanned.row_keys) == len(scanned.offsets) == scanned.rows


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(GOOD + b"\n")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rewrite(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (grow, "grew"),
        (replace, "replaced"),
        (lambda path: os.truncate(path, 5), "shrank"),
        (Path.unlink, "removed"),
        (rewrite, "written to"),
    ],
)
def test_a_file_that_changes_meanwhile_is_told(
    tmp_path: Path, change: Callable[[Path], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, (GOOD + b"\n") * 3)
    done: list[Progress] = []

    def changed_once(progress: Progress) -> None:
        if not done:
            done.append(progress)
            change(path)

    assert words in scan.scan(str(path), progress=changed_once).changed


@settings(deadline=None)
@given(CHATS, st.booleans())
def test_the_quick_way_finds_what_the_whole_way_finds(value: dict[str, Any], escaped: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    quick, whole = Part(), Part()
    add_json(quick, raw, 0, "messages")
    add_value(whole, msgspec.json.decode(raw), 0, len(raw), "messages")
    assert quick == whole


JSON_KEYS = st.text('abc":\\ ', max_size=4)
OBJECTS = st.recursive(
    st.none() | st.text('":\\a {}', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(JSON_KEYS, OBJECTS, min_size=1, max_size=4), st.data())
def test_a_key_that_stands_twice_is_told_and_no_other(value: dict[str, Any], data: st.DataObject) -> None:
    def rules(raw: bytes) -> set[str]:
        looked = Part()
        add_json(looked, raw, 0, "alpaca")
        return set(looked.found)

    once = json.dumps(value)
    assert "duplicate_keys" not in rules(once.encode())
    key = data.draw(st.sampled_from(sorted(value)))
    twice = f"{once[:-1]}, {json.dumps(key)}: 1}}"
    assert "duplicate_keys" in rules(twice.encode())
    chat = '{"messages": [{"role": "user", "role": "assistant", "content": "A."}]}'
    looked = part.Part()
    add_json(looked, chat.encode(), 0, "messages")
    assert "duplicate_keys" in looked.found


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text('a"\\]}{[, é', max_size=3), OBJECTS, max_size=2) | st.integers(), max_size=5
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
)
def test_a_list_is_read_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], block: int, indent: int | None
) -> None:
    text = json.dumps(values, indent=indent)
    source = write(tmp_path_factory.mktemp("list") / "a.json", text.encode())
    whole = list(read_rows(source))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_BLOCK_BYTES", block)
        assert list(read_rows(source)) == whole
        with Path(source).open("rb") as file:
            for element in json_array.elements_of(file):
                assert text.encode()[element.at :].startswith(element.raw)  # type: ignore[arg-type]
    objects = [value for value in values if isinstance(value, dict)]
    assert [row.value for row in whole if isinstance(row, RawRow)] == objects
    assert len(whole) == len(values)


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.text('[]{}",:0a\\ \n', max_size=60).map(str.encode)
    | st.lists(LINES).map(lambda many: b"\n".join(b"\n".join(lines) for lines in many)),
    st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ""]),
)
def test_no_bytes_whatsoever_crash_the_check(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    source = write(tmp_path_factory.mktemp("any") / f"rows{suffix}", content)
    try:
        report = checking.check([checking.Source(source)]).report
    except InputError as error:
        assert all(problem.what for problem in error.problems)
    else:
        assert report.sentence and report.verdict in ("errors", "warnings", "clean")
        assert msgspec.json.encode(report)
