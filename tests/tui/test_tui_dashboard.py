"""The dashboard of a run, driven by keys: curves, numbers, texts, commands, and every way a run can end."""

import math
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from tui_runs import START, add_events, append, make_run, metric
from tui_screen import settle

from finetui.app import Studio
from finetui.followed import FIRST
from finetui_core.files import write_atomically
from finetui_core.runs import mailbox
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End

GIB = 2**30


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path_factory.mktemp(name)))


@asynccontextmanager
async def opened(*runs: RunPaths, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[Any]]:
    """The dashboard of `runs`, settled."""
    app = Studio(runs[0].root.parent, clock=lambda: START + 300)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        app.open_runs([run.root for run in runs])
        await settle(pilot)
        yield pilot


async def press(pilot: Pilot[Any], *keys: str) -> str:
    await pilot.press(*keys)
    return await settle(pilot)


async def look_again(pilot: Pilot[Any]) -> str:
    pilot.app.screen._poller.now()
    return await settle(pilot)


def legend(shown: str) -> str:
    """The first line below the tabs."""
    return shown.split("\n")[7]


WHOLE = """\
 ftui  1 Runs  2 Decide  3 Data  4 Recipe [5 Train] 6 Compare
 demo   ID
 ● running   training   step 100/200 (50 %)   1 min 40 s left   done 08:33
 train       loss 1.4853   best 1.4625 at step 95   1,204 tokens/s   epoch 1.50
 validation  loss 1.8278   best 1.8278 at step 100   perplexity 6.22
 machine     no GPU: CPU 87 %, memory 3.2 GiB of 16.0 GiB
[d charts] o log  v events  t samples  r recipe  m machine  i numbers  M meters
 loss   ⠢ train 1.4853  ━ mean of 5 1.6026  ◆ validation 1.8278
 × nan at step 60  ▲ checkpoint
 │⠑⠤⢤⣀⣄ ⡀
3┤ ⠁ ⠄⠐⠩⠉⠢⠴⠤⣄⣀⠠
 │       ⠁ ⠐ ⠡⠉⠍⠞⠒⠦⠦⢔⣀⣀⡄ ⡀
 │               ⠈  ⠂⠈⠂⠨⠙⠉⡚⠒⠤⠥⡤⠴⣀⣠⣀⡀ ⢀  ◆⠤⠤⣀⣀⣀⣀⣀⡀
2┤                          ⠈ ⠈ ⠂ ⠠⠉⠉⠍⠩⠖⠒⠴⠢⠴⢤⢄⣂⡀⠈⠉⠉⠉⡉⠉⢒⠒⠒⠒⠒⠢⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⡀
 │                                      ⠈  ⠁ ⠈ ⠁    ⠈⠋⠍⠱⠒⠓⠚⠢⠬⢤⢤⠥⢤⠴⣀⣄⣀⣂⡈⢩⣉⡉⡉⠩⠒⠲◆
 │                                                       ⠈  ⠁   ⠁ ⠂ ⠐ ⠉⠁⠠⠉⠨⠉⠉⠍⠩
 └──────────────┬───────────────┬───────▲──────×───────────────┬──────────────▲
               20              40             60              80            100
─events─────────────────────────────────────────────────────────────────────────
 08:26:40  checkpoint saved at step 50, 3.4 MiB, epoch
 08:26:40  validation loss 1.8278, perplexity 6.22 at step 100, the best so far
 08:26:40  checkpoint saved at step 100, 3.4 MiB, epoch

 b back  c checkpoint  p pause  e evaluate  s stop  : commands  ? help  q quit"""


def titles(shown: str) -> list[str]:
    """Which charts are on the screen."""
    charts = "\n".join(shown.split("\n")[7:]).partition("─events─")[0]
    names = ("loss", "perplexity", "learning rate", "gradient norm", "tokens/s", "machine")
    return [name for name in names if re.search(rf" {name}( |$)", charts, re.MULTILINE)]


