"""The station Data by keys: rows, findings, filters and histograms; another program stands for the check."""

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_screen import screen_text, settle

from finetui import data_child, launching
from finetui.app import Studio
from finetui.data_opening import LAST_TOKENS, Used
from finetui.data_search import filter_fault
from finetui.remembered import keep
from finetui.screens.data import DataScreen
from finetui.widgets.filter_bar import FilterBar
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.row_filter import without_secrets

SECRET = "AKIAQ3EGRLPZT2WMXK5A"
Fake = Callable[[str], None]


def ask(question: str, answer: str = "Yes.", *, system: str = "") -> dict[str, Any]:
    turns = [{"role": "system", "content": system}] if system else []
    turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def found(rule: str, rows: Sequence[int], of: int, **example: object) -> dict[str, Any]:
    """What the check says of a rule."""
    examples = [{"file": 0, "row": row, "line": row + 1, **example} for row in rows]
    return {
        "rule": rule,
        "severity": RULES[rule].severity,
        "count": len(rows),
        "of": of,
        "examples": examples,
    }


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a script in the place of ftui."""
    monkeypatch.delenv("TMUX", raising=False)

    def replace(body: str) -> None:
        script = tmp_path / "fake.py"
        script.write_text(
            f"import json, os, sys\nsay = lambda one: print(json.dumps(one), flush=True)\n{body}\n"
        )
        monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-S", str(script)))

    return replace


@pytest.fixture
def checked(fake: Fake) -> Callable[..., None]:
    """The check says this of any file."""
    return lambda *findings: fake(
        f"say({{'type': 'report', 'found': {list(findings)!r}, 'sentence': 'Look.'}})"
    )


@asynccontextmanager
async def opened(
    tmp_path: Path, rows: Sequence[object] | Path, size: tuple[int, int] = (120, 30)
) -> AsyncIterator[Pilot[Any]]:
    path = rows if isinstance(rows, Path) else write(tmp_path / "rows.jsonl", rows)
    (tmp_path / "runs").mkdir(exist_ok=True)
    async with Studio(tmp_path / "runs", opened_data=str(path)).run_test(
        size=size, notifications=True
    ) as pilot:
        await settle(pilot)
        await settle(pilot)
        yield pilot
        assert pilot.app.is_running, "it ended by itself"


async def press(pilot: Pilot[Any], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    await settle(pilot)
    return await settle(pilot)


async def type_filter(pilot: Pilot[Any], text: str) -> str:
    """Type at once: between two keys on a busy machine the half of a filter would be searched for."""
    if not pilot.app.screen.query(FilterBar):
        await pilot.press("slash")
        await pilot.pause()
    line = pilot.app.screen.query_one(Input)
    line.value += text
    for _ in range(200):
        seen = await settle(pilot)
        if f"fit: {line.value}" in seen or filter_fault(line.value):
            break
        await pilot.pause(0.05)
    return await settle(pilot)


ROWS = [
    ask("how old is the moon?"),
    ask("where is my order?", f"Use {SECRET} now."),
    "{broken",
    ask("why?", "No."),
]


async def test_a_file_is_asked_for_and_its_rows_are_shown(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked()
    (tmp_path / "runs").mkdir()
    path = write(tmp_path / "my-rows.jsonl", ROWS)
    async with Studio(tmp_path / "runs").run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert "Press o to open a file" in await press(pilot, "3")
        seen = await press(pilot, "o")
        assert "Data set (JSONL" in seen
        assert "support_chat.jsonl" in seen
        await pilot.press("ctrl+u", *str(tmp_path / "my-r"), "tab", "enter")
        seen = await press(pilot)
        assert "my-rows.jsonl   " in seen
        assert "4 rows   messages" in seen
        assert "how old is the moon?" in seen
        assert "not valid JSON" in seen
        seen = await press(pilot, "1", "3")
        assert "how old is the moon?" in seen
    async with Studio(tmp_path / "runs").run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert str(path.name) in await press(pilot, "3")


async def test_findings_are_listed_gravest_first_explained_and_filter_the_rows(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked(found("refusal", [3], 4), found("unreadable_row", [2], 4), found("secret", [1], 4))
    async with opened(tmp_path, ROWS, (80, 24)) as pilot:
        seen = await press(pilot, "tab")
        assert seen.index("rows that are not JSON") < seen.index("· info")
        assert "Look." in seen
        assert "The line is not one whole JSON object" in seen
        assert "f mends it: ftui data fix" in seen
        seen = await press(pilot, "j")
        assert "A key or token of a known vendor's form" in seen
        seen = await press(pilot, "enter")
        assert "1 row fits: rule:secret" in seen
        assert "where is my order?" in seen
        assert "how old is the moon?" not in seen
        seen = await press(pilot, "escape")
        assert "how old is the moon?" in seen


async def test_examples_are_never_shown_as_all_rows(tmp_path: Path, checked: Callable[..., None]) -> None:
    repeats = found("exact_duplicate", [1, 3], 4)
    checked({**repeats, "count": 900})
    async with opened(tmp_path, ROWS) as pilot:
        seen = await press(pilot, "tab", "enter")
        assert "2 rows fit: rule:exact_duplicate (the first 2 of 900)" in seen


async def test_a_filter_searches_all_rows_and_an_invalid_one_changes_nothing(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked()
    rows = [ask(f"question {number}", system="Be short." if number % 3 == 0 else "") for number in range(900)]
    async with opened(tmp_path, rows) as pilot:
        seen = await type_filter(pilot, "turns=3 question row>=600")
        assert "100 rows fit: turns=3 question row>=600" in seen
        assert "question 600" in seen
        seen = await type_filter(pilot, " colour:red")
        assert "there is no field colour" in seen
        assert "100 rows fit" in seen
        seen = await press(pilot, "escape")
        assert "rows fit" not in seen
        assert "question 1\n" in await press(pilot, "g")
        seen = await type_filter(pilot, "rule:secret")
        assert "0 rows fit: rule:secret" in seen


async def test_bars_of_lengths_and_turns_filter(tmp_path: Path, checked: Callable[..., None]) -> None:
    checked()
    rows = [ask("short") for _ in range(30)] + [ask("long " * 400, system="s") for _ in range(7)]
    async with opened(tmp_path, rows) as pilot:
        seen = await press(pilot, "v")
        assert "64 B to 128 B" in seen
        assert "2.0 KiB to 4.0 KiB" in seen
        seen = await press(pilot, "j", "enter")
        assert "7 rows fit: bytes>=2048 bytes<=4095" in seen
        seen = await press(pilot, "v", "enter")
        assert "30 rows fit: turns=2" in seen


async def test_a_row_shows_its_turns_with_the_place_marked_and_no_secret(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked(found("secret", [1], 4))
    async with opened(tmp_path, ROWS, (80, 24)) as pilot:
        seen = await press(pilot, "tab", "enter", "enter")
        assert "✗ error  secrets  $.messages[1].content" in seen
        assert "── user" in seen
        assert "▶ Use AKIA••••" in seen
        assert SECRET not in seen
        seen = await press(pilot, "w")
        assert '"role": "assistant"' in seen
        assert SECRET not in seen
        seen = await press(pilot, "b", "escape")
        assert "how old is the moon?" in seen


async def test_the_rows_of_a_list_are_gone_through(tmp_path: Path, checked: Callable[..., None]) -> None:
    checked(found("refusal", [0, 3], 4))
    async with opened(tmp_path, ROWS) as pilot:
        seen = await press(pilot, "tab", "enter", "enter")
        assert "row 0 " in seen
        assert "1 of 2 rows shown" in seen
        seen = await press(pilot, "right")
        assert "row 3 " in seen
        assert "this is the last row" in await press(pilot, "right_square_bracket")
        seen = await press(pilot, "b")
        assert "2 rows fit" in seen
        assert pilot.app.screen.query_one("#rows").chosen == "3"  # type: ignore[attr-defined]


async def test_two_rows_are_shown_beside_each_other(tmp_path: Path, checked: Callable[..., None]) -> None:
    rows = [ask("Where is the museum?", "In Paris near the river."), ask("x")]
    rows.append(ask("Where is the museum?", "In Rome near the river."))
    checked(found("near_duplicate", [2], 3, other=0, other_file=0))
    async with opened(tmp_path, rows) as pilot:
        seen = await press(pilot, "tab", "enter", "enter")
        assert "row 0: d shows both" in seen
        seen = await press(pilot, "d")
        assert "[- Rome-]" in seen
        assert "[+ Paris+]" in seen
        await press(pilot, "b", "escape", "tab")
        seen = await press(pilot, "g", "enter", "d")
        assert "no other row is known" in seen


async def test_a_leaked_row_is_shown_beside_that_of_the_validation_file(tmp_path: Path, fake: Fake) -> None:
    val = write(tmp_path / "val.jsonl", [ask("x"), ask("Where is the museum?", "In Oslo.")])
    leak = found("leakage", [1], 2, other=3, other_file=0)
    leak["examples"][0]["file"] = 1
    files = [{"path": "rows.jsonl"}, {"path": str(val)}]
    fake(f"say({{'type': 'report', 'found': [{leak!r}], 'files': {files!r}}})")
    async with opened(tmp_path, [*ROWS[:3], ask("Where is the museum?", "In Rome.")]) as pilot:
        seen = await press(pilot, "tab", "enter", "enter")
        assert "row 3 " in seen
        assert "row 1 of val.jsonl: d shows both" in seen
        seen = await press(pilot, "d")
        assert "[- Rome-]" in seen
        assert "[+ Oslo+]" in seen


TOKENS = """
import json, sys
print(json.dumps({"ready": 4}), flush=True)
for line in sys.stdin:
    tokens = [{"id": 1, "text": "<|user|>", "special": True}, {"id": 7, "text": "AKIAQ3EGRLPZ"},
              {"id": 8, "text": "T2WMXK5A now", "learned": True}, {"id": 9, "text": "gone", "inside": False}]
    view = {"fate": "cut", "length": 4, "learned": 1, "max_length": 3, "tokens": tokens}
    print(json.dumps({"row": int(line), "view": view}), flush=True)
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (TOKENS, ["4 tokens, 1 learned", "‹<|user|>›", "⟦", "▌", "beyond data.max_length = 3", "✂ gone"]),
        (
            'print(\'{"error": {"what": "torch is missing", "where": "", "hint": "Install it."}}\')',
            ["torch is missing"],
        ),
        ("import sys; sys.exit('No module named transformers')", ["No module named transformers"]),
    ],
)
async def test_a_row_as_the_model_reads_it(
    tmp_path: Path,
    checked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: list[str],
) -> None:
    checked()
    (tmp_path / "tokens.py").write_text(script)
    monkeypatch.setattr(data_child, "TOKENS", (sys.executable, "-S", str(tmp_path / "tokens.py")))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("")
    keep(LAST_TOKENS, Used(str(recipe)))
    async with opened(tmp_path, ROWS) as pilot:
        seen = await press(pilot, "j", "enter", "x")
        assert all(part in seen for part in said), seen
        assert "QPZT2WM" not in seen.replace("\n", "")
        seen = await press(pilot, "i")
        assert ("·8 " in seen) == (script is TOKENS)


