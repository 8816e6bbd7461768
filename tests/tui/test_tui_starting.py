"""Starting and continuing runs by keys; another program stands for the command line that does the work."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input
from tui_runs import START, add_events, make_run
from tui_screen import settle

from finetui import launching
from finetui.app import Studio
from finetui.launching import complete_path, launch
from finetui.screens.ask import Ask
from finetui_core.folders import state_folder
from finetui_core.recipe.load import load_recipe
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End

ENDED = End(START + 300, 0)
Fake = Callable[[str], Path]

BAD = """
[model]
name = "nowhere/"
[data]
train = "bad.toml"
val = "none.jsonl"
[train]
learning_rat = 3
method = "lorax"
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TMUX", raising=False)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a script in the place of ftui; gives the file in which it writes down how it was called."""

    def replace(body: str) -> Path:
        script, called = tmp_path / "fake.py", tmp_path / "called.json"
        first = f"import json, os, sys\nopen({str(called)!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        script.write_text(first + body)
        monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-S", str(script)))
        return called

    return replace


def studio(root: Path) -> Studio:
    return Studio(root, clock=lambda: START + 7200)


def made_elsewhere(tmp_path: Path, root: Path) -> tuple[RunPaths, str]:
    """A run, and the code that moves it into the folder of runs and tells of it as `ftui train` does."""
    made = make_run(tmp_path / "made", "fresh", steps=5)
    there = root / made.id
    code = f"os.rename({str(made.root)!r}, {str(there)!r})\nprint(json.dumps({{'path': {str(there)!r}}}))\n"
    return RunPaths(there), code


def stopped_run(root: Path, reason: str = "stopped") -> RunPaths:
    run = make_run(root, "demo", steps=60, end=ENDED)
    add_events(run, {"type": "finished", "reason": reason, "step": 60})
    return run


async def press(pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    return await settle(pilot)


async def name_recipe(pilot: Pilot[None], recipe: object) -> None:
    """Type the path of a recipe into the dialog."""
    await press(pilot, "s")
    field = pilot.app.screen.query_one(Input)
    field.value = str(recipe)
    field.cursor_position = len(field.value)


def told(pilot: Pilot[None]) -> str:
    return "\n".join(notice.message for notice in pilot.app._notifications)


def quickstart() -> str:
    recipe = launching.recipe_path(launching.proposed_recipe())
    assert load_recipe(recipe).model.name.endswith("tiny-llama")
    return str(recipe)


async def test_of_a_long_path_the_file_name_is_seen(root: Path) -> None:
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        pilot.app.push_screen(Ask("Which recipe?", "a-folder/" * 20 + "mine.toml", lambda text: None))
        assert "folder/mine.toml" in await settle(pilot)
        await pilot.resize_terminal(100, 30)
        assert "folder/mine.toml" in await settle(pilot)
        assert "a-folder/a-folder" in await press(pilot, "home")


async def test_every_fault_of_a_recipe_is_told_and_nothing_is_started(
    root: Path, tmp_path: Path, fake: Fake
) -> None:
    called = fake("")
    bad = tmp_path / "bad.toml"
    bad.write_text(BAD)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await name_recipe(pilot, bad)
        shown = await press(pilot, "enter")
        assert 'bad.toml:3:8:model.name:thereisnofolder"nowhere/"' in "".join(shown.split())
        assert "… and 3 more" in shown and "Recipe of the new run" in shown
        pilot.app.screen.query_one(Input).value = str(tmp_path / "bat.toml")
        shown = await press(pilot, "enter")
        unwrapped = "".join(shown.split())  # long paths are wrapped anywhere
        assert "bat.toml:thereisnosuchfile" in unwrapped and "bad.toml?" in unwrapped and "more" not in shown
        pilot.app.screen.query_one(Input).value = " "
        assert "no recipe is named" in await press(pilot, "enter")
        assert "Recipe of the new run" not in await press(pilot, "escape")
    assert not called.exists() and not (state_folder() / "last_recipe.json").exists()


REFUSED = """
if "--ignore-preflight" not in sys.argv:
    sys.stderr.write("does not fit: 30 GiB to 40 GiB\\n    --ignore-preflight trains all the same.\\n")
    sys.exit(2)
"""


async def test_what_preflight_refuses_is_started_only_after_the_risk_is_named(
    root: Path, tmp_path: Path, fake: Fake
) -> None:
    run, code = made_elsewhere(tmp_path, root)
    called = fake(REFUSED + code)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "s")
        assert (
            "quickstart.toml was not started" in (shown := await press(pilot, "enter")) and "30 GiB" in shown
        )
        shown = await press(pilot, "escape")
        assert "against what preflight says?" in shown and "killed in the middle" in shown
        assert "against" not in await press(pilot, "enter")
        assert "--ignore-preflight" not in json.loads(called.read_text())
        await press(pilot, "s")
        await press(pilot, "enter")
        await press(pilot, "escape")
        await press(pilot, "down", "enter")
        assert run.id in await settle(pilot)
    assert json.loads(called.read_text())[-1] == "--ignore-preflight"


