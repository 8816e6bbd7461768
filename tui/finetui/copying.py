"""Copying text out of the program: over SSH and inside tmux there is no clipboard that always answers."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import state_folder

MOST_BYTES = 74_994
"""The longest text that fits into OSC 52 as xterm and hterm take it: 100,000 bytes, in base64."""
_TMUX_SECONDS = 2.0


def copy(text: str, osc52: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> str:
    """Copy `text` by every way that is open and return a sentence that says where it went.

    It is always written to a file too, since no terminal tells whether it took the text. Blocks for up to two
    seconds inside tmux. Raises OSError where the file cannot be written and nothing else took the text.
    """
    content = text.encode("utf-8", "backslashreplace")
    taken = _to_tmux(content) if environ.get("TMUX") else _to_terminal(content, osc52, environ)
    file = state_folder() / "copied.txt"
    try:
        _write(file, content)
    except OSError:
        if not taken:
            raise
        return f"Copied: {taken}."
    return f"Copied: {taken}. Also in {file}" if taken else f"Copied to {file}"


def _to_tmux(content: bytes) -> str:
    """Into tmux's newest buffer, and with -w (tmux 3.2) to the terminal where set-clipboard allows it."""
    for command in (("tmux", "load-buffer", "-w", "-"), ("tmux", "load-buffer", "-")):
        try:
            done = subprocess.run(
                command, input=content, capture_output=True, timeout=_TMUX_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        if done.returncode == 0:
            return "tmux has it (paste with its prefix and ])"
    return ""


def _to_terminal(content: bytes, osc52: Callable[[str], None], environ: Mapping[str, str]) -> str:
    silent = environ.get("TERM") == "linux" or environ.get("TERM_PROGRAM") == "Apple_Terminal"
    if silent or environ.get("STY") or len(content) > MOST_BYTES:
        return ""
    osc52(content.decode())
    return "handed to the terminal's clipboard (OSC 52)"


def _write(file: Path, content: bytes) -> None:
    private_folder(file.parent)
    write_atomically(file, content, durable=False)
