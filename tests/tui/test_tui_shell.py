"""The shell around the stations: ways there and out, keys, palette, help, notices, sizes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.screen import Screen
from tui_runs import make_run
from tui_screen import screen_text, settle

from finetui.actions import ACTIONS, PLACES, SCOPES, actions_of, keymap_rules
from finetui.app import Studio
from finetui.interface import built_in_themes, interface
from finetui.keys_page import keys_page
from finetui.machine import Machine
from finetui.screens.palette import choices_of, found
from finetui.widgets.key_bar import KeyBar
from finetui_core.errors import Problem
from finetui_core.settings import Loaded, Settings, load
from finetui_core.themes import load_theme, theme_files

ROOT = Path(__file__).parents[2]
STATIONS = ("Runs", "Decide", "Data", "Recipe", "Train", "Compare")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.delenv("TMUX", raising=False)
    return tmp_path / "CONFIG" / "ftui"


def studio(tmp_path: Path, **settings: Any) -> Studio:
    return Studio(tmp_path / "runs", loaded=Loaded(Settings(**settings)))


def station(shown: str) -> str:
    (name,) = re.findall(r"\[\d (\w+)\]", shown.splitlines()[0])
    return str(name)


async def test_number_keys_go_to_every_station_and_back(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        for key, name in zip("123456", STATIONS, strict=True):
            await pilot.press(key)
            shown = await settle(pilot)
            assert station(shown) == name
            assert len(pilot.app.screen_stack) <= 2
        await pilot.press("1")
        assert station(await settle(pilot)) == "Runs"


async def test_train_shows_the_newest_live_run_and_keeps_it(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "alive")
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("5")
        assert "alive" in await settle(pilot)
        opened = pilot.app.screen
        await pilot.press("3")
        assert station(await settle(pilot)) == "Data"
        await pilot.press("5")
        assert station(await settle(pilot)) == "Train"
        assert pilot.app.screen is opened


async def test_opening_another_run_replaces_the_one_before(tmp_path: Path) -> None:
    one, other = (make_run(tmp_path / "runs", name, steps=5).root for name in ("one", "other"))
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        for path, name in ((one, "one"), (other, "other")):
            pilot.app.open_runs([path])
            assert name in await settle(pilot)
            await pilot.press("1")
            await settle(pilot)
        await pilot.press("5")
        assert "other" in await settle(pilot)
        pilot.app.open_runs([one])
        assert "one" in await settle(pilot)
        assert len(pilot.app.screen_stack) == 2


async def test_the_first_line_tells_of_the_machine(tmp_path: Path) -> None:
    gpu = {"index": 0, "utilization": 0.97, "memory_used": 61 * 2**30, "memory_total": 139 * 2**30}
    app = Studio(tmp_path, look=lambda: Machine(2, None, 16, [gpu]))
    async with app.run_test(size=(120, 24)) as pilot:
        app._look_at_machine()
        shown = await settle(pilot)
        assert shown.splitlines()[0].endswith("● 2 running  GPU 0 97 %, 61.0 GiB of 139.0 GiB")
        await pilot.resize_terminal(80, 24)
        assert (await settle(pilot)).splitlines()[0].endswith("● 2  GPU 97 %")
        await pilot.press("2")
        assert (await settle(pilot)).splitlines()[0].endswith("● 2  GPU 97 %")


async def test_an_idle_machine_without_a_gpu_is_a_fact(tmp_path: Path) -> None:
    app = Studio(tmp_path, look=lambda: Machine(0, None, 16, [], "no NVIDIA GPU"))
    async with app.run_test(size=(120, 24)) as pilot:
        app._look_at_machine()
        assert (await settle(pilot)).splitlines()[0].endswith("no GPU, 16 processors")


async def test_what_ails_the_gpu_is_told_where_there_is_room(tmp_path: Path) -> None:
    app = Studio(tmp_path, look=lambda: Machine(0, None, 16, [], "the NVIDIA driver is not loaded"))
    async with app.run_test(size=(160, 24)) as pilot:
        app._look_at_machine()
        assert "! the NVIDIA driver is not loaded" in await settle(pilot)


async def test_a_look_that_fails_leaves_the_screen_up(tmp_path: Path) -> None:
    def fail() -> Machine:
        raise RuntimeError("no driver")

    app = Studio(tmp_path, look=fail)
    async with app.run_test(size=(80, 24)) as pilot:
        app._look_at_machine()
        await pilot.pause()
        assert station(screen_text(app)) == "Runs"


async def test_the_palette_finds_a_station_by_part_of_its_name(tmp_path: Path) -> None:
    for opening in ("colon", "ctrl+p"):
        async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await pilot.press(opening, *"decid")
            assert "go to Decide" in await settle(pilot)
            await pilot.press("enter")
            assert station(await settle(pilot)) == "Decide"


async def test_the_palette_does_what_the_screen_below_can_do(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "first")
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("colon", *"open the chosen", "enter")
        assert station(await settle(pilot)) == "Train"


async def test_the_palette_is_left_without_escape_and_quits_with_ctrl_q(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", "q")
        assert pilot.app.screen.id == "palette"
        await pilot.press("ctrl+p")
        await settle(pilot)
        assert pilot.app.screen.id != "palette"
        await pilot.press("colon", "ctrl+q")
    assert pilot.app.return_code == 0


def test_the_palette_lists_every_action_in_scope_with_its_key_and_every_theme() -> None:
    choices = choices_of(
        ("table", "studio"), {"table.open": ("o",)}, {"table.down": "nothing below"}, ["mine"]
    )
    by_name = {choice.name: choice for choice in choices}
    hidden = {"studio.palette", "studio.leave"}
    assert set(by_name) == {a.id for a in actions_of("table", "studio")} - hidden | {"mine"}
    assert by_name["table.open"].keys == "o" and by_name["table.down"].reason == "nothing below"


def test_the_nearest_name_comes_first() -> None:
    choices = choices_of(("table", "studio"), {}, {}, ["ftui-light", "ftui-dark"])
    assert found(choices, "data")[0].title == "go to Data"
    assert found(choices, "thlight")[0].name == "ftui-light"
    assert found(choices, "last")[0].name == "table.last"
    assert found(choices, "xyzzy") == () and found(choices, " ") == tuple(choices)


async def test_choosing_in_the_palette_wraps_round(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", "up", "enter")
        await settle(pilot)
        assert pilot.app.theme == "ftui-light"


async def test_help_lists_every_action_that_works_here(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(80, 60)) as pilot:
        await settle(pilot)
        scopes = pilot.app.screen.SCOPES
        await pilot.press("question_mark")
        shown = await settle(pilot)
        assert all(action.help[:60] in shown for action in actions_of(*scopes))
        await pilot.press("j", "k", "pagedown", "pageup", "q")
        await settle(pilot)
        assert pilot.app.screen.id != "help"


async def test_keys_of_the_settings_work_and_are_shown_everywhere(tmp_path: Path) -> None:
    keys = {"studio.help": ("f1",), "studio.quit": ("x",)}
    async with studio(tmp_path, keys=keys).run_test(size=(120, 60)) as pilot:
        assert "f1 help  x quit" in await settle(pilot)
        await pilot.press("question_mark")
        assert pilot.app.screen.id != "help"
        await pilot.press("f1")
        shown = await settle(pilot)
        assert pilot.app.screen.id == "help" and re.search(r"^   x +Leave ftui", shown, re.MULTILINE)
        await pilot.press("q")
        await pilot.press("q")
        assert pilot.app.is_running
        await pilot.press("x")
    assert pilot.app.return_code == 0


async def test_what_is_wrong_in_the_settings_is_a_notice_and_the_rest_works(tmp_path: Path) -> None:
    problems = tuple(Problem(f"fault {number} [/x]", f"settings.toml:{number}:1") for number in range(1, 6))
    app = Studio(tmp_path, loaded=Loaded(Settings(), problems))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        shown = await settle(pilot)
    assert "settings.toml:1:1: fault 1 [/x]" in shown and "2 more" in shown and "ftui settings check" in shown


async def test_a_disabled_action_stays_in_the_bar_and_its_reason_is_told(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        reasons = {"studio.copy": "nothing to copy", "studio.help": "no help"}
        pilot.app.screen.query_one(KeyBar).show(unavailable=reasons, labels={})
        assert "? (help)" in await settle(pilot)
        await pilot.press("question_mark")
        assert "Not now: nothing to copy." in await settle(pilot)
        await pilot.press("q", "colon", *"copy the text")
        assert "(nothing to copy)" in await settle(pilot)


async def test_the_help_page_wraps_its_sentences(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(44, 120)) as pilot:
        await settle(pilot)
        await pilot.press("question_mark")
        shown = " ".join((await settle(pilot)).split())
        for action in actions_of("table", "runs"):
            assert action.help in shown, action.id


async def test_a_bar_with_too_many_keys_keeps_the_ways_to_find_them(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", steps=5)
    async with studio(tmp_path).run_test(size=(44, 24)) as pilot:
        await settle(pilot)
        await pilot.press("5")
        assert (await settle(pilot)).splitlines()[-1].endswith(": commands  ? help  q quit")


@pytest.mark.parametrize("size", [(20, 5), (39, 24), (80, 9), (1, 1)])
async def test_a_terminal_that_is_too_small_gets_a_sentence(tmp_path: Path, size: tuple[int, int]) -> None:
    async with studio(tmp_path).run_test(size=size) as pilot:
        shown = " ".join((await settle(pilot)).split())
        if size[0] > 1:
            assert f"This terminal has {size[0]}x{size[1]} cells." in shown and "Runs" not in shown
        await pilot.press("2", "question_mark", "q", "colon", "ctrl+p", "5")
        await pilot.resize_terminal(80, 24)
        assert station(await settle(pilot)) == "Train"


async def test_every_size_from_small_to_large_and_back(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", steps=50)
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        for size in ((200, 60), (1, 1), (120, 36), (20, 5), (40, 10), (300, 100), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert station(await settle(pilot)) == "Train"


async def test_layout_classes_follow_the_size(tmp_path: Path) -> None:
    expected = {
        (20, 5): {"-cramped", "-flat"},
        (80, 24): {"-narrow", "-low"},
        (120, 36): {"-wide", "-tall"},
        (200, 60): {"-widest", "-tallest"},
    }
    every = set().union(*expected.values())
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        for size, classes in expected.items():
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert set(pilot.app.screen.classes) & every == classes


def test_no_two_actions_of_a_place_share_a_key() -> None:
    for scopes in PLACES.values():
        keys = [key for action in actions_of(*scopes) for key in action.keys]
        assert len(keys) == len(set(keys)), scopes
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_every_scope_has_a_title_and_a_place() -> None:
    scopes = {action.scope for action in ACTIONS}
    assert scopes <= set(SCOPES)
    assert scopes <= {scope for place in PLACES.values() for scope in place}


def test_escape_is_never_the_only_way() -> None:
    assert not [action.id for action in ACTIONS if set(action.keys) <= {"escape"}]


def test_quitting_is_known_to_the_keymap() -> None:
    rules = keymap_rules()
    assert rules.leaves in rules.defaults and rules.fixed == {"studio.leave"}


def test_the_page_of_keys_is_current() -> None:
    """Where this fails: python -m finetui.keys_page > docs/keys.md"""
    assert (ROOT / "docs" / "keys.md").read_text() == keys_page()


def test_the_examples_of_the_pages_are_without_fault(tmp_path: Path) -> None:
    pages = (ROOT / "docs" / name for name in ("keys.md", "settings.md"))
    examples = [
        one for page in pages for one in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert len(examples) == 4
    file = tmp_path / "mine.toml"
    for example in examples:
        file.write_text(example)
        if "[colours]" in example:
            assert not load_theme(file, built_in_themes()).dark
        else:
            loaded = load(file, interface().actions, theme_files(built_in_themes()))
            assert loaded.problems == () and loaded.settings != Settings()


FIRST_FRAME = """
import asyncio, sys
from pathlib import Path
from finetui.app import Studio
from finetui.interface import interface
from finetui_core.settings import load, settings_file, user_themes_folder
async def main():
    known = interface()
    loaded = load(settings_file(), known.actions, known.themes(user_themes_folder()))
    assert not loaded.problems and loaded.settings.keys
    async with Studio(Path(sys.argv[1]), loaded=loaded).run_test() as pilot:
        await pilot.pause()
asyncio.run(main())
print(*{"pydantic", "tomlkit", "psutil", "pynvml", "torch", "numpy"} & set(sys.modules))
"""


def test_the_first_frame_needs_neither_the_recipe_nor_the_machine(tmp_path: Path, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "settings.toml").write_text('theme = "ftui-light"\n[keys]\n"studio.help" = "f1"\n')
    code = f"import sys; sys.path[:0] = {[str(ROOT / 'core'), str(ROOT / 'tui')]}\n{FIRST_FRAME}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def screens() -> list[type[Screen[Any]]]:
    from finetui.screens.runs import RunsScreen
    from finetui.screens.stations import StationScreen

    return [RunsScreen, StationScreen]


@pytest.mark.parametrize("screen", screens())
def test_the_scopes_of_a_screen_are_a_place(screen: Any) -> None:
    assert any(set(screen.SCOPES) <= set(place) for place in PLACES.values())
