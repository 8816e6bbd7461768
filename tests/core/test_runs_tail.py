"""What a tail reads is exactly the complete valid lines, however the file is cut, torn or replaced."""

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.runs.tail import LONGEST_LINE, Tail, read_records

GOOD = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)).map(lambda r: json.dumps(r).encode())
BAD = st.sampled_from([b'{"a": 1', b"\0\0\0\0", b"[1]", b"null", b'{"a": \xff}', b'\0{"a": 1}', b"}{"])
BLANK = st.sampled_from([b"", b"  "])


def valid(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def cut(content: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(content) + 1) for place in places} | {0, len(content)})
    return [content[start:end] for start, end in pairwise(edges)]


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)


@settings(deadline=None)
@given(st.lists(st.one_of(GOOD, BAD, BLANK)), st.one_of(st.just(b""), GOOD, BAD), st.lists(st.integers(0)))
def test_all_complete_valid_lines_are_read_once(lines: list[bytes], torn: bytes, places: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        tail = Tail(path)
        found: list[dict[str, Any]] = tail.read()
        for piece in cut(b"".join(line + b"\n" for line in lines) + torn, places):
            append(path, piece)
            found += tail.read()
        assert found == [json.loads(line) for line in lines if valid(line)]
        assert tail.skipped == sum(bool(line.strip()) and not valid(line) for line in lines)
        assert tail.read() == []
        append(path, b"\n")
        assert tail.read() == ([json.loads(torn)] if valid(torn) else [])


@settings(deadline=None)
@given(st.lists(GOOD, min_size=1), st.integers(0, 300))
def test_from_the_end_only_whole_lines_are_read(lines: list[bytes], last: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(content)
        tail = Tail(path, last=last)
        within = [
            json.loads(line)
            for number, line in enumerate(lines)
            if sum(len(later) + 1 for later in lines[number:]) <= last
        ]
        assert tail.read() == within
        append(path, b'{"new": 1}\n')
        assert tail.read() == [{"new": 1}]
        assert tail.skipped == 0


def test_a_file_that_shrank_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n')
    tail = Tail(path)
    assert len(tail.read()) == 2
    path.write_bytes(b'{"a":3}\n')
    assert tail.read() == [{"a": 3}]
    assert tail.restarts == 1


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    path.write_bytes(b'{"a":1}\n{"torn')
    tail = Tail(path)
    assert tail.read() == [{"a": 1}]
    other.write_bytes(b'{"a":4}\n{"a":5}\n{"a":6}\n')
    other.replace(path)
    assert tail.read() == [{"a": 4}, {"a": 5}, {"a": 6}]
    assert (tail.restarts, tail.skipped) == (1, 0)


def test_a_file_that_vanishes_has_no_news(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n')
    tail = Tail(path)
    tail.read()
    path.unlink()
    assert tail.read() == []


def test_lines_longer_than_one_read_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    text = "x" * (3 << 20)
    path.write_bytes(json.dumps({"a": text}).encode() + b"\n")
    assert read_records(path) == [{"a": text}]


def test_a_line_that_does_not_end_is_given_up_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":"' + b"x" * (LONGEST_LINE + (1 << 20)))
    tail = Tail(path)
    assert tail.read() == [] and tail.behind == 0
    append(path, b"x" * LONGEST_LINE + b'"}\n{"a":2}\n')
    assert tail.read() == [{"a": 2}]
    assert tail.skipped == 1
