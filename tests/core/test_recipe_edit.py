"""A recipe edited in place: one option changes, and every other byte stays."""

import re
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.recipe.edit import set_value, toml_value, unset
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.positions import find_positions
from finetui_core.recipe.table import OptionInfo, option_table, table_names

HEAD = '[model]\nname = "o/m"\n[data]\ntrain = "a"\n'
SET = {
    "a value": ("[train]\nseed = 7  # lucky\n", "[train]\nseed = 8  # lucky\n"),
    "tabs and CRLF": ("[train]\r\n\tseed\t=\t7\t# x\r\n", "[train]\r\n\tseed\t=\t8\t# x\r\n"),
    "a byte order mark": ("\ufeff[train]\nseed=7", "\ufeff[train]\nseed=8"),
    "quoted names": ("[ 'train' ]\n\"seed\" = 7\n", "[ 'train' ]\n\"seed\" = 8\n"),
    "a dotted name": ("train.seed = 7\n[eval]\n", "train.seed = 8\n[eval]\n"),
    "an inline table": ("train = { seed = 7, method = 'full' }", "train = { seed = 8, method = 'full' }"),
    "a list with remarks": (
        "[train]\n  seed = [ # one\n 7, '#' ]\n",
        "[train]\n  # one\n  seed = 8\n",
    ),
    "new, after the last": (
        "[train]\n  method = 'full' # m\n\n# next\n[eval]\n",
        "[train]\n  method = 'full' # m\n  seed = 8\n\n# next\n[eval]\n",
    ),
    "new, in an empty table": ("[train] # t\n[eval]\n", "[train] # t\nseed = 8\n[eval]\n"),
    "new, no last line break": ("[train]\r\nmethod = 'full'", "[train]\r\nmethod = 'full'\r\nseed = 8"),
    "new, inline": ("train = {method = 'full'} # x\n", "train = {method = 'full', seed = 8} # x\n"),
    "new, inline and empty": ("train = {}\n", "train = {seed = 8}\n"),
    "new, dotted": ("train.method = 'full'\n[eval]", "train.method = 'full'\ntrain.seed = 8\n[eval]"),
    "new table": ("[eval]\nsteps = 1\n# end\n", "[eval]\nsteps = 1\n# end\n\n[train]\nseed = 8\n"),
    "nothing yet": ("", "[train]\nseed = 8\n"),
    "the same already": ("[train]\nseed = 0x8\n", "[train]\nseed = 0x8\n"),
}


@pytest.mark.parametrize(("before", "after"), SET.values(), ids=SET)
def test_setting_touches_one_place(before: str, after: str) -> None:
    assert set_value(before, "train", "seed", 8) == after


UNSET = {
    "a line": ("[train]\nseed = 7\n# x\n", "[train]\n# x\n"),
    "its remark stays": ("[train]\n  seed = 7  # lucky\n", "[train]\n  # lucky\n"),
    "the last line": ("[train]\r\nseed = 7", "[train]\r\n"),
    "first of an inline table": ("train = { seed = 7, x = 1 }", "train = { x = 1 }"),
    "last of an inline table": ("train = { x = 1, seed = 7 }", "train = { x = 1 }"),
    "not there": ("[eval]\n", "[eval]\n"),
    "a dotted name": ("train.seed = 7\n", ""),
}


@pytest.mark.parametrize(("before", "after"), UNSET.values(), ids=UNSET)
def test_unsetting_keeps_the_rest(before: str, after: str) -> None:
    assert unset(before, "train", "seed") == after


@pytest.mark.parametrize("text", ["[[train]]\nseed = 7\n", "train = 5\n", "[train\n"])
def test_what_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        set_value(text, "train", "seed", 8)


def _value_of(option: OptionInfo) -> st.SearchStrategy[Any]:
    match option.kind:
        case "choice":
            return st.sampled_from(option.choices)
        case "switch":
            return st.booleans()
        case "whole number":
            low = int(option.minimum or 0)
            return st.integers(max(low, 1), int(option.maximum or 10**9))
        case "number":
            low, high = option.minimum or 0.0, option.maximum or 0.5
            return st.floats(low, high, exclude_min=option.above_minimum, exclude_max=option.below_maximum)
        case "names":
            return st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3)
        case _:
            return st.text(min_size=1, max_size=12)


_COMMENT = st.text("abc #\"'[]={},é", max_size=9).map(lambda words: f"# {words}")


