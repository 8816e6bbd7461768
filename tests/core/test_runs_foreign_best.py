"""The best value of other trainers' runs in the list, where their files are too long to be read at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_files import field, record, scalar, version
from finetui_core.runs import foreign_best, listing
from finetui_core.runs.foreign import ForeignView
from finetui_core.runs.foreign_best import BestScan
from finetui_core.runs.listing import Listing, list_runs
from finetui_core.runs.summary import RunSummary

PICTURE = record(b"\x10\x01" + field(3, bytes(300_000)))
"""A record without a scalar, of 0.3 MB."""


def write_lines(folder: Path, evaluations: dict[int, float], steps: int = 20_000) -> Path:
    """More than 1 MiB of lines with an evaluation where asked."""
    folder.mkdir()
    file = folder / "metrics.jsonl"
    lines = []
    for step in range(1, steps + 1):
        lines.append(f'{{"step": {step}, "train/loss": {1 + 1 / step:.6f}, "lr": 1e-4, "pad": "{"x" * 20}"}}')
        if step in evaluations:
            lines.append(json.dumps({"step": step, "val_loss": evaluations[step]}))
    file.write_text("\n".join(lines) + "\n")
    assert file.stat().st_size > 1 << 20
    return file


def write_events(folder: Path, evaluations: dict[int, float]) -> Path:
    """An event file of more than 1 MiB."""
    folder.mkdir()
    file = folder / "events.out.tfevents.1700000000.host.1.0"
    content = [version()]
    for step, loss in evaluations.items():
        content += [scalar(step, "eval/loss", loss), scalar(step, "train/loss", loss), PICTURE]
    file.write_bytes(b"".join(content) + scalar(max(evaluations), "train/loss", 1.0))
    assert file.stat().st_size > 1 << 20
    return file


EVALUATIONS = {10: 2.0, 20: 0.5, 30: 0.75, 40: 1.0, 50: 1.5}


@pytest.mark.parametrize("write", [write_lines, write_events])
def test_a_best_value_far_from_the_end_is_found(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "long", EVALUATIONS)
    (run,) = list_runs(tmp_path)
    assert (run.best_eval_loss, run.best_step) == (0.5, 20)


def best(listed: Listing, **given: Any) -> list[tuple[float | None, int | None]]:
    *_, last = listed.refresh(**given)
    return [(run.best_eval_loss, run.best_step) for run in last.runs]


@pytest.mark.parametrize("write", [write_lines, write_events])
def test_the_list_does_not_wait_for_it(tmp_path: Path, write: Any) -> None:
    """It is there without the best value, which comes at a later refresh and then stays."""
    write(tmp_path / "long", EVALUATIONS)
    runs = Listing(tmp_path)
    assert best(runs, scan_seconds=0) == [(None, None)]
    for _ in range(100):
        if best(runs) == [(0.5, 20)]:
            break
    assert best(runs, scan_seconds=0, everything=True) == [(0.5, 20)]


def test_a_refresh_reads_only_a_bounded_part_of_many_long_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write_lines(tmp_path / f"long {number}", EVALUATIONS)
    seconds = iter(range(10_000))
    monkeypatch.setattr(
        listing.time, "monotonic", lambda: float(next(seconds))
    )  # each look is a second later
    pieces: list[Path] = []
    read_on = BestScan.read_on
    monkeypatch.setattr(BestScan, "read_on", lambda scan: (pieces.append(scan), read_on(scan)))
    runs = Listing(tmp_path, clock=lambda: 0.0)
    assert best(runs, scan_seconds=4.5) == [(None, None)] * 5
    assert len(pieces) == 4 and len(set(pieces)) == 1
    refreshes = 0
    while (None, None) in best(runs, scan_seconds=4.5):
        refreshes += 1
        assert refreshes < 100
    before = len(pieces)
    assert best(runs, scan_seconds=4.5, everything=True) == [(0.5, 20)] * 5
    assert len(pieces) == before


def test_a_run_that_goes_on_keeps_its_best_value_and_gets_better_ones(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "long", EVALUATIONS)
    runs = Listing(tmp_path)
    assert best(runs, scan_seconds=60) == [(0.5, 20)]
    for step, loss, expected in ((20_001, 0.6, (0.5, 20)), (20_002, 0.25, (0.25, 20_002))):
        with file.open("a") as lines:
            lines.write(json.dumps({"step": step, "val_loss": loss}) + "\n")
        shown = [_only(listed.runs) for listed in runs.refresh(everything=True, scan_seconds=60)]
        assert shown[0].best_eval_loss == 0.5
        assert (shown[-1].best_eval_loss, shown[-1].best_step) == expected


def test_a_file_that_was_begun_anew_has_a_new_best_value(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "long", EVALUATIONS)
    runs = Listing(tmp_path)
    assert best(runs, scan_seconds=60) == [(0.5, 20)]
    content = file.read_text().replace("0.5}", "9.5}")
    file.with_name("new").write_text(content)
    file.with_name("new").replace(file)
    assert best(runs, scan_seconds=60, everything=True) == [(0.75, 30)]


def _only(runs: tuple[RunSummary, ...]) -> RunSummary:
    (run,) = runs
    return run


entries = st.tuples(
    st.integers(0, 9), st.one_of(st.floats(), st.integers(-5, 5), st.just(10**400)), st.sampled_from("ab")
)


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, max_size=30), st.integers(1, 200))
def test_it_is_what_the_view_of_the_whole_run_has(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[int, float, str]], piece: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines = [
        json.dumps({"step": step, "val_loss": loss} if kind == "a" else {"x": 1})
        for step, loss, kind in found
    ]
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    assert scanned(folder, "metrics_jsonl", piece) == viewed(folder, "metrics_jsonl")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(entries, max_size=10), min_size=1, max_size=3), st.integers(1, 200))
def test_so_it_is_over_several_event_files(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[int, float, str]]], piece: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    for number, found in enumerate(files):
        content = [
            version(),
            *(scalar(step, "eval/loss" if kind == "a" else "x", _float(loss)) for step, loss, kind in found),
        ]
        (folder / f"events.out.tfevents.170000000{number}.host.1.0").write_bytes(b"".join(content))
    assert scanned(folder, "tensorboard", piece) == viewed(folder, "tensorboard")


def _float(number: float) -> float:
    return float(number) if abs(number) < 1e38 else float("inf")


def scanned(folder: Path, kind: Any, piece: int) -> tuple[float, int] | None:
    scan = BestScan(folder, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_best, "_PIECE", piece)
        while not scan.done:
            scan.read_on()
    return scan.best


def viewed(folder: Path, kind: Any) -> tuple[float, int] | None:
    view = ForeignView(folder, kind)
    view.refresh()
    facts = view.summary()
    return None if facts["best_eval_loss"] is None else (facts["best_eval_loss"], facts["best_step"])
