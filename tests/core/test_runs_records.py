"""One record is one line of strict JSON, whatever numbers and text it holds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.runs.records import End, Heartbeat, content_of, decode_line, encode_line, read_small

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text())
KEYS = st.text().filter(lambda key: key != "nonfinite")


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@given(st.dictionaries(KEYS, SCALARS))
def test_a_record_survives_and_its_line_is_strict_json(record: dict[str, Any]) -> None:
    line = encode_line(record)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line, parse_constant=refuse) == decode_line(line)
    back = decode_line(line)
    assert back is not None
    marks = back.pop("nonfinite", {})
    for key, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            assert back[key] is None and str(float(marks[key])) == str(value)
        else:
            assert back[key] == value and key not in marks


@given(st.dictionaries(st.text(st.characters(codec=None)), st.text(st.characters(codec=None))))
def test_undecodable_file_names_are_written_all_the_same(record: dict[str, str]) -> None:
    assert decode_line(encode_line(record)) is not None


def test_paths_and_structs_can_be_written() -> None:
    assert decode_line(encode_line({"path": Path("/a/b")})) == {"path": "/a/b"}
    assert decode_line(encode_line(End(1.0, exit_code=3)))["exit_code"] == 3  # type: ignore[index]


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        encode_line({"x": object()})


@given(st.binary())
def test_any_bytes_decode_to_a_record_or_to_nothing(line: bytes) -> None:
    assert decode_line(line) is None or isinstance(decode_line(line), dict)


def test_small_files_ignore_unknown_fields_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.json"
    assert read_small(path, Heartbeat) is None
    path.write_text('{"seq": 1, "t": 2')
    assert read_small(path, Heartbeat) is None
    path.write_text(
        '{"seq":1,"t":2,"step":3,"total_steps":4,"step_age_s":5,"phase":"training","pid":6,"new":[]}'
    )
    assert read_small(path, Heartbeat) == Heartbeat(1, 2, 3, 4, 5, "training", 6)


def test_a_file_that_is_not_small_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="too large"):
        content_of(path)
    assert read_small(path, Heartbeat) is None
