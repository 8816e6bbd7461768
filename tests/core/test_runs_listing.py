"""The list of runs: page by page, at the cost of what changed, with what cannot be read shown as such."""

import os
from pathlib import Path

import msgspec
import pytest

from finetui_core.runs import listing
from finetui_core.runs.listing import PAGE, Listing, list_runs
from finetui_core.runs.liveness import Here
from finetui_core.runs.paths import create_run
from finetui_core.runs.records import Attempt
from run_folders import ENDED, add_lines, add_steps, beat, write_run


def test_the_first_page_comes_before_the_rest_and_the_last_is_complete(tmp_path: Path) -> None:
    for number in range(PAGE + 5):
        create_run(tmp_path, f"run {number}", "", {}, {})
    newest = sorted(path.name for path in tmp_path.iterdir())[::-1]
    pages = list(Listing(tmp_path).refresh())
    assert [(len(page.runs), page.unread) for page in pages] == [(PAGE, 5), (PAGE + 5, 0)]
    assert {run.id for run in pages[0].runs} == set(newest[:PAGE])


def test_runs_that_ended_are_not_read_again_until_their_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, live = write_run(tmp_path, "ended"), write_run(tmp_path, "live", end=None)
    seconds = [0.0]
    watched = Listing(tmp_path, clock=lambda: seconds[0])
    (before,) = watched.refresh()
    read: list[str] = []
    honest = listing.read_labels
    monkeypatch.setattr(listing, "read_labels", lambda paths: read.append(paths.id) or honest(paths))
    seconds[0] = 100.0
    (now,) = watched.refresh()
    assert read == [live.id]
    assert [run.id for run in now.runs] == [run.id for run in before.runs]
    add_steps(live, 61, 62)
    add_lines(live.events, {"type": "evaluation", "step": 62, "eval_loss": 0.25, "best": True})
    ended.labels.write_text('{"tags": ["kept"]}')
    os.utime(ended.root, (1, 1))
    seconds[0] = 200.0
    (after,) = watched.refresh()
    runs = {run.id: run for run in after.runs}
    assert (runs[live.id].step, runs[live.id].best_eval_loss, runs[live.id].best_step) == (62, 0.25, 62)
    assert runs[ended.id].tags == ("kept",)


def test_what_was_known_of_ended_runs_is_kept_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "runs"
    ended, changed, live = (write_run(root, name) for name in ("ended", "changed", "live"))
    live.attempt(1).unlink()
    (before,) = Listing(root, keeps=True).refresh()
    changed.labels.write_text('{"note": "written meanwhile"}')
    read: list[str] = []
    honest = listing.read_labels
    monkeypatch.setattr(listing, "read_labels", lambda paths: read.append(paths.id) or honest(paths))
    (after,) = Listing(root, keeps=True).refresh()
    assert sorted(read) == sorted([changed.id, live.id])
    runs = {run.id: run for run in after.runs}
    assert runs[ended.id] == {run.id: run for run in before.runs}[ended.id]
    assert runs[changed.id].note == "written meanwhile"


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 100, b'{"made_by": "older", "runs": {}}'])
def test_a_kept_file_that_is_damaged_or_older_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "runs"
    run = write_run(root, "ended")
    (before,) = Listing(root, keeps=True).refresh()
    (kept,) = (tmp_path / "cache" / "ftui" / "runs").iterdir()
    assert kept.stat().st_mode & 0o077 == 0 and run.id.encode() in kept.read_bytes()
    kept.write_bytes(content)
    assert [page.runs for page in Listing(root, keeps=True).refresh()] == [before.runs]
    assert run.id.encode() in kept.read_bytes()


def test_new_and_vanished_runs_are_noticed(tmp_path: Path) -> None:
    watched = Listing(tmp_path)
    assert [page.runs for page in watched.refresh()] == [()]
    run = create_run(tmp_path, "new", "", {}, {})
    assert [one.id for page in watched.refresh() for one in page.runs] == [run.id]
    run.root.rename(tmp_path / ".gone")
    assert [page.runs for page in watched.refresh()] == [()]


