"""Themes on the screen: chosen, kept, reloaded when saved, refused with their faults, and left out by NO_COLOR."""

import os
from pathlib import Path

import pytest
from rich.color import Color
from tui_runs import make_run
from tui_screen import settle

from finetui.app import Studio
from finetui_core.settings import Loaded, Settings
from finetui_core.themes import load_theme, theme_files

FOLDER = Path(__file__).parents[2] / "themes"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    themes = tmp_path / "config" / "ftui" / "themes"
    themes.mkdir(parents=True)
    return themes.parent


def colours_on(app: Studio) -> set[str]:
    """Every colour of the screen, as #rrggbb."""
    styles = [segment.style for strip in app.screen._compositor.render_strips() for segment in strip]
    found = {colour for style in styles if style for colour in (style.color, style.bgcolor) if colour}
    return {"#{:02x}{:02x}{:02x}".format(*Color.get_truecolor(colour)) for colour in found}


def with_theme(tmp_path: Path, name: str) -> Studio:
    return Studio(tmp_path / "runs", loaded=Loaded(Settings(theme=name)))


@pytest.mark.parametrize("name", theme_files(FOLDER))
async def test_only_the_colours_of_the_theme_are_on_the_screen(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "runs", steps=50)
    theme = load_theme(FOLDER / f"{name}.toml", FOLDER)
    async with with_theme(tmp_path, name).run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert colours_on(pilot.app) <= set(theme.colours.values())
        await pilot.press("2")
        await settle(pilot)
        assert colours_on(pilot.app) <= set(theme.colours.values())


async def test_a_theme_chosen_in_the_palette_is_kept(tmp_path: Path, home: Path) -> None:
    async with with_theme(tmp_path, "ftui-dark").run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"theme light", "enter")
        await settle(pilot)
        assert "#ffffff" in colours_on(pilot.app)
    assert (home / "settings.toml").read_text() == 'theme = "ftui-light"\n'


async def test_a_theme_of_the_user_is_reloaded_when_it_is_saved(tmp_path: Path, home: Path) -> None:
    mine = home / "themes" / "mine.toml"
    mine.write_text('[colours]\nbackground = "#5f0000"\n')
    async with with_theme(tmp_path, "mine").run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        assert "#5f0000" in colours_on(pilot.app)
        for number, (text, colour) in enumerate(
            (
                ('[colours]\nbackground = "#00005f"\naccent = "#ffff00"\n', "#00005f"),
                ("[colours]\nbackground = red\n", "#00005f"),
                ('[colours]\nbackground = "#005f00"\n', "#005f00"),
            ),
            start=1,
        ):
            mine.write_text(text)
            os.utime(mine, ns=(number, number))
            pilot.app._reload_theme()
            shown = await settle(pilot)
            assert colour in colours_on(pilot.app)
            if "red" in text:
                assert "mine.toml:2:14" in "".join(shown.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[colours]\ngood = "gren"\n', "mine.toml:2:8: good must be a colour"),
        ("\x00", "mine.toml:1:1: not valid TOML"),
        ('base = "none"\n', "mine.toml:1:8: there is no theme"),
        (None, "no theme mine"),
    ],
)
async def test_a_theme_with_faults_is_a_notice_and_the_default_is_shown(
    tmp_path: Path, home: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (home / "themes" / "mine.toml").write_text(text)
    async with with_theme(tmp_path, "mine").run_test(size=(160, 40), notifications=True) as pilot:
        shown = await settle(pilot)
    assert pilot.app.theme == "ftui-dark"
    assert "".join(said.split()) in "".join(shown.replace("▌", "").split())


async def test_a_theme_that_was_deleted_stays_on_the_screen(tmp_path: Path, home: Path) -> None:
    mine = home / "themes" / "mine.toml"
    mine.write_text('[colours]\nbackground = "#5f0000"\n')
    async with with_theme(tmp_path, "mine").run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        mine.unlink()
        pilot.app._reload_theme()
        await settle(pilot)
        assert "#5f0000" in colours_on(pilot.app)


async def test_without_colours_everything_is_grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run(tmp_path / "runs", steps=50)
    async with with_theme(tmp_path, "ftui-dark").run_test(size=(80, 24)) as pilot:
        shown = await settle(pilot)
        assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours_on(pilot.app))
    assert "[1 Runs]" in shown and "● running" in shown
