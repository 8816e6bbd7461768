"""Copying: by tmux, by the terminal, by a file, and told which."""

from pathlib import Path

import pytest
from tui_screen import settle

from finetui import copying
from finetui.app import Studio


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("TMUX", "STY", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "state" / "ftui" / "copied.txt"


def test_the_terminal_takes_it_and_a_file_has_it_too(state: Path) -> None:
    sent: list[str] = []
    said = copying.copy("loss 1.23 ⠢", sent.append, {"TERM": "xterm-256color"})
    assert sent == ["loss 1.23 ⠢"] and state.read_text() == "loss 1.23 ⠢"
    assert "OSC 52" in said and str(state) in said
    assert state.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("x" * (copying.MOST_BYTES + 1), {"TERM": "xterm"}),
        ("x", {"TERM": "linux"}),
        ("x", {"TERM": "xterm", "TERM_PROGRAM": "Apple_Terminal"}),
        ("x", {"TERM": "screen", "STY": "1.pts"}),
    ],
)
def test_where_no_terminal_takes_it_the_file_has_it(state: Path, text: str, environ: dict[str, str]) -> None:
    sent: list[str] = []
    assert copying.copy(text, sent.append, environ) == f"Copied to {state}"
    assert sent == [] and state.read_text() == text


@pytest.mark.parametrize(("works", "said"), [(True, "tmux has it"), (False, "Copied to")])
def test_inside_tmux_its_buffer_takes_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool, said: str
) -> None:
    program = tmp_path / "bin" / "tmux"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncat > {tmp_path}/buffer\necho "$@" > {tmp_path}/asked\nexit {0 if works else 1}\n'
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    sent: list[str] = []
    assert said in copying.copy("text", sent.append, {"TMUX": "/tmp/tmux,1,0", "TERM": "tmux-256color"})
    assert sent == [] and (tmp_path / "buffer").read_text() == "text"
    assert (tmp_path / "asked").read_text() == ("load-buffer -w -\n" if works else "load-buffer -\n")


def test_text_that_is_not_valid_unicode_is_copied(state: Path) -> None:
    copying.copy("bad \ud800", lambda text: None, {"TERM": "xterm"})
    assert state.read_text() == "bad \\ud800"


async def test_the_text_of_the_screen_is_copied_and_the_notice_says_where(
    tmp_path: Path, state: Path
) -> None:
    async with Studio(tmp_path / "runs").run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot)
        await pilot.press("2", "Y")
        shown = await settle(pilot)
    assert "Copied" in shown and "[2 Decide]" in state.read_text()


async def test_what_cannot_be_copied_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TERM", "linux")
    async with Studio(tmp_path / "runs").run_test(size=(100, 30), notifications=True) as pilot:
        pilot.app.copy("text")
        assert "Not copied" in await settle(pilot)
