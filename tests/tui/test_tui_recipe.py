"""The station Recipe by keys: two views of one text, faults at their place, and nothing lost unasked."""

import stat
import time
from pathlib import Path
from typing import Any

import pytest
from tui_recipe import TEXT, choose, opened, press, text_of, write
from tui_screen import screen_text, settle

from finetui.actions import PLACES
from finetui.app import Studio
from finetui.recipe_files import find_unsaved
from finetui.screens.recipe import FORM_SCOPES, TEXT_SCOPES, RecipeScreen
from finetui_core.folders import state_folder


def line_with(shown: str, words: str) -> str:
    return next((line for line in shown.splitlines() if words in line), "")


def test_its_scopes_are_places() -> None:
    for scopes in (FORM_SCOPES, TEXT_SCOPES):
        assert any(set(scopes) <= set(place) for place in PLACES.values())


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_both_views_show_the_recipe(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(write(tmp_path), size) as pilot:
        shown = screen_text(pilot.app)
        assert "mine.toml" in shown and "no fault" in shown and "saved" not in shown.splitlines()[1]
        assert "v does it fit   s starts a run" in shown
        assert '"o/m"' in line_with(shown, "  name   ")
        assert 'name = "o/m"   # the base' in shown
        beside = "# What this is for." in line_with(shown, "option   ")
        assert beside == (size[0] >= 120)


async def test_a_number_is_typed_in_the_form_and_the_text_follows(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with opened(path) as pilot:
        await choose(pilot, "train.learning_rate")
        shown = await press(pilot, "enter")
        assert "a number above 0 and at most 1" in shown
        shown = await press(pilot, *["backspace"] * 8, *"7", "enter")
        assert "train.learning_rate must be" in shown
        shown = await press(pilot, "backspace", *"1e-4", "enter")
        assert "learning_rate = 0.0001" in shown and "not saved" in shown
        assert text_of(pilot) == TEXT.replace("2e-4", "0.0001")
        assert path.read_text() == TEXT
        shown = await press(pilot, "w")
        assert "not saved" not in shown.splitlines()[1]
    assert path.read_text() == TEXT.replace("2e-4", "0.0001")


async def test_switches_choices_and_steps(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        await choose(pilot, "data.packing")
        await press(pilot, "enter")
        assert "packing = false" in text_of(pilot)
        await press(pilot, "space")
        assert "packing = true" in text_of(pilot)
        await press(pilot, "x")
        assert text_of(pilot) == TEXT
        await choose(pilot, "train.method")
        shown = await press(pilot, "enter")
        assert "the default" in line_with(shown, " lora  ")
        await press(pilot, "down", "down", "enter")
        assert 'method = "full"' in text_of(pilot)
        await press(pilot, "u")
        await choose(pilot, "train.learning_rate")
        await press(pilot, "plus")
        assert "learning_rate = 0.0005" in text_of(pilot)
        await press(pilot, "minus", "minus")
        assert "learning_rate = 0.0001" in text_of(pilot)
        await choose(pilot, "train.per_device_train_batch_size")
        await press(pilot, "plus", "plus", "minus")
        assert "per_device_train_batch_size = 16" in text_of(pilot)


async def test_what_is_typed_in_the_text_is_seen_in_the_form(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        shown = await press(pilot, "tab")
        assert "ctrl+s save" in shown.splitlines()[-1]
        await press(pilot, "ctrl+end", *"packing = f", *"als")
        shown = screen_text(pilot.app)
        assert "no TOML at 12:11: the form is as it was before" in shown
        shown = await press(pilot, "e")
        assert "unknown option" in shown and "1 fault" in shown
        shown = await press(pilot, "f9")
        assert '[data]\ntrain = "hub:o/d"\npacking = false' in text_of(pilot)
        assert "no fault" in shown and "false" in line_with(shown, "  packing ")


async def test_one_history_over_both_views(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        await press(pilot, "tab", "down", "end", *" # xyz", "tab")
        typed = text_of(pilot)
        await choose(pilot, "train.seed")
        await press(pilot, "plus")
        assert text_of(pilot) != typed
        await press(pilot, "u")
        assert text_of(pilot) == typed
        await press(pilot, "u")
        assert text_of(pilot) == TEXT
        await press(pilot, "ctrl+y", "ctrl+y")
        assert text_of(pilot) == typed.replace("seed = 7", "seed = 8")
        await press(pilot, "u", "u")
        assert "nothing" not in await press(pilot, "u")
        assert text_of(pilot) == TEXT


async def test_faults_are_followed_and_mended_in_both_views(tmp_path: Path) -> None:
    faulty = TEXT.replace("learning_rate = 2e-4", 'lerning_rate = "2e-4"').replace('"lora"', '"Lorra"')
    async with opened(write(tmp_path, faulty)) as pilot:
        assert "2 faults" in screen_text(pilot.app)
        shown = await press(pilot, "f")
        assert 'a: write "lora"' in shown and "9:10: train.method must be" in shown
        assert "!" in line_with(shown, 'method                       "Lorra"').split("method")[0]
        shown = await press(pilot, "a", "f")
        assert "unknown option" in shown and "a: write learning_rate" in shown
        shown = await press(pilot, "a")
        assert "a: write 0.0002" in shown
        shown = await press(pilot, "a")
        assert "no fault" in shown
        assert text_of(pilot) == TEXT.replace("2e-4", "0.0002")
        assert "fault: there is no fault" in (await press(pilot, "f")).replace("next fault", "fault")


async def test_the_cursor_of_each_view_follows_the_other(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        await press(pilot, "tab", "ctrl+end", "up")
        assert "train.seed  =  7   written at line 11" in screen_text(pilot.app)
        await press(pilot, "tab", "g", "down")
        screen: Any = pilot.app.screen
        assert screen.draft.text[screen.draft.cursor :].startswith('name = "o/m"')


async def test_levels_and_finding(tmp_path: Path) -> None:
    async with opened(write(tmp_path), (80, 100)) as pilot:
        shown = screen_text(pilot.app)
        assert "essential options" in shown and "seed" in shown and "keep_best" not in shown
        shown = await press(pilot, "l")
        assert "common options" in shown and "keep_best" in shown and "use_dora" not in shown
        assert "use_dora" in await press(pilot, "l")
        shown = await press(pilot, "l", "slash", *"magnitude")
        assert "use_dora" in shown and "keep_best" not in shown
        shown = await press(pilot, "escape")
        assert "essential options" in shown and "use_dora" not in shown


async def test_differences_from_a_preset_and_taking_a_value(tmp_path: Path) -> None:
    async with opened(write(tmp_path), (100, 40)) as pilot:
        shown = await press(pilot, "d")
        assert "beside the defaults" in shown and "train.seed" in shown
        shown = await press(pilot, "right", "right", "right")
        assert "beside preset full" in shown
        assert '"full"' in line_with(shown, "train.method")
        await press(pilot, "g", "c")
        assert 'method = "full"' in text_of(pilot)
        assert "beside" not in await press(pilot, "d")


async def test_a_new_recipe_from_a_preset_is_saved_under_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(write(tmp_path)) as pilot:
        shown = await press(pilot, "n")
        assert "small adapters are trained" in shown
        shown = await press(pilot, "down", "down", "enter")
        assert "recipe.toml   new   not saved" in shown and "fault" in shown
        shown = await press(pilot, "w")
        assert "The new recipe" in shown and "recipe.toml" in shown
        shown = await press(pilot, "enter")
        assert "recipe.toml is saved" in shown
    assert (tmp_path / "recipe.toml").read_text().startswith("# Full")


async def test_a_new_recipe_trains_on_the_rows_that_are_open_at_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Why?", "completion": "Because."}\n' * 3)
    async with opened(write(tmp_path)) as pilot:
        pilot.app.open_data(str(tmp_path / "mine.jsonl"))
        await settle(pilot)
        await press(pilot, "4", "n", "enter")
        assert 'train = "mine.jsonl"' in text_of(pilot)


async def test_another_program_has_changed_the_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with opened(path) as pilot:
        await choose(pilot, "train.seed")
        await press(pilot, "plus")
        path.write_text(TEXT + "# theirs\n")
        shown = await press(pilot, "w")
        assert "Another program has changed mine.toml" in shown and path.read_text().endswith("# theirs\n")
        shown = await press(pilot, "enter")
        assert text_of(pilot) == TEXT + "# theirs\n" and "not saved" not in shown.splitlines()[1]
        await press(pilot, "u")
        assert "seed = 8" in text_of(pilot)
        path.write_text(TEXT)
        await press(pilot, "w", "down", "enter")
    assert path.read_text() == TEXT.replace("seed = 7", "seed = 8")


async def test_a_read_only_file_is_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.chmod(0o444)
    async with opened(path) as pilot:
        await choose(pilot, "train.seed")
        shown = await press(pilot, "plus", "w")
        assert "was not saved" in shown and "read-only" in shown
    assert path.read_text() == TEXT


async def test_quitting_asks_once_and_a_second_time_keeps_what_is_not_saved(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with opened(path) as pilot:
        await choose(pilot, "train.seed")
        shown = await press(pilot, "plus", "1", "q")
        assert "mine.toml has changes that are not saved" in shown and pilot.app.is_running
        shown = await press(pilot, "escape")
        assert "has changes" not in shown
        await press(pilot, "ctrl+q")
        assert "has changes" in screen_text(pilot.app)
        await pilot.press("ctrl+q")
    assert path.read_text() == TEXT
    found = find_unsaved()
    assert found is not None and "seed = 8" in found[1].text
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o600
    async with Studio(tmp_path / "runs").run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = await press(pilot, "4")
        assert "before the changes of mine.toml were saved" in shown
        shown = await press(pilot, "enter")
        assert "mine.toml   not saved" in shown and "seed = 8" in text_of(pilot)
        await press(pilot, "w")
    assert path.read_text() == TEXT.replace("seed = 7", "seed = 8") and find_unsaved() is None


async def test_quitting_saves_or_gives_up(tmp_path: Path) -> None:
    path = write(tmp_path)
    for answer, expected in (["down"], TEXT), ([], TEXT.replace("seed = 7", "seed = 8")):
        async with opened(path) as pilot:
            await choose(pilot, "train.seed")
            await press(pilot, "plus", "q")
            for key in (*answer, "enter"):
                await pilot.press(key)
        assert path.read_text() == expected and find_unsaved() is None


async def test_a_signal_keeps_what_is_not_saved(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as pilot:
        await choose(pilot, "train.seed")
        await press(pilot, "plus")
        pilot.app._keep_unsaved()
    found = find_unsaved()
    assert found is not None and "seed = 8" in found[1].text
    assert list((state_folder() / "unsaved_recipes").iterdir()) == [found[0]]


async def test_another_recipe_is_opened_once_the_changes_are_given_up(tmp_path: Path) -> None:
    other = write(tmp_path, TEXT.replace("7", "9"), "other.toml")
    async with opened(write(tmp_path)) as pilot:
        await choose(pilot, "train.seed")
        await press(pilot, "plus", "o", "ctrl+u")
        shown = await press(pilot, *str(other), "enter")
        assert "Another recipe is to be opened" in shown
        shown = await press(pilot, "down", "enter")
        assert "other.toml   no fault" in shown


async def test_the_editor_of_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nsed -i s/lucky/other/ "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    monkeypatch.setattr(Studio, "suspend", lambda self: nullcontext())
    async with opened(write(tmp_path)) as pilot:
        await press(pilot, "e")
        assert text_of(pilot) == TEXT.replace("lucky", "other")
        await press(pilot, "u")
        assert text_of(pilot) == TEXT


async def test_a_file_that_is_no_recipe_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with opened(write(tmp_path, "# " + "x" * 10_000_000, "large.toml")) as pilot:
        shown = screen_text(pilot.app)
        assert "large.toml cannot be opened" in shown and "too large for a recipe" in shown
        assert "No recipe is open" in await press(pilot, "escape")


async def test_without_a_recipe_every_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetui.launching.proposed_recipe", lambda: "")
    async with Studio(tmp_path).run_test(size=(80, 24), notifications=True) as pilot:
        shown = await press(pilot, "4")
        assert "No recipe is open" in shown and "f (fault)" in shown.splitlines()[-1]
        for key in (*"fawxudlpecrsFWi", "space", "plus", "ctrl+r", "slash", "tab", "enter", "left"):
            await pilot.press(key)
        shown = await press(pilot, "w")
        assert isinstance(pilot.app.screen, RecipeScreen) and "save: no recipe is open" in shown


async def test_two_hundred_lines_with_twenty_faults_answer_at_once(tmp_path: Path) -> None:
    from finetui_core.recipe.table import option_table

    tables: dict[str, list[str]] = {}
    for number, option in enumerate(option_table()):
        value = '"nonsense?"' if number % 2 and option.kind != "text" else None
        written = value or {"text": '"o/m"', "switch": "true", "names": '["a"]'}.get(option.kind, "1")
        lines = [f"# {option.help}", *["# more"] * 2, f"{option.name} = {written}"]
        tables.setdefault(option.table, []).extend(lines)
    text = "\n".join(f"[{table}]\n" + "\n".join(lines) for table, lines in tables.items())
    async with opened(write(tmp_path, text), (160, 48)) as pilot:
        screen: Any = pilot.app.screen
        assert text.count("\n") >= 180 and len(screen._editing.seen.faults) >= 20
        await press(pilot, "tab", "ctrl+end")
        times = []
        for key in "abcdefghij":
            started = time.thread_time()
            screen._views.editor._insert(key, "type")
            screen._editing.look()
            times.append(time.thread_time() - started)
    assert sorted(times)[len(times) // 2] < 0.03  # seconds; 3 ms as measured