PIN = f"owner/name@{'a' * 40}"
BRINGS_CODE = f"""
if "--consent-remote-code" not in sys.argv:
    sys.stderr.write("owner/name: the model brings code\\n    to run it, add: --consent-remote-code {PIN}\\n")
    sys.exit(2)
"""


async def test_a_models_own_code_runs_only_once_the_models_name_is_typed(
    root: Path, tmp_path: Path, fake: Fake
) -> None:
    run, code = made_elsewhere(tmp_path, root)
    called = fake(BRINGS_CODE + code)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "s")
        assert "the model brings code" in await press(pilot, "enter")
        assert "type owner/name to let it run" in await press(pilot, "escape")
        pilot.app.screen.query_one(Input).value = "yes"
        assert "that is not the model's name" in await press(pilot, "enter")
        assert "--consent-remote-code" not in json.loads(called.read_text())
        pilot.app.screen.query_one(Input).value = "owner/name"
        await press(pilot, "enter")
        assert run.id in await settle(pilot)
    assert json.loads(called.read_text())[-2:] == ["--consent-remote-code", PIN]


@pytest.mark.parametrize("station", ["1", "5"])
async def test_the_sample_recipe_is_proposed_and_the_new_run_is_opened(
    root: Path, tmp_path: Path, fake: Fake, station: str
) -> None:
    run, code = made_elsewhere(tmp_path, root)
    called = fake(code)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "s start" in await press(pilot, station)
        assert "recipes/quickstart.toml" in await press(pilot, "s")
        shown = await press(pilot, "enter")
        assert "starting quickstart.toml" in told(pilot)
        shown = await settle(pilot)
        assert "[5 Train]" in shown and run.id in shown
    arguments = json.loads(called.read_text())
    assert arguments == ["train", quickstart(), "--detach", "--json", "--runs", str(root)]


async def test_the_recipe_used_last_is_proposed(root: Path, tmp_path: Path, fake: Fake) -> None:
    fake("")
    mine = tmp_path / "mine.toml"
    mine.write_text(Path(quickstart()).read_text().replace("../", f"{Path(quickstart()).parents[1]}/"))
    for _ in range(2):
        async with studio(root).run_test(size=(200, 24)) as pilot:
            await settle(pilot)
            await name_recipe(pilot, mine)
            await press(pilot, "enter")
            await settle(pilot)
            assert "mine.toml has started" in told(pilot)
            assert "mine.toml" in await press(pilot, "s")
    mine.unlink()
    assert launching.proposed_recipe().endswith("quickstart.toml")


async def test_whoever_has_gone_elsewhere_is_told_and_not_taken_away(
    root: Path, tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, code = made_elsewhere(tmp_path, root)
    os.mkfifo(tmp_path / "go")
    fake(f"open({str(tmp_path / 'go')!r}).read()\n{code}")
    monkeypatch.setattr("finetui.starting.warning_at_logout", lambda: "logging out ends it; first: a line")
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "s")
        await pilot.press("enter", "2")
        (tmp_path / "go").write_text("")
        await settle(pilot)
        assert "[2 Decide]" in await settle(pilot) and f"{run.id} has started" in told(pilot)
        assert "logging out ends it; first: a line" in told(pilot)