@st.composite
def recipes(draw: st.DrawFn) -> str:
    """A valid recipe: tables in any order and form, with remarks, blanks, tabs and either line end."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    required = [option for option in option_table() if option.required]
    lists = [option for option in option_table() if option.kind == "names"]
    any_option = st.sampled_from(option_table()) | st.sampled_from(lists)
    others = draw(st.lists(any_option, unique_by=lambda option: option.path, max_size=9))
    chosen = list({option.path: option for option in [*required, *others]}.values())
    tables = draw(st.permutations([name for name in table_names() if any(o.table == name for o in chosen)]))
    dotted, headed = [], []
    for table in tables:
        own = [(option.name, draw(_value_of(option))) for option in chosen if option.table == table]
        form = draw(st.sampled_from(["header", "header", "dotted", "inline"]))
        if form == "inline":
            inner = ", ".join(f"{name} = {toml_value(value)}" for name, value in own)
            dotted.append(f"{table} = {{ {inner} }}{draw(st.sampled_from(['', '  # i']))}")
            continue
        indent = draw(st.sampled_from(["", "\t", "  "]))
        lines = dotted if form == "dotted" else headed
        if form == "header":
            lines.append(draw(st.sampled_from([f"[{table}]", f"[ {table} ] # t"])))
        for name, value in own:
            if draw(st.booleans()):
                lines.append(indent + draw(_COMMENT))
            written = toml_value(value)
            if isinstance(value, list) and draw(st.booleans()):
                parts = f",{newline}".join(map(toml_value, value))
                written = f"[ {draw(_COMMENT)}{newline}{parts} ]"
            behind = draw(st.sampled_from(["", " ", "\t# behind"]))
            name = f"{table}.{name}" if form == "dotted" else name
            equals = draw(st.sampled_from([" = ", "=", "\t=  "]))
            lines.append(f"{indent}{name}{equals}{written}{behind}")
        lines.extend(draw(st.lists(st.just("") | _COMMENT, max_size=2)))
    end = draw(st.sampled_from(["", newline]))
    return draw(st.sampled_from(["", "\ufeff"])) + newline.join([*dotted, *headed]) + end


def _values(text: str) -> dict[str, Any]:
    return tomli.loads(text.removeprefix("\ufeff"))


def _options(text: str) -> dict[tuple[str, str], Any]:
    return {(table, name): value for table, own in _values(text).items() for name, value in own.items()}


def _comments(text: str) -> list[str]:
    found = re.findall(r'"(?:\\.|[^"\\])*"|#[^\r\n]*', text)
    return [one for one in found if one.startswith("#")]


@settings(deadline=None)
@given(st.data())
def test_any_valid_recipe_changes_in_one_option_alone(data: st.DataObject) -> None:
    text = data.draw(recipes())
    Recipe.model_validate(_values(text))
    written = [option for option in option_table() if option.path in _options(text)]
    lists = [option for option in written if option.kind == "names"] or written
    option = data.draw(st.one_of(map(st.sampled_from, (option_table(), written, lists))))
    value = data.draw(_value_of(option))
    was_there = option.path in _options(text)
    edited = set_value(text, *option.path, value)
    assert _options(edited) == {**_options(text), option.path: value}
    assert sorted(_comments(edited)) == sorted(_comments(text))
    assert edited.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in text) <= (edited.count("\r\n") == edited.count("\n"))
    mark = len(text) - len(text.removeprefix("\ufeff"))
    pair = find_positions(text[mark:]).pairs.get(option.path)
    if was_there and pair is not None:
        line = text.rfind("\n", 0, mark + pair.key) + 1
        assert edited.startswith(text[:line])
        assert edited.endswith(text[mark + pair.end :])
        assert text[line : mark + pair.value].removeprefix("\ufeff") in edited
    else:
        lines = text.splitlines(keepends=True)
        kept = edited.splitlines(keepends=True)
        changed = [line for line in lines if line not in kept]
        assert len(changed) <= 1  # the inline table, or the last line, which gets a line break


@settings(deadline=None)
@given(st.data())
def test_what_is_taken_out_leaves_every_other_line(data: st.DataObject) -> None:
    text = data.draw(recipes())
    path = data.draw(st.sampled_from(sorted(_options(text))))
    edited = unset(text, *path)
    assert _options(edited) == {name: value for name, value in _options(text).items() if name != path}
    assert sorted(_comments(edited)) == sorted(_comments(text))


_SCALARS = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False)


@given(
    st.recursive(
        _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )
)
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    assert tomli.loads(f"value = {toml_value(value)}")["value"] == value
