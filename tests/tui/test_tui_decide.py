"""The station Decide by keys: from the first question to each verdict, back again, files, proposals, measurements."""

import json
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_recipe import TEXT
from tui_runs import make_run
from tui_screen import screen_text, settle

from finetui.actions import PLACES
from finetui.app import Studio
from finetui.decide_asking import UNSAVED
from finetui.screens.decide import QUESTION_SCOPES, TABLE_SCOPES, DecideScreen
from finetui.screens.decide_question import LETTERS
from finetui_core.decide.answers import answers_toml, nothing_known, read_answers
from finetui_core.decide.page import NAMES
from finetui_core.decide.questions import Answer, shipped
from finetui_core.evaluate.figures import Arm, ComparisonPaths, Plan, Result, Verdict
from finetui_core.folders import state_folder

QUESTIONS = shipped()
SITUATIONS = {
    one["id"]: one
    for one in tomllib.loads((Path(__file__).parents[1] / "core" / "decide_situations.toml").read_text())[
        "vignette"
    ]
}
ONE_OF_EACH = list({one["verdict"]: one["id"] for one in SITUATIONS.values()}.values())


@asynccontextmanager
async def decide(folder: Path, size: tuple[int, int] = (80, 24), **opened: Any) -> AsyncIterator[Pilot[Any]]:
    (folder / "runs").mkdir(exist_ok=True)
    async with Studio(folder / "runs", **opened).run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        yield pilot


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    return await settle(pilot)


def screen_of(pilot: Pilot[Any]) -> DecideScreen:
    return next(one for one in pilot.app.screen_stack if isinstance(one, DecideScreen))


def answers_of(pilot: Pilot[Any]) -> Mapping[str, Answer]:
    return screen_of(pilot)._sheet.answers


def answers_file(folder: Path, situation: str, **changed: Answer) -> Path:
    path = folder / f"{situation}.toml"
    path.write_text(answers_toml({**SITUATIONS[situation]["answers"], **changed}, QUESTIONS))
    return path


def keys_for(shown: str, answers: Mapping[str, Answer]) -> tuple[str, list[str]]:
    """The question on the screen, and the keys that answer it."""
    question = next(one for one in QUESTIONS.questions if f" {one.asks}\n" in f"{shown}\n")
    answer = answers[question.key]
    if answer == "unknown":
        return question.key, ["n"]
    if question.unit:
        return question.key, [*str(answer), "enter"]
    values = [option.value for option in question.options]
    return question.key, [LETTERS[values.index(answer)]]


async def typed(pilot: Pilot[Any], path: Path) -> str:
    """Paste a path into the dialog that asks for one, and accept it."""
    pilot.app.screen.query_one(Input).value = str(path)
    return await press(pilot, "enter")


def line_with(shown: str, words: str) -> str:
    return next((line for line in shown.splitlines() if words in line), "")


def test_its_scopes_are_places_and_every_option_has_a_letter() -> None:
    for scopes in (QUESTION_SCOPES, TABLE_SCOPES):
        assert any(set(scopes) <= set(place) for place in PLACES.values())
    assert max(len(question.options) for question in QUESTIONS.questions) == len(LETTERS)


