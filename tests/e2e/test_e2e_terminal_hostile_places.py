"""Hostile text outside of our run directories: paths, themes, settings, runs of other trainers, pasted text."""

import base64
import json
import os
import re
import time
from pathlib import Path

import pytest

import event_files
from harmless import leave
from hostile import MARK, TEXTS, as_file_name, begin, bytes_of, end, hostile_run, text_in_json
from terminal import Terminal, run_on_terminal

OSC_52 = next(number for number, text in enumerate(TEXTS) if "\x1b]52;" in text)
C1 = next(number for number, text in enumerate(TEXTS) if "\x9b" in text)
BROKEN = next(number for number, text in enumerate(TEXTS) if "\udc80" in text)
MARKUP = next(number for number, text in enumerate(TEXTS) if "[@click=" in text)
COPIED = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def screens(terminal: Terminal, pages: int, *keys: str) -> str:
    """All that is shown while keys are pressed some times."""
    seen = terminal.settle()
    for _ in range(pages):
        terminal.press(*keys)
        seen += terminal.settle(0.1)
    return seen


def foreign_run(root: Path, number: int) -> None:
    """A run of one of three other trainers, with text `number` as its name and wherever it records text."""
    folder = root / as_file_name(TEXTS[number])
    folder.mkdir(parents=True)
    text = text_in_json(TEXTS[number])
    point = {"step": 1, "loss": 2.5, text: 1.5, "note": text}
    if number % 3 == 0:
        state = {"log_history": [point], "max_steps": text, "best_model_checkpoint": text}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    elif number % 3 == 1:
        scalars = [event_files.scalar(1, tag, 2.5) for tag in (text, "train/loss", f"loss/{text}")]
        (folder / "events.out.tfevents.1.x").write_bytes(b"".join([event_files.version(), *scalars]))
    else:
        (folder / "metrics.jsonl").write_bytes(json.dumps(point).encode() + b"\n" + bytes_of(TEXTS[number]))


def test_runs_of_other_trainers(tmp_path: Path) -> None:
    for number in range(len(TEXTS)):
        foreign_run(tmp_path, number)
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path)], rows=100, columns=200) as terminal:
        terminal.wait_for(f"{len(TEXTS)} runs")
        seen = terminal.settle()
        deadline = time.monotonic() + 60
        while missing := [number for number in range(len(TEXTS)) if begin(number) not in seen]:
            assert time.monotonic() < deadline, missing
            seen += screens(terminal, 1, "pagedown")
        leave(terminal)


@pytest.mark.parametrize("number", [OSC_52, C1, BROKEN])
def test_a_run_of_another_trainer_is_opened(tmp_path: Path, number: int) -> None:
    foreign_run(tmp_path, number)
    run = tmp_path / as_file_name(TEXTS[number])
    with run_on_terminal(["-m", "finetui", os.fsencode(run)], rows=40, columns=120) as terminal:
        terminal.wait_for("[5 Train]")
        seen = "".join(screens(terminal, 1, key) for key in "ovtrmid")
        assert begin(number) in seen and end(number) in seen
        leave(terminal)


@pytest.mark.parametrize("number", [OSC_52, C1, BROKEN, MARKUP])
def test_a_folder_of_runs_with_a_hostile_path(tmp_path: Path, number: int) -> None:
    root = tmp_path / as_file_name(TEXTS[number])
    hostile_run(root, number)
    with run_on_terminal(["-m", "finetui", "--runs", os.fsencode(root)], rows=40, columns=200) as terminal:
        terminal.wait_for("1 run,")
        assert begin(number) in terminal.screen()
        leave(terminal)


def test_a_folder_of_runs_that_does_not_exist(tmp_path: Path) -> None:
    root = tmp_path / as_file_name(TEXTS[OSC_52])
    with run_on_terminal(["-m", "finetui", "--runs", os.fsencode(root)], rows=40, columns=200) as terminal:
        terminal.wait_for("There are no runs in")
        terminal.wait_for(end(OSC_52))
        leave(terminal)


