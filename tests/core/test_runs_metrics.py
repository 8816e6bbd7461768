"""Metric files read in slices give in the end what reading them at once gives."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetui_core.runs import metrics
from finetui_core.runs.metrics import MetricFiles, Steps
from finetui_core.runs.records import Attempt, encode_line


def attempt(number: int, resumed_from: str | None = None) -> Attempt:
    return Attempt(number, 1, 1, "boot", "here", 2, 1, 0.0, resumed_from)


def write(path: Path, steps: range, loss: float = 1.0, how: str = "wb") -> None:
    with path.open(how) as file:
        file.writelines(encode_line({"step": step, "loss": loss}) for step in steps)


def seen(files: MetricFiles) -> list[tuple[float, float]]:
    return list(zip(files.columns.column("step"), files.columns.column("loss"), strict=True))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricFiles]:
    monkeypatch.setattr(metrics, "SLICE", 500)
    return MetricFiles(lambda number: tmp_path / f"{number}")


def test_the_newest_points_are_there_at_once_and_the_rest_in_slices(
    files: MetricFiles, tmp_path: Path
) -> None:
    write(tmp_path / "1", range(1, 201))
    assert files.read([1], [attempt(1)], [], most=500)
    assert files.newest is not None and files.newest.column("step")[-1] == 200
    assert 0 < len(files.columns) < 40 and files.unread > 0
    write(tmp_path / "1", range(201, 203), how="ab")
    for _ in itertools.takewhile(lambda _: files.unread, range(100)):
        files.read([1], [attempt(1)], [], most=500)
    assert files.newest is None
    assert seen(files) == [(step, 1.0) for step in range(1, 203)]
    assert not files.read([1], [attempt(1)], [], most=500)


def test_a_resumed_run_in_slices_is_merged(files: MetricFiles, tmp_path: Path) -> None:
    write(tmp_path / "1", range(1, 101), 1.0)
    write(tmp_path / "2", range(51, 131), 2.0)
    attempts = [attempt(1), attempt(2, "checkpoints/step-000050")]
    for _ in range(40):
        files.read([1, 2], attempts, [], most=500)
    assert seen(files) == [(s, 1.0) for s in range(1, 51)] + [(s, 2.0) for s in range(51, 131)]
    attempts.append(attempt(3, "checkpoints/step-000120"))
    columns = files.columns
    assert files.read([1, 2, 3], attempts, [])
    assert files.columns is columns and columns.cut and len(columns) == 120
    event: dict[str, Any] = {"type": "resumed", "attempt": 3, "step": 125}
    assert files.read([1, 2, 3], attempts, [event])  # points that were dropped count again
    assert len(files.columns) == 125


def test_an_earlier_file_that_grows_late_is_put_into_its_place(files: MetricFiles, tmp_path: Path) -> None:
    write(tmp_path / "1", range(1, 3), 1.0)
    write(tmp_path / "2", range(5, 7), 2.0)
    attempts = [attempt(1), attempt(2, "step-000004")]
    files.read([1, 2], attempts, [])
    write(tmp_path / "1", range(3, 6), 1.0, how="ab")
    files.read([1, 2], attempts, [])
    assert [step for step, _ in seen(files)] == [1, 2, 3, 4, 5, 6]


def test_a_file_that_was_replaced_is_read_anew(files: MetricFiles, tmp_path: Path) -> None:
    write(tmp_path / "1", range(1, 50))
    files.read([1], [attempt(1)], [])
    write(tmp_path / "1", range(1, 5), 3.0)
    files.read([1], [attempt(1)], [])
    assert seen(files) == [(step, 3.0) for step in range(1, 5)]


def test_points_as_records_say_what_was_not_finite(files: MetricFiles, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(
        b'{"step":1,"loss":2.5}\n{"step":2,"loss":null,"nonfinite":{"loss":"inf"}}\n{"step":3,"loss":1.5}\n'
    )
    files.read([1], [attempt(1)], [])
    steps = Steps(files.columns)
    assert list(steps) == [
        {"step": 1, "loss": 2.5},
        {"step": 2, "loss": None, "nonfinite": {"loss": "inf"}},
        {"step": 3, "loss": 1.5},
    ]
    assert [point["step"] for point in steps.after(1)] == [2, 3]
