"""Reading files: what is accepted, and what each fault says and where."""

import json
import os
import socket
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.data.json_lines import MAX_ROW_BYTES
from finetui_core.data.readers import RawRow, read_rows
from finetui_core.errors import InputError, Problem

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=8)


def write(folder: Path, content: bytes | str, name: str = "rows.jsonl") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def refusal(source: str) -> Problem:
    with pytest.raises(InputError) as caught:
        list(read_rows(source))
    return caught.value.problems[0]


def test_lines_are_counted_past_blank_ones_and_windows_line_ends(tmp_path: Path) -> None:
    source = write(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\n{"a": 3}')
    assert list(read_rows(source)) == [RawRow(1, {"a": 1}), RawRow(4, {"a": 2}), RawRow(5, {"a": 3})]


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        (b'{"a": 1,}', ":2:", "not valid JSON"),
        (b'{"a": "cut', ":2:", "Unterminated string"),
        (b'{"a": "\x1b[2J"}', ":2:8", "Invalid control character"),
        (b"\0\0\0", ":2:1", "not valid JSON"),
        (b'{"a": "\xff"}', ":2:8", "not UTF-8"),
        (b'{"a": NaN}', ":2", "not valid JSON"),
        (b'{"a": "\\ud83d"}', ":2", "not valid JSON"),
        (b"[1]", ":2", "the row is a list, not an object"),
        (b"null", ":2", "the row is null, not an object"),
        (b'"x"', ":2", "the row is a string, not an object"),
        (b'{"a":' + b"[" * 100_000, ":2", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", ":2", "not valid JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(
    tmp_path: Path, line: bytes, place: str, words: str
) -> None:
    source = write(tmp_path, b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    first, fault, last = read_rows(source)
    assert (first, last) == (RawRow(1, {"n": 1}), RawRow(3, {"n": 3}))
    assert isinstance(fault, Problem)
    assert fault.where.startswith(source + place) and words in fault.what


def test_an_array_gives_the_line_of_each_element(tmp_path: Path) -> None:
    source = write(tmp_path, '\n [ {"a": 1},\n{"a":\n  2}, 7\n,{"a": NaN}, {"a": 3} ]\n', "rows.json")
    rows = list(read_rows(source))
    assert [row for row in rows if isinstance(row, RawRow)] == [
        RawRow(2, {"a": 1}),
        RawRow(3, {"a": 2}),
        RawRow(5, {"a": 3}),
    ]
    faults = [row for row in rows if isinstance(row, Problem)]
    assert [fault.where for fault in faults] == [f"{source}:4", f"{source}:5"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"a": 1},\n {"a" 2}]', ":2:7"),
        ('[{"a": 1}\n {"a": 2}]', ":2:2"),
        ('[{"a": 1},\n', ":2:1"),
        ('[{"a": 1}]\n  extra', ":2:3"),
        ("[", ":1:2"),
    ],
)
def test_a_broken_array_is_placed_by_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    source = write(tmp_path, text, "rows.json")
    last = list(read_rows(source))[-1]
    assert isinstance(last, Problem) and last.where == source + place


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04rest", "zip"),
        (b"PAR1....", "Parquet"),
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}\n'.encode("utf-16-le"), "binary"),
        (b"\x7fELF\0\0\0", "binary"),
        (b'{\n "data": [\n  {"a": 1}\n ]\n}', "one JSON object"),
    ],
)
def test_an_unusable_file_is_one_clear_error_with_a_hint(tmp_path: Path, content: bytes, words: str) -> None:
    problem = refusal(write(tmp_path, content))
    assert words in problem.what and problem.hint and problem.where.endswith("rows.jsonl")


def test_one_object_names_the_list_inside_it(tmp_path: Path) -> None:
    assert '"data"' in refusal(write(tmp_path, '{\n"data": [{}], "version": 1}')).hint


def test_places_that_are_not_readable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, '{"a": 1}')
    assert "folder" in refusal(str(tmp_path)).what
    assert "rows.jsonl" in refusal(str(tmp_path / "row.jsonl")).hint
    assert "no such file" in refusal(str(tmp_path / "gone" / "x.jsonl")).what
    assert "hub:owner/name" in refusal("owner/name").hint
    assert "cannot be read" in refusal("a\0b").what
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refusal(str(tmp_path / "pipe")).what

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert "permission" in refusal(source).what


