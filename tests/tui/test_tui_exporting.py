"""Exporting a run by keys; another program stands for the command line that does the work."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_runs import START, add_events, make_run
from tui_screen import settle

from finetui import launching
from finetui.app import Studio
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End

EQUAL = "What ships behaves as what was trained: 8 prompts, 0 of 1,580 token ids differ."
UNEQUAL = "What ships does NOT behave as what was trained: the chat template is missing."
Fake = Callable[[str], Path]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.chdir(tmp_path)
    made = make_run(tmp_path / "runs", "desk", steps=50, total_steps=50, end=End(START + 300, 0))
    add_events(made, {"type": "finished", "reason": "all steps done", "step": 50})
    return made


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a script in the place of ftui; gives the file in which it writes down how it was called."""

    def replace(body: str) -> Path:
        script, called = tmp_path / "fake.py", tmp_path / "called.json"
        script.write_text(
            f"import json, sys\nopen({str(called)!r}, 'w').write(json.dumps(sys.argv[1:]))\n{body}\n"
        )
        monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-S", str(script)))
        return called

    return replace


def says(answer: str, code: int) -> str:
    told = "writing\nasking the run\nin /there\nNext: ollama run desk\n"
    return f"print({answer!r})\nsys.stderr.write({told!r})\nsys.exit({code})"


async def press(pilot: Pilot[None], *keys: str) -> str:
    shown = await settle(pilot)
    for key in keys:
        await pilot.press(key)
        shown = await settle(pilot)
    return shown


async def test_a_finished_run_is_exported_by_keys_alone(run: RunPaths, fake: Fake) -> None:
    called = fake(says(EQUAL, 0))
    async with Studio(run.root.parent, clock=lambda: START + 7200).run_test(size=(80, 24)) as pilot:
        shown = await press(pilot, "enter")
        assert "6 compares it" in shown and "E exports it" in shown
        assert "one file for llama.cpp" in await press(pilot, "E")
        assert f"{run.id}-ollama" in await press(pilot, "down", "down", "enter")
        shown = await press(pilot, "enter")
        assert "is exported" in shown and "0 of 1,580 token ids differ" in shown
        assert "in /there" in shown and "ollama run desk" in shown and "asking" not in shown
        assert "E exports it" in await press(pilot, "escape")
    there = str(Path.cwd() / f"{run.id}-ollama")
    assert json.loads(called.read_text()) == ["export", str(run.root), "--to", "ollama", "--out", there]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (says(UNEQUAL, 3), ("is exported, and differs", "the chat template is missing", "/there")),
        ("sys.stderr.write('the disk is full')\nsys.exit(2)", ("was not exported", "the disk is full")),
        ("sys.exit(9)", ("was not exported (exit code 9)",)),
    ],
)
async def test_what_went_wrong_is_told_whole(
    run: RunPaths, fake: Fake, body: str, wanted: tuple[str, ...]
) -> None:
    fake(body)
    async with Studio(run.root.parent, clock=lambda: START + 7200).run_test(size=(80, 24)) as pilot:
        shown = await press(pilot, "enter", "E", "enter", "enter")
        assert all(words in shown for words in wanted)


async def test_a_name_for_the_hub_and_a_new_folder_are_insisted_on(run: RunPaths, fake: Fake) -> None:
    called = fake(says(EQUAL, 0))
    async with Studio(run.root.parent, clock=lambda: START + 7200).run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "E", "enter")
        pilot.app.screen.query_one(Input).value = "runs"
        assert "runs is there already" in await press(pilot, "enter")
        pilot.app.screen.query_one(Input).value = "none/here"
        assert "there is no folder" in await press(pilot, "enter")
        await press(pilot, "escape", "E", "up", "enter")
        assert "names no repository" in await press(pilot, *"desk", "enter")
        assert not called.exists()
        await press(pilot, *"/bot", "enter")
    assert json.loads(called.read_text())[-2:] == ["--name", "desk/bot"]


async def test_a_run_without_a_checkpoint_says_why_not(tmp_path: Path, fake: Fake) -> None:
    called = fake(says(EQUAL, 0))
    made = make_run(tmp_path / "runs", "young", steps=20)
    async with Studio(made.root.parent, clock=lambda: START + 7200).run_test(size=(80, 24)) as pilot:
        assert "export: it has no checkpoint yet" in await press(pilot, "enter", "E")
    assert not called.exists()
