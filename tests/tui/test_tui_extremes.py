"""Files far larger than anything that a trainer writes: the screens stay up, answer, and say what is wrong."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_screen import screen_text, settle
from tui_walk import PANEL_KEYS, empty_root, open_run, read_again, studio

from finetui_core.runs.foreign_sources import LARGEST_STATE
from finetui_core.runs.paths import RunPaths
from run_folders import START, add_lines, write_json, write_run

MB = 1 << 20
MOST_SECONDS = 2.0
"""Of the processor's time that one thing may take on the screen's own thread: keys wait for so long."""
MOST_BYTES = 300 * MB

Harm = Callable[[RunPaths], None]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_root(tmp_path, monkeypatch)


def fill(path: Path, megabytes: int, begin: bytes = b"", end: bytes = b"") -> None:
    with path.open("ab") as file:
        file.write(begin)
        for _ in range(megabytes):
            file.write(b"x" * MB)
        file.write(end)


def identity(paths: RunPaths, **facts: str) -> None:
    write_json(paths.identity, {"id": paths.id, "created": START, "schema": 1, "name": "demo", **facts})


def marks_in_a_name(paths: RunPaths) -> None:
    identity(paths, name="demo" + "\u0301" * 10**6)


def long_labels(paths: RunPaths) -> None:
    note = {"name": "demo" + "\u0903" * 10**5, "tags": ["t" * MB], "note": "\u202e" * 10**6}
    write_json(paths.labels, note)


def ten_thousand_tags_and_metrics(paths: RunPaths) -> None:
    write_json(paths.labels, {"name": "demo", "tags": [f"tag{number}" for number in range(10_000)]})
    add_lines(paths.metrics(1), {"step": 100, **{f"tag{number}": number for number in range(10_000)}})


def large_identity(paths: RunPaths) -> None:
    fill(paths.identity, 50)


def endless_identity(paths: RunPaths) -> None:
    paths.identity.unlink()
    paths.identity.symlink_to("/dev/zero")


def large_recipe(paths: RunPaths) -> None:
    for path in (paths.recipe, paths.resolved_recipe):
        path.unlink()
    fill(paths.recipe, 50, b"# ")
    fill(paths.resolved_recipe, 50, b'{"model":{"name":"', b'"}}')


def many_options(paths: RunPaths) -> None:
    write_json(paths.resolved_recipe, {"k" * 2000 + str(number): "\u202e" * 50 for number in range(1200)})


def line_without_end_in_the_log(paths: RunPaths) -> None:
    fill(paths.log(1), 100)


def log_of_nul(paths: RunPaths) -> None:
    with paths.log(1).open("wb") as file:
        file.truncate(100 * MB)


def long_event(paths: RunPaths) -> None:
    fill(paths.events, 20, b'{"type":"alarm","message":"', b'"}\n')


def long_events(paths: RunPaths) -> None:
    add_lines(paths.events, *({"type": "alarm", "message": "漢字 \u202e" * (MB // 8)} for _ in range(5)))


def event_without_end(paths: RunPaths) -> None:
    fill(paths.events, 50)


def long_metric(paths: RunPaths) -> None:
    fill(paths.metrics(1), 50, b'{"step":200,"note":"', b'"}\n{"step":201,"loss":1.25}\n')


def long_samples(paths: RunPaths) -> None:
    texts = {"prompt": "p\u0301" * 20_000, "answer": "y z " * 20_000, "reference": "r" * 20_000}
    add_lines(paths.sample_file(50), *({**texts, "prompt": f"{n}{texts['prompt']}"} for n in range(50)))


def many_samples(paths: RunPaths) -> None:
    add_lines(paths.sample_file(50), *({"prompt": str(number), "answer": ""} for number in range(30_000)))


def many_gpus(paths: RunPaths) -> None:
    gpus = [{"index": "\u202e" * 50, "name": "g" * 100} for _ in range(1000)]
    add_lines(paths.system(1), {"gpus": gpus})


def large_heartbeat_and_attempt(paths: RunPaths) -> None:
    fill(paths.heartbeat, 50)
    fill(paths.attempt(1), 50)


SKIPPED = f" {'lines skipped':17}1"
SAID: dict[Harm, str] = {
    marks_in_a_name: "demo",
    long_labels: "demo",
    ten_thousand_tags_and_metrics: "#tag0",
    large_identity: "run.json is missing or damaged",
    endless_identity: "run.json is missing or damaged",
    large_recipe: "no recipe that can be read",
    many_options: "only the first 1,000 options",
    line_without_end_in_the_log: "xxxx",
    log_of_nul: "␀␀␀␀",
    long_event: SKIPPED,
    long_events: "漢字",
    event_without_end: "demo",
    long_metric: SKIPPED,
    long_samples: "p\u0301" * 20,
    many_samples: "only the first 100 samples",
    many_gpus: "GPU \\u{202e}",
    large_heartbeat_and_attempt: "not started yet",
}
"""What is done to a run, and what is to be seen of it on its panels."""


@asynccontextmanager
async def watched(pilot: Pilot[Any]) -> AsyncIterator[None]:
    """Nothing within holds up the screen, nor takes much memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    before, worst = peak_memory(), 0.0

    async def look() -> None:
        nonlocal worst
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.01)
            worst = max(worst, time.thread_time() - began)

    task = asyncio.create_task(look())
    yield
    task.cancel()
    assert worst < MOST_SECONDS
    assert peak_memory() - before < MOST_BYTES


def peak_memory() -> int:
    """In bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize("harm", SAID, ids=lambda harm: harm.__name__)
async def test_what_is_too_long_is_bounded_and_told(root: Path, harm: Harm) -> None:
    paths = write_run(root)
    write_json(paths.resolved_recipe, {"model": {"name": "tiny"}})
    add_lines(paths.sample_file(1), {"prompt": "p", "answer": "yes, the first step is here"})
    harm(paths)
    async with studio(root) as pilot, watched(pilot):
        await pilot.press("r")
        seen = await settle(pilot)
        await pilot.press("n", "escape")
        seen += await open_run(pilot)
        for _ in range(100):
            if " to go" not in await read_again(pilot):
                break
        for key in PANEL_KEYS:
            await pilot.press(key, "g", "pagedown", "pageup")
            seen += screen_text(pilot.app)
            await pilot.press("G")
            seen += screen_text(pilot.app)
        await pilot.press("1")
        assert "demo" in await settle(pilot)
        assert SAID[harm] in seen


async def test_a_trainer_state_that_is_too_large_is_named(root: Path) -> None:
    state = root / "other" / "trainer_state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"log_history": [{"step": 1, "loss": 2.5}]}))
    with state.open("ab") as file:
        file.truncate(LARGEST_STATE + 1)
    async with studio(root) as pilot, watched(pilot):
        assert "trainer_state.json is too large" in screen_text(pilot.app)
        assert "trainer_state.json is too large" in await open_run(pilot)
