"""The change offered for each kind of fault, and names that change in place with every other byte kept."""

from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recipe_edit import _comments, _options, recipes

from finetui_core.errors import InputError
from finetui_core.recipe.edit import rename, rename_table
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.mends import mend
from finetui_core.recipe.table import option_table

HEAD = '[model]\nname = "o/m"\n[data]\ntrain = "hub:o/d"\n'
MENDED = {
    "a misspelt name": ("[train]\nlerning_rate = 1e-4 # x\n", "[train]\nlearning_rate = 1e-4 # x\n"),
    "another tool's name": ("[train]\nlr\t=1e-4\n", "[train]\nlearning_rate\t=1e-4\n"),
    "a name with a look-alike": ('[train]\n"s\u0435ed" = 1\n', "[train]\nseed = 1\n"),
    "a name of another table": ("[train]\nr = 4\n[lora]\n", "[train]\n[lora]\nr = 4\n"),
    "a misspelt table": ("[ traim ] # t\nseed = 1\n", "[ train ] # t\nseed = 1\n"),
    "a number in quotes": ('[train]\nlearning_rate = "1e-4" # x\n', "[train]\nlearning_rate = 0.0001 # x\n"),
    "a whole number in quotes": ('[train]\nseed = "7"\n', "[train]\nseed = 7\n"),
    "a fraction of nothing": ("[lora]\nr = 8.0\n", "[lora]\nr = 8\n"),
    "yes": ('[data]\npacking = "yes"\n', "[data]\npacking = true\n"),
    "a choice": ('[train]\nmethod = "Lora"\n', '[train]\nmethod = "lora"\n'),
    "one name": ('[lora]\ntarget_modules = "q_proj"\n', '[lora]\ntarget_modules = ["q_proj"]\n'),
    "out of range": ("[lora]\nr = -3 # x\n", "[lora]\n# x\n"),
    "nan": ("[train]\nlearning_rate = nan\n", "[train]\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", MENDED)
def test_a_fault_is_mended_in_its_place(case: str) -> None:
    faulty, mended = MENDED[case]
    head = HEAD if "[data]" not in faulty else '[model]\nname = "o/m"\n'
    faulty = faulty.replace("[data]\n", '[data]\ntrain = "hub:o/d"\n')
    mended = mended.replace("[data]\n", '[data]\ntrain = "hub:o/d"\n')
    text = head + faulty
    checked = check_recipe(text, "x", Path())
    (fault,) = checked.located
    found = mend(text, checked, fault, Path())
    assert found is not None and found.text == head + mended
    assert not check_recipe(found.text, "x", Path()).problems


def test_outside_of_every_table() -> None:
    text = "seed = 7 # lucky\n" + HEAD
    checked = check_recipe(text, "x", Path())
    found = mend(text, checked, checked.located[0], Path())
    assert found is not None and found.text == "# lucky\n" + HEAD + "\n[train]\nseed = 7\n"


def test_a_contradiction_takes_out_what_is_to_blame() -> None:
    text = HEAD + '[train]\nmethod = "full"\n'
    text = text.replace('name = "o/m"\n', 'name = "o/m"\nquantize = "nf4"\n')
    checked = check_recipe(text, "x", Path())
    found = mend(text, checked, checked.located[0], Path())
    assert found is not None and found.says == 'take it out: the default is "none"'
    assert found.text == HEAD + '[train]\nmethod = "full"\n'


def test_the_nearest_file_takes_the_place_of_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "chats.jsonl").touch()
    text = '[model]\nname = "o/m"\n[data]\ntrain = "sets/chat.jsonl"\n'
    checked = check_recipe(text, "x", tmp_path)
    found = mend(text, checked, checked.located[0], tmp_path)
    assert found is not None and found.says == 'write "sets/chats.jsonl"'
    assert not check_recipe(found.text, "x", tmp_path).problems


NOT_KNOWN = {
    "nothing near": "[train]\nzzzzzz = 1\n",
    "a name of two tables": "[train]\nsteps = 1\n",
    "written already": "[train]\nseed = 1\nSeed = 2\n",
    "two tables": "[train]\nseed = 1\n[Train]\nseed = 2\n",
    "no table": "train = 1\n",
}


@pytest.mark.parametrize("faulty", NOT_KNOWN.values(), ids=NOT_KNOWN)
def test_nothing_is_offered_where_it_is_not_clear(faulty: str) -> None:
    text = faulty + HEAD if faulty.startswith("train =") else HEAD + faulty
    checked = check_recipe(text, "x", Path())
    (fault,) = checked.located
    assert mend(text, checked, fault, Path()) is None


def test_what_is_missing_is_not_made_up() -> None:
    checked = check_recipe("[train]\n", "x", Path())
    assert [mend("[train]\n", checked, fault, Path()) for fault in checked.located] == [None, None]


@settings(deadline=None)
@given(st.data())
def test_a_name_changes_and_every_other_byte_stays(data: st.DataObject) -> None:
    text = data.draw(recipes())
    table, key = data.draw(st.sampled_from(sorted(_options(text))))
    new = data.draw(st.sampled_from([o.name for o in option_table()] + ["unheard_of"]))
    if (table, new) in _options(text):
        with pytest.raises(InputError):
            rename(text, table, key, table, new)
        return
    renamed = rename(text, table, key, table, new)
    assert len(renamed) - len(text) == len(new) - len(key)
    assert rename(renamed, table, new, table, key) == text
    values = _options(text)
    values[table, new] = values.pop((table, key))
    assert repr(sorted(_options(renamed).items())) == repr(sorted(values.items()))


@settings(deadline=None)
@given(st.data())
def test_an_option_moves_with_its_value(data: st.DataObject) -> None:
    text = data.draw(recipes())
    table, key = data.draw(st.sampled_from(sorted(_options(text))))
    home = data.draw(st.sampled_from(["launch", "save", "eval"]))
    if table == home or (home, key) in _options(text):
        return
    moved = rename(text, table, key, home, key)
    values = _options(text)
    values[home, key] = values.pop((table, key))
    assert repr(sorted(_options(moved).items())) == repr(sorted(values.items()))
    assert sorted(_comments(moved)) == sorted(_comments(text))


@settings(deadline=None)
@given(st.data())
def test_a_table_changes_its_name_and_every_other_byte_stays(data: st.DataObject) -> None:
    text = data.draw(recipes())
    table = data.draw(st.sampled_from(sorted(tomli.loads(text.removeprefix("\ufeff")))))
    renamed = rename_table(text, table, "other")
    assert rename_table(renamed, "other", table) == text
    assert "other" in tomli.loads(renamed.removeprefix("\ufeff"))
