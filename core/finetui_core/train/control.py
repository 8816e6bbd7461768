"""What people and the system ask of a running trainer: commands in the mailbox, and signals."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from finetui_core.runs.mailbox import COMMANDS, Command, pending
from finetui_core.runs.paths import RunPaths
from finetui_core.train.evaluation import Processes


class StopSignal:
    """Remembers SIGTERM and SIGINT, and what batch systems send before a time limit: finish the step, save, end."""

    def __init__(self) -> None:
        self.received = ""

    def listen(self) -> None:
        """Catch the signals from now on; SIGHUP (the terminal closed) is ignored."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU):
            signal.signal(number, self._note)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> Any:
        self.received = signal.Signals(number).name


@dataclass(frozen=True, slots=True)
class Request:
    """Something to do at a step boundary. `command` is its mailbox entry on the process that read it."""

    name: str
    command: Command | None = None


def next_request(paths: RunPaths, stop: StopSignal, processes: Processes) -> Request | None:
    """The oldest thing asked for, the same on every process, or None.

    Process 0 reads the mailbox, and the others learn its choice from the sum of one number. A signal to any of them
    stops all.
    """
    request = None
    if processes.index == 0:
        waiting = pending(paths)
        if waiting and not stop.received:
            request = Request(waiting[0].command, waiting[0])
    if processes.count == 1:
        return Request("stop") if stop.received else request
    return _agreed(request, bool(stop.received), processes.add)


def _agreed(
    request: Request | None, stopping: bool, add: Callable[[torch.Tensor], torch.Tensor]
) -> Request | None:
    signalled = len(COMMANDS) + 1
    chosen = 0 if request is None else 1 + COMMANDS.index(request.name)
    agreed = int(add(torch.tensor(chosen + signalled * stopping)))
    if agreed >= signalled:
        return Request("stop")
    return (request or Request(COMMANDS[agreed - 1])) if agreed else None
