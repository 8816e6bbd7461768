"""Text that others wrote, in every place where it is shown: nothing of it is obeyed by a terminal."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path

import pytest

from finetui.actions import ACTIONS, Action
from harmless import DEPTHS, USUAL, Depth, assert_plain, leave
from hostile import TEXTS, as_argument, begin, bytes_of, end, hostile_rows, hostile_run
from terminal import KEYS, Terminal, run_on_terminal

AFTER_ESCAPE = 0.2  # seconds; sooner, the next key would be taken for one with Alt
NAMED = {"slash": "/", "colon": ":", "question_mark": "?", "space": " ", "plus": "+", "minus": "-"}
NOT_PRESSED = frozenset({"quit", "leave", "copy", "archive", "open", "back", "help", "palette"})


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    for number in range(len(TEXTS)):
        hostile_run(root, number)
    return root


def studio(
    root: Path, rows: int, columns: int, depth: Depth = USUAL, **environment: str
) -> AbstractContextManager[Terminal]:
    arguments = ["-m", "finetui", "--runs", str(root)]
    return run_on_terminal(arguments, rows=rows, columns=columns, **{**depth.environment, **environment})


def test_the_list_of_runs(all_runs: Path) -> None:
    with studio(all_runs, 60, 200) as terminal:
        terminal.wait_for(f"{len(TEXTS)} runs")
        seen = terminal.settle()
        deadline = time.monotonic() + 120
        ways = cycle(["pagedown"] * 12 + ["pageup"] * 12)  # a busy machine may skip a page
        while missing := [number for number in range(len(TEXTS)) if begin(number) not in seen]:
            assert time.monotonic() < deadline, missing
            terminal.press(next(ways))
            seen += terminal.settle()
        leave(terminal)


def key_of(action: Action) -> str | None:
    """What a terminal sends for the action, where it is a key that every terminal has."""
    keys = [KEYS.get(key, NAMED.get(key, key)) for key in action.keys]
    return next((key for key in keys if len(key) == 1 or key.startswith("\x1b")), None)


def actions(*scopes: str, but: frozenset[str] = NOT_PRESSED) -> list[tuple[Action, str]]:
    found = [action for action in ACTIONS if action.scope in scopes and action.name not in but]
    return [(action, key) for action in found if (key := key_of(action))]


def walk(terminal: Terminal) -> str:
    """Look into each panel of the run under the cursor; all that was shown."""
    terminal.press("enter")
    terminal.wait_for("[5 Train]")
    seen = terminal.settle(0.2)
    for action, key in actions("run"):
        if action.help.startswith("Show"):
            for press in (key, "G", "g"):
                terminal.press(press)
                seen += terminal.settle(0.3)
    terminal.press("1")
    return seen + terminal.settle(0.3)


def crawl(terminal: Terminal, *scopes: str) -> str:
    """Do each thing that can be done with the run under the cursor; all that was shown."""
    seen = terminal.settle()
    for _, key in actions(*scopes):
        for press in ("enter", key, "pagedown", "escape", "escape", "1"):
            terminal.press(press)
            seen += terminal.settle(AFTER_ESCAPE if press == "escape" else 0.05)
    return seen


ASKS_NOTHING = frozenset(
    {"archive", "compare", "elsewhere", "undo", "queue_up", "queue_down", "queue_go", "unqueue"}
)


def ask(terminal: Terminal) -> str:
    """Open each question that can be asked about the run under the cursor, and answer none."""
    seen = ""
    for _, key in actions("runs", but=ASKS_NOTHING):
        for press in (key, "escape"):
            terminal.press(press)
            seen += terminal.settle(AFTER_ESCAPE if press == "escape" else 0.05)
    return seen


@pytest.mark.parametrize("size", [(24, 80), pytest.param((60, 200), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "depth",
    [depth if depth is USUAL else pytest.param(depth, marks=pytest.mark.slow) for depth in DEPTHS.values()],
    ids=list(DEPTHS),
)
def test_each_panel_of_a_run(tmp_path: Path, size: tuple[int, int], depth: Depth) -> None:
    number = next(n for n, text in enumerate(TEXTS) if "\x1b]52;" in text)
    hostile_run(tmp_path, number, over=False, others=True)
    with studio(tmp_path, *size, depth) as terminal:
        terminal.wait_for(begin(number))
        seen = ask(terminal) + walk(terminal)
        leave(terminal, depth)
    assert f"{begin(number)}␛]52;" in seen
    assert end(len(TEXTS) - 1) in seen


@pytest.mark.parametrize("depth", DEPTHS.values(), ids=list(DEPTHS))
def test_all_texts_at_each_depth_of_colour(tmp_path: Path, depth: Depth) -> None:
    hostile_run(tmp_path, 0, over=False, others=True)
    with studio(tmp_path, 100, 240, depth) as terminal:
        terminal.wait_for(begin(0))
        terminal.press("enter")
        terminal.wait_for("[5 Train]")
        seen = ""
        for action, key in actions("run"):
            if action.help.startswith("Show"):
                terminal.press(key)
                seen += terminal.settle(0.3)
        leave(terminal, depth)
    assert seen.count(end(len(TEXTS) - 1)) >= 2


@pytest.mark.parametrize(
    ("number", "size"), [("\x1b]52;", (24, 80)), pytest.param("\x9b", (60, 200), marks=pytest.mark.slow)]
)
def test_each_panel_of_a_data_set(tmp_path: Path, number: str, size: tuple[int, int]) -> None:
    chosen = next(n for n, text in enumerate(TEXTS) if number in text)
    path = hostile_rows(tmp_path, chosen)
    shown = actions("data", but=NOT_PRESSED | {"edit", "fix", "fix_all"})
    with run_on_terminal(["-m", "finetui", os.fsdecode(path)], rows=size[0], columns=size[1]) as terminal:
        terminal.wait_for(begin(chosen))
        terminal.wait_for("rows that")
        seen = terminal.settle(0.2)
        for _, key in shown:
            for press in (key, "G", "enter", "escape", "g"):
                terminal.press(press)
                seen += terminal.settle(AFTER_ESCAPE if press == "escape" else 0.05)
        terminal.press("3")
        for press in (
            "enter",
            *(key for _, key in actions("row")),
            "\x1b[C",
            "\x1b[C",
            "w",
            "\x1b[C",
            "\x1b[C",
        ):
            terminal.press(press)
            seen += terminal.settle(0.3)
        leave(terminal)
    assert begin(chosen) in seen


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("size", [(24, 80), (60, 200)])
def test_everything_that_can_be_done_with_a_run(tmp_path: Path, size: tuple[int, int]) -> None:
    hostile_run(tmp_path, 0, over=False, others=True)
    with studio(tmp_path, *size) as terminal:
        terminal.wait_for(begin(0))
        crawl(terminal, "run", "chart", "log", "runs")
        leave(terminal)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, len(TEXTS), 20))
def test_each_text_in_each_panel(tmp_path: Path, first: int) -> None:
    for number in range(first, min(first + 20, len(TEXTS))):
        root = tmp_path / str(number)
        hostile_run(root, number, over=number % 2 == 0)
        with studio(root, 36, 120) as terminal:
            terminal.wait_for(begin(number))
            seen = ask(terminal) + walk(terminal)
            leave(terminal)
        assert begin(number) in seen, number


COMMANDS = """
import json, sys
from finetui_core.cli.main import main
for arguments in json.load(open(sys.argv[1])):
    code = main(arguments)
    assert code in (0, 1, 2), (code, arguments)
    print("did", arguments[0]); sys.stdout.flush()