@pytest.mark.parametrize("situation", ONE_OF_EACH)
async def test_from_the_first_question_to_the_verdict_by_keys(tmp_path: Path, situation: str) -> None:
    answers = SITUATIONS[situation]["answers"]
    asked = []
    async with decide(tmp_path) as pilot:
        shown = screen_text(pilot.app)
        assert "No verdict yet" in shown
        while "Verdict:" not in shown:
            key, keys = keys_for(shown, answers)
            asked.append(key)
            shown = await press(pilot, *keys)
        assert f"Verdict: {NAMES[SITUATIONS[situation]['verdict']].capitalize()}:" in shown
        assert "what to do next" in shown and "nothing more to ask" in shown
        assert all(answers_of(pilot)[key] == answers[key] for key in asked)
    assert len(asked) == len(set(asked)) < len(QUESTIONS.questions)


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (40, 10)])
async def test_a_question_its_answers_and_both_needs_are_seen(tmp_path: Path, size: tuple[int, int]) -> None:
    async with decide(tmp_path, size) as pilot:
        shown = await press(pilot, "c", "c", "d", "1", "2", "enter")
        assert answers_of(pilot)["labelled_examples"] == 12
        if size[1] > 20:
            shown = await press(pilot, "d")
            assert "█" in line_with(shown, "need for context") and " 3  counts from 5 on" in shown
            beside = "what gives points" in shown and "to be asked" in shown
            assert beside == (size[0] >= 120)
        await pilot.resize_terminal(30, 5)
        await pilot.resize_terminal(120, 36)
        assert "need for behaviour" in await settle(pilot)


async def test_arrows_choose_and_enter_takes(tmp_path: Path) -> None:
    async with decide(tmp_path) as pilot:
        await press(pilot, "j", "down", "k", "enter")
        assert answers_of(pilot)["prompt_tried"] == "zero_shot"
        await press(pilot, "up", "enter")
        shown = await press(pilot, "tab")
        assert "not known" in line_with(shown, "Where is the knowledge")
        assert answers_of(pilot)["corpus"] == "unknown"


async def test_a_number_has_the_digits_and_all_other_keys_stay(tmp_path: Path) -> None:
    async with decide(tmp_path) as pilot:
        shown = await press(pilot, "c", "c", "a")
        assert "examples: type digits" in shown
        shown = await press(pilot, "enter")
        assert "Type a number of examples" in shown and "[2 Decide]" in shown
        shown = await press(pilot, *"1,2x34", "backspace", "enter")
        assert answers_of(pilot)["labelled_examples"] == 123
        assert "123" in await press(pilot, "h") and answers_of(pilot)["labelled_examples"] == 123
        await press(pilot, *"9" * 30, "enter")
        assert answers_of(pilot)["labelled_examples"] == 123
        await press(pilot, "n")
        assert answers_of(pilot)["labelled_examples"] == "unknown"
        await press(pilot, "h", "question_mark")
        assert pilot.app.screen.id == "help"
        await press(pilot, "q", "tab", "3")
        assert "[3 Data]" in screen_text(pilot.app)


async def test_back_undo_and_any_earlier_answer(tmp_path: Path) -> None:
    async with decide(tmp_path) as pilot:
        await press(pilot, "c", "c", "a")
        assert "How would you notice" in await press(pilot, "h", "h")
        shown = await press(pilot, "h", "h")
        assert "What has been tried" in shown and "This is the first question" in shown
        await press(pilot, "b")
        assert answers_of(pilot)["prompt_tried"] == "zero_shot"
        assert answers_of(pilot)["eval_set"] == "heldout"
        shown = await press(pilot, "u")
        assert answers_of(pilot)["prompt_tried"] == "few_shot" and "What has been tried" in shown
        shown = await press(pilot, "u", "u", "u")
        assert answers_of(pilot) == nothing_known() and "No verdict yet" in shown
        assert "there is no answer to take back" in await press(pilot, "u")
        await press(pilot, "c", "c", "tab", "g", "j")
        shown = await press(pilot, "enter")
        assert "How would you notice" in shown
        await press(pilot, "a")
        assert answers_of(pilot)["eval_set"] == "none"


async def test_the_order_of_answers_changes_nothing(tmp_path: Path) -> None:
    """Whoever answers from the list, in whatever order, comes to the same screen."""
    seen = []
    for order in ((0, 1, 4), (4, 0, 1)):
        async with decide(tmp_path) as pilot:
            for place in order:
                await press(pilot, "tab", "g", *["j"] * place, "enter", "c")
            seen.append(await press(pilot, "v", "g", "j"))
            await press(pilot, *["u"] * len(order), "q")
    assert seen[0] == seen[1] and "+3 behaviour" in seen[0]