def test_a_run_of_another_host_falls_silent_on_the_readers_own_clock(tmp_path: Path) -> None:
    run = write_run(tmp_path, "far", end=None)
    attempt = msgspec.json.decode(run.attempt(1).read_bytes(), type=Attempt)
    run.attempt(1).write_bytes(msgspec.json.encode(msgspec.structs.replace(attempt, host="elsewhere")))
    seconds = [0.0]
    watched = Listing(tmp_path, clock=lambda: seconds[0], here=Here("here", "boot"))
    states = []
    for now, step in ((0.0, None), (59.0, None), (61.0, None), (62.0, 61)):
        seconds[0] = now
        if step is not None:
            beat(run, step)
        states += [one.state for page in watched.refresh() for one in page.runs]
    assert states == ["running", "running", "silent", "running"]


def test_the_recent_losses_are_those_of_the_end_with_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path, "demo", steps=500)
    add_lines(
        run.metrics(1), {"step": 501, "loss": None, "nonfinite": {"loss": "nan"}}, {"step": 502, "loss": 9}
    )
    (summary,) = list_runs(tmp_path)
    assert summary.recent_losses[-2:] == (None, 9) and 30 < len(summary.recent_losses) <= 64


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 40, b'{"id": 3}'])
def test_a_run_that_cannot_be_read_is_listed_as_such(tmp_path: Path, content: bytes) -> None:
    run = write_run(tmp_path, "demo")
    run.identity.write_bytes(content)
    (summary,) = list_runs(tmp_path)
    assert (summary.id, summary.state) == (run.id, "unreadable")
    assert "run.json" in summary.reason


def test_a_run_that_went_on_inexactly_says_so_until_it_goes_back_before_that(tmp_path: Path) -> None:
    paths = write_run(tmp_path)

    def reason() -> str:
        return list_runs(tmp_path)[0].reason

    assert "inexact" not in reason()
    add_lines(paths.events, {"type": "resumed", "step": 4}, {"type": "inexact", "step": 4})
    assert reason().endswith("; inexact from step 4")
    add_lines(paths.events, {"type": "resumed", "step": 6})
    assert reason().endswith("; inexact from step 4")
    add_lines(paths.events, {"type": "resumed", "step": 4})
    assert "inexact" not in reason()


def test_a_run_of_a_newer_schema_is_shown_and_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, "demo")
    run.identity.write_text('{"id": "x", "created": 5, "schema": 99, "name": "future", "more": {}}')
    (summary,) = list_runs(tmp_path)
    assert (summary.state, summary.name) == ("finished", "future")
    assert "newer ftui (schema 99)" in summary.reason


def test_hostile_records_do_not_end_the_list(tmp_path: Path) -> None:
    run = write_run(tmp_path, "demo", end=ENDED)
    add_lines(run.metrics(1), {"step": "x", "loss": "high", "step_seconds": []}, {"step": 7, "loss": {}})
    add_lines(
        run.events, {"type": "evaluation"}, {"type": "evaluation", "step": [], "eval_loss": "x"}, {"type": []}
    )
    (summary,) = list_runs(tmp_path)
    assert (summary.step, summary.loss) == (7, None)


@pytest.mark.parametrize(
    "number", ["1e308", "-1e308", "9" * 400, "1e400", "NaN", '"x"', "[]", "{}", "null", "true"]
)
def test_absurd_numbers_do_not_hide_the_other_runs(tmp_path: Path, number: str) -> None:
    good, absurd = write_run(tmp_path, "good"), write_run(tmp_path, "absurd")
    names = ("step", "loss", "eval_loss", "total_steps", "t", "created", "seq", "step_seconds", "schema")
    line = "{" + ", ".join(f'"{name}": {number}' for name in names) + ', "type": "evaluation", "id": "x"}\n'
    for path in (absurd.metrics(1), absurd.events):
        with path.open("a") as file:
            file.write(line)
    for path in (absurd.heartbeat, absurd.identity, absurd.attempt(1), absurd.labels):
        path.write_text(line)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "metrics.jsonl").write_text(line)
    state = tmp_path / "state"
    state.mkdir()
    (state / "trainer_state.json").write_text(
        f'{{"log_history": [{line}], "global_step": {number}, "max_steps": 9}}'
    )
    assert {good.id, absurd.id, "theirs", "state"} == {run.id for run in list_runs(tmp_path)}
