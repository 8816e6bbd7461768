import subprocess
import sys
import time
from pathlib import Path

import pytest
from tui_runs import START, add_events, append, make_run, metric
from tui_screen import screen_text, settle

from finetui.app import Studio
from finetui.screens.help import help_rows
from finetui_core.runs.records import End

TWO_HOURS_LATER = START + 7200


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def studio(root: Path) -> Studio:
    return Studio(root, clock=lambda: TWO_HOURS_LATER)


async def test_an_empty_folder_says_how_to_start(tmp_path: Path) -> None:
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        shown = await settle(pilot)
    assert "There are no runs in" in shown
    assert "ftui demo" in shown and "ftui train RECIPE" in shown


async def test_the_list_names_each_run_with_its_state_and_numbers(tmp_path: Path) -> None:
    make_run(tmp_path, "going")
    make_run(tmp_path, "done", steps=200, end=End(START + 300, 0))
    make_run(tmp_path, "too big", steps=3, end=End(START + 300, None, 9, True))
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        shown = await settle(pilot)
    lines = {
        name: line for line in shown.splitlines() for name in ("going", "done", "too big") if name in line
    }
    assert "3 runs, 1 under way" in shown
    assert "● running" in lines["going"] and "100/200" in lines["going"]
    assert "✓ finished" in lines["done"] and "1.5213" in lines["done"]
    assert "✗ out of memory" in lines["too big"] and "–" in lines["too big"]


