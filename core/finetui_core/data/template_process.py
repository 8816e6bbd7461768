"""Chat templates rendered in a process of their own, which a template that never ends cannot outlive.

One such process serves all requests of this one; it starts with the first, and ends when this one does.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from finetui_core.data.template_worker import SECONDS
from finetui_core.errors import InputError, Problem
from finetui_core.runs.command import child_environment

_lock = threading.Lock()
_worker: "_Worker | None" = None


class TemplateFault(Exception):
    """The template or its program raised an error: `kind` is the error's class, `line` that of the template."""

    def __init__(self, message: str, kind: str, line: int | None) -> None:
        super().__init__(message)
        self.kind, self.line = kind, line


class _Worker:
    """The process, the template that it was last told, and the process that started it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.template: str | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "finetui_core.data.template_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment() | {"OPENBLAS_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C is for this process to answer
        )

    def ask(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """The replies to (template, request) in their order; the last one says so where the process has ended."""
        lines = [self._line(template, request) for template, request in requests]
        assert self.process.stdin and self.process.stdout
        if len(lines) == 1:
            self._write(lines)
            return [self._read()]
        writer = threading.Thread(target=self._write, args=(lines,), daemon=True)
        writer.start()  # a pipe holds less than many requests and replies: one side writes while the other reads
        replies: list[dict[str, Any]] = []
        while len(replies) < len(lines) and (not replies or "stopped" not in replies[-1]):
            replies.append(self._read())
        if "stopped" in replies[-1]:
            self.process.kill()  # it may be at the questions that follow
        writer.join()
        return replies

    def _line(self, template: str, request: dict[str, Any]) -> bytes:
        if template != self.template:
            request = {**request, "template": template}
            self.template = template
        return json.dumps(request, default=str).encode() + b"\n"

    def _write(self, lines: Sequence[bytes]) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # which the reading side meets as the end of the replies
            for line in lines:
                self.process.stdin.write(line)
            self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer.endswith(b"\n") else {"stopped": self._why_ended()}

    def _why_ended(self) -> str:
        code = self.process.wait()
        if code == -signal.SIGXCPU:
            return f"takes more than {SECONDS} seconds"
        if code < 0:
            return f"ended its process by signal {-code}"
        raise RuntimeError(f"the process for chat templates ended with exit code {code}")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def start_template_process() -> None:
    """Let it load while this process does something else; to ask for a rendering starts it as well."""
    with _lock:
        _running()


def render_template(template: str, **arguments: Any) -> tuple[list[str], list[list[list[int]]]]:
    """`transformers.utils.chat_template_utils.render_jinja_template` under limits of time, memory and length.

    Raises TemplateFault where the template does, and InputError where it had to be stopped.
    """
    (reply,) = _replies([(template, {"arguments": arguments})])
    if "error" in reply:
        raise TemplateFault(reply["error"], reply["kind"], reply["line"])
    return reply["texts"], reply["spans"]


def render_chats(asked: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The `text` and the learned `spans` of each (template, chat), or the `error` that the template raised.

    Raises InputError where one of them had to be stopped.
    """
    return _replies([(template, {"chat": chat}) for template, chat in asked])


def _replies(requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    if not requests:
        return []
    with _lock:
        worker = _running()
        try:
            replies = worker.ask(requests)
        except BaseException:  # the next answer would be to this question
            _discard(worker)
            raise
        stopped = next((reply["stopped"] for reply in replies if "stopped" in reply), None)
        if worker.process.returncode is not None or (stopped and len(requests) > 1):
            _discard(worker)
    if stopped is not None:
        raise InputError(
            Problem(
                f"the chat template was stopped: to show one conversation it {stopped}",
                "chat template",
                "It may hold a loop without end. Name another one in model.chat_template.",
            )
        )
    return replies


def _running() -> _Worker:
    global _worker
    if _worker is None or _worker.owner != os.getpid() or _worker.process.poll() is not None:
        _worker = _Worker()
    return _worker


def _discard(worker: _Worker) -> None:
    global _worker
    worker.end()
    _worker = None


@atexit.register
def _end() -> None:
    if _worker is not None and _worker.owner == os.getpid():
        _worker.end()
