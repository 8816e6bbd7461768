"""The settings file: what is right in it counts, what is wrong is named by line and column, nothing raises."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.interface import Interface
from finetui_core.keymap import Actions
from finetui_core.settings import MEANINGS, Settings, keep_theme, load
from finetui_core.settings_page import settings_page

ACTIONS = Actions(
    defaults={
        "table.open": ("enter",),
        "run.pause": ("p",),
        "run.stop": ("s",),
        "studio.quit": ("q",),
        "studio.leave": ("ctrl+q",),
    },
    places=(frozenset({"table", "studio"}), frozenset({"run", "studio"})),
    fixed=frozenset({"studio.leave"}),
    leaves="studio.quit",
)
THEMES = ("ftui-dark", "ftui-light")
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def loaded_from(folder: Path, text: str | bytes) -> tuple[Settings, list[str]]:
    file = folder / "settings.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = load(file, ACTIONS, THEMES)
    return result.settings, [str(problem).replace(str(folder), "") for problem in result.problems]


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    loaded = load(tmp_path / "none.toml", ACTIONS, THEMES)
    assert (loaded.settings, loaded.problems) == (Settings(), ())


def test_what_the_file_says_holds(tmp_path: Path) -> None:
    text = 'theme = "ftui-light"\nrefresh_seconds = 2\nmouse = false\n[keys]\n"run.pause" = ["P", "?"]\n'
    settings, problems = loaded_from(tmp_path, text)
    assert settings == Settings("ftui-light", 2, False, {"run.pause": ("P", "question_mark")})
    assert problems == []


def test_every_fault_is_named_with_its_place_and_the_rest_counts(tmp_path: Path) -> None:
    text = (
        'them = "ftui-dark"\ntheme = "ftui-drak"\nrefresh_seconds = 0\nmouse = "no"\n'
        '[keys]\n"run.puse" = "x"\nrun.stop = "k"\n'
    )
    settings, problems = loaded_from(tmp_path, text)
    assert settings == Settings(keys={"run.stop": ("k",)})
    assert problems == [
        '/settings.toml:1:1: unknown setting "them"\n    did you mean "theme"?',
        '/settings.toml:2:9: there is no theme "ftui-drak"\n    did you mean "ftui-dark"?',
        "/settings.toml:3:19: refresh_seconds must be a number from 0.2 to 60, not 0\n"
        "    take the line out for the default, 1.0",
        '/settings.toml:4:9: mouse must be true or false, not "no"\n    take the line out for the default, true',
        '/settings.toml:6:1: no action is called "run.puse"\n    did you mean "run.pause"?',
    ]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('"studio.quit" = []', "quitting cannot be left without a key"),
        ('"studio.leave" = "x"', "the key of studio.leave cannot be changed"),
        ('"run.pause" = "ctrl+q"', '"ctrl+q" is the key that quits, which must not be lost'),
        ('"run.pause" = "q"', '"q" is the key that quits, which must not be lost'),
        ('"run.pause" = "s"', '"s" already means run.stop'),
        ('"run.pause" = []', "run.pause needs at least one key"),
        ('"run.pause" = 7', "run.pause needs a key or a list of keys, not 7"),
        ('"run.pause" = "pp"', '"pp" is not a key'),
        ('"run.pause" = "ctrl+m"', '"ctrl+m" cannot be told from enter in most terminals'),
    ],
)
def test_a_keymap_that_would_lose_something_is_refused(tmp_path: Path, keys: str, said: str) -> None:
    settings, (problem,) = loaded_from(tmp_path, f"[keys]\n{keys}\n")
    assert settings.keys == {}
    assert f"/settings.toml:2:{1 if 'leave' in keys else keys.index('=') + 3}: {said}" in problem


def test_two_keys_can_be_exchanged_and_quitting_can_move(tmp_path: Path) -> None:
    text = '[keys]\n"run.pause" = "s"\n"run.stop" = "p"\n"studio.quit" = "x"\n'
    settings, problems = loaded_from(tmp_path, text)
    assert settings.keys == {"run.pause": ("s",), "run.stop": ("p",), "studio.quit": ("x",)}
    assert problems == []


def test_a_key_may_mean_something_else_on_another_screen(tmp_path: Path) -> None:
    settings, problems = loaded_from(tmp_path, '[keys]\n"table.open" = "p"\n')
    assert (settings.keys, problems) == ({"table.open": ("p",)}, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"theme = ftui-dark", ":1:9: not valid TOML"),
        (b'# \xc3\xa9\ntheme = "\xff"', ":2:10: the file is not UTF-8 text"),
        (b"theme = \x00", ":1:9: not valid TOML"),
        (b"[keys", ":1:6: not valid TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_passed_over(tmp_path: Path, content: bytes, said: str) -> None:
    settings, (problem,) = loaded_from(tmp_path, content)
    assert settings == Settings() and said in problem


def test_a_folder_in_its_place_is_passed_over(tmp_path: Path) -> None:
    loaded = load(tmp_path, ACTIONS, THEMES)
    assert loaded.settings == Settings() and "this is not a file" in str(loaded.problems[0])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
).filter(lambda value: value is not None)
names = st.sampled_from(["theme", "refresh_seconds", "mouse", "keys", "slurm", "else"])


@given(st.dictionaries(names, values, max_size=4))
def test_no_values_raise(tmp_path_factory: pytest.TempPathFactory, given_values: dict[str, object]) -> None:
    import tomlkit

    try:
        text = tomlkit.dumps(given_values)
    except (ValueError, TypeError, tomlkit.exceptions.TOMLKitError):
        return
    settings, _ = loaded_from(tmp_path_factory.mktemp("settings"), text.encode("utf-8", "replace"))
    assert settings.theme in THEMES and 0.2 <= settings.refresh_seconds <= 60
    keys = {**ACTIONS.defaults, **settings.keys}
    assert keys["studio.leave"] == ("ctrl+q",) and keys["studio.quit"]


@given(
    st.dictionaries(st.sampled_from(sorted(ACTIONS.defaults)), st.lists(st.sampled_from("pqsx?"), max_size=2))
)
def test_whatever_is_asked_for_no_key_means_two_things(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, list[str]]
) -> None:
    text = "[keys]\n" + "".join(f'"{action}" = {json.dumps(keys)}\n' for action, keys in wanted.items())
    settings, _ = loaded_from(tmp_path_factory.mktemp("keys"), text)
    final = {**ACTIONS.defaults, **settings.keys}
    for place in ACTIONS.places:
        keys = [key for action, some in final.items() if action.partition(".")[0] in place for key in some]
        assert len(keys) == len(set(keys))


def test_keeping_a_theme_leaves_the_rest_of_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "ftui" / "settings.toml"
    keep_theme(file, "ftui-light")
    assert file.read_text() == 'theme = "ftui-light"\n'
    file.write_text('# mine\ntheme = "ftui-light"   # bright\nmouse = false\n')
    keep_theme(file, "ftui-dark")
    assert file.read_text() == '# mine\ntheme = "ftui-dark"   # bright\nmouse = false\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ftui" / "themes").mkdir(parents=True)
    return tmp_path / "ftui"


INTERFACE = Interface(ACTIONS, Path(__file__).parents[2] / "themes")


def test_the_command_shows_what_holds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'mouse = false\n[slurm]\npartition = "gpu"\n[keys]\nrun.pause = "P"\n'
    (home / "settings.toml").write_text(text)
    assert main(["settings", "show"], INTERFACE) == 0
    assert capsys.readouterr().out == (
        'theme = "ftui-dark"  # the default\nrefresh_seconds = 1.0  # the default\nmouse = false\n'
        'slurm.partition = "gpu"\nkeys."run.pause" = ["P"]\n'
    )
    assert main(["settings", "show", "--json"], INTERFACE) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["mouse"] is False and shown["keys"] == {"run.pause": ["P"]}


def test_the_command_names_the_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "path", "--json"], INTERFACE) == 0
    places = {"settings": str(home / "settings.toml"), "themes": str(home / "themes")}
    assert json.loads(capsys.readouterr().out) == places


def test_the_command_checks_settings_and_themes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "check"], INTERFACE) == 0
    capsys.readouterr()
    (home / "settings.toml").write_text("mouse = 3\n")
    (home / "themes" / "mine.toml").write_text('[colours]\ngood = "gren"\n')
    assert main(["settings", "check", "--json"], INTERFACE) == 3
    answer = json.loads(capsys.readouterr().out)
    places = [problem["where"].rpartition("ftui/")[2] for problem in answer["problems"]]
    assert not answer["ok"] and places == ["settings.toml:1:9", "themes/mine.toml:2:8"]
    assert main(["settings", "check"], INTERFACE) == 3
    assert "good must be a colour" in capsys.readouterr().out


def test_every_fault_that_the_command_finds_has_a_place_and_a_way_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "settings.toml").write_text(
        'them = 1\ntheme = 1\nrefresh_seconds = "x"\nmouse = 1\n[keys]\n"run.puse" = "x"\n"run.pause" = "s"\n'
        '"run.stop" = "pp"\n"table.open" = 3\n"studio.quit" = []\n'
    )
    themes = {"base": 'base = "x"\ndark = 1\nelse = 1\n', "colours": "colours = 1\n", "toml": "dark =\n"}
    themes |= {"colour": '[colours]\ngood = "gren"\ngod = "#00ff00"\n'}
    for name, text in themes.items():
        (home / "themes" / f"{name}.toml").write_text(text)
    (home / "themes" / "bytes.toml").write_bytes(b'base = "\xe9"\n')
    assert main(["settings", "check", "--json"], INTERFACE) == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 9 + 3 + 1 + 1 + 2 + 1
    for problem in problems:
        assert re.fullmatch(r".*\.toml:\d+:\d+", problem["where"]), problem
        assert problem["what"] and problem["hint"], problem


def test_the_page_on_the_settings_is_up_to_date() -> None:
    """Where this fails: python -m finetui_core.settings_page > docs/settings.md"""
    assert PAGE.read_text() == settings_page()
    assert set(MEANINGS) == {one.name for one in fields(Settings)}


def test_a_relative_folder_in_the_environment_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from finetui_core.settings import settings_file

    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_file() == tmp_path / ".config" / "ftui" / "settings.toml"