async def test_a_recipe_that_is_chosen_checks_the_rows_anew(tmp_path: Path, fake: Fake) -> None:
    report = {"type": "report", "found": [found("overlength", [0], 4)]}
    fake(f"say({report!r} if '--recipe' in sys.argv else {{'type': 'report', 'found': []}})")
    (tmp_path / "my.toml").write_text("")
    async with opened(tmp_path, ROWS) as pilot:
        assert "data.max_length" not in screen_text(pilot.app)
        await press(pilot, "R", "ctrl+u", *str(tmp_path / "my.toml"))
        seen = await press(pilot, "enter")
        assert "rows longer than data.max_length" in seen


async def test_without_a_recipe_the_token_view_says_what_is_missing(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked()
    async with opened(tmp_path, ROWS) as pilot:
        seen = await press(pilot, "enter", "x")
        assert "Which recipe?" in seen


async def test_the_check_is_ended_by_a_key_and_with_the_studio(tmp_path: Path, fake: Fake) -> None:
    pid = tmp_path / "pid"
    fake(
        "say({'type': 'progress', 'bytes_done': 1, 'bytes_total': 4, 'rows': 2, 'found': {'secret': 1}})\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\nimport time\ntime.sleep(60)"
    )
    path = write(tmp_path / "rows.jsonl", ROWS)
    (tmp_path / "runs").mkdir()

    async def until(pilot: Pilot[Any], words: str) -> None:
        end = time.monotonic() + 20
        while words not in screen_text(pilot.app):
            assert time.monotonic() < end, screen_text(pilot.app)
            await pilot.pause(0.05)

    for key in ("x", ""):
        async with Studio(tmp_path / "runs", opened_data=str(path)).run_test(size=(100, 30)) as pilot:
            await until(pilot, "checking … 25 %")
            await until(pilot, "secrets")
            while not pid.exists() or not pid.read_text():
                await pilot.pause(0.05)
            if key:
                await pilot.press(key)
                await until(pilot, "the check was ended")
        number = int(pid.read_text())
        pid.unlink()
        end = time.monotonic() + 10
        while os.path.exists(f"/proc/{number}"):  # noqa: PTH110
            assert time.monotonic() < end
            time.sleep(0.02)


async def test_mending_is_shown_first_and_its_result_is_opened(tmp_path: Path, fake: Fake) -> None:
    report = {"type": "report", "found": [found("secret", [1], 4), found("contradiction", [0], 4)]}
    fake(
        f"if sys.argv[2] == 'check': say({report!r})\n"
        "elif '--plan' in sys.argv: print('1 row dropped [/b] ' + ' '.join(sys.argv[5:]))\n"
        "else: open(sys.argv[5], 'w').write(open(sys.argv[3]).readline())"
    )
    async with opened(tmp_path, ROWS) as pilot:
        seen = await press(pilot, "tab", "f")
        assert "1 row dropped [/b] --only secret" in seen
        seen = await press(pilot, "enter")
        assert "The mended file" in seen
        assert "rows.mended.jsonl" in seen
        seen = await press(pilot, "enter")
        assert "rows.mended.jsonl" in seen
        assert "1 rows   messages" in seen
        assert (tmp_path / "rows.mended.jsonl").exists()
        seen = await press(pilot, "tab", "j", "f")
        assert "it has no safe mend" in seen
        assert "it is not about single rows" in await press(pilot, "d")
        assert "1 row dropped [/b] --only secret --drop secret" in await press(pilot, "k", "d")


@pytest.mark.parametrize(("rule", "is_next"), [("contradiction", True), ("secret", False)])
async def test_rows_without_an_error_lead_to_the_recipe(
    tmp_path: Path, fake: Fake, rule: str, is_next: bool
) -> None:
    fake(f"say({ {'type': 'report', 'found': [found(rule, [1], 4)]}!r})")
    async with opened(tmp_path, ROWS) as pilot:
        assert ("next: Recipe" in screen_text(pilot.app)) is is_next


async def test_a_row_is_edited_into_a_new_file(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("if sys.argv[2] == 'edit': open(sys.argv[6], 'w').write(json.dumps({'text': 'row ' + sys.argv[4]}))")
    async with opened(tmp_path, ROWS) as pilot:
        await press(pilot, "j", "e")
        seen = await press(pilot, "enter")
        assert "cannot be given to an editor" in seen
        monkeypatch.setattr(Studio, "suspend", lambda self: nullcontext())
        await press(pilot, "e")
        seen = await press(pilot, "enter")
        assert "rows.edited.jsonl" in seen
        assert "row 1" in seen


async def test_a_file_that_was_replaced_is_read_again_when_asked(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked()
    async with opened(tmp_path, ROWS) as pilot:
        write(tmp_path / "new", [ask("new question")]).replace(tmp_path / "rows.jsonl")
        screen = pilot.app.screen
        assert isinstance(screen, DataScreen)
        screen._poller.now()
        seen = await settle(pilot)
        assert "The file was replaced: r reads it again" in seen
        assert "how old is the moon?" in seen
        seen = await press(pilot, "r")
        assert "new question" in seen


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "the file is empty"), (b"\x1f\x8b\x08", "gzip"), (b'{"a":\n1}', "one JSON object")],
)
async def test_an_unusable_file_is_told_of(
    tmp_path: Path, checked: Callable[..., None], content: bytes, said: str
) -> None:
    checked()
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    async with opened(tmp_path, path) as pilot:
        assert said in screen_text(pilot.app)


