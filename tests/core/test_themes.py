"""Themes: those that come with ftui can be read by everybody, and one with faults is refused with their places."""

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.themes import COLOURS, Theme, load_theme, theme_files

FOLDER = Path(__file__).parents[2] / "themes"
NAMES = ("ftui-colour-blind", "ftui-dark", "ftui-high-contrast", "ftui-light")
LEVELS = {0, 95, 135, 175, 215, 255}
GREYS = {8 + 10 * step for step in range(24)}


def theme(name: str) -> Theme:
    return load_theme(FOLDER / f"{name}.toml", FOLDER)


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def linear(colour: str) -> tuple[float, ...]:
    """Linear light of sRGB (IEC 61966-2-1)."""
    return tuple(
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in rgb(colour))
    )


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2."""
    light, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True)) + 0.05)
        for colour in (one, other)
    )[::-1]
    return light / dark


RED_BLIND = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
GREEN_BLIND = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
"""Machado, Oliveira and Fernandes 2009, severity 1.0, for linear light."""


def distance(one: str, other: str, matrix: tuple[tuple[float, ...], ...]) -> float:
    """Euclidean distance in CIELAB (D65) of two colours as somebody with `matrix` sees them."""
    return math.dist(*(lab(tuple(seen(linear(colour), matrix))) for colour in (one, other)))


def seen(light: tuple[float, ...], matrix: tuple[tuple[float, ...], ...]) -> list[float]:
    return [min(1.0, max(0.0, sum(a * b for a, b in zip(row, light, strict=True)))) for row in matrix]


def lab(light: tuple[float, ...]) -> tuple[float, float, float]:
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.95047, 1.0, 1.08883)
    xyz = [
        sum(a * b for a, b in zip(row, light, strict=True)) / w for row, w in zip(rows, white, strict=True)
    ]
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_these_themes_come_with_ftui() -> None:
    assert tuple(theme_files(FOLDER)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_colour_is_one_of_the_256_of_xterm(name: str) -> None:
    for colour in theme(name).colours.values():
        red, green, blue = rgb(colour)
        assert {red, green, blue} <= LEVELS or (red == green == blue and red in GREYS), colour


@pytest.mark.parametrize("name", NAMES)
def test_every_text_can_be_read(name: str) -> None:
    colours = theme(name).colours
    least = 7.0 if name == "ftui-high-contrast" else 4.5
    for ground, meaning in itertools.product(("background", "panel"), ("foreground", "muted")):
        assert contrast(colours[ground], colours[meaning]) >= min(least, 4.5 if ground == "panel" else least)
    for meaning in ("accent", "good", "warning", "bad", "train", "validation"):
        assert contrast(colours["background"], colours[meaning]) >= least, meaning
    for meaning in ("axis", "raw", *(f"run-{number}" for number in range(1, 7))):
        assert contrast(colours["background"], colours[meaning]) >= 3, meaning  # WCAG 1.4.11: graphics


@pytest.mark.parametrize("name", NAMES)
def test_meanings_stay_apart_where_a_terminal_has_16_colours(name: str) -> None:
    from rich.color import Color, ColorSystem

    colours = theme(name).colours
    runs = [f"run-{number}" for number in range(1, 7)]
    for group in (("good", "warning", "bad"), ("train", "validation", "raw"), runs):
        numbers = [Color.parse(colours[one]).downgrade(ColorSystem.STANDARD).number for one in group]
        assert len(set(numbers)) == len(group), (group, numbers)


@pytest.mark.parametrize("matrix", [RED_BLIND, GREEN_BLIND])
def test_the_colour_blind_theme_keeps_meanings_apart(matrix: tuple[tuple[float, ...], ...]) -> None:
    colours = theme("ftui-colour-blind").colours
    runs = [f"run-{number}" for number in range(1, 7)]
    for group in (("good", "warning", "bad"), ("train", "validation"), runs):
        for one, other in itertools.combinations(group, 2):
            assert distance(colours[one], colours[other], matrix) > 20, (one, other)


def problems_of(folder: Path, text: str) -> list[str]:
    file = folder / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_theme(file, FOLDER)
    return [str(problem).replace(str(file), "mine") for problem in caught.value.problems]


def test_every_fault_is_named_with_its_place(tmp_path: Path) -> None:
    text = 'base = "ftui-drak"\ndark = 1\ncolour = 2\n[colours]\ngod = "#5fd75f"\nbad = "redd"\ngood = 3\n'
    assert problems_of(tmp_path, text) == [
        'mine:1:8: there is no theme "ftui-drak" to build on\n    did you mean "ftui-dark"?',
        "mine:2:8: dark must be true or false, not 1\n    take the line out for that of the base",
        'mine:3:1: unknown name "colour"\n    did you mean "colours"?',
        'mine:5:1: no colour is called "god"\n    did you mean "good"?',
        'mine:6:7: bad must be a colour, not "redd"\n    write it as "#rrggbb", such as "#5fafff"',
        'mine:7:8: good must be a colour, not 3\n    write it as "#rrggbb", such as "#5fafff"',
    ]


def test_colours_that_are_not_given_come_from_the_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "ftui-light"\n[colours]\ngood = "#00875f"\n')
    mine, base = load_theme(file, FOLDER), theme("ftui-light")
    assert mine == Theme("mine", False, {**base.colours, "good": "#00875f"})


@given(st.dictionaries(st.sampled_from([*COLOURS, "else"]), st.text(max_size=8) | st.integers(), max_size=4))
def test_a_theme_is_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, colours: dict[str, object]
) -> None:
    import tomlkit

    file = tmp_path_factory.mktemp("themes") / "mine.toml"
    file.write_bytes(tomlkit.dumps({"colours": colours}).encode("utf-8", "replace"))
    try:
        found = load_theme(file, FOLDER)
    except InputError as error:
        assert all(problem.where.startswith(str(file)) for problem in error.problems)
    else:
        assert set(found.colours) == set(COLOURS)