async def test_reasons_lead_to_the_question_and_the_station(tmp_path: Path) -> None:
    path = answers_file(tmp_path, "N1", eval_set="heldout")
    async with decide(tmp_path) as pilot:
        await press(pilot, "o")
        shown = await typed(pilot, path)
        assert "Not yet: training would fit, but 38 more labelled examples are needed" in " ".join(
            shown.split()
        )
        assert "fine-tuning with 38 more labelled examples" in shown
        screen = screen_of(pilot)
        points = next(place for place, one in enumerate(screen._reasons) if one.lead.startswith("+"))
        shown = await press(pilot, "g", *["j"] * points)
        assert "source: " in shown
        shown = await press(pilot, "enter")
        assert QUESTIONS.question(screen._reasons[points].question).asks in shown
        await press(pilot, "h", "v", "g")
        step = next(place for place, one in enumerate(screen._reasons) if one.question == "labelled_examples")
        shown = await press(pilot, *["j"] * step, "enter")
        await press(pilot, "ctrl+u", *"500", "enter")
        shown = await press(pilot, "g", "j")
        assert "goes to 3 Data" in shown
        assert "[3 Data]" in await press(pilot, "enter")
        shown = await press(pilot, "2")
        assert "500" not in shown and answers_of(pilot)["labelled_examples"] == 500 and "not saved" in shown


async def test_answers_are_saved_with_their_comments_and_never_over_another_file(tmp_path: Path) -> None:
    path = answers_file(tmp_path, "P1")
    path.write_text(path.read_text().replace("style = 0", "style = 0  # asked the owner"))
    taken = tmp_path / "taken.md"
    taken.write_text("mine")
    async with decide(tmp_path) as pilot:
        await press(pilot, "o")
        await typed(pilot, path)
        await press(pilot, "tab", "tab", "G", "k", "k", "enter", "c")
        assert answers_of(pilot)["style"] == 2
        shown = await press(pilot, "w")
        assert "not saved" not in shown.splitlines()[1]
        assert "style = 2  # asked the owner\n" in path.read_text()
        assert read_answers(path, QUESTIONS) == answers_of(pilot)
        await press(pilot, "escape", "p")
        await typed(pilot, taken)
        assert pilot.app.screen.id == "ask", "it was accepted"
        await typed(pilot, tmp_path / "decision.md")
        assert taken.read_text() == "mine"
        assert (tmp_path / "decision.md").read_text().startswith("# Should this be fine-tuned?")
        assert "Should this be fine-tuned?" in await press(pilot, "i")
        await press(pilot, "q", "u")
        path.write_text("other = 1\n")
        await press(pilot, "w")
        assert pilot.app.screen.id == "choose", "it was written over"
        await press(pilot, "escape")
        assert path.read_text() == "other = 1\n"
        await press(pilot, "w", "enter")
        assert read_answers(path, QUESTIONS)["style"] == 0


async def test_faults_of_a_file_are_told_with_their_places(tmp_path: Path) -> None:
    path = answers_file(tmp_path, "P1")
    path.write_text(
        path.read_text().replace('citations = "no"', 'citations = "maybe\\u001b[2J"') + "stile = 0\n"
    )
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"style = \xff\n")
    async with decide(tmp_path) as pilot:
        await press(pilot, "c", "o")
        await press(pilot, "down", "enter")
        shown = " ".join((await typed(pilot, path)).split())  # a long path divides lines elsewhere
        assert "P1.toml cannot be opened" in shown
        assert "citations cannot be" in shown and "\x1b" not in shown
        await press(pilot, "G")
        assert 'no question is called "stile"' in " ".join(screen_text(pilot.app).split())
        await press(pilot, "q")
        assert answers_of(pilot)["prompt_tried"] == "few_shot"
        await press(pilot, "o", "down", "enter")
        assert "not UTF-8" in await typed(pilot, broken)
        await press(pilot, "q", "o", "down", "enter")
        assert "there is no file" in await typed(pilot, tmp_path / "nowhere.toml")


