"""A line of text gets keys that come together, as over a slow line, in the order in which they were pressed."""

from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input
from tui_screen import settle

from finetui.app import Studio
from finetui.closing import close
from finetui.screens.ask import Ask


def together(pilot: Pilot[Any], *keys: str) -> None:
    """Keys that are all there before the first is looked at."""
    for key in keys:
        pilot.app.post_message(Key(key, key if len(key) == 1 else None))


async def asked(pilot: Pilot[Any], text: str) -> list[str | None]:
    answers: list[str | None] = []
    pilot.app.push_screen(
        Ask("Where?", text, lambda _: None, lambda so_far: so_far + "/done"), answers.append
    )
    await settle(pilot)
    return answers


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["ctrl+u", "n", "e", "w"], "new"),
        (["backspace", "backspace", "x"], "ox"),
        (["home", "x"], "xold"),
        (["tab", "x"], "old/donex"),
        (["left", "ctrl+k", "x"], "olx"),
    ],
)
async def test_text_comes_after_the_keys_before_it(tmp_path: Path, keys: list[str], value: str) -> None:
    async with Studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await asked(pilot, "old")
        together(pilot, *keys)
        await settle(pilot)
        assert pilot.app.screen.query_one(Input).value == value


async def test_a_path_that_is_typed_and_accepted_at_once_is_the_answer(tmp_path: Path) -> None:
    async with Studio(tmp_path).run_test(size=(80, 24)) as pilot:
        answers = await asked(pilot, "old")
        together(pilot, "ctrl+u", *"/a/path", "enter")
        await settle(pilot)
        assert answers == ["/a/path"]
        answers = await asked(pilot, "old")
        together(pilot, "x", "escape")
        await settle(pilot)
        assert answers == [None]


@pytest.mark.parametrize("key", ["escape", "enter"])
async def test_a_key_pressed_twice_answers_once_and_ends_nothing(tmp_path: Path, key: str) -> None:
    async with Studio(tmp_path).run_test(size=(80, 24)) as pilot:
        answers = await asked(pilot, "old")
        together(pilot, key, key, key)
        await settle(pilot)
        assert len(answers) == 1 and len(pilot.app.screen_stack) == 1


async def test_a_screen_is_left_once(tmp_path: Path) -> None:
    async with Studio(tmp_path).run_test(size=(80, 24)) as pilot:
        answers = await asked(pilot, "old")
        asking = pilot.app.screen
        close(asking, "first")
        close(asking, "second")
        await settle(pilot)
        assert answers == ["first"] and len(pilot.app.screen_stack) == 1
