"""The list of runs by keys: sorted, filtered, marked, labelled, put away and brought back."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot
from tui_runs import START, add_events, append, make_run, metric
from tui_screen import screen_text, settle

from finetui.__main__ import main
from finetui.app import Studio
from finetui.screens.runs_rows import COLUMNS, SORTED_COLUMNS
from finetui.widgets.sparkline import sparkline
from finetui.widgets.table import Table
from finetui_core.runs.filter import SORT_KEYS
from finetui_core.runs.labels import read_labels
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import End

ENDED = End(START + 300, 0)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def studio(root: Path) -> Studio:
    return Studio(root, clock=lambda: START + 7200)


def three(root: Path) -> dict[str, RunPaths]:
    """Three runs with losses that fall with their steps; the one named "live" goes on."""
    return {
        "short": make_run(root, "short", steps=20, end=ENDED),
        "long": make_run(root, "long", steps=150, end=ENDED),
        "live": make_run(root, "live", steps=60),
    }


def names(shown: str) -> list[str]:
    lines = [line for line in shown.splitlines() if "/200 " in line]
    return [name for line in lines for name in ("short", "long", "live") if f" {name}  " in line]


async def typed(pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    return await settle(pilot)


def told(pilot: Pilot[None]) -> str:
    """The notices in the corner."""
    return "\n".join(notice.message for notice in pilot.app._notifications)


async def choose(pilot: Pilot[None], name: str) -> None:
    """Move the cursor to the run of this name."""
    screen, table = pilot.app.screen, pilot.app.screen.query_one(Table)
    await pilot.press("g")
    while screen._runs[table.chosen].name != name:  # type: ignore[attr-defined]
        await pilot.press("j")


def test_every_shown_column_but_the_trend_can_be_sorted_by() -> None:
    assert set(SORTED_COLUMNS) == set(SORT_KEYS) == {column.title for column in COLUMNS} - {"trend"}


async def test_the_list_at_80x24(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "live")
        back = SORTED_COLUMNS.index("age") - SORTED_COLUMNS.index("step")
        lines = (await typed(pilot, *["less_than_sign"] * back)).splitlines()
    assert lines[3].split() == ["state", "name", "step", "▲", "trend", "loss", "best", "age"]
    assert [line.split()[:4] for line in lines[4:7]] == [
        ["✓", "finished", "short", "20/200"],
        ["●", "running", "live", "60/200"],
        ["✓", "finished", "long", "150/200"],
    ]
    assert lines[4].endswith("  0 s") and all(cell_len(line) <= 80 for line in lines)


async def test_the_order_is_chosen_by_keys_shown_and_remembered(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        keys = (SORTED_COLUMNS.index("step") - SORTED_COLUMNS.index("age")) % len(SORTED_COLUMNS)
        shown = await typed(pilot, *["greater_than_sign"] * keys)
        assert names(shown) == ["short", "live", "long"] and "by step" in shown and "step ▲" in shown
        shown = await typed(pilot, "o")
        assert names(shown) == ["long", "live", "short"] and "step ▼" in shown
    async with studio(root).run_test(size=(120, 24)) as pilot:
        shown = await settle(pilot)
        assert names(shown) == ["long", "live", "short"] and "step ▼" in shown


@pytest.mark.parametrize("kept", ['{"column": "colour"}', "{", '{"column": 3}', "\x00"])
async def test_a_damaged_memory_is_passed_over(root: Path, tmp_path: Path, kept: str) -> None:
    (tmp_path / "state" / "ftui").mkdir(parents=True)
    (tmp_path / "state" / "ftui" / "runs_list.json").write_text(kept)
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        assert "by age" in await settle(pilot)


async def test_a_click_on_a_heading_sorts_and_a_second_one_turns_it_round(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        column = (await settle(pilot)).splitlines()[3].index("step")
        for expected in (["short", "live", "long"], ["long", "live", "short"]):
            await pilot.click(Table, offset=(column, 0))
            assert names(await settle(pilot)) == expected


async def test_a_filter_works_as_it_is_typed_and_a_faulty_one_keeps_the_view(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = await typed(pilot, "slash", "l")
        assert set(names(shown)) == {"long", "live"} and "2 fit: l" in shown
        shown = await typed(pilot, *"ong")
        assert names(shown) == ["long"]
        shown = await typed(pilot, "space", *"step")
        assert names(shown) == [] and "No run fits: long step" in shown
        shown = await typed(pilot, "greater_than_sign")
        assert "No run fits: long step" in shown and "a number is missing after step>" in shown
        shown = await typed(pilot, *"1k", "backspace", "enter")
        assert names(shown) == ["long"] and "missing" not in shown
        shown = await typed(pilot, "j", "slash", "space", *"-long", "enter")
        assert "No run fits" in shown
        shown = await typed(pilot, "slash", "escape")
        assert len(names(shown)) == 3 and "fit:" not in shown and " filter " not in shown.splitlines()[2]


async def test_the_cursor_stays_on_its_run_when_the_order_or_the_filter_changes(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "long")
        chosen = pilot.app.screen.query_one(Table).chosen
        await typed(pilot, "o", "slash", *"lo", "enter")
        assert pilot.app.screen.query_one(Table).chosen == chosen


async def test_marked_runs_are_opened_over_each_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = three(root)
    opened: list[Sequence[Path]] = []
    async with studio(root).run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(pilot.app, "open_runs", opened.append)
        await settle(pilot)
        await choose(pilot, "short")
        await typed(pilot, "c")
        assert "compare: mark another run with space" in told(pilot)
        await typed(pilot, "space")
        await choose(pilot, "long")
        shown = await typed(pilot, "c", "enter")
        assert [line[0] for line in shown.splitlines() if " short " in line] == ["*"]
        assert opened == [[runs["long"].root, runs["short"].root], [runs["long"].root]]
        shown = await typed(pilot, "M")
        assert "*" not in shown


async def test_a_run_is_renamed_tagged_and_noted_and_each_is_undone(root: Path) -> None:
    run = make_run(root, "demo", steps=5, end=ENDED)
    async with studio(root).run_test(size=(160, 48)) as pilot:
        await settle(pilot)
        shown = await typed(pilot, "R")
        assert f"Name to show for {run.id}" in shown
        shown = await typed(pilot, *"[INST]", "enter")
        shown = await settle(pilot)
        assert " [INST] " in shown and run.id in shown
        await typed(pilot, "t", *"a b", "enter")
        await typed(pilot, "t", *"c -a", "enter")
        await typed(pilot, "n", *"why", "space", *"so", "enter")
        shown = await settle(pilot)
        assert "#b #c" in shown and "why so" in shown
        labels = read_labels(run)
        assert (labels.name, labels.tags, labels.note) == ("[INST]", ("b", "c"), "why so")
        for _ in range(4):
            await typed(pilot, "u")
        assert json.loads(run.labels.read_bytes()) == {}
        await typed(pilot, "u")
        assert "undo: nothing was changed here" in told(pilot)


async def test_a_text_that_will_not_do_is_explained_and_can_be_mended(root: Path) -> None:
    run = make_run(root, "demo", steps=5, end=ENDED)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = await typed(pilot, "t", *"a,b", "enter")
        assert "'a,b' cannot be a tag" in shown
        await typed(pilot, "backspace", "backspace", "enter")
        assert read_labels(run).tags == ("a",)
        await typed(pilot, "t", "x", "escape")
        assert read_labels(run).tags == ("a",)


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("escape", 3), ("y", 2)])
async def test_deleting_asks_moves_to_the_trash_and_is_undone(root: Path, answer: str, left: int) -> None:
    run = three(root)["long"]
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "long")
        assert f"Delete {run.id}?" in await typed(pilot, "d")
        await typed(pilot, answer)
        assert len(names(await settle(pilot))) == left == len(run_ids(root))
        if answer == "y":
            assert (root / ".trash" / run.id).is_dir()
            await typed(pilot, "u")
            assert len(names(await settle(pilot))) == 3 and run.root.is_dir()


async def test_archived_runs_are_shown_by_a_key_and_brought_back(root: Path) -> None:
    run = three(root)["short"]
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await choose(pilot, "short")
        await typed(pilot, "a")
        assert set(names(await settle(pilot))) == {"long", "live"}
        assert (root / ".archive" / run.id).is_dir()
        shown = await typed(pilot, "A")
        shown = await settle(pilot)
        assert names(shown) == ["short"] and "1 archived run" in shown
        assert "There are no deleted runs" in await typed(pilot, "A")
        await typed(pilot, "A", "A")
        await settle(pilot)
        await typed(pilot, "a")
        assert "There are no archived runs" in await settle(pilot)
        await typed(pilot, "A", "A")
        assert len(names(await settle(pilot))) == 3


async def test_several_runs_are_put_away_together_or_not_at_all(root: Path) -> None:
    three(root)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await typed(pilot, "g", "space", "space", "space", "a")
        await settle(pilot)
        assert "it is running" in told(pilot) and len(run_ids(root)) == 3
        await choose(pilot, "live")
        await typed(pilot, "space", "d", "y")
        assert names(await settle(pilot)) == ["live"] and len(run_ids(root / ".trash")) == 2


async def test_what_cannot_be_done_stays_in_sight_and_says_why(root: Path) -> None:
    make_run(root, "live", steps=5)
    async with studio(root).run_test(size=(160, 48)) as pilot:
        shown = await settle(pilot)
        assert "d (delete)" in shown and "a (archive)" in shown and "R rename" in shown
        await typed(pilot, "d")
        assert "delete: it is running" in told(pilot)
        assert len(run_ids(root)) == 1


async def test_runs_of_other_trainers_are_listed_and_only_read(root: Path) -> None:
    other = root / "theirs"
    other.mkdir()
    (other / "metrics.jsonl").write_text('{"step": 7, "train/loss": 1.25, "val_loss": 1.5}\n')
    async with studio(root).run_test(size=(160, 48)) as pilot:
        shown = await settle(pilot)
        assert "theirs" in shown and "1.2500" in shown and "1.5000" in shown
        await typed(pilot, "R")
        assert "rename: a run of another trainer is only read" in told(pilot)


async def test_new_steps_show_and_an_idle_list_draws_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(root, "live", steps=5)
    async with studio(root).run_test(size=(80, 24)) as pilot:
        assert " 5/200" in await settle(pilot)
        append(run.metrics(1), metric(6, 200))
        add_events(run, {"type": "evaluation", "step": 6, "eval_loss": 0.125, "best": True})
        shown = await typed(pilot, "r")
        assert " 6/200" in shown and "0.1250" in shown
        drawn: list[object] = []
        monkeypatch.setattr(pilot.app, "_display", lambda *arguments: drawn.append(arguments))
        await typed(pilot, "r")
        assert drawn == []


async def test_hostile_labels_are_shown_and_not_obeyed(root: Path) -> None:
    run = make_run(root, "demo", steps=5, end=ENDED)
    hostile = "[/INST] \x1b[31m[@click=app.quit]\u202e"
    run.labels.write_text(json.dumps({"name": hostile, "tags": [hostile], "note": hostile}))
    async with studio(root).run_test(size=(200, 24)) as pilot:
        shown = await settle(pilot)
        assert shown.count("[/INST] ␛[31m[@click=app.quit]\\u{202e}") >= 2
        assert "\x1b" not in screen_text(pilot.app)


async def test_a_list_of_many_pages_is_complete(root: Path) -> None:
    for number in range(100):
        folder = root / f"run{number:03d}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"id": folder.name, "created": START + number}))
    async with studio(root).run_test(size=(80, 24)) as pilot:
        shown = await settle(pilot)
        assert "100 runs, " in shown and "run099" in shown and "reading" not in shown
        assert "run000" in await typed(pilot, "G")


async def test_a_named_run_is_opened_at_once_over_the_list_of_its_folder(root: Path) -> None:
    other = root / "theirs"
    other.mkdir()
    (other / "metrics.jsonl").write_text('{"step": 7, "train/loss": 1.25}\n')
    async with Studio(root, opened=other).run_test(size=(80, 24)) as pilot:
        shown = await settle(pilot)
        assert "[5 Train]" in shown and "theirs" in shown and "1.2500" in shown
        assert "[1 Runs]" in await typed(pilot, "1")


@pytest.mark.parametrize(("named", "runs", "opened"), [("", "", None), ("theirs", "", "theirs")])
def test_ftui_with_a_folder_shows_its_runs_or_the_run_that_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, named: str, runs: str, opened: str | None
) -> None:
    (root / "theirs").mkdir()
    (root / "theirs" / "metrics.jsonl").touch()
    shown: list[tuple[Path, Path | None]] = []

    class Shown(Studio):
        async def run_on_terminal(self) -> int:
            shown.append((self._root, self._opened))
            return 0

    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("finetui.app.Studio", Shown)
    monkeypatch.setattr("finetui.leaving.SIGNALS", ())  # those of this process stay as they are
    for arguments in ([str(root / named)], ["--runs", str(root / named)]):
        assert main(arguments) == 0
    assert shown == [(root / runs, root / opened if opened else None)] * 2


VALUES = st.lists(st.none() | st.floats(), max_size=40)


@given(VALUES, st.integers(1, 20))
def test_a_sparkline_fits_whatever_it_is_given(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert cell_len(line) == min(len(values), width)
    assert set(line) <= set(" ▁▂▃▄▅▆▇█")


def test_a_sparkline_falls_with_the_loss_and_has_gaps() -> None:
    assert sparkline([4, 3, 2, 1], 4) == "█▆▃▁"
    assert sparkline([1, None, 1], 3) == "▄ ▄"
    assert sparkline([4, 2, 1, 1], 2) == "█▁"
