"""The queue in the list of runs: seen, ordered by keys, emptied, paused, and said to stand still."""

import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui_runs import START, make_run
from tui_screen import settle

from finetui.app import Studio
from finetui.widgets.table import Table
from finetui_core.runs import queue
from finetui_core.runs.lock import take_file_lock
from finetui_core.runs.paths import QUEUED, RunPaths, create_run
from finetui_core.runs.records import End, Queued


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs in a paused queue, and one that has ended."""
    for number, name in enumerate(("first", "second", "third"), 1):
        entry = queue.encoded(Queued(float(number), since=START))
        create_run(tmp_path / "runs", name, "", {}, {}, {QUEUED: entry})
    make_run(tmp_path / "runs", "ended", end=End(START + 300, 0))
    queue.pause(tmp_path / "runs")
    return tmp_path / "runs"


def order(root: Path) -> list[str]:
    return [one.paths.id.split("-")[1] for one in queue.waiting(root)]


def paths_of(root: Path, name: str) -> RunPaths:
    (found,) = root.glob(f"*-{name}-*")
    return RunPaths(found)


async def choose(pilot: Pilot[None], name: str) -> None:
    screen, table = pilot.app.screen, pilot.app.screen.query_one(Table)
    await pilot.press("g")
    while screen._runs[table.chosen].name != name:  # type: ignore[attr-defined]
        await pilot.press("j")


def told(pilot: Pilot[None]) -> str:
    return "\n".join(notice.message for notice in pilot.app._notifications)


async def test_the_queue_is_seen_and_ordered_by_keys(root: Path) -> None:
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(100, 24)) as pilot:
        shown = await settle(pilot)
        assert "3 queued" in shown
        assert "… queued 1" in shown and "… queued 3" in shown
        assert "3 runs wait in the queue, which is paused" in shown
        await choose(pilot, "third")
        await pilot.press("K")
        assert "number 2 in the queue" in await settle(pilot)
        assert order(root) == ["first", "third", "second"]
        await pilot.press("J")
        await settle(pilot)
        assert order(root) == ["first", "second", "third"]
        await pilot.press("u", "u")
        await settle(pilot)
        assert order(root) == ["first", "second", "third"]


async def test_a_run_is_taken_out_and_put_back_where_it_was(root: Path) -> None:
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "second")
        await pilot.press("D")
        shown = await settle(pilot)
        assert order(root) == ["first", "third"]
        assert "■ stopped" in shown and "taken out of the queue before it began" in shown
        await pilot.press("u")
        await settle(pilot)
        assert order(root) == ["first", "second", "third"]
        await choose(pilot, "ended")
        await pilot.press("D")
        await settle(pilot)
        assert "it does not wait in the queue" in told(pilot)


async def test_a_deleted_run_leaves_the_queue_and_comes_back_into_it(root: Path) -> None:
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "first")
        await pilot.press("d", "y")
        await settle(pilot)
        assert order(root) == ["second", "third"]
        await pilot.press("u")
        await settle(pilot)
        assert order(root) == ["first", "second", "third"]


async def test_a_queue_without_a_worker_is_said_to_stand_still(root: Path) -> None:
    queue.QueuePaths(root).paused.unlink()
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(120, 24)) as pilot:
        shown = await settle(pilot)
        assert "3 runs wait, and the queue stands still: ftui queue start" in shown


async def test_a_queued_run_opens_and_says_why_it_takes_no_commands(root: Path) -> None:
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "first")
        await pilot.press("enter")
        assert "queued" in await settle(pilot)
        await pilot.press("p")
        assert "the run waits in the queue" in await settle(pilot)


async def test_a_queue_that_works_is_paused_by_a_key_and_goes_on_by_undoing_it(root: Path) -> None:
    queue.QueuePaths(root).paused.unlink()
    lock = take_file_lock(queue.QueuePaths(root).lock)  # a worker, as far as anybody can tell
    assert lock is not None
    async with Studio(root, clock=lambda: START + 7200).run_test(size=(120, 24)) as pilot:
        assert "ftui queue start" not in await settle(pilot)
        await pilot.press("p")
        assert "which is paused: ftui queue start" in await settle(pilot)
        assert queue.is_paused(root)
        await pilot.press("u")
        await settle(pilot)
        assert not queue.is_paused(root)
    os.close(lock)