@pytest.mark.parametrize("key", ["q", "escape", "enter"])
async def test_all_that_was_wrong_is_shown_until_it_is_closed(
    root: Path, tmp_path: Path, fake: Fake, key: str
) -> None:
    fake(
        "for row in range(1, 31): print(f'rows.jsonl:{row}: no [/answer] \\x1b[31m\\n    mend it', file=sys.stderr)\n"
        "sys.exit(2)"
    )
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await press(pilot, "s")
        await press(pilot, "enter")
        shown = await settle(pilot)
        assert "quickstart.toml was not started" in shown and "exit code" not in shown
        assert "rows.jsonl:1: no [/answer] ␛[31m\n" in shown and "rows.jsonl:30" not in shown
        assert "rows.jsonl:30: no [/answer] ␛[31m\n     mend it" in await press(pilot, "G")
        await press(pilot, "Y")
        copied = (state_folder() / "copied.txt").read_text()
        assert len(copied.splitlines()) == 60 and "\x1b" not in copied
        assert "was not started" not in await press(pilot, key) and pilot.app.is_running


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print(json.dumps({'state': 'failed', 'reason': 'CUDA out of luck'})); sys.exit(1)", "CUDA out of luck"),
        ("print('ftui failed: no luck', file=sys.stderr); sys.exit(1)", "ftui failed: no luck"),
        ("print('[]'); os.kill(os.getpid(), 9)", "it ended with exit code -9"),
    ],
)  # fmt: skip
async def test_a_start_that_fails_says_why(root: Path, fake: Fake, body: str, words: str) -> None:
    fake(body)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await press(pilot, "s")
        await press(pilot, "enter")
        shown = await settle(pilot)
        assert words in shown and "was not started (exit code" in shown


async def test_no_process_can_be_started(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "PROGRAM", (str(root / "missing"),))
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await press(pilot, "s")
        await press(pilot, "enter")
        assert "no process can be started: No such file" in await settle(pilot)


async def test_a_failure_waits_for_the_dialog_that_is_open(root: Path, tmp_path: Path, fake: Fake) -> None:
    make_run(root, "demo", steps=5, end=ENDED)
    os.mkfifo(tmp_path / "go")
    fake(f"open({str(tmp_path / 'go')!r}).read()\nsys.exit('no rows')")
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "s")
        await pilot.press("enter", "d")
        (tmp_path / "go").write_text("")
        assert "Delete " in await settle(pilot)
        await pilot.press("n")
        while pilot.app.screen.id != "told":
            await pilot.pause(0.05)
        assert "no rows" in await settle(pilot)


def test_a_command_that_is_left_goes_on(tmp_path: Path, fake: Fake) -> None:
    os.mkfifo(tmp_path / "go")
    os.mkfifo(tmp_path / "done")
    go, done = str(tmp_path / "go"), str(tmp_path / "done")
    fake(
        f"open({go!r}).read()\nprint('out', flush=True)\nprint('said', file=sys.stderr)\n"
        f"open({done!r}, 'w').write(str(os.getsid(0) == os.getpid()))\n"
    )
    assert launch(["train"], lambda: True) is None
    Path(go).write_text("")
    assert Path(done).read_text() == "True"


@pytest.mark.parametrize("reason", ["stopped", "aborted", "diverged"])
async def test_a_run_that_has_ended_is_continued(root: Path, fake: Fake, reason: str) -> None:
    run = stopped_run(root, reason)
    called = fake(f"print(json.dumps({{'path': {str(run.root)!r}}}))")
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "C continues it" in await press(pilot, "enter")
        assert "Continue this run" in await press(pilot, "C")
        await press(pilot, "n")
        assert not called.exists()
        await press(pilot, "C", "y")
        assert run.id in await settle(pilot) and f"{run.id} goes on" in told(pilot)
    assert json.loads(called.read_text()) == ["resume", str(run.root), "--detach", "--json"]


async def test_why_a_run_could_not_be_continued(root: Path, tmp_path: Path, fake: Fake) -> None:
    run = stopped_run(root)
    os.mkfifo(tmp_path / "go")
    fake(f"open({str(tmp_path / 'go')!r}).read()\nsys.exit('the model has changed')")
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "enter")
        await pilot.press("C", "y", "C")
        await pilot.pause()
        assert pilot.app.screen.query("#notice").first()._rows == (
            ((" continue: it is being continued", "warning"),),
        )
        (tmp_path / "go").write_text("")
        shown = await settle(pilot)
        assert f"{run.id} was not continued" in shown and "the model has changed" in shown
        assert "Continue this run" in await press(pilot, "q", "C")


