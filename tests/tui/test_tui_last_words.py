"""Of a run that failed or hangs, the dashboard tells what to do and the last words of its log, at 80x24."""

import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tui_runs import START, add_events, make_run
from tui_screen import settle

from finetui.app import Studio
from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import process_identity
from finetui_core.runs.records import Again, Attempt, End, Heartbeat

LOG = "loading the model\nstep 100\nthe last line but one\nthe last line\n"
CUDA = (
    "Traceback (most recent call last):\n"
    + "".join(f'  File "/opt/lib/python3.11/site-packages/torch/part_{n}.py", line {n}, in f\n' for n in range(60))
    + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.25 "
    "GiB of which 10.12 GiB is free. Process 1234 has 69.10 GiB memory in use. Of the allocated memory 60.00 GiB is "
    "allocated by PyTorch, and 8.00 GiB is reserved by PyTorch but unallocated.\n"
)  # fmt: skip
MEMORY = (
    "ran out of memory: halve train.per_device_train_batch_size and double train.gradient_accumulation_steps"
)
FAILED = End(START + 101, exit_code=1)


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path_factory.mktemp(name)))


def attempt_of(paths: RunPaths, **changes: Any) -> None:
    """Write the attempt anew, as of this process and with `changes`."""
    ticks, boot = process_identity(os.getpid())
    given = {"host": os.uname().nodename, "boot_id": boot, "pid": os.getpid(), "start_ticks": ticks}
    given |= {"supervisor_pid": os.getpid(), "supervisor_start_ticks": ticks, "started_at": START} | changes
    write_atomically(paths.attempt(1), msgspec.json.encode(Attempt(attempt=1, **given)), durable=False)


async def pane(paths: RunPaths, size: tuple[int, int] = (80, 24)) -> str:
    """What the dashboard shows below the charts, in one line; nothing of it is beyond the pane."""
    app = Studio(paths.root.parent, clock=lambda: START + 300)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        app.open_runs([paths.root])
        shown = await settle(pilot)
    _, title, below = shown.partition("─why, and the last words of the log─")
    assert title, shown
    lines = below.split("\n")[1:]
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("log", "who"),
    [
        (CUDA, "The GPU"),
        ("RuntimeError: HIP out of memory\n", "The GPU"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate\n", "The machine"),
        ("OSError: [Errno 12] Cannot allocate memory\n", "The machine"),
        ("MemoryError\n", "The machine"),
    ],
)
async def test_a_run_that_failed_for_want_of_memory(tmp_path: Path, log: str, who: str) -> None:
    paths = make_run(tmp_path, end=FAILED)
    paths.log(1).write_text(log)
    shown = await pane(paths)
    assert f"→ {who} {MEMORY}: the result stays the same." in shown
    assert "a smaller data.max_length." in shown
    assert log.splitlines()[-1][:60] in shown


async def test_the_words_that_the_trainer_recorded_count_as_much_as_its_log(tmp_path: Path) -> None:
    paths = make_run(tmp_path, end=FAILED)
    paths.log(1).write_text("shutting down\n" * 100)
    add_events(paths, {"type": "error", "problems": [{"what": "CUDA out of memory"}]})
    shown = await pane(paths)
    assert MEMORY in shown and "shutting down" in shown


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (FAILED, ["The log says why; once it is mended, continue with: ftui resume ID"]),
        (End(START + 101, signal=9, oom=True), [f"The machine {MEMORY}"]),
        (End(START + 101, signal=9), ["Ended from outside (killed by SIGKILL)", "memory", "ftui resume ID"]),
        (End(START + 101, signal=15), ["Ended from outside (killed by SIGTERM)", "ftui resume ID"]),
    ],
)
async def test_a_run_whose_end_was_recorded(tmp_path: Path, end: End, said: list[str]) -> None:
    paths = make_run(tmp_path, end=end)
    paths.log(1).write_text(LOG)
    shown = await pane(paths)
    assert [words for words in said if words.replace("ID", paths.id) not in shown] == []
    assert "the last line but one the last line →" in shown


async def test_a_run_that_starts_again_by_itself(tmp_path: Path) -> None:
    again = Again(time.time() + 3600, 2, 3)
    end = End(START + 101, signal=11, cause="segfault", reason="killed by SIGSEGV", again=again)
    paths = make_run(tmp_path, end=end)
    paths.log(1).write_text(LOG)
    shown = await pane(paths)
    assert re.search(
        r"the last line → starts again in [0-9a-z ]+, 2nd of 3 restarts: killed by SIGSEGV", shown
    )
    assert f"To end it instead: ftui ctl {paths.id} stop" in shown


async def test_a_run_that_died(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    paths.log(1).write_text(LOG)
    attempt_of(paths, boot_id="another", end=None)
    shown = await pane(paths)
    assert "the last line → Nobody saw how it ended" in shown and f"ftui resume {paths.id}" in shown


async def test_a_run_that_stalled_says_for_how_long(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    paths.log(1).write_text(LOG)
    heartbeat = Heartbeat(7, time.time(), 100, 200, 7265.0, "training", os.getpid())
    write_atomically(paths.heartbeat, msgspec.json.encode(heartbeat), durable=False)
    shown = await pane(paths)
    assert (
        "the last line → It lives, but made no step for 2 h 01 min, after step 100; see log/0001.txt."
        in shown
    )
    assert f"ftui resume {paths.id}" in shown


async def test_a_run_of_a_silent_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetui_core.runs.liveness.SILENT_AFTER", 0.0)
    paths = make_run(tmp_path)
    paths.log(1).write_text(LOG)
    attempt_of(paths, host="elsewhere", end=None)
    shown = await pane(paths)
    assert re.search(
        r"the last line → no heartbeat from elsewhere for \d+ s\. Look whether that machine", shown
    )


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (120, 36)])
async def test_a_long_line_does_not_push_the_hint_out(tmp_path: Path, size: tuple[int, int]) -> None:
    paths = make_run(tmp_path, end=FAILED)
    paths.log(1).write_text("CUDA out of memory " + "0123456789" * 700 + "\n")
    shown = await pane(paths, size)
    assert "0123456789… →" in shown
    assert f"→ The GPU {MEMORY}" in shown and "a smaller data.max_length." in shown
    paths.log(1).write_text("CUDA out of memory " + "0123456789" * 100_000 + "\n")
    shown = await pane(paths, size)
    assert (
        "0123456789" in shown
        and f"→ The log says why; once it is mended, continue with: ftui resume {paths.id}" in shown
    )


async def test_a_long_line_leaves_room_for_those_before_it(tmp_path: Path) -> None:
    paths = make_run(tmp_path, end=FAILED)
    paths.log(1).write_text("the line before\nthe end: " + "0123456789" * 200 + "\n")
    shown = await pane(paths)
    assert "the line before the end: 0123456789" in shown and "…" in shown


async def test_a_run_without_a_log_still_has_the_hint(tmp_path: Path) -> None:
    paths = make_run(tmp_path, end=FAILED)
    paths.log(1).unlink()
    assert f"ftui resume {paths.id}" in await pane(paths)
