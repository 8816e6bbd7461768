"""The places of keys and values agree with what tomli finds in the same text."""

import string
from typing import Any

import tomli
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.recipe.positions import Place, Positions, find_positions

EVERYTHING = '''\
# a comment with "quotes" and [brackets] = 1
top = 1
"quoted key" . 'its'  =  "a # no comment"  # a comment
multi = """
not.a.key = 1 \\""" still inside
["nor", "this"]"""""
literal = \'\'\'
x = 'y' \'\'\'
[a.b]
c = [ 1, # one
  [ 2.5, "]" ], { d = 3, e.f = [4] } , ]
date = 1979-05-27 07:32:00
empty = []
none = {}
[[list]]
x = 1
[[list]]
x = 2
[list.sub]
y = 3
[[list.sub.deep]]
z = 4
'''


def at(text: str, place: Place) -> str:
    line, column = place
    return text.split("\n")[line - 1][column - 1 :]


def check(value: Any, path: tuple[str | int, ...], text: str, positions: Positions) -> None:
    """Every name and element of a parsed value has a place, and the text there starts as it should."""
    if isinstance(value, dict):
        for name, inner in value.items():
            written = at(text, positions.keys[(*path, name)])
            start = written[0]
            if start in "\"'":
                assert tomli.loads(f"k = {written[: written.index(start, 1) + 1]}")["k"][:3] == name[:3]
            else:
                assert written.startswith(name)
            check(inner, (*path, name), text, positions)
    elif isinstance(value, list) and path in positions.values:
        assert at(text, positions.values[path]).startswith("[")
        for index, inner in enumerate(value):
            assert (*path, index) in positions.values
            check(inner, (*path, index), text, positions)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check(inner, (*path, index), text, positions)
    elif isinstance(value, str):
        assert at(text, positions.values[path])[0] in "\"'"
    elif isinstance(value, bool):
        assert at(text, positions.values[path]).startswith("true" if value else "false")
    elif isinstance(value, int):
        assert at(text, positions.values[path]).startswith(str(value))


def test_every_construct_of_toml_has_its_place() -> None:
    positions = find_positions(EVERYTHING)
    check(tomli.loads(EVERYTHING), (), EVERYTHING, positions)
    assert positions.keys[("quoted key", "its")] == (3, 16)
    assert positions.values[("quoted key", "its")] == (3, 26)
    assert positions.values[("a", "b", "c", 1, 1)] == (11, 10)
    assert positions.values[("a", "b", "c", 2, "e", "f", 0)] == (11, 33)
    assert positions.keys[("list", 1, "sub", "deep", 0, "z")] == (22, 1)


def test_columns_count_characters_not_bytes() -> None:
    assert find_positions("[t]\nx = { a = 'äöü', b = 1 }\n").keys[("t", "x", "b")] == (2, 18)


def test_windows_line_ends_do_not_move_places() -> None:
    assert find_positions("[t]\r\n\r\n# c\r\nx = 1\r\n").keys[("t", "x")] == (4, 1)


NAMES = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=6) | st.text(
    string.ascii_letters + " .#=[]äé€", min_size=1, max_size=6
)
TEXTS = st.text(string.ascii_letters + " \n\t#=[]{},\"'\\äé€", max_size=12)
VALUES = st.recursive(
    st.integers(-(10**6), 10**6) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_whatever_tomlkit_writes_is_found(values: dict[str, Any]) -> None:
    text = tomlkit.dumps(values)
    check(tomli.loads(text), (), text, find_positions(text))


SNIPPETS = st.sampled_from(
    [
        "# [no] = 1", "", "   ", 'k1 = "a#b"', "k2 = 'c:\\d'", "k3.x = 1", "k3.y.z = [1, 2]",
        'k4 = """\nq = 1\n"""',
        "k5 = [\n  1, # one\n  'two',\n]", "k6 = {a = 1, b.c = 'x'}", "k7 = 2020-01-01", "k8 = -inf # nan",
        "[t1]", "[t2.u]", "[[l1]]", "[l1.m]", "[ t3 . 'v w' ]", "k9 = '''\n''''", 'k0 = ""',
    ]
)  # fmt: skip


@given(st.lists(SNIPPETS, max_size=14), st.sampled_from(["\n", "\r\n"]))
def test_any_valid_arrangement_of_lines_is_found(lines: list[str], line_end: str) -> None:
    text = line_end.join(line.replace("\n", line_end) for line in lines)
    try:
        values = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    check(values, (), text, find_positions(text))