"""


@pytest.fixture(scope="module", params=["in turn", pytest.param("both", marks=pytest.mark.slow)])
def commands(
    request: pytest.FixtureRequest, all_runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """All commands that show a run, for every run; and every text as an argument, and in a recipe.

    The two ways to watch a run, which take longest, take turns from run to run unless both are asked for.
    """
    folder = tmp_path_factory.mktemp("commands")
    root, paths = str(all_runs), sorted(all_runs.iterdir())
    assert len(paths) == len(TEXTS), [path.name for path in paths]
    found = [["runs", "--runs", root], ["runs", "--runs", root, "--json"], ["doctor"], ["settings", "show"]]
    for number, path in enumerate(paths):
        found += [["status", str(path)], ["status", str(path), "--json"]]
        watches = [["watch", str(path)], ["watch", str(path), "--json"]]
        found += watches if request.param == "both" else [watches[number % 2]]
    for number, text in enumerate(TEXTS):
        recipe = folder / f"{number}.toml"
        recipe.write_bytes(b'[model]\nname = "' + bytes_of(text) + b'"\n["' + bytes_of(text) + b'"]\n')
        argument = as_argument(text)
        found += [
            ["status", "--runs", root, "--", argument],
            ["train", "--", argument],
            ["train", str(recipe)],
            ["status", "--runs", argument],
        ]
    path = folder / "commands.json"
    path.write_text(json.dumps(found))
    return path


def assert_no_surprise(text: str) -> None:
    """An error that nobody foresaw ends a command with these words."""
    assert "ftui failed" not in text, text[text.index("ftui failed") - 200 :][:600]


def test_the_commands_on_a_pipe(commands: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COMMANDS, str(commands)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:].decode("utf-8", "replace")
    for name, stream in (("stdout", done.stdout), ("stderr", done.stderr)):
        text = stream.decode("utf-8")
        assert_plain(text.replace("\n", ""), "on a pipe")
        assert_no_surprise(text)
        missing = [number for number in range(len(TEXTS)) if begin(number) not in text]
        assert not missing, (name, missing, text[:500], text[-500:])


def test_the_commands_on_a_terminal(commands: Path, tmp_path: Path) -> None:
    some = tmp_path / "some.json"
    some.write_text(json.dumps(json.loads(commands.read_text())[::6]))
    with run_on_terminal(["-c", COMMANDS, str(some)], rows=60, columns=200) as terminal:
        assert terminal.wait_for_end(120) == 0, terminal.screen()
        text = terminal.output.decode("utf-8")
    assert_no_surprise(text)
    assert not re.search(r"\x1b(?!\[K)|\r(?!\n|\x1b\[K)", text)
    assert_plain(re.sub(r"\r\x1b\[K|\r\n", "", text), "on a terminal")
