"""Talking to a model by keys: another program in the place of the process that holds it."""

import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_screen import settle

from compare_folders import usual, write_comparison
from finetui import chat_asking
from finetui.app import Studio
from finetui.chat_rows import Seen, Transcript
from finetui_core.evaluate import chat_client
from finetui_core.evaluate.chat_client import Subject
from finetui_core.evaluate.chat_protocol import SIDES, Answered, Sampling
from finetui_core.evaluate.chat_talk import Exchange, Talk
from run_folders import START, write_run

FAKE = Path(__file__).with_name("fake_chat.py")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "SERVER", (sys.executable, str(FAKE)))


@asynccontextmanager
async def talking(
    root: Path, source: str = "run", size: tuple[int, int] = (80, 24), **settings: Any
) -> AsyncIterator[Pilot[Any]]:
    """The screen of a conversation, as `ftui chat` opens it."""
    opened = Subject(source, root, **settings), Sampling(), ""
    app = Studio(root, clock=lambda: START, opened_chat=opened)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield pilot
        assert pilot.app.is_running, "it ended by itself"
    assert not [one for one in threading.enumerate() if one.name == "chat" and not one.daemon]


async def shows(pilot: Pilot[Any], *words: str, seconds: float = 20) -> str:
    """Wait until all words are on the screen."""
    for _ in range(int(seconds / 0.05)):
        seen = await settle(pilot)
        if all(word in seen for word in words):
            return seen
        await pilot.pause(0.05)
    raise AssertionError(f"{words} are not all shown:\n{seen}")


async def ask(pilot: Pilot[Any], question: str) -> None:
    """Type into the line, which has the keys."""
    for character in question:
        await pilot.press("space" if character == " " else character)
    await pilot.press("enter")


