"""Processes that work for the Data station: they write lines, and end when they are no longer wanted."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import msgspec

from finetui_core.runs.command import child_environment

_LOOK_EVERY = 0.2  # seconds between two looks whether it is still wanted
_ENDING_SECONDS = 2.0
_MOST_LINE = 64 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code (None where it was not wanted any more) and what it told the person."""

    code: int | None
    said: str


def follow(command: Sequence[str], take: Callable[[bytes], None], cancelled: Callable[[], bool]) -> Ended:
    """Give each line that the command writes to `take`; once `cancelled` says so, end it."""
    try:
        with TemporaryFile() as err:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, env=child_environment()
            )
            try:
                wanted = _read_lines(child, take, cancelled)
            finally:
                end(child)
            err.seek(0)
            said = err.read().decode("utf-8", "replace").strip()
            return Ended(child.returncode if wanted else None, said)
    except OSError as error:
        return Ended(1, f"no process can be started: {error.strerror}")


def _read_lines(
    child: "subprocess.Popen[bytes]", take: Callable[[bytes], None], cancelled: Callable[[], bool]
) -> bool:
    assert child.stdout is not None
    descriptor, begun = child.stdout.fileno(), b""
    while not cancelled():
        if not select.select([descriptor], [], [], _LOOK_EVERY)[0]:
            continue
        content = os.read(descriptor, 1 << 16)
        if not content:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_ENDING_SECONDS)
            return True
        *lines, begun = (begun + content).split(b"\n") if b"\n" in content else (begun + content,)
        for line in lines:
            take(line)
        begun = begun if len(begun) < _MOST_LINE else b""
    return False


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a child that may still run."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


TOKENS: tuple[str, ...] = (sys.executable, "-m", "finetui_core.data.check.tokens")


class TokenServer:
    """Shows rows as tokens under a recipe. It loads a tokenizer first, which takes seconds; use it in a thread."""

    def __init__(self, recipe: str, source: str) -> None:
        self.recipe, self.source = recipe, source
        self._child: subprocess.Popen[bytes] | None = None
        self._fault = ""
        self._said = TemporaryFile()  # noqa: SIM115 - closed with the server

    def ask(self, number: int) -> dict[str, Any]:
        """{"view": ...}, or {"error": {"what": ...}}."""
        if self._child is None and not self._fault:
            self._start()
        if self._fault or self._child is None or self._child.stdin is None:
            return _error(self._fault)
        try:
            self._child.stdin.write(b"%d\n" % number)
            self._child.stdin.flush()
        except (OSError, ValueError):
            return _error(self._ended())
        return self._answer()

    def _start(self) -> None:
        command = [*TOKENS, self.recipe, self.source]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=child_environment(),
            )
        except OSError as error:
            self._fault = f"no process can be started: {error.strerror}"
            return
        first = self._answer()
        if "error" in first:
            self._fault = _said(first)

    def _answer(self) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdout is not None
        try:
            line = self._child.stdout.readline()
            answer = msgspec.json.decode(line) if line else None
        except (OSError, ValueError):
            answer = None
        return answer if isinstance(answer, dict) else _error(self._ended())

    def _ended(self) -> str:
        with suppress(OSError, ValueError):
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else "the process that loads the tokenizer has ended"
        return "the process that loads the tokenizer has ended"

    def close(self) -> None:
        if self._child is not None:
            end(self._child)
        with suppress(OSError):
            self._said.close()


def _error(what: str) -> dict[str, Any]:
    return {"error": {"what": what, "where": "", "hint": ""}}


def _said(answer: dict[str, Any]) -> str:
    error = answer["error"]
    hint = f" {error['hint']}" if isinstance(error, dict) and error.get("hint") else ""
    return f"{error.get('what', '')}{hint}" if isinstance(error, dict) else str(error)
