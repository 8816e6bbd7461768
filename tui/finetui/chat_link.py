"""The process that holds a model, and what it has said since the screen looked last."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from finetui_core.errors import Problem
from finetui_core.evaluate.chat_client import ChatProcess, Subject
from finetui_core.evaluate.chat_protocol import Failed, Reply, Request


class ChatLink:
    """Starts the process and reads its replies in a thread of its own, which ends with the process.

    `arrived` is called in that thread after each reply; `take` gives what came.
    """

    def __init__(self, subject: Subject, arrived: Callable[[], object]) -> None:
        self._arrived = arrived
        self._replies: deque[Reply] = deque()
        self._closed = False
        self._process: ChatProcess | None = None
        try:
            self._process = ChatProcess(subject)
        except OSError as error:
            self._replies.append(Failed((Problem(f"no process can be started: {error.strerror}"),)))
            arrived()
        else:
            threading.Thread(target=self._read, args=(self._process,), name="chat", daemon=True).start()

    def send(self, request: Request) -> None:
        if self._process is not None:
            self._process.send(request)

    def take(self) -> list[Reply]:
        """The replies that came since the last call, in order."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._replies.popleft())
        return taken

    def close(self) -> None:
        """End the process, without waiting for it; what it still says is not told."""
        self._closed = True
        if self._process is not None:
            threading.Thread(target=self._process.close, name="chat end").start()

    def _read(self, process: ChatProcess) -> None:
        for reply in process.read():
            if self._closed:
                return
            self._replies.append(reply)
            self._arrived()
