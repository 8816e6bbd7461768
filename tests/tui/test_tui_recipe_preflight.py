"""Whether it fits, beside the recipe: asked about devices, knobs turned, and traced by another program."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tui_recipe import choose, opened, press, screen_of, text_of, write
from tui_screen import screen_text

from finetui import launching
from finetui.recipe_preflight import Asked, answer
from finetui.recipe_trace import anywhere
from finetui_core.preflight.devices import find_device
from finetui_core.preflight.figures import Memory, Report, RowLengths, Verdict
from finetui_core.recipe.facts import look
from finetui_core.recipe.load import check_recipe

LLAMA = """[model]
name = "meta-llama/Llama-2-7b-hf"
[data]
train = "rows.jsonl"
max_length = 2048
[train]
per_device_train_batch_size = 4  # rows
"""
Fake = Callable[[str], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 50)
    return write(tmp_path, LLAMA)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a script in the place of ftui."""

    def replace(body: str) -> None:
        script = tmp_path / "fake.py"
        script.write_text(f"import json, sys\n{body}\n")
        monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-S", str(script)))

    return replace


async def test_the_first_knob_makes_it_fit_and_is_undone(project: Path) -> None:
    async with opened(project) as pilot:
        shown = await press(pilot, "D", *"24gb", "enter")
        assert (
            "Does not fit" in shown
            and "a GPU with 24 GB has" in " ".join(shown.split())
            and "1 enter" in shown
        )
        shown = await press(pilot, "enter")
        assert "gradient_checkpointing = true" in text_of(pilot)
        assert "✓" in shown or "▲" in shown
        assert "# rows" in text_of(pilot)
        await press(pilot, "u")
        assert text_of(pilot) == LLAMA
        assert "Does not fit" in await press(pilot)


async def test_it_follows_each_change_and_stands_beside_a_wide_recipe(project: Path) -> None:
    async with opened(project, (170, 48)) as pilot:
        await press(pilot, "D", *"24GB", "enter")
        shown = screen_text(pilot.app)
        assert "Does not fit" in shown and "learning_rate" in shown and "max_length = 2048" in shown
        await choose(pilot, "data.max_length")
        shown = await press(pilot, "minus", "minus", "minus")
        shown = await press(pilot)
        assert "max_length = 256" in shown and "Does not fit" not in shown


async def test_a_device_that_is_not_known_is_refused_with_names(project: Path) -> None:
    async with opened(project) as pilot:
        shown = await press(pilot, "D", *"rtx 4091", "enter")
        assert "there is no device" in shown and "4090" in shown


def report() -> Report:
    memory = Memory("trace", {"train": {"weights": 3 << 30}}, 4.5)
    verdict = Verdict("tight", "train", 1, 2, 3, "Tight, says the trace.")
    return Report("x", find_device("24GB"), memory, verdict, (), None, None, None, None, ("a note",))


async def test_a_trace_runs_on_text_that_is_not_saved(project: Path, fake: Fake) -> None:
    seen = project.parent / "seen.json"
    said = msgspec.json.encode(report()).decode()
    fake(
        f"open({str(seen)!r}, 'w').write(json.dumps([sys.argv[1:], open(sys.argv[2]).read()]))\n"
        f"print({said!r}); sys.exit(3)"
    )
    async with opened(project) as pilot:
        await choose(pilot, "train.seed")
        await press(pilot, "plus", "D", *"24GB", "enter")
        shown = await press(pilot, "t")
        assert "Tight, says the trace." in shown and "by a trace of" in shown
        arguments, text = json.loads(seen.read_text())
        assert arguments[0] == "preflight" and arguments[-2:] == ["--on", "24GB"]
        assert "seed = 43" in text and f'train = "{project.parent}/rows.jsonl"' in text
        shown = await press(pilot, "u")
        assert "Tight, says the trace." not in shown
    assert not Path(arguments[1]).exists() and project.read_text() == LLAMA


async def test_a_trace_is_ended_by_its_key(project: Path, fake: Fake) -> None:
    fake("import time; time.sleep(600)")
    async with opened(project) as pilot:
        await pilot.press("v", "t")
        await pilot.pause()
        assert "t ends it" in screen_text(pilot.app)
        shown = await press(pilot, "t")
        assert "t ends it" not in shown and pilot.app.is_running


async def test_a_trace_that_fails_says_why(project: Path, fake: Fake) -> None:
    fake("print('no torch here', file=sys.stderr); sys.exit(1)")
    async with opened(project) as pilot:
        assert "not traced: no torch here" in await press(pilot, "v", "t")
        assert screen_of(pilot).draft is not None


async def test_faulty_options_count_as_their_defaults(project: Path) -> None:
    project.write_text(LLAMA + "seed = -1\n")
    async with opened(project, (80, 60)) as pilot:
        shown = await press(pilot, "v")
        assert "an option with a fault counts as its default" in await press(pilot, "G") + shown


def test_a_copy_means_the_same_in_any_folder(project: Path) -> None:
    moved = anywhere(LLAMA, project.parent)
    here = check_recipe(LLAMA, "", project.parent).recipe
    assert check_recipe(moved, "", Path("/")).recipe == here


def test_lengths_that_a_trace_counted_hold_for_as_long_as_the_rows_do(project: Path, tmp_path: Path) -> None:
    checked = check_recipe(project.read_text(), "", project.parent).recipe
    asked = Asked(checked, look(checked), "24GB")
    first = answer(asked, tmp_path, None)
    counted = RowLengths(47, 30.0, 40, 0.5, True, 3)
    assert first.report is not None and first.report.lengths is None
    traced = replace(first, report=msgspec.structs.replace(first.report, lengths=counted))

    def after(table: str, **values: object) -> Report:
        options = getattr(checked, table).model_copy(update=values)
        said = answer(replace(asked, recipe=checked.model_copy(update={table: options})), tmp_path, traced)
        assert said.report is not None
        return said.report

    kept = after("data", packing=False)
    assert kept.lengths == counted and kept.verdict is not None and kept.verdict.fit == "fits"
    assert (
        after("train", gradient_checkpointing=True).lengths == after("data", max_length=64).lengths == counted
    )
    assert after("data", max_length=32).lengths is after("data", train="other.jsonl").lengths is None
    assert after("model", chat_template="x").lengths is None