async def test_keys_move_the_cursor_and_open_a_run_and_go_back(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        make_run(tmp_path, name, steps=5)
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        names = [line.split()[2] for line in (await settle(pilot)).splitlines()[4:7]]
        for keys, expected in (
            (("j",), 1),
            (("G",), 2),
            (("k",), 1),
            (("g",), 0),
            (("down", "down", "up"), 1),
        ):
            await pilot.press(*keys, "enter")
            assert f"\n {names[expected]} " in await settle(pilot), keys
            await pilot.press("b")
            assert "under way" in await settle(pilot)


async def test_a_thousand_runs_are_listed_and_only_the_visible_lines_drawn(tmp_path: Path) -> None:
    from finetui.widgets.table import Column, Record, Table

    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = pilot.app.screen.query_one(Table)
        pilot.app.screen.remove_class("-empty")
        table._columns = (Column("name", 20),)
        table.show([Record(str(number), ((f"run {number}", ""),)) for number in range(1000)])
        await pilot.pause()
        table.focus()
        await pilot.press("G")
        await pilot.pause()
        shown = screen_text(pilot.app)
    assert "run 999" in shown and "run 0 " not in shown
    assert shown.count("run ") < 24


RUN = """\
 ftui  runs › demo   ID
 ● running   training   step 100/200 (50 %)   1 min 40 s left   epoch 1.50
 train       loss 1.4853   best 1.4625 at step 95   1,204 tokens/s
 validation  loss 1.8278   best 1.8278 at step 100   perplexity 6.22
 machine     no GPU: CPU 87 %, memory 3.2 GiB of 16.0 GiB

 ⠢ train 1.4853   ━ train, smoothed 1.6450   ◆ validation 1.8278   ▲ checkpoint
    │⢣⡠⣄⣠⡀
 3.0┤⠐  ⠄⠨⡉⠑⢒⠖⢤⠤⣀⡀
    │      ⠐  ⡀⠐⡀⠈⢉⠓⢒⢒⠤⡤⣀⣀⡀
 2.5┤            ⠈  ⠄ ⡀⠠⢀⠁⢈⠙⠒⣒⠤⠤⣀⣀⣀⡀
    │                     ⠁ ⠄ ⡀⠠⢀ ⠠⠘⠉⢓⠒⠒⠤◆⢍⣉⣒⣒⠒⠒⠤⠤⠤⠤⣀⣀⣀⣀
 2.0┤                             ⠁ ⠂ ⠠ ⠒ ⡀⠊ ⠁⠍⠉⠂    ⠰⠢⠤⠭⢍⣉⣉⡒⠒⠒⠒⠢⠤⠤⠤⢄⣀⣀⣀⡀
    │                                       ⠈ ⠈ ⠁     ⠢ ⡀⠂ ⠁⠊⠉⡉⠉⠒⡒⠒⠲⡤⠴⠤⠤⢌⣉⣉⣉⣑⠒◆
 1.5┤                                                     ⠈ ⠈  ⠁⠐ ⠠  ⠄⠐⠂⠠⠈ ⡀⠐⡉⢉
    └──────────────┬──────────────┬──────▲───────┬─────────────┬──────────────▲
                  20             40             60            80            100
─events─────────────────────────────────────────────────────────────────────────
 08:26:40  validation loss 2.3192, perplexity 10.17 at step 50, the best so far
 08:26:40  checkpoint saved at step 50, 3.4 MiB, epoch
 08:26:40  validation loss 1.8278, perplexity 6.22 at step 100, the best so far
 08:26:40  checkpoint saved at step 100, 3.4 MiB, epoch

 b back  c checkpoint  p pause  e evaluate  s stop  l log  ? help  q quit"""


async def test_new_steps_appear_while_it_is_open(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        assert "step 100/200 (50 %)" in await settle(pilot)
        append(paths.metrics(1), metric(101, 200))
        pilot.app.screen._poller.now()
        assert "step 101/200 (50 %)" in await settle(pilot)


async def test_nothing_is_drawn_when_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_run(tmp_path, end=End(START + 300, 0))
    async with studio(tmp_path).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        drawn: list[object] = []
        monkeypatch.setattr(pilot.app, "_display", lambda *arguments: drawn.append(arguments))
        pilot.app.screen._poller.now()
        await settle(pilot)
        append(paths.metrics(1), metric(101, 200))
        pilot.app.screen_stack[0]._poller._tick()  # the list below is covered
        await settle(pilot)
        assert drawn == []


async def test_hostile_text_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    name = "[INST] \x1b[31m[/x] [@click=app.quit]\u202e"
    paths = make_run(tmp_path, name, steps=3)
    add_events(
        paths, {"type": "alarm", "message": name}, {"type": "checkpoint"}, {"type": []}, {"type": "error"}
    )
    append(paths.metrics(1), {"step": 4, "loss": "high", "epoch": [], "tokens_per_second": {}})
    shown_name = "[INST] ␛[31m[/x] [@click=app.quit]\\u{202e}"
    async with studio(tmp_path).run_test(size=(120, 40)) as pilot:
        assert shown_name[:30] in await settle(pilot)
        await pilot.press("enter")
        shown = await settle(pilot)
    assert shown.count(shown_name) == 2
    assert "step 4/200" in shown


@pytest.mark.parametrize("size", [(160, 48), (40, 10), (20, 5), (5, 3)])
async def test_every_size_is_survived(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path)
    async with studio(tmp_path).run_test(size=size) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("question_mark")
        await settle(pilot)


def test_help_fits_into_80_columns() -> None:
    for scopes in (("table", "runs", "studio"), ("run", "studio")):
        assert all(sum(len(text) for text, _ in row) <= 80 for row in help_rows(scopes))


FIRST_FRAME = """
import asyncio, sys
from pathlib import Path
from finetui.app import Studio
async def main():
    async with Studio(Path(sys.argv[1])).run_test() as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter")
        await pilot.app.workers.wait_for_complete()
        assert len(pilot.app.screen_stack) == 2
asyncio.run(main())
print(*{"torch", "transformers", "peft", "datasets", "accelerate", "numpy"} & set(sys.modules))
"""


def test_the_screens_import_no_training_library(tmp_path: Path) -> None:
    make_run(tmp_path, steps=3)
    path = [str(Path(__file__).parents[2] / folder) for folder in ("core", "tui")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{FIRST_FRAME}", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_without_a_terminal_it_names_the_command_for_text(tmp_path: Path) -> None:
    path = [str(Path(__file__).parents[2] / folder) for folder in ("core", "tui")]
    program = (
        f"import sys; sys.path[:0] = {path}\nfrom finetui.__main__ import main\n"
        "code = main([]); assert 'textual' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ftui runs" in done.stderr and done.stdout == ""