async def test_both_sides_answer_and_go_on_after_their_own_answers(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await shows(pilot, "tiny", "step-000042", "on cpu")
        await ask(pilot, "hello")
        await shows(pilot, "base says 1 to hello", "tuned says 1 to hello", "── *tuned")
        await ask(pilot, "more")
        seen = await shows(pilot, "base says 3 to more", "tuned says 3 to more")
        assert seen.index("base says 3") < seen.index("tuned says 3")
        assert "4 tokens, first 0.10 s" in seen


async def test_the_run_that_is_talked_to_can_be_exported(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    async with talking(tmp_path, run.id) as pilot:
        await shows(pilot, "tiny", "step-000042")
        await pilot.press("escape", "E")
        await shows(pilot, f"Export {run.id} for what?", "one file for llama.cpp")
        await pilot.press("escape")
    async with talking(tmp_path, "recipe.toml") as pilot:
        await shows(pilot, "tiny", "step-000042")
        await pilot.press("escape", "E")
        await shows(pilot, "there is no run here")


async def test_where_there_is_room_the_answers_stand_side_by_side(tmp_path: Path) -> None:
    async with talking(tmp_path, size=(160, 48)) as pilot:
        await ask(pilot, "hello")
        seen = await shows(pilot, "base says 1", "tuned says 1")
        (line,) = [line for line in seen.splitlines() if "base says" in line]
        assert "│ tuned says 1 to hello" in line
        await pilot.press("escape", "z")
        assert "base says" not in await shows(pilot, "tuned says 1")
        await pilot.press("left")
        assert "tuned says" not in await shows(pilot, "base says 1")


async def test_escape_stops_the_answers_and_the_next_question_is_answered(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await ask(pilot, "wait")
        await shows(pilot, "half an ▌", "esc stops", "esc stop")
        await ask(pilot, "early")
        await shows(pilot, "an answer is being given: esc stops it")
        await pilot.press("escape")
        await shows(pilot, "stopped")
        for _ in "early":
            await pilot.press("backspace")
        await ask(pilot, "go on")
        await shows(pilot, "tuned says 3 to go on")


async def test_settings_by_key_count_from_the_next_answer_on(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1 to hello")
        await pilot.press("escape", "t")
        await shows(pilot, "Temperature: 0 takes the likeliest")
        await pilot.press("backspace", "x", "enter")
        await shows(pilot, "'x' cannot be the temperature", "give a number from 0")
        await pilot.press("backspace", "0", ".", "5", "enter")
        await shows(pilot, "temperature 0.5, seed 0")
        await pilot.press("a")
        await shows(pilot, "tuned says 1 to hello at 0.5 seed 1")


async def test_what_the_model_reads_is_shown_as_text_and_as_ids(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1")
        await pilot.press("escape", "v")
        await shows(pilot, "what tuned reads", "5 tokens")
        await pilot.press("v")
        await shows(pilot, "h 104  e 101")
        await pilot.press("v")
        await shows(pilot, "tuned says 1")


async def test_an_edited_answer_becomes_a_row_and_the_past_of_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_asking, "edit_text", lambda studio, text, name: "As it should be.\nBye!")
    monkeypatch.chdir(tmp_path)
    async with talking(tmp_path) as pilot:
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1")
        await pilot.press("escape", "e")
        await shows(pilot, "edited by you", "As it should be.")
        await pilot.press("w")
        await shows(pilot, "Add the conversation", "next_round.jsonl")
        await pilot.press("enter")
        await shows(pilot, "is added to next_round.jsonl")
        (row,) = map(json.loads, (tmp_path / "next_round.jsonl").read_text().splitlines())
        assert [turn["content"] for turn in row["messages"]] == ["hello", "As it should be.\nBye!"]
        await pilot.press("v")
        await shows(pilot, "what tuned reads")
        await pilot.press("v", "v", "i")
        await ask(pilot, "more")
        await shows(pilot, "tuned says 3 to more")
        await pilot.press("escape", "v")
        await shows(pilot, "hello|As it should be.")


async def test_a_process_that_dies_says_why_and_is_started_again(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1")
        await ask(pilot, "die")
        await shows(pilot, "ended with exit code 9", "MemoryError: no more", "r starts it again")
        await pilot.press("escape")
        last = pilot.app.screen._talk.exchanges[-1]
        last.asked = "live"
        await pilot.press("r")
        await shows(pilot, "tuned says 3 to live")


async def test_a_full_context_offers_to_drop_the_oldest_turn(tmp_path: Path) -> None:
    async with talking(tmp_path) as pilot:
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1")
        await ask(pilot, "full")
        await shows(pilot, "the conversation has 300 tokens", "The context is full. D leaves out")
        await pilot.press("escape", "D")
        seen = await shows(pilot, "tuned says 1 to full")
        assert "hello" not in seen


async def test_a_model_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    async with talking(tmp_path, "damaged") as pilot:
        await shows(pilot, "this checkpoint is damaged", "name another one", "r starts it again")


async def test_no_text_of_a_model_reaches_the_terminal_as_it_is(tmp_path: Path) -> None:
    async with talking(tmp_path, "busy") as pilot:
        await ask(pilot, "hostile")
        seen = await shows(
            pilot, "[bold]not bold[/] ␛]0;owned␇", "\\u{202e}reversed", "trains on this machine"
        )
        assert not set(seen) & {"\x1b", "\x07", "\u202e"}


async def test_from_a_comparison_one_talks_to_its_run_and_finds_the_conversation_again(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path, "style").root
    write_comparison(run / "report" / "compare", usual())
    async with Studio(tmp_path, clock=lambda: START).run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot)
        await pilot.press("6")
        await settle(pilot)
        await pilot.press("c")
        await shows(pilot, run.name, "on cpu")
        await ask(pilot, "hello")
        await shows(pilot, "tuned says 1")
        await pilot.press("escape", "b")
        await shows(pilot, "exact match 28.3")
        await pilot.press("c")
        await shows(pilot, "tuned says 1 to hello", "on cpu")


async def test_a_pasted_question_keeps_its_lines(tmp_path: Path) -> None:
    from textual import events

    from finetui.widgets.prompt_field import PromptField

    async with talking(tmp_path) as pilot:
        field = pilot.app.screen.query_one(PromptField)
        field._on_paste(events.Paste("one\r\ntwo\n"))
        await pilot.press("ctrl+j", "x")
        assert "one␊two␊x" in await settle(pilot)
        await pilot.press("enter")
        await shows(pilot, "tuned says 1 to one", "two")
        assert pilot.app.screen._talk.exchanges[-1].asked == "one\ntwo\nx"


def test_only_what_has_changed_is_laid_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = Transcript.rows.__globals__["_exchange_rows"]
    monkeypatch.setitem(
        Transcript.rows.__globals__,
        "_exchange_rows",
        lambda one, *rest: made.append(one.asked) or real(one, *rest),
    )
    talk = Talk("", [Exchange(name, answers={s: Answered(1, s, "x", "end") for s in SIDES}) for name in "ab"])
    transcript, seen = Transcript(), Seen(SIDES, "tuned", False)
    first = transcript.rows(talk, seen, 80)
    talk.exchanges[1].edited["tuned"] = "y"
    assert transcript.rows(talk, seen, 80) != first
    assert made == ["a", "b", "b"]
