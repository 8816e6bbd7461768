"""The places of lines in a file that grows, whatever it holds and however it is cut into readings."""

import itertools
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui.compare_lines import LineIndex, Place

LINES = st.lists(
    st.one_of(
        st.builds(
            lambda index, text: msgspec.json.encode({"index": index, "t": text}),
            st.integers(0, 9),
            st.sampled_from(["", "é\n", "[" * 90]),
        ),
        st.sampled_from([b"", b"{}", b"null", b"\xff", b'{"index": "1"}', b'{"index": 1', b"[" * 2000, b" "]),
    ),
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(LINES, st.lists(st.integers(0, 200), max_size=6), st.integers(1, 64))
def test_the_newest_line_of_each_row_is_found(lines: list[bytes], cuts: list[int], most: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    edges = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    taken: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        index = LineIndex(path, Place, lambda one: taken.append(one.index), taken.clear)
        for begin, end in itertools.pairwise(edges):
            with path.open("ab") as file:
                file.write(content[begin:end])
            index.read(most)
        while index.read(most):
            pass
        known = {row: index.line(row) for row in range(10)}
    wanted, order = {}, []
    for line in lines:
        try:
            order.append(row := msgspec.json.decode(line, type=Place).index)
        except (msgspec.DecodeError, RecursionError):
            continue
        wanted[row] = line
    assert {row: line for row, line in known.items() if line is not None} == wanted
    assert taken == order
    assert index.skipped == sum(bool(line.strip()) for line in lines) - len(order)


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path, taken = tmp_path / "answers.jsonl", []
    index = LineIndex(path, Place, lambda one: taken.append(one.index), taken.clear)
    assert not index.read(100), "it is not there yet"
    path.write_text('{"index": 1}\n{"index": 2}\n')
    assert index.read(100)
    path.write_text('{"index": 3}\n')
    assert index.read(100)
    assert taken == [3]
    assert index.line(1) is None
    path.unlink()
    assert index.read(100)
    assert index.line(3) is None
