"""The text of a recipe under both views: its history, its offsets, and the bytes that no edit may touch."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tui_recipe import TEXT, opened, press, screen_of, write
from tui_screen import screen_text

from finetui import recipe_files
from finetui import recipe_typing as edits
from finetui.recipe_draft import MOST_KEPT, new_draft
from finetui.recipe_seen import see
from finetui.recipe_values import stepped, typed_value
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.table import option_table, options_by_path

sys.path.append(str(Path(__file__).parents[1] / "core"))
from test_recipe_edit import recipes

TEXTS = st.text(st.sampled_from('ab=[]"#\té\u0301漢 \n'), max_size=40).flatmap(
    lambda text: st.sampled_from([text, text.replace("\n", "\r\n")])
)


@given(TEXTS, st.data())
def test_moving_never_stands_inside_a_line_break(text: str, data: st.DataObject) -> None:
    at = edits.offset_of(text, *data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    moves = (edits.left, edits.right, edits.word_left, edits.word_right, edits.line_start, edits.line_end)
    for move in data.draw(st.lists(st.sampled_from(moves), max_size=12)):
        at = move(text, at)
        at = edits.down(text, at, data.draw(st.integers(-3, 3)))
        assert 0 <= at <= len(text) and text[at - 1 : at + 1] != "\r\n"
        assert edits.offset_of(text, *edits.place_of(text, at)) == at


@given(TEXTS, st.lists(st.tuples(st.integers(0, 40), TEXTS, st.sampled_from(["", "type"])), max_size=12))
def test_all_that_was_done_is_undone_and_done_again(text: str, changes: list[tuple[int, str, str]]) -> None:
    draft = new_draft("x", Path(), text)
    for at, what, typing in changes:
        draft.change(*edits.inserted(draft.text, min(at, len(draft.text)), what), typing)
        assert 0 <= draft.cursor <= len(draft.text)
    after = draft.text
    while draft.undo():
        assert 0 <= draft.cursor <= len(draft.text)
    assert draft.text == text
    while draft.redo():
        pass
    assert draft.text == after


def test_what_is_typed_in_one_go_is_one_step() -> None:
    draft = new_draft("x", Path(), "")
    for character in "abc":
        draft.change(*edits.inserted(draft.text, draft.cursor, character), "type")
    draft.cursor = 0
    draft.change(*edits.inserted(draft.text, draft.cursor, "x"), "type")
    assert draft.undo() and draft.text == "abc"
    assert draft.undo() and draft.text == ""


def test_the_history_is_bounded() -> None:
    draft = new_draft("x", Path(), "")
    for number in range(100):
        draft.change(f"{number:03d}" + "x" * (MOST_KEPT // 50))
    steps = 0
    while draft.undo():
        steps += 1
    assert 40 <= steps <= 51


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_recipe_edited_in_any_view_keeps_every_other_byte(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What is typed is put in alone, form edits are those of `recipe.edit`, and the file has the same mark."""
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_bytes(data.draw(recipes()).encode())
    before = path.read_bytes()
    draft = recipe_files.open_draft(path)
    assert not draft.unsaved and not recipe_files.changed_on_disk(draft)
    line = data.draw(st.integers(0, draft.text.count("\n")))
    at = edits.line_end(draft.text, edits.offset_of(draft.text, line, 0))
    draft.change(*edits.inserted(draft.text, at, f"{draft.newline}# mine"))
    mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
    recipe_files.save(draft)
    offset = len(mark) + len(draft.text[:at].encode())
    inserted = f"{draft.newline}# mine".encode()
    assert path.read_bytes() == before[:offset] + inserted + before[offset:]
    option = data.draw(st.sampled_from([one for one in option_table() if one.kind == "whole number"]))
    value = int(max(option.minimum or 0, 1))
    draft.change(set_value(draft.text, *option.path, value))
    recipe_files.save(draft)
    assert path.read_bytes() == mark + draft.text.encode()
    seen = see(draft.text, "any", path.parent, Facts(), None)
    assert seen.shown[option.dotted].value == value and seen.where[option.dotted]


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT, TEXT.rstrip("\n")])
async def test_what_is_typed_keeps_line_ends_and_mark(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    async with opened(path) as pilot:
        await press(pilot, "tab", "ctrl+home", "end", *" x", "enter", "#", "up", "down", "backspace", "w")
        await press(pilot, "ctrl+s")
    newline = "\r\n" if "\r\n" in text else "\n"
    head = "# What this is for."
    expected = text.replace(head, f"{head} x{newline}w")
    assert path.read_bytes() == expected.encode()


BAD = {
    "no TOML": "[model\n",
    "the same key twice": "[train]\nseed = 1\nseed = 2\n",
    "look-alikes": '[mod\u0435l]\nname = "x"\n[Train]\nSEED = 1\n',
    "nan and inf": "[train]\nlearning_rate = nan\nmax_grad_norm = inf\nweight_decay = -inf\n",
    "numbers as text": '[train]\nlearning_rate = "1e-4"\nseed = "7"\n',
    "enormous": f"[train]\nseed = {'9' * 4000}\nlearning_rate = 1e999\n",
    "negative": "[lora]\nr = -1\n",
    "contradictions": '[model]\nname="o/m"\nquantize="nf4"\n[data]\ntrain="a"\nval="b"\nval_fraction=0.1\n',
    "paths that climb": '[model]\nname = "../../../etc"\n[data]\ntrain = "../../../../../etc/passwd"\n',
    "tabs and CRLF": "[train]\r\n\tseed\t=\t7\t# x\r\n",
    "nested": f"a = {'[' * 400}1{']' * 400}\n",
    "tables of lists": "[[train]]\nseed = 1\n[[train]]\nseed = 2\n",
    "table as value": "train = 5\nmodel = []\n",
    "quoted dots": '["tr.ain"]\n"a.b" = 1\n[train]\n"a.b" = {c = [1, {d = 2}]}\n',
    "dates": "[train]\nseed = 2020-01-01\nlearning_rate = 07:32:00\n",
    "many unknown": "[train]\n" + "".join(f"unknown_{number} = 1\n" for number in range(300)),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
async def test_bad_input_is_shown_and_followed(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    async with opened(path) as pilot:
        await pilot.press(*"favbdbG", "enter", "escape", "x", "plus", "tab", "a", "f9", "tab", *"uuuu")
        await press(pilot)
        assert pilot.app.is_running and screen_of(pilot).draft is not None
        assert path.read_bytes() == text.encode()
        assert screen_of(pilot)._editing.seen is not None


def test_values_are_read_as_their_options_want_them() -> None:
    rate, name = options_by_path()["train", "learning_rate"], options_by_path()["model", "name"]
    targets, seed = options_by_path()["lora", "target_modules"], options_by_path()["train", "seed"]
    assert [typed_value(rate, text) for text in ("1e-4", ".5", '"x"', "1")] == [1e-4, 0.5, "x", 1]
    assert [typed_value(name, text) for text in ("a/b", '"a b"', "true")] == ["a/b", "a b", "true"]
    assert typed_value(targets, "all-linear") == "all-linear"
    assert typed_value(targets, "q_proj, v_proj") == typed_value(targets, '["q_proj", "v_proj"]')
    assert typed_value(seed, "7") == 7 and typed_value(seed, "seven") == "seven"


@given(st.sampled_from([one for one in option_table() if one.kind in ("number", "whole number")]), st.data())
def test_steps_stay_in_the_range_and_move(option: object, data: st.DataObject) -> None:
    from finetui_core.recipe.table import OptionInfo

    assert isinstance(option, OptionInfo)
    value = option.default if option.default is not None else max(option.minimum or 0, 0.5)
    value = int(value) if option.kind == "whole number" else float(value)
    for direction in data.draw(st.lists(st.sampled_from([1, -1]), max_size=30)):
        new = stepped(option, value, direction)
        assert option.minimum is None or new >= option.minimum
        assert option.maximum is None or new <= option.maximum
        assert (new - value) * direction >= 0 and type(new) is type(value)
        value = new


async def test_a_syntax_fault_leaves_the_form_as_it_was(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        await press(pilot, "tab", "ctrl+end", *"[train", "tab", "g", "down", "enter")
        shown = screen_text(pilot.app)
        assert "edit: the text is no TOML at 12:7" in shown and '"o/m"' in shown
        assert pilot.app.screen is screen_of(pilot)
