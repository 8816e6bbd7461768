"""Rows of a file on demand: the same rows as the reader gives, at any place, whatever happens to the file."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.data import lines
from finetui_core.data.lines import HeldFile, LineFile, RowFile, open_rows
from finetui_core.data.readers import RawRow, read_rows
from finetui_core.errors import InputError

LINE = st.sampled_from(
    [b"", b" ", b"\t\r", b'{"a": 1}', b'{"text": "' + b"x" * 300 + b'"}', b"no json", b"\r"]
)


def ask(number: int, more: str = "") -> dict[str, object]:
    return {
        "messages": [
            {"role": "user", "content": f"question {number}{more}"},
            {"role": "assistant", "content": "a"},
        ]
    }


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_all(file: RowFile) -> RowFile:
    while not file.complete:
        file.read_more(1.0)
    return file


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BLOCK", 64)
    monkeypatch.setattr(lines, "_EVERY", 4)


@given(parts=st.lists(LINE, min_size=1, max_size=60), ends=st.booleans(), mark=st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_those_that_a_plain_loop_finds(
    tmp_path: Path, small_blocks: None, parts: list[bytes], ends: bool, mark: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    content = (b"\xef\xbb\xbf" if mark else b"") + b"\n".join(parts) + (b"\n" if ends else b"")
    path.write_bytes(content or b"\n")
    plain = (content or b"\n").removeprefix(b"\xef\xbb\xbf" if mark else b"")
    expected = [
        (number, stripped)
        for number, line in enumerate(plain.split(b"\n"), 1)
        if (stripped := line.rstrip(b"\r")) and not stripped.isspace()
    ]
    file = read_all(LineFile(path))
    found = [file.row(number) for number in range(file.rows)]
    assert [(one.line, one.raw) for one in found if one is not None] == expected
    assert file.row(file.rows) is None
    assert all(one is not None and one.size == len(one.raw) and not one.is_cut for one in found)
    file.close()


def test_the_first_rows_are_there_before_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [ask(number, "x" * 1000) for number in range(2000)])
    file = open_rows(str(path))
    assert 100 < file.rows < 2000
    assert not file.complete
    first = file.row(3)
    assert first is not None
    assert "question 3x" in first.raw.decode()
    read_all(file)
    last = file.row(1999)
    assert file.rows == 2000
    assert last is not None
    assert (last.line, "question 1999x" in last.raw.decode()) == (2000, True)


def test_a_file_that_grows_shrinks_or_is_replaced_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [ask(number) for number in range(100)])
    file = read_all(open_rows(str(path)))
    assert file.change() == ""
    with path.open("a") as more:
        more.write(json.dumps(ask(100)) + "\n")
    os.utime(path, ns=(1, 1))
    assert file.change() == ""
    assert not file.complete
    assert read_all(file).rows == 101
    content = path.read_bytes()
    path.write_bytes(content.replace(b"question 0", b"question 9"))
    os.utime(path, ns=(2, 2))
    assert file.change() == "The file was rewritten"
    path.write_bytes(content[:50])
    assert file.change() == "The file has become shorter"
    assert file.row(99) is None
    write(tmp_path / "other", [ask(1)]).replace(path)
    assert file.change() == "The file was replaced"
    path.unlink()
    assert file.change() == "The file is no longer there"


def test_a_huge_row_is_cut_and_tells_its_size(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    long = b'{"text": "' + b"x" * (lines.MOST_BYTES + 500_000) + b'"}'
    path.write_bytes(b'{"text": "a"}\n' + long + b'\n{"text": "b"}\n' + long)
    file = read_all(open_rows(str(path)))
    rows = [file.row(number) for number in range(file.rows)]
    assert [(one.size, one.is_cut) for one in rows if one] == [
        (13, False),
        (len(long), True),
        (13, False),
        (len(long), True),
    ]
    assert all(one is not None and len(one.raw) <= lines.MOST_BYTES for one in rows)


@pytest.mark.parametrize("name", ["rows.json", "rows.csv", "rows.txt"])
def test_other_formats_have_the_rows_that_the_reader_gives(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(
        {
            "rows.json": json.dumps([ask(number) for number in range(300)], indent=1),
            "rows.csv": "prompt,completion\n" + "".join(f'"a\n{number}",b\n' for number in range(300)),
            "rows.txt": "\n\n".join(f"line {number}\nmore" for number in range(300)),
        }[name]
    )
    file = open_rows(str(path))
    assert 0 < file.rows < 300
    read_all(file)
    found = [(one.line, msgspec.json.decode(one.raw)) for n in range(file.rows) if (one := file.row(n))]
    assert found == [(row.number, row.value) for row in read_rows(str(path)) if isinstance(row, RawRow)]
    assert (file.limit, file.change()) == ("", "")
    path.write_text("else")
    assert file.change() == "The file was changed"


def test_what_is_kept_of_other_formats_is_bounded_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MOST_HELD_BYTES", 20_000)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([ask(number) for number in range(500)]))
    file = read_all(open_rows(str(path)))
    assert isinstance(file, HeldFile)
    assert 10 < file.rows < 500
    assert file.limit.startswith(f"only the first {file.rows:,} rows")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08", "packed with gzip"),
        (b'{\n "rows": [1, 2]\n}\n', "one JSON object"),
        (b"\xff\xfe{\0", "UTF-16"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        open_rows(str(path))
