"""The station Compare by keys: comparisons written as `ftui compare` would, another program in the place of ftui."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from tui_screen import screen_text, settle
from tui_walk import read_again

from compare_folders import answer, drawn, rows, usual, write_comparison
from comparisons import a_plan
from finetui import launching
from finetui.app import Studio
from finetui_core.evaluate import figures
from finetui_core.evaluate.figures import Answer, ComparisonPaths, Working
from harmless import HIDDEN
from hostile import TEXTS, begin, text_in_json
from run_folders import START, write_run

STEP = 12
"""Of the hostile texts, each twelfth is shown."""
NO_PROCESS = 2**22 + 1
"""A pid beyond the largest that Linux gives."""


@asynccontextmanager
async def opened(root: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[Any]]:
    """The station Compare, gone to from the list of runs."""
    async with Studio(root, clock=lambda: START + 7200).run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        yield pilot
        assert pilot.app.is_running, "it ended by itself"


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    return await settle(pilot)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def before_a_run(root: Path, name: str = "support-12ab") -> Path:
    return root / ".compare" / name


# The list.


async def test_without_a_comparison_the_station_says_what_it_does_and_what_it_proposes(root: Path) -> None:
    run = write_run(root).root
    async with opened(root) as pilot:
        seen = screen_text(pilot.app)
        assert "held-out rows; the scores tell" in seen
        assert f"s compares {run.name}"[:40] in seen
        assert "ftui compare RECIPE" in seen
        seen = await press(pilot, "s")
        assert "Compare what?" in seen
        assert run.name in seen


async def test_comparisons_are_listed_newest_first_with_their_verdicts(root: Path) -> None:
    write_comparison(before_a_run(root), usual(), source="/x/facts.toml", created=START + 60)
    run = write_run(root, "style").root
    scores = {name: drawn(0.5, 30, 1) for name in ("zero_shot", "tuned")}
    write_comparison(run / "report" / "compare", scores, created=START)
    torn = before_a_run(root, "torn")
    torn.mkdir()
    (torn / "plan.json").write_text('{"created": 17')
    write_run(root, "without a comparison")
    async with opened(root) as pilot:
        seen = screen_text(pilot.app)
        lines = [line for line in seen.splitlines() if "toml" in line or "style" in line or "torn" in line]
        assert "facts.toml" in lines[0]
        assert "▲ tuned: better" in lines[0]
        assert "1 h" in lines[0]
        assert "style" in lines[1]
        assert "· tuned: no difference shown" in lines[1]
        assert "cannot be read" in lines[2]
        assert "Take the tuned model" in seen
        seen = await press(pilot, "G", "enter")
        assert "plan.json cannot be understood: s makes it anew" in seen


async def test_from_a_run_the_key_of_the_station_opens_its_comparison(root: Path) -> None:
    run = write_run(root, "style").root
    async with opened(root) as pilot:
        await press(pilot, "1", "enter")
        assert "compared:" not in screen_text(pilot.app)
        write_comparison(run / "report" / "compare", usual())
        assert "6 compared: ▲ tuned: better" in await read_again(pilot)
        seen = await press(pilot, "6")
        assert "why    Its interval lies above zero." in seen
        seen = await press(pilot, "b")
        assert "1 comparison " in seen


# One comparison.


async def test_a_comparison_shows_verdict_intervals_and_reasons(root: Path) -> None:
    excluded = {"same question as a training row": 7, "no reference": 0}
    write_comparison(before_a_run(root), usual(200), excluded=excluded, notes=("One row a customer.",))
    async with opened(root) as pilot:
        seen = await press(pilot, "enter")
        for words in (
            "▲ tuned: better",
            "Take the tuned model",
            "zero-shot        36.5",
            "adj. p",
            "<.001",
            "exact match 36.5 (30.1 … 43.4)",
            "perplexity 2.50, 0.731 bits per byte",
        ):
            assert words in seen
        base, few, tuned = (
            next(line for line in seen.splitlines() if line.lstrip(" *").startswith(name))
            for name in ("zero-shot  ", "few-shot", "tuned  ")
        )
        assert base.index("◆") < few.index("◆") < tuned.index("◆"), "one scale for all of them"
        assert few.index("┆") == tuned.index("┆") == base.index("◆")
        assert tuned.startswith("*")
        seen = await press(pilot, "j", "j", "d")
        assert "▲ better against zero-shot, p after Holm <.001" in seen
        seen = await press(pilot, "v")
        for words in (
            "9.8 points or more in four",
            "left out: 7 same question",
            "One row a customer.",
            "Export the adapter",
        ):
            assert words in seen
        assert "no reference" not in seen
        assert "Is the tuned model better?" in await press(pilot, "p")
        assert "loading the model" in await press(pilot, "o")
        seen = await press(pilot, "b")
        assert "Its interval lies above zero." in seen
        assert "few-shot" in seen
        await pilot.resize_terminal(160, 48)
        seen = await settle(pilot)
        assert "judgement" in seen
        assert "12,400" in seen


async def test_answers_are_followed_while_they_come(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "compare"], stdin=subprocess.PIPE) as process:
        now = START + 4e8  # later than the process began
        working = Working(process.pid, now, "answering", "few_shot", 1, 4)
        given = [answer(at, right=True) for at in range(4)]
        answers = {"zero_shot": given, "few_shot": given[:1], "tuned": []}
        paths = write_comparison(
            before_a_run(root), usual(4), answers=answers, finished=False, working=working
        )
        async with opened(root) as pilot:
            assert "… few-shot 1/4" in screen_text(pilot.app)
            seen = await press(pilot, "enter")
            assert "under way: answering few-shot, 1 of 4 rows" in seen
            assert "about 2 s left" in seen  # 7 answers of 0.25 s
            assert "few-shot          25%" in seen
            with paths.answers("few_shot").open("ab") as file:
                file.write(msgspec.json.encode(given[2]) + b'\n{"index": 3, "te')
            seen = await read_again(pilot)
            assert "few-shot          50%" in seen
            seen = await press(pilot, "a", "right", "right")
            assert "4 of 4: all rows" in seen
            seen = await press(pilot, "G")
            assert "not answered yet" in seen
            assert "order: scores come with the result" in await press(pilot, "o")
            await press(pilot, "b", "x")
            await press(pilot, "y")
            process.wait(10)
            assert process.returncode == -15
            seen = await read_again(pilot)
            assert "its process is gone" in seen
            assert "has ended without a result: s goes on" in seen


@pytest.mark.parametrize(
    ("phase", "message", "said"),
    [
        ("answering", "", "has ended without a result"),
        ("stopped", "", "What is answered is kept: s goes on"),
        ("failed", "row 3: the metric gave nan", "It failed: row 3: the metric gave nan"),
    ],
)
async def test_what_came_of_a_process_is_told(root: Path, phase: Any, message: str, said: str) -> None:
    working = Working(NO_PROCESS, START + 7000, phase, "tuned", 1, 4, message)
    write_comparison(before_a_run(root), usual(4), finished=False, working=working)
    async with opened(root) as pilot:
        assert said in await press(pilot, "enter")
        await press(pilot, "x")
        assert "it is not under way" in screen_text(pilot.app)


async def test_another_process_of_the_same_number_is_not_stopped(root: Path) -> None:
    """This one: it does not compare, and began after the file was written."""
    write_comparison(
        before_a_run(root), usual(4), finished=False, working=Working(os.getpid(), START, "answering")
    )
    async with opened(root) as pilot:
        seen = await press(pilot, "enter")
        assert "its process is gone" in seen
        assert "x (stop)" in seen


# Answers.


async def test_answers_stand_below_each_other_with_what_differs_marked(root: Path) -> None:
    right = {"zero_shot": [False, True, False], "few_shot": [True] * 3, "tuned": [True, True, False]}
    write_comparison(before_a_run(root), right)
    async with opened(root) as pilot:
        seen = await press(pilot, "enter", "a")
        for words in (
            "← zero-shot   against   → tuned   3 of 3: all rows",
            "── row 1   val.jsonl:1   1 turn before it: w",
            "── reference\n delivery",
            "── zero-shot   exact match 0.0, 9 tokens",
            "[-I think that ticket 1 is about billing-]",
            "[+delivery+]",
        ):
            assert words in seen
        assert "by the reference, and" in await press(pilot, "m")
        assert "[-" not in await press(pilot, "m")
        seen = await press(pilot, "m", "f")
        assert "1 of 3: answers differ" in seen
        seen = await press(pilot, "f")
        assert "There are no such rows: zero-shot scores higher" in seen
        seen = await press(pilot, "f")
        assert "1 of 3: tuned scores higher" in seen
        seen = await press(pilot, "f", "f", "n")
        assert "Sort this ticket, number 2" in seen
        assert "── row 2" in seen
        seen = await press(pilot, "n", "n", "p", "right")
        assert "→ few-shot" in seen
        seen = await press(pilot, "w", "w")
        assert "the whole prompt of few-shot   4 turns" in seen
        assert "put in: train.jsonl:7" in seen
        assert "── assistant\n billing" in seen
        seen = await press(pilot, "w", "o")
        assert "by difference" in seen
        numbers = [line.split()[0] for line in seen.splitlines() if "the parcel is late" in line][:3]
        assert numbers == ["1", "3", "2"]
        await pilot.resize_terminal(160, 40)
        seen = await settle(pilot)
        line = next(line for line in seen.splitlines() if "── zero-shot" in line)
        assert "│ ── few-shot" in line


async def test_answers_that_are_none_are_told_of(root: Path) -> None:
    """Empty, cut, without a reference, without a row, a torn line between two, and only one row answered twice."""
    asked = [figures.TestRow(0, "v:1", (), ""), *rows(4)[1:]]
    cut = Answer(0, "so much " * 900, "length", 9, 512, 3.0)
    wrong = Answer(1, "", "error", 9, 0, 0.0, error="the endpoint gave HTML")
    given = {"zero_shot": [cut, wrong, Answer(2, "", "end", 9, 1, 0.1)], "tuned": [answer(0, right=True)]}
    paths = write_comparison(
        before_a_run(root),
        {"zero_shot": [False] * 3, "tuned": [True] * 3},
        rows_asked=asked[:3],
        answers=given,
    )
    with paths.answers("tuned").open("ab") as file:
        file.write(
            b'{"index": 1, "text": "to\n[7]\n\xff\n' + msgspec.json.encode(answer(0, right=True)) + b"\n"
        )
    async with opened(root) as pilot:
        assert "3 lines of its files could not be understood" in await press(pilot, "enter", "d", "d", "d")
        seen = await press(pilot, "a", "z")
        assert "── reference\n (empty)" in seen
        assert "cut at the longest answer" in seen
        assert "no answer: the endpoint gave HTML" in await press(pilot, "n")
        assert "── zero-shot   exact match 0.0, 1 tokens, 0.1 s\n (empty)" in await press(pilot, "n")
        seen = await press(pilot, "f", "f", "f", "f", "g")
        assert "2 of 3: an error, or cut" in seen
        paths.rows.unlink()
        await read_again(pilot)
        assert "this row cannot be read any more" in await press(pilot, "f")


async def test_one_row_and_one_arm_are_enough_to_look_at(root: Path) -> None:
    write_comparison(before_a_run(root), {"zero_shot": [True]}, detectable=None)
    async with opened(root) as pilot:
        seen = await press(pilot, "enter")
        assert "1 row can show no gain in exact match, however large" in seen
        assert "t (rate)" in seen
        seen = await press(pilot, "t", "a")
        assert "1 of 1: all rows" in seen
        await press(pilot, "left", "right", "f", "f", "o", "w", "m", "z", "d", "u")


# Blind ratings.


async def test_answers_are_rated_blind_and_gone_on_with(root: Path) -> None:
    paths = write_comparison(
        before_a_run(root), {"zero_shot": [False] * 20, "tuned": [True] * 15 + [False] * 5}
    )
    async with opened(root) as pilot:
        seen = await press(pilot, "enter", "t")
        for _ in range(14):
            assert "0 of 15" in seen or "of 15 rows rated" in seen
            assert "tuned" not in seen
            assert "zero-shot" not in seen
            first = seen.index("delivery") < seen.index("I think")
            seen = await press(pilot, "a" if first else "b")
        assert "14 of 15 rows rated" in seen
        seen = await press(pilot, "r")
        assert "Tuned is preferred to zero_shot, 14 to 0" in seen
        assert "tuned preferred: 14" in seen
        with paths.ratings.open("ab") as file:
            file.write(b'{"t": 1, "ind')
        seen = await press(pilot, "escape", "t")
        assert "14 of 15 rows rated" in seen
        seen = await press(pilot, "t")
        assert "equal: 1" in seen
        assert "All rows whose answers differ are rated." in seen
        seen = await press(pilot, "z", "w")
        assert "── reference" in seen
        seen = await press(pilot, "s")
        assert "equal: 0   skipped: 1" in seen
    records = [json.loads(line) for line in paths.ratings.read_text().splitlines() if line.endswith("}")]
    assert len(records) == 16
    orders = {record["first"] for record in records}
    assert orders == {"zero_shot", "tuned"}, "either arm stands first"


async def test_a_rating_that_cannot_be_kept_is_told_of(root: Path) -> None:
    paths = write_comparison(before_a_run(root), {"zero_shot": [False] * 3, "tuned": [True] * 3})
    paths.ratings.mkdir()
    async with opened(root) as pilot:
        seen = await press(pilot, "enter", "t", "a")
        assert "could not be written" in " ".join(seen.replace("▌", "").split())


# Starting.


@dataclass
class Fake:
    """A program in the place of ftui: it plans as told, and writes what it was called with."""

    script: Path
    calls: Path

    def plans(self, plan: object, folder: Path, then: str = "") -> None:
        said = json.dumps({**msgspec.to_builtins(plan), "folder": str(folder)})
        body = (
            f"import json, os, sys\nopen({str(self.calls)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
            f"if '--plan' in sys.argv: print({said!r}); sys.exit()\n{then}\n"
        )
        self.script.write_text(body)

    def last_call(self) -> list[str]:
        return json.loads(self.calls.read_text().splitlines()[-1])


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    script = tmp_path / "fake.py"
    monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-S", str(script)))
    return Fake(script, tmp_path / "calls")


async def test_a_comparison_is_planned_then_begun_with_the_chosen_arms(
    root: Path, tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(root, "style").root
    folder = run / "report" / "compare"
    plan = a_plan(["zero_shot", "few_shot", "tuned"], 40, excluded={"no reference": 3}, notes=("Look.",))
    fake.plans(plan, folder, "print('loading the model')")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    async with opened(root) as pilot:
        seen = await press(pilot, "s", "enter")
        for words in (
            "40 rows of val.jsonl; left out: 3 no reference",
            "task: labels, judged by exact match",
            "40 rows show a gain in exact match of",
            "[x] zero-shot",
            "[x] few-shot",
            "no folder of documents",
            "Look.",
        ):
            assert words in seen
        assert fake.last_call() == ["compare", str(run), "--runs", str(root), "--plan", "--json"]
        seen = await press(pilot, "space")
        assert "[x] zero-shot" in seen
        assert "the others are measured by it" in seen
        seen = await press(pilot, "j", "space")
        assert "[ ] few-shot" in seen
        await press(pilot, "f")
        assert "is no folder" in await press(pilot, *"nowhere", "enter")
        await press(pilot, "ctrl+u", *"docs", "enter")
        assert fake.last_call()[4:6] == ["--documents", str(tmp_path / "docs")]
        seen = await press(pilot, "enter")
        assert fake.last_call()[-4:] == ["--documents", str(tmp_path / "docs"), "--arms", "zero_shot,tuned"]
        assert (folder / "log.txt").read_text() == "loading the model\n"


async def test_a_refused_comparison_is_told_of_with_all_that_was_said(root: Path, fake: Fake) -> None:
    write_run(root, "style")
    refusal = (
        "sys.stderr.write('the recipe has no held-out rows\\n    ftui data split makes some\\n'); sys.exit(2)"
    )
    fake.plans(a_plan(["zero_shot"], 2), root / ".compare" / "x", refusal)
    async with opened(root) as pilot:
        await press(pilot, "s", "enter")
        seen = await press(pilot, "enter")
        assert "was not compared" in seen
        assert "ftui data split makes some" in seen
        await press(pilot, "escape")
        pilot.app.clear_notifications()
        fake.script.write_text(f"import sys; {refusal}")
        seen = await press(pilot, "s", "enter")
        assert "the recipe has no held-out rows" in seen
        assert "enter (begin)" in seen
        assert "reading" not in await press(pilot, "enter", "escape")


async def test_what_is_neither_run_nor_recipe_is_not_taken(root: Path) -> None:
    async with opened(root) as pilot:
        await press(pilot, "s", "ctrl+u")
        assert "no run and no recipe is named" in await press(pilot, "enter")
        assert "is no run" in await press(pilot, ".", "enter")


# Whatever the files say.


async def test_hostile_text_is_shown_and_does_nothing(root: Path) -> None:
    texts = [text_in_json(text) for text in TEXTS[::STEP]]
    asked = [
        figures.TestRow(at, text, ({"role": text, "content": text}, {"role": "user", "content": text}), text)
        for at, text in enumerate(texts)
    ]
    given = {
        name: [Answer(at, text + name, "end", 9, 9, 0.1) for at, text in enumerate(texts)]
        for name in ("zero_shot", "tuned")
    }
    paths = write_comparison(
        before_a_run(root),
        {name: [True] * len(texts) for name in given},
        rows_asked=asked,
        answers=given,
        source=texts[0],
        model=texts[1],
        test_file=texts[2],
        notes=tuple(texts[3:9]),
        excluded={texts[9]: 1},
    )
    content = paths.result.read_bytes()
    result = msgspec.json.decode(content)
    result["verdict"] |= {"says": texts[10], "reasons": texts[11:20], "next_steps": texts[20:30]}
    paths.result.write_bytes(msgspec.json.encode(result))
    async with opened(root, (100, 60)) as pilot:
        seen = screen_text(pilot.app) + await press(pilot, "enter")
        assert begin(10 * STEP) in seen
        seen += await press(pilot, "a", "z")
        for number in range(0, len(TEXTS), STEP):
            shown = screen_text(pilot.app)
            assert begin(number) in shown
            seen += shown + await press(pilot, "n")
        seen += await press(pilot, "w", "w", "escape", "t", "w", "a", "a")
    assert not {one for one in seen if unicodedata.category(one) in HIDDEN} - {"\n"}


async def test_files_of_any_shape_are_no_error_of_ours(root: Path) -> None:
    folder = before_a_run(root)
    write_comparison(folder, usual(6))
    paths = ComparisonPaths(folder)
    async with opened(root) as pilot:
        await press(pilot, "enter")
        for path in (paths.result, paths.plan, paths.rows, paths.answers("tuned"), paths.prompts("tuned")):
            for content in (b"", b'{"plan": {"arms": 7}}\n', b"[" * 100_000):
                kept = path.read_bytes()
                path.write_bytes(content)
                await read_again(pilot)
                await press(pilot, "a", "w", "escape")
                path.write_bytes(kept)
            path.unlink()
            await read_again(pilot)
            path.write_bytes(kept)
        seen = await read_again(pilot)
        assert "▲ tuned" in seen or "· tuned" in seen


@pytest.mark.slow
async def test_a_comparison_of_very_many_rows_is_opened_at_its_end(root: Path) -> None:
    arms = ("zero_shot", "few_shot", "retrieved", "documents", "tuned", "tuned_retrieved", "endpoint")
    write_comparison(before_a_run(root), {name: drawn(0.5, 10_000, at) for at, name in enumerate(arms)})
    async with opened(root) as pilot:
        await press(pilot, "enter", "a")
        while "10,000 of 10,000: all rows" not in screen_text(pilot.app):
            await pilot.pause(0.05)
        assert "number 10000" in await press(pilot, "G")
        assert "answers differ" in await press(pilot, "f")
