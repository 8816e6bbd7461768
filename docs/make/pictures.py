"""The pictures in docs/pictures: the main views of the studio, drawn from recorded runs of the quick start.

    python docs/make/pictures.py [FOLDER] [VIEW …]     # all views into docs/pictures unless told otherwise

The runs in docs/make/runs were kept by docs/make/keep_run.py. Clock, home folder and machine are made up, so that
the same pictures come out everywhere.
"""

import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / folder) for folder in ("core", "tui", "docs/make")]
os.environ |= {"TZ": "UTC", "TEXTUAL_COLOR_SYSTEM": "truecolor"}  # before textual is imported
os.environ.pop("NO_COLOR", None)

import msgspec  # noqa: E402
from svg import without_fonts  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from finetui.app import Studio  # noqa: E402
from finetui.machine import Machine  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from finetui_core.runs.process import host_name, process_identity  # noqa: E402
from finetui_core.runs.records import Attempt, End, Heartbeat  # noqa: E402

RUNS = Path(__file__).resolve().parent / "runs"
PICTURES = CHECKOUT / "docs" / "pictures"
UNDER_WAY_AT = 290
"""The step at which the newest of the recorded runs is shown."""


@dataclass(frozen=True, slots=True)
class View:
    """A screen of `size` cells, reached from the list of runs by `keys`."""

    size: tuple[int, int]
    keys: Sequence[str] = ()


_DECIDED = (*"cca36", "enter", *"cbaba90000", "enter", *"1200", "enter")
"""Answers at Decide by somebody with 36 examples and many requests."""
VIEWS: Mapping[str, View] = {
    "runs": View((100, 20)),
    "dashboard": View((160, 48), ("enter",)),
    "dashboard-80x24": View((80, 24), ("enter",)),
    "compare": View((160, 48), ("space", "space", "c", "left", "H", "H")),
    "samples": View((120, 36), ("down", "enter", "t")),
    "decide": View((160, 48), ("2", *_DECIDED, "v")),
    "decide-80x24": View((80, 24), ("2", *_DECIDED[:6])),
    "help": View((80, 24), ("enter", "question_mark")),
    "palette": View((80, 24), ("enter", "colon", *"zoom")),
}


async def draw(name: str, folder: Path) -> Path:
    """Write the picture of a view into `folder`."""
    view = VIEWS[name]
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"HOME": home, "XDG_CONFIG_HOME": f"{home}/config", "XDG_STATE_HOME": f"{home}/state"}
        time.tzset()
        now = _lay_out(Path(home, "runs"))
        studio = Studio(Path(home, "runs"), clock=lambda: now)
        studio.machine = Machine(running=1, cpu=0.94, processors=8)
        async with studio.run_test(size=view.size) as pilot:
            await settle(pilot)
            for key in view.keys:
                await pilot.press(key)
                await settle(pilot)
            picture = studio.export_screenshot(title="ftui", simplify=True)
    path = folder / f"{name}.svg"
    path.write_text(same_ids(without_fonts(picture)))
    return path


def _lay_out(root: Path) -> float:
    """The recorded runs: the newest as if under way, the others finished. Gives the time of the picture."""
    shutil.copytree(RUNS, root)
    ticks, boot = process_identity(os.getpid())
    now = 0.0
    for folder in sorted(root.iterdir()):
        paths = RunPaths(folder)
        lines = paths.metrics(1).read_text().splitlines(keepends=True)
        step, end = len(lines), End(msgspec.json.decode(lines[-1])["t"], exit_code=0, reason="exit code 0")
        if folder == max(root.iterdir()):
            step, end = UNDER_WAY_AT, None
            now = msgspec.json.decode(lines[UNDER_WAY_AT - 1])["t"]
            for path in (paths.metrics(1), paths.events, paths.system(1)):
                _cut(path, now)
            for path in paths.samples.iterdir():
                if int(path.stem.partition("-")[2]) > UNDER_WAY_AT:
                    path.unlink()
        beat = Heartbeat(step, time.time(), step, len(lines), 0.1, "training", os.getpid())
        paths.heartbeat.write_bytes(msgspec.json.encode(beat))
        started = msgspec.json.decode(lines[0])["t"]
        attempt = Attempt(1, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, started, None, end)
        paths.attempt(1).parent.mkdir()
        paths.attempt(1).write_bytes(msgspec.json.encode(attempt))
    return now


def _cut(path: Path, until: float) -> None:
    """Leave out what was written after a moment."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if msgspec.json.decode(line)["t"] <= until))


def same_ids(picture: str) -> str:
    """Rich numbers the pictures of a process; the numbers are nothing to keep."""
    return re.sub(r"terminal-\d+", "terminal", picture)


async def settle(pilot: Pilot[None]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


def main(arguments: Sequence[str]) -> None:
    folder, *names = arguments or [str(PICTURES)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or VIEWS:
        path = asyncio.run(draw(name, Path(folder)))
        print(f"{path}  {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
