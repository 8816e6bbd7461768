"""docs/tutorial.md: every command of it is run here, in a fresh folder on the sample data, and its output kept.

    python docs/make/tutorial.py [FOLDER]     # the page and its pictures, into docs unless told otherwise

Exits with 1 at a command that does not end, or does not say, what the page promises. What differs from machine to
machine (folders, times, free memory, the run's id) is written as a stand-in: a page made again differs little.
"""

import argparse
import asyncio
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tutorial_steps import END, INTRODUCTION, PICTURES, STEPS, Step

CHECKOUT = Path(__file__).resolve().parents[2]
GOAL_SECONDS = 600.0
RUN_ID = "20260101T120000-support-desk-1a2b3c"
_STAND_INS = (
    (r"\d{8}T\d{6}-support-desk-[0-9a-f]{6}", RUN_ID),
    (r"[\d.]+(?=\s+GiB\s+free)", "12.0"),
    (r"[\d.]+\s+[MG]iB(?=\s+of\s+its)", "4.0 GiB"),
    (r"[\d.]+(?=\s+GiB\s+being)", "16.0"),
    (r"(?<=; in )[\d.]+ (?=m?s\.)", "6.0 "),
)


class Broken(Exception):
    """A command did something else than the page says."""


def surroundings(home: Path) -> dict[str, str]:
    """The variables of a shell in which `ftui` is this checkout, and nothing of the user's own is read."""
    command = home / "bin" / "ftui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m finetui "$@"\n')
    command.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FTUI_", "XDG_"))}
    return kept | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{CHECKOUT}/core:{CHECKOUT}/tui",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
        "TERM": "dumb",
    }


def run(step: Step, folder: Path, environment: dict[str, str]) -> str:
    """What the command of a step prints. Raises Broken."""
    before, _, command = step.command.rpartition(" | ")
    typed = " ".join(shlex.split(before)[1:]) + "\n" if before else None
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment,
        input=typed,
        stdin=None if typed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    missing = [words for words in step.sees if not re.search(words, done.stdout, re.MULTILINE)]
    if done.returncode != step.code or missing:
        lacks = f", lacking {missing}" if missing else ""
        raise Broken(f"{step.command}\nended with {done.returncode}, not {step.code}{lacks}:\n{done.stdout}")
    return done.stdout


def shown(step: Step, printed: str, folder: Path) -> list[str]:
    """The lines that the page shows; "…" stands where some are left out."""
    text = printed.replace(str(folder), "~/tutorial")
    for pattern, stand_in in _STAND_INS:
        text = re.sub(pattern, stand_in, text)
    lines: list[str] = []
    for line in text.strip("\n").splitlines():
        if not step.shows or any(re.search(pattern, line) for pattern in step.shows):
            lines.append(line.rstrip())
        elif lines[-1:] != ["…"]:
            lines.append("…")
    return lines


def page(told: Sequence[tuple[Step, list[str]]]) -> str:
    """Commands between which nothing is said stand in one block."""
    parts = [INTRODUCTION]
    for step, lines in told:
        parts += [f"## {step.title}"] if step.title else []
        parts += [step.says] if step.says else []
        block = [f"$ {step.command}", *lines, "```"]
        if parts[-1].endswith("```"):
            parts[-1] = "\n".join([parts[-1].removesuffix("```").rstrip("\n"), *block])
        else:
            parts.append("\n".join(["```console", *block]))
        parts += [step.then] if step.then else []
    return "\n\n".join([*parts, END]) + "\n"


async def draw(name: str, keys: Sequence[str], folder: Path) -> str:
    """A screen of the studio in the tutorial's folder, reached by `keys`."""
    from pictures import same_ids, settle
    from svg import without_fonts

    from finetui.app import Studio

    os.chdir(folder)
    studio = Studio(Path("runs"), opened_data="messy.jsonl")
    async with studio.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        picture = without_fonts(same_ids(studio.export_screenshot(title="ftui", simplify=True)))
    return re.sub(_STAND_INS[0][0], RUN_ID, picture)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKOUT / "docs", help="where the page goes")
    out: Path = parser.parse_args().folder.absolute()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ftui-tutorial-") as temporary:
        home = Path(temporary).resolve()
        environment, folder = surroundings(home), home / "tutorial"
        folder.mkdir()
        (home / "sample_data").symlink_to(CHECKOUT / "sample_data")
        told = []
        for step in STEPS:
            started = time.monotonic()
            try:
                told.append((step, shown(step, run(step, folder, environment), folder)))
            except Broken as broken:
                print(broken, file=sys.stderr)
                return 1
            print(f"{time.monotonic() - started:6.1f} s  {step.command}", flush=True)
        took = time.monotonic() - began
        os.environ |= {
            "HOME": str(home),
            "XDG_STATE_HOME": f"{home}/state",
            "XDG_CONFIG_HOME": f"{home}/config",
        }
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        for name, keys in PICTURES.items():
            (out / "pictures" / f"{name}.svg").write_text(asyncio.run(draw(name, keys, folder)))
    (out / "tutorial.md").write_text(page(told))
    goal = "within" if took <= GOAL_SECONDS else "NOT within"
    print(f"{took:6.1f} s  all commands, {goal} the {GOAL_SECONDS / 60:.0f} minutes promised")
    return 0


if __name__ == "__main__":
    sys.path[:0] = [str(CHECKOUT / root) for root in ("core", "tui")]
    sys.exit(main())