DIFFERS = """
if "--inexact" not in sys.argv:
    sys.stderr.write("torch was 2.12.0 when the checkpoint was written and is 2.13.0 now\\n")
    sys.stderr.write("    Go on with: ftui resume demo --inexact\\n")
    sys.exit(2)
"""


async def test_what_would_not_go_on_exactly_does_so_only_after_the_differences_are_read(
    root: Path, fake: Fake
) -> None:
    run = stopped_run(root)
    called = fake(f"{DIFFERS}print(json.dumps({{'path': {str(run.root)!r}}}))")
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "enter")
        shown = await press(pilot, "C", "y")
        assert "was not continued" in shown and "torch was 2.12.0" in shown
        shown = await press(pilot, "escape")
        assert "all the same?" in shown and "continue inexactly" in shown
        assert "all the same" not in await press(pilot, "enter")
        assert "--inexact" not in json.loads(called.read_text())
        await press(pilot, "C", "y")
        await press(pilot, "escape")
        await press(pilot, "down", "enter")
        await settle(pilot)
        assert f"{run.id} goes on" in told(pilot)
    assert json.loads(called.read_text())[-1] == "--inexact"


async def test_a_run_that_is_inexact_says_so_beside_its_name(root: Path) -> None:
    run = make_run(root, "demo", steps=60)
    add_events(run, {"type": "inexact", "step": 30, "by": "asked", "differences": []})
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = await press(pilot, "enter")
        assert "inexact from step 30" in shown.splitlines()[1]


def foreign(root: Path) -> None:
    (root / "theirs").mkdir()
    (root / "theirs" / "metrics.jsonl").write_text('{"step": 7, "train/loss": 1.25}\n')


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: make_run(root, "demo"), "it is running"),
        (lambda root: make_run(root, "demo", phase="paused"), "it is paused"),
        (lambda root: stopped_run(root, "completed"), "it is finished: start a new run with more epochs"),
        (foreign, "this run can only be watched: it belongs to another trainer"),
        (lambda root: stopped_run(root / ".archive"), "it was put away: bring it back first"),
    ],
)
async def test_what_cannot_be_continued_says_why(
    root: Path, make: Callable[[Path], Any], reason: str
) -> None:
    make(root)
    async with studio(root).run_test(size=(160, 24)) as pilot:
        await settle(pilot)
        if (root / ".archive").exists():
            await press(pilot, "A")
        await settle(pilot)
        shown = await press(pilot, "enter")
        assert "C (continue)" in shown and "C continues it" not in shown
        assert f"continue: {reason}" in await press(pilot, "C")
        assert f"({reason})" in await press(pilot, "colon", *"continue")


async def test_a_key_completes_the_path_that_is_typed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "lora.toml").touch()
    monkeypatch.chdir(tmp_path)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await name_recipe(pilot, "rec")
        assert "recipes/lora.toml" in await press(pilot, "tab", "tab")
        await press(pilot, "escape")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("", ""),
        ("r", "recipes/"),
        ("recipes/", "recipes/lora"),
        ("recipes/lora.", "recipes/lora."),
        ("recipes/lora.toml", "recipes/lora.toml"),
        ("recipes/lora-", "recipes/lora-long.toml"),
        ("recipes/n", "recipes/n"),
        ("recipes/.h", "recipes/.hidden.toml"),
        ("./d", "./data/"),
        ("missing/", "missing/"),
        ("~nobody-here/", "~nobody-here/"),
        ("~/d", "~/data/"),
    ],
)
def test_a_path_is_completed_as_far_as_it_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, completed: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "recipes").mkdir()
    for name in (
        "lora.toml",
        "lora.toml.old",
        "lora-long.toml",
        "notes.txt",
        ".hidden.toml",
        "n\x1b[31m.toml",
    ):
        (tmp_path / "recipes" / name).touch()
    if typed == "recipes/lora.":
        (tmp_path / "recipes" / "lora.x.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete_path(typed) == completed


@given(st.text())
def test_completing_only_adds(text: str) -> None:
    assert complete_path(text).startswith(text)


async def test_the_keys_of_a_list_work_once_its_first_run_appears(root: Path) -> None:
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        run = make_run(root, "demo", steps=5)
        await press(pilot, "r")
        await settle(pilot)
        shown = await press(pilot, "enter")
        assert "[5 Train]" in shown and run.id in shown