def test_plain_text_is_a_document_per_block(tmp_path: Path) -> None:
    source = write(tmp_path, b"\xef\xbb\xbfone\ntwo\r\n\n \nthree", "notes.txt")
    assert list(read_rows(source)) == [RawRow(1, {"text": "one\ntwo"}), RawRow(5, {"text": "three"})]
    assert refusal(write(tmp_path, b"ok\n\ncaf\xe9", "latin.txt")).where.endswith(":3:4")


def test_a_table_of_text_keeps_line_breaks_in_cells_and_leaves_empty_ones_out(tmp_path: Path) -> None:
    source = write(tmp_path, 'prompt,completion\n"a\nb",c\nd,\ne\n', "rows.csv")
    first, second, fault = read_rows(source)
    assert (first, second) == (RawRow(2, {"prompt": "a\nb", "completion": "c"}), RawRow(4, {"prompt": "d"}))
    assert isinstance(fault, Problem) and fault.where == f"{source}:5" and "1 cells" in fault.what


def test_binary_tables_are_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    rows = [{"messages": [{"role": "user", "content": "é"}]}, {"messages": []}]
    table = pyarrow.Table.from_pylist(rows)
    expected = [RawRow(1, rows[0]), RawRow(2, rows[1])]
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert list(read_rows(str(tmp_path / "rows.parquet"))) == expected
    for name, writer in (("file.arrow", pyarrow.ipc.new_file), ("stream.arrow", pyarrow.ipc.new_stream)):
        with writer(tmp_path / name, table.schema) as sink:
            sink.write_table(table)
        assert list(read_rows(str(tmp_path / name))) == expected
    assert list(read_rows(write(tmp_path, "text\nhello\n", "rows.csv"))) == [RawRow(2, {"text": "hello"})]


def test_a_damaged_table_is_an_input_error(tmp_path: Path) -> None:
    assert "Parquet" in refusal(write(tmp_path, b"PAR1 not really", "rows.parquet")).what
    assert "Arrow" in refusal(write(tmp_path, b"not really", "rows.arrow")).what


def test_a_hub_set_that_cannot_be_had_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, split: str) -> None:
        raise ConnectionError(f"Couldn't reach {name} ({split})\nmore")

    import datasets

    monkeypatch.setattr(datasets, "load_dataset", offline)
    problem = refusal("hub:owner/name#test")
    assert problem.where == "hub:owner/name#test"
    assert problem.what == "the data set cannot be loaded: Couldn't reach owner/name (test)"
    assert "HF_HUB_OFFLINE" in problem.hint


@given(OBJECTS, st.booleans())
def test_what_is_written_is_read_back(rows: list[dict[str, object]], as_array: bool) -> None:
    text = json.dumps(rows, indent=1) if as_array else "".join(json.dumps(row) + "\n" for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        source = write(Path(folder), text + "\n")
        read = list(read_rows(source))
    assert [row.value for row in read if isinstance(row, RawRow)] == rows
    assert len(read) == len(rows)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.text('[]{}",:0a\\ \n', max_size=60).map(str.encode),
    st.sampled_from([".jsonl", ".json", ".csv", ".txt", ""]),
)
def test_no_bytes_whatsoever_crash_the_reader(content: bytes, suffix: str) -> None:
    _read_or_refused(content, suffix)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@settings(deadline=None, max_examples=5)  # each starts a process
@given(content=st.binary(max_size=200))
def test_no_bytes_whatsoever_crash_the_reader_of_tables(content: bytes, suffix: str) -> None:
    _read_or_refused(content, suffix)


def test_a_row_that_is_too_long_is_named_and_a_table_that_blows_up_is_refused(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a", "b" * (MAX_ROW_BYTES + 1), "c"]})
    pyarrow.parquet.write_table(table, tmp_path / "long.parquet", compression="none")
    first, fault, last = read_rows(str(tmp_path / "long.parquet"))
    assert (first, last) == (RawRow(1, {"text": "a"}), RawRow(3, {"text": "c"}))
    assert isinstance(fault, Problem) and "longer than 16 MiB" in fault.what
    index = pyarrow.array([0] * 100_000, pyarrow.int32())
    packed = pyarrow.table({"text": pyarrow.DictionaryArray.from_arrays(index, ["a" * 10_000])})
    pyarrow.parquet.write_table(packed, tmp_path / "packed.parquet")
    assert "times as large as the file" in refusal(str(tmp_path / "packed.parquet")).what


def _read_or_refused(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            for row in read_rows(write(Path(folder), content, "rows" + suffix)):
                assert isinstance(row, RawRow | Problem)
        except InputError as error:
            assert all(problem.what for problem in error.problems)