async def test_six_charts_side_by_side_where_there_is_room(tmp_path: Path) -> None:
    paths = make_run(tmp_path, "demo")
    async with opened(paths, size=(160, 48)) as pilot:
        assert len(titles(await settle(pilot))) == 6
    async with opened(paths, size=(120, 36)) as pilot:
        assert titles(await settle(pilot)) == ["loss", "perplexity", "learning rate", "gradient norm"]
        four = ["learning rate", "gradient norm", "tokens/s", "machine"]
        assert titles(await press(pilot, "k")) == four  # the one before the first is the last
        assert titles(await press(pilot, "z")) == ["machine"]
        assert titles(await press(pilot, "z")) == four


async def test_the_charts_are_chosen_by_keys_where_there_is_room_for_one(tmp_path: Path) -> None:
    async with opened(make_run(tmp_path)) as pilot:
        for title in ("perplexity", "learning rate", "gradient norm", "tokens/s", "machine", "loss"):
            assert legend(await press(pilot, "j")).startswith(f" {title}")


async def test_the_crosshair_reads_all_curves_at_one_step(tmp_path: Path) -> None:
    paths = make_run(tmp_path, steps=100)
    async with opened(paths) as pilot:
        newest = legend(await settle(pilot))
        shown = legend(await press(pilot, "g"))
        assert f"train {1.2 + 2 * math.exp(-1 / 60) + 0.15 * math.sin(2.3):.4f}" in shown
        shown = legend(await press(pilot, "l"))
        assert f"train {1.2 + 2 * math.exp(-2 / 60) + 0.15 * math.sin(4.6):.4f}" in shown
        assert "validation 2.3192 (step 50)" in await press(pilot, "h", "G", "h", "h")
        assert legend(await press(pilot, "G")) == newest


async def test_a_spike_is_named_and_shown_in_full_on_demand(tmp_path: Path) -> None:
    paths = make_run(tmp_path, steps=100)
    append(paths.metrics(1), {"step": 101, "loss": 1e9}, *(metric(step, 200) for step in range(102, 110)))
    async with opened(paths) as pilot:
        shown = await settle(pilot)
        assert "↑ 1e+09 at step 101" in shown
        assert "↑ 1e+09" not in await press(pilot, "f")


async def test_marks_tell_what_happened(tmp_path: Path) -> None:
    paths = make_run(tmp_path, steps=100, gap=range(60, 66))
    add_events(paths, {"type": "alarm", "message": "it rises", "step": 70}, {"type": "resumed", "step": 80})
    async with opened(paths, size=(160, 36)) as pilot:
        shown = await press(pilot, "z")
    for words in ("× nan at step 60", "! alarm", "↻ resumed", "▲ checkpoint"):
        assert words in shown
    axis = next(line for line in shown.split("\n") if "└" in line)
    assert [c for c in axis if c in "▲×!↻"] == ["▲", "×", "!", "↻", "▲"]


EVIDENCE = "(+0.081 ± 0.022 nats on 63 rows, two evaluations running)"
OVERFITTING = {
    "type": "alarm",
    "kind": "overfitting",
    "severity": "act",
    "step": 100,
    "message": f"validation loss 6.2 % above its best at step 50 {EVIDENCE}",
    "go_back_to": 50,
    "remedy": "Take the checkpoint of step 50 (save.keep_best); next time fewer epochs.",
}
FORGETTING = {
    **OVERFITTING,
    "kind": "forgetting",
    "severity": "watch",
    "message": "loss on general text rose by 0.08 nats (+8 % of perplexity, ± 0.02 nats on 32 documents)",
    "remedy": "Lower train.learning_rate.",
}