async def test_a_long_row_and_strange_rows_are_shown(tmp_path: Path, checked: Callable[..., None]) -> None:
    checked()
    deep = '{"messages": ' + "[" * 2000 + "]" * 2000 + "}"
    rows = [ask("x"), json.dumps(ask("y" * 5_000_000)), deep, '"text"', '{"messages": [[1]]}', "[/INST][red]"]
    async with opened(tmp_path, rows) as pilot:
        seen = await press(pilot)
        assert "the row is too long" in seen
        seen = await press(pilot, "j", "enter")
        assert "only its beginning is shown" in seen
        for _ in range(4):
            seen += await press(pilot, "right")
        assert "[/INST][red]" in seen


async def test_a_list_of_very_many_rows_is_opened_at_its_end(
    tmp_path: Path, checked: Callable[..., None]
) -> None:
    checked()
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"text": "row number {number}"}}\n' for number in range(200_000)))
    async with opened(tmp_path, path) as pilot:
        while "200,000 rows" not in screen_text(pilot.app):
            await pilot.pause(0.05)
        seen = await press(pilot, "G")
        assert "row number 199999" in seen


def test_what_is_hidden_keeps_its_length() -> None:
    text = f"Use {SECRET}, or write to jane.doe@gmail.com."
    hidden = without_secrets(text)
    assert len(hidden) == len(text)
    assert SECRET not in hidden
    assert "jane.doe" not in hidden