def test_themes_with_hostile_names_and_faults(tmp_path: Path) -> None:
    themes = tmp_path / "ftui" / "themes"
    themes.mkdir(parents=True)
    for text in TEXTS:
        quoted = json.dumps(text_in_json(text))
        (themes / f"{as_file_name(text)}.toml").write_text(f"{quoted} = 1\n[colours]\n{quoted} = {quoted}\n")
    with run_on_terminal(
        ["-m", "finetui", "--runs", str(tmp_path / "runs")],
        rows=60,
        columns=200,
        XDG_CONFIG_HOME=str(tmp_path),
    ) as terminal:
        terminal.wait_for("There are no runs")
        terminal.press(":")
        terminal.settle()
        terminal.press("theme")
        seen = screens(terminal, len(TEXTS) // 10 + 1, *["down"] * 10)
        assert [number for number in range(len(TEXTS)) if begin(number) not in seen] == []
        terminal.press("escape")
        terminal.settle(0.3)
        terminal.press(":")
        terminal.settle()
        terminal.press(f"theme {begin(OSC_52)}", "enter")
        terminal.wait_for("passed over")
        assert f"Theme {begin(OSC_52)}" in terminal.settle()
        leave(terminal)


@pytest.mark.parametrize("number", [OSC_52, C1, BROKEN, MARKUP])
def test_settings_with_hostile_names(tmp_path: Path, number: int) -> None:
    quoted = json.dumps(text_in_json(TEXTS[number]))
    (tmp_path / "ftui").mkdir()
    (tmp_path / "ftui" / "settings.toml").write_text(
        f"theme = {quoted}\n{quoted} = {quoted}\n[keys]\n{quoted} = [{quoted}]\nquit = {quoted}\n"
    )
    with run_on_terminal(
        ["-m", "finetui", "--runs", str(tmp_path / "runs")],
        rows=60,
        columns=200,
        XDG_CONFIG_HOME=str(tmp_path),
    ) as terminal:
        terminal.wait_for("passed over")
        assert begin(number) in terminal.settle()
        leave(terminal)


def toml_text(text: str) -> str:
    return json.dumps(text_in_json(text)).replace("\x7f", "\\u007f")


@pytest.mark.parametrize("number", [OSC_52, *(pytest.param(n, marks=pytest.mark.slow) for n in (C1, MARKUP))])
@pytest.mark.parametrize("raw", [False, True])
def test_a_recipe_is_opened_looked_through_and_edited(tmp_path: Path, number: int, raw: bool) -> None:
    """Its name, its values, names of its options and tables, and its comments are theirs."""
    quoted = toml_text(TEXTS[number])
    short = [text for text in TEXTS if len(text) < 300]
    options = "".join(f"{toml_text(text)} = {toml_text(text)}\n" for text in short)
    lists = f"target_modules = [{', '.join(map(toml_text, short))}]\n"
    content = (
        f"[model]\nname = {quoted}\n[data]\ntrain = {quoted}\n[lora]\n{lists}[train]\n{options}[{quoted}]\n"
    )
    path = tmp_path / f"{as_file_name(TEXTS[number])[:120]}.toml"
    path.write_bytes(content.encode() + (b"# " + b"\n# ".join(map(bytes_of, short)) if raw else b""))
    if raw:
        path.write_bytes(path.read_bytes().decode("utf-8", "replace").encode())
    with run_on_terminal(["-m", "finetui", os.fsencode(path)], rows=40, columns=170) as terminal:
        terminal.wait_for(begin(number))
        seen = screens(terminal, 12, "pagedown")
        for key in (
            "f",
            "i",
            "escape",
            "a",
            "F",
            "v",
            "escape",
            "d",
            "right",
            "escape",
            "/",
            "escape",
            "G",
            "enter",
        ):
            terminal.press(key)
            seen += terminal.settle(0.6 if key == "escape" else 0.1)
        terminal.press("escape")
        terminal.settle(0.6)
        terminal.press("tab", f"\x1b[200~pp\x9b{MARK}m\u202e\x07qq\x1b[201~")
        seen += screens(terminal, 12, "pagedown")
        assert begin(number) in seen and end(number) in seen
        terminal.press("\x11")
        terminal.settle()
        leave(terminal)


@pytest.mark.parametrize("question", ["/", "R", "n", ":"])
@pytest.mark.parametrize("pasted", [f"pp\x9b{MARK}m\u202e\x07qq", f"pp\x1b]0;{MARK}\x07qq"])
def test_what_is_pasted_into_a_question(tmp_path: Path, question: str, pasted: str) -> None:
    hostile_run(tmp_path, MARKUP)
    with run_on_terminal(["-m", "finetui", "--runs", str(tmp_path)], rows=40, columns=200) as terminal:
        terminal.wait_for(begin(MARKUP))
        terminal.press(question)
        terminal.settle()
        terminal.press(f"\x1b[200~{pasted}\x1b[201~")
        terminal.settle()
        assert "\x1b" in pasted or "pp\\u{9b}" in terminal.screen()
        terminal.press("enter")
        terminal.settle()
        leave(terminal)


def test_what_is_copied_is_told_by_one_sequence_of_ours(tmp_path: Path) -> None:
    hostile_run(tmp_path, OSC_52)
    with run_on_terminal(
        ["-m", "finetui", "--runs", str(tmp_path)], rows=40, columns=120, TMUX="", STY="", TERM_PROGRAM=""
    ) as terminal:
        terminal.wait_for(begin(OSC_52))
        terminal.press("Y")
        terminal.wait_for("Copied")
        (copied,) = COPIED.findall(terminal.output)
        text = base64.b64decode(copied).decode()
        assert begin(OSC_52) in text and "\x1b" not in text
        terminal.output[:] = COPIED.sub(b"", terminal.output)
        leave(terminal)
