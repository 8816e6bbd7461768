"""The station Data on a real terminal of 80x24: opened by name, checked, mended and edited, by keys alone."""

import json
from pathlib import Path

from terminal import run_on_terminal


def ask(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns})


def test_a_set_is_checked_mended_and_edited_by_keys(tmp_path: Path) -> None:
    good = [ask(f"What is {number} and {number}?", f"It is {2 * number}.") for number in range(20)]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join([*good, "{broken", good[3]]) + "\n")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/It is 2\\./It is two./" "$1"\n')
    editor.chmod(0o755)
    with run_on_terminal(
        ["-m", "finetui", str(path)], VISUAL=str(editor), FTUI_RUNS=str(tmp_path)
    ) as terminal:
        terminal.wait_for("What is 0 and 0?")
        terminal.wait_for("rows that are not JSON")
        terminal.press("tab")
        terminal.wait_for("The line is not one whole JSON object")
        terminal.press("F")
        terminal.wait_for("What would be done")
        terminal.wait_for("20 are left")
        terminal.press("enter")
        terminal.wait_for("The mended file")
        terminal.press("enter")
        terminal.wait_for("20 rows   messages")
        terminal.press("down")
        terminal.press("e")
        terminal.wait_for("with row 1 as you edit it")
        terminal.press("enter")
        terminal.wait_for("set.mended.edited.jsonl")
        terminal.wait_for("is new in")
        terminal.press("enter")
        terminal.wait_for("It is two.")
        terminal.press("\x11")
        assert terminal.wait_for_end() == 0
    mended, edited = tmp_path / "set.mended.jsonl", tmp_path / "set.mended.edited.jsonl"
    assert mended.read_text().splitlines() == good
    before, after = (
        [json.loads(line) for line in file.read_text().splitlines()] for file in (mended, edited)
    )
    assert after == [before[0], json.loads(good[1].replace("It is 2.", "It is two.")), *before[2:]]