async def test_what_was_not_saved_comes_back(tmp_path: Path) -> None:
    async with decide(tmp_path) as pilot:
        await press(pilot, "c", "c", "n", "q")
    assert (state_folder() / f"{UNSAVED}.json").is_file()
    async with decide(tmp_path) as pilot:
        shown = screen_text(pilot.app)
        assert answers_of(pilot)["eval_set"] == "heldout" and "not saved" in shown
        assert "are back" in shown and "How many examples" in shown
        await press(pilot, "w")
        await typed(pilot, tmp_path / "mine.toml")
        assert read_answers(tmp_path / "mine.toml", QUESTIONS) == answers_of(pilot)
        await press(pilot, "q")
    assert not (state_folder() / f"{UNSAVED}.json").exists()
    async with decide(tmp_path) as pilot:
        assert answers_of(pilot) == nothing_known()


async def test_the_data_of_the_open_recipe_is_proposed(tmp_path: Path) -> None:
    chats = [
        {"messages": [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "ab"[n % 2]}]}
        for n in range(60)
    ]
    for name, rows in (("train", chats), ("val", chats[:40])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(TEXT.replace('"hub:o/d"', '"train.jsonl"\nval = "val.jsonl"'))
    async with decide(tmp_path, opened_recipe=recipe) as pilot:
        shown = await press(pilot, "c")
        assert "40 rows are kept apart in val.jsonl" in " ".join(shown.split())
        shown = await press(pilot, "enter", "a")
        assert answers_of(pilot)["eval_set"] == "heldout"
        assert "60 rows, of which 60 differ" in shown and "train.jsonl" in shown
        await press(pilot, "enter")
        assert answers_of(pilot)["labelled_examples"] == 60
        await press(pilot, "r")
        (tmp_path / "few.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
        await typed(pilot, tmp_path / "few.jsonl")
        shown = " ".join((await press(pilot, "h")).split())
        assert "1 examples (1 rows, of which 1 differ" in shown and "your answer stands" in shown
        (tmp_path / "few.jsonl").write_text("{")
        await press(pilot, "r")
        assert "few.jsonl cannot be read" in await typed(pilot, tmp_path / "few.jsonl")


async def test_what_was_measured_stands_beside_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    run = make_run(tmp_path / "runs", steps=5)
    folder = ComparisonPaths(run.report / "compare")
    folder.root.mkdir()
    async with decide(tmp_path) as pilot:
        assert "Not measured yet: 6" in screen_text(pilot.app)
        folder.result.write_text("{torn")
        assert "Not measured yet: 6" in await press(pilot, "1", "2")
        says = "tuned is better by 12 points, 5 to 19.\x1b[31m"
        folder.result.write_bytes(msgspec.json.encode(measured(says)))
        shown = await press(pilot, "1", "2")
        assert "Measured on 200 rows: tuned is better by 12 points" in shown and "\x1b" not in shown
        shown = await press(pilot, "c", "v", "g", "j")
        assert "what was measured counts for more" in " ".join(shown.split())
        assert "goes to 6 Compare" in shown and screen_of(pilot).subject == run.root
        assert "[6 Compare]" in await press(pilot, "enter")


def measured(says: str) -> Result:
    arms = (Arm("tuned", "the tuned model", "tuned", 2),)
    plan = Plan(
        0.0,
        "recipe.toml",
        "m",
        "test.jsonl",
        200,
        {},
        "short",
        "exact_match",
        ("exact_match",),
        arms,
        64,
        4,
        0.05,
    )
    return Result(plan, (), Verdict("tuned", "better", says, ("few rows",), ()), {})
