"""Terminals of odd sizes, and one whose size changes all the time."""

import random
from pathlib import Path

import pytest

from finetui.actions import ACTIONS
from harmless import leave
from hostile import TEXTS, begin, hostile_run
from terminal import Terminal, run_on_terminal

NUMBER = next(number for number, text in enumerate(TEXTS) if "\x1b]52;" in text)
PANELS = [action.keys[0] for action in ACTIONS if action.scope == "run" and action.help.startswith("Show")]
STORM = 200


def look_at_panels(terminal: Terminal) -> None:
    for key in PANELS:
        terminal.press(key)
        terminal.settle(0.05)


def opened_again(root: Path) -> str:
    """What a terminal shows on which nothing else was shown before: the first panel of the run."""
    with run_on_terminal(["-m", "finetui", "--runs", str(root)], rows=24, columns=80) as terminal:
        terminal.wait_for(begin(NUMBER))
        terminal.press("enter")
        terminal.wait_for("[5 Train]")
        return terminal.settle(0.3)


@pytest.mark.parametrize("size", [(5, 20), (3, 5), (1, 1), (100, 400)])
def test_an_odd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    hostile_run(tmp_path, NUMBER)
    with run_on_terminal(
        ["-m", "finetui", "--runs", str(tmp_path)], rows=size[0], columns=size[1]
    ) as terminal:
        while b"\x1b[?1049h" not in terminal.output:
            terminal.read(0.1)
        terminal.settle(0.5)
        terminal.press("enter")
        look_at_panels(terminal)
        terminal.resize(101, 401)
        terminal.wait_for(begin(NUMBER))
        leave(terminal)


def test_a_storm_of_sizes_leaves_the_screen_as_it_ought_to_be(tmp_path: Path) -> None:
    hostile_run(tmp_path, NUMBER)
    chance = random.Random(7)
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path)], rows=24, columns=80) as terminal:
        terminal.wait_for(begin(NUMBER))
        terminal.press("enter")
        terminal.wait_for("[5 Train]")
        for count in range(STORM):
            terminal.resize(
                chance.choice((1, 3, 5, 24, 61, 100)), chance.choice((1, 5, 20, 79, 80, 121, 400))
            )
            if count % 4 == 0:
                terminal.press(chance.choice(PANELS))
            terminal.read(0.01)
        terminal.press(PANELS[0])
        terminal.settle(0.3)
        terminal.resize(24, 80)
        terminal.wait_for("[5 Train]")
        shown = terminal.settle(0.3)
        assert "Traceback" not in terminal.output.decode(errors="replace")
        terminal.resize(100, 400)  # the largest of all: what was written before fits into it
        leave(terminal)
    assert shown == opened_again(tmp_path)