async def test_the_gravest_alarm_stands_above_the_charts_until_it_is_over(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    add_events(paths, OVERFITTING, FORGETTING)
    async with opened(paths) as pilot:
        lines = (await settle(pilot)).split("\n")
        assert lines[6].startswith(
            " overfitting  ! act  validation loss 6.2 % above its best at step 50  M why +1"
        )
        assert any("↶ go back to 50" in line for line in lines)
        axis = next(line for line in lines if "└" in line)
        assert [c for c in axis if c in "↶▲!"] == ["↶", "!"]
        add_events(paths, {"type": "alarm_over", "kind": "overfitting", "step": 100})
        shown = await look_again(pilot)
        assert " forgetting   ! watch  loss on general text rose by 0.08 nats  M why\n" in shown
        assert "overfitting is over at step 100" in shown
        add_events(paths, {"type": "alarm_over", "kind": "forgetting", "step": 100})
        shown = await look_again(pilot)
        assert "M why" not in shown and legend(shown).startswith(" loss")


async def test_the_meters_tell_evidence_remedy_and_every_evaluation(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    add_events(paths, FORGETTING, OVERFITTING)
    rises = {"probe_rise": 0.081, "probe_kl": 0.09, "own_text_rise": 0.06, "own_text_kl": 0.062}
    overlaps = {"overlap_train": 0.62, "overlap_val": 0.08}
    add_events(paths, {"type": "evaluation", "step": 120, "eval_loss": 1.98, **rises, **overlaps})
    async with opened(paths, size=(80, 48)) as pilot:
        shown = await press(pilot, "M")
        told = shown.partition("[M meters]")[2]
        assert told.index("! act  overfitting, at step 100") < told.index("! watch  forgetting, at step 100")
        assert "↶ go back to step 50" in told and "→ Take the checkpoint of step 50" in told
        assert EVIDENCE in " ".join(told.split())
        assert "120    1.9800     +0.081 +8 %  0.090   +0.060 +6 %  0.062     62 %     8 %" in told
        assert re.search(r"\n +50 +2.3192 \* +– +–", told)
        assert all(len(line) <= 80 for line in shown.split("\n"))


async def test_a_run_without_meters_says_so(tmp_path: Path) -> None:
    async with opened(make_run(tmp_path, steps=20)) as pilot:
        shown = await press(pilot, "M")
    assert "no alarm stands" in shown and "nothing is measured yet" in shown


async def test_several_runs_are_overlaid_and_told_apart(tmp_path: Path) -> None:
    one, two = make_run(tmp_path, "demo-small"), make_run(tmp_path, "demo-large", steps=60)
    async with opened(one, two, size=(120, 24)) as pilot:
        shown = await settle(pilot)
        assert "● small 1." in shown and "■ large 1." in shown
        assert shown.count("●") > 1 and shown.count("■") > 1
        assert "○ 1.8278" in shown and "□ 2.3192" in shown
        shown = await press(pilot, "r")
        assert "differs from" in shown or "no recipe" in shown


async def test_a_run_beside_it_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    one, two = make_run(tmp_path, "one"), make_run(tmp_path, "two")
    two.identity.write_text("{")
    async with opened(one, two) as pilot:
        shown = await settle(pilot)
    assert f"{two.id}: cannot be read" in shown and " loss " in shown


async def test_new_steps_appear_while_it_is_open(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    async with opened(paths) as pilot:
        assert "step 100/200 (50 %)" in await settle(pilot)
        append(paths.metrics(1), metric(101, 200))
        assert "step 101/200 (50 %)" in await look_again(pilot)


async def test_a_long_run_is_shown_from_its_end_before_it_is_read(tmp_path: Path) -> None:
    steps = FIRST // 100
    paths = make_run(tmp_path, steps=steps, total_steps=steps, end=End(START, 0))
    async with opened(paths) as pilot:
        run = pilot.app.screen._runs[0]
        while run.unread:
            assert f"step {steps:,}/{steps:,}" in await settle(pilot)
        shown = await settle(pilot)
        assert "to go" not in shown and len(run.view.columns) == steps


async def test_nothing_is_drawn_when_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(make_run(tmp_path, end=End(START + 300, 0)), size=(160, 48)) as pilot:
        drawn: list[object] = []
        monkeypatch.setattr(pilot.app, "_display", lambda *arguments: drawn.append(arguments))
        for _ in range(3):
            await look_again(pilot)
        assert drawn == []


@pytest.mark.parametrize(
    ("key", "command"), [("c", "checkpoint"), ("e", "evaluate"), ("a", "sample"), ("p", "pause")]
)
async def test_a_command_goes_from_asked_to_done(tmp_path: Path, key: str, command: str) -> None:
    paths = make_run(tmp_path)
    async with opened(paths) as pilot:
        assert f"{command}: asked\n" in await press(pilot, key)
        (sent,) = mailbox.pending(paths)
        assert sent.command == command
        add_events(paths, {"type": "control", "id": sent.id, "command": command, "status": "acknowledged"})
        assert f"{command}: asked → acknowledged\n" in await look_again(pilot)
        add_events(paths, {"type": "control", "id": sent.id, "command": command, "status": "done"})
        assert f"{command}: asked → acknowledged → done" in await look_again(pilot)


@pytest.mark.parametrize(("key", "command", "question"), [("s", "stop", "Stop"), ("X", "abort", "Abort")])
@pytest.mark.parametrize(("answer", "yes"), [("n", False), ("escape", False), ("y", True)])
async def test_what_ends_a_run_asks_first(
    tmp_path: Path, key: str, command: str, question: str, answer: str, yes: bool
) -> None:
    paths = make_run(tmp_path)
    async with opened(paths) as pilot:
        assert f"{question} this run?" in await press(pilot, key)
        await press(pilot, answer)
    assert [sent.command for sent in mailbox.pending(paths)] == ([command] if yes else [])


async def test_a_paused_run_is_resumed(tmp_path: Path) -> None:
    paths = make_run(tmp_path, phase="paused")
    async with opened(paths) as pilot:
        assert "p resume" in await settle(pilot)
        await press(pilot, "p")
    assert [sent.command for sent in mailbox.pending(paths)] == ["resume"]


async def test_a_mailbox_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    shutil.rmtree(paths.control)
    async with opened(paths) as pilot:
        assert "checkpoint: cannot write to" in await press(pilot, "c")


@pytest.mark.parametrize("key", ["c", "s"])
async def test_a_run_that_is_over_takes_no_commands_and_says_why(tmp_path: Path, key: str) -> None:
    paths = make_run(tmp_path, end=End(START + 300, None, 9))
    async with opened(paths) as pilot:
        assert "the run is over (✗ killed)" in await press(pilot, key)
    assert mailbox.pending(paths) == []


async def test_a_run_without_a_step_or_an_attempt_is_shown(tmp_path: Path) -> None:
    paths = make_run(tmp_path, steps=0)
    shutil.rmtree(paths.attempts)
    async with opened(paths) as pilot:
        shown = await settle(pilot)
        assert "○ starting" in shown and "no values yet" in shown
        assert "no process was started yet" in await press(pilot, "o")
        for key in "vtrmi":
            await press(pilot, key)


async def test_a_run_that_cannot_be_opened_says_so_and_is_tried_again(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    content = paths.identity.read_bytes()
    paths.identity.write_text("{")
    async with opened(paths) as pilot:
        assert "cannot be read" in await settle(pilot)
        await press(pilot, "o", "v", "t", "r", "m", "i", "d", "g", "l", "c")
        paths.identity.write_bytes(content)
        assert "step 100/200" in await look_again(pilot)


async def test_a_run_that_is_deleted_while_it_is_open_leaves_the_screen_up(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    async with opened(paths) as pilot:
        shutil.rmtree(paths.root)
        shown = await look_again(pilot)
        assert "its folder is gone" in shown and " loss " in shown
        await press(pilot, "o", "t", "r", "d", "c")


async def test_the_log_is_shown_literally_and_searched(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    async with opened(paths) as pilot:
        shown = await press(pilot, "o")
        assert "<s>[INST] hi [/INST]" in shown and " 100 %" in shown and "10 %\r" not in shown
        paths.log(1).write_text("".join(f"line {number}\n" for number in range(100)))
        await press(pilot, "g", "slash", *"line 42", "enter")
        shown = await settle(pilot)
        assert shown.split("\n")[7] == " line 42" and "not following" in shown
        await press(pilot, "slash", *"nothing", "enter")
        assert "no more lines with: nothing" in await settle(pilot)
        assert "line 99" in await press(pilot, "G")


async def test_an_empty_log_says_so_until_something_comes(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    paths.log(1).write_text("")
    async with opened(paths) as pilot:
        assert "nothing was written here yet" in await press(pilot, "o")
        paths.log(1).write_text("the first line\n")
        add_events(paths, {"type": "phase", "phase": "training"})
        shown = await look_again(pilot)
        assert "the first line" in shown and "nothing was written" not in shown


async def test_the_events_below_the_charts_leave_out_the_phases(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    add_events(paths, *({"type": "phase", "phase": phase} for phase in ("saving", "training", "saving")))
    async with opened(paths) as pilot:
        below = (await settle(pilot)).partition("─events─")[2]
        assert "checkpoint saved at step 100" in below and "saving" not in below
        assert "saving" in await press(pilot, "v")


async def test_escape_leaves_the_search_and_not_the_run(tmp_path: Path) -> None:
    async with opened(make_run(tmp_path)) as pilot:
        await press(pilot, "o", "slash", "x", "escape")
        assert "[o log]" in await settle(pilot)
        await press(pilot, "slash", "enter")
        assert "[v events]" in await press(pilot, "v")


async def test_samples_of_two_steps_stand_side_by_side(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    for step, answer in ((0, "nothing"), (50, "half"), (100, "all of it")):
        append(
            paths.sample_file(step), {"prompt": "What?\nNow?", "reference": "all\nof it", "answer": answer}
        )
    async with opened(paths) as pilot:
        shown = await press(pilot, "t")
        assert shown.count("1. ") == 1 and shown.count("wanted: ") == 1
        assert "step 0 " in shown and "│ step 100" in shown
        assert any("nothing" in line and "│ all of it" in line for line in shown.split("\n"))
        shown = await press(pilot, "left", "L")
        assert any("half" in line and "│ half" in line for line in shown.split("\n"))
        assert "beside" in shown and "beside" not in await press(pilot, "i")


async def test_the_recipe_and_its_difference_from_the_run_before(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name) for name in ("a", "b")]
    for run, rate in zip(runs, (0.001, 0.002), strict=True):
        recipe = {"model": {"name": "m"}, "train": {"learning_rate": rate, "seed": None}}
        write_atomically(run.resolved_recipe, msgspec.json.encode(recipe))
    first, second = sorted(runs, key=lambda run: run.id)
    async with opened(second) as pilot:
        shown = await press(pilot, "r")
    assert f"differs from {first.id}" in shown
    difference = next(line for line in shown.split("\n") if "≠" in line)
    assert "train.learning_rate" in difference and "0.001" in difference and "0.002" in difference
    assert "(not set)" in shown


async def test_every_number_is_explained(tmp_path: Path) -> None:
    async with opened(make_run(tmp_path), size=(120, 48)) as pilot:
        shown = await press(pilot, "i")
    assert re.search(r" done at +08:33\n", shown) and re.search(r" perplexity +6.22\n", shown)
    assert "exp(validation loss)" in shown


async def test_each_gpu_has_its_numbers(tmp_path: Path) -> None:
    paths = make_run(tmp_path)
    gpu = {
        "index": 0,
        "name": "H200 \x1b[2J",
        "utilization": 0.97,
        "memory_used": 30 * GIB,
        "memory_total": 140 * GIB,
        "memory_reserved": GIB,
        "memory_others": 2 * GIB,
        "power": 612.3,
        "power_limit": 700.0,
        "temperature": 61,
        "throttling": ["power limit"],
    }
    note = "GPU 1: lost, it fell off the bus: reboot the machine"
    append(
        paths.system(1),
        *({"t": START + t, "cpu": 0.5, "gpus": [gpu, {"index": 1}], "gpu_note": note} for t in range(90)),
    )
    async with opened(paths, size=(120, 36)) as pilot:
        shown = await press(pilot, "m")
        for words in (
            "97 %",
            "30.0 GiB of 140.0 GiB",
            "1.0 GiB reserved",
            "2.0 GiB by other",
            "612 W of 700 W",
        ):
            assert words in shown
        assert "61 °C" in shown and "held down by: power limit" in shown and note in shown
        shown = await press(pilot, "d", "k", "z")
        assert "GPU 0 use 97 %" in shown and "GPU 0 memory 21 %" in shown and "\x1b" not in shown


@pytest.mark.parametrize("size", [(160, 48), (200, 60), (40, 10), (20, 5), (5, 3)])
async def test_every_size_is_survived(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(make_run(tmp_path), size=size) as pilot:
        await press(pilot, *"dotvrmid", "plus", "h", "l", "z", "w", "x", "question_mark")
