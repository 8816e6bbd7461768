"""The process that holds the model of a conversation: `python -m finetui_core.evaluate.chat_server RUN`.

It reads requests from stdin and writes replies to stdout (`chat_protocol`), and ends with its stdin: whoever started
it may die in any way. Beside a run that trains on the same machine it keeps back: one thread, a low priority, no GPU.
"""

import argparse
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from finetui_core.errors import InputError, Problem, first_line
from finetui_core.evaluate.chat_protocol import (
    SIDES,
    Answered,
    Ask,
    Failed,
    Ready,
    Reply,
    Request,
    Show,
    Side,
    Stop,
    line_of,
    requests,
)
from finetui_core.runs.live import LiveRuns
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name
from finetui_core.runs.records import Attempt, read_small

if TYPE_CHECKING:
    from finetui_core.evaluate.chat_engine import Chat
    from finetui_core.evaluate.subject import Subject

DONE, BAD_INPUT = 0, 2
_NICER = 10
Say = Callable[[Reply], None]


class Inbox:
    """Requests as they come. What stops an answer is known at once, though the answer is still being made."""

    def __init__(self, stream: BinaryIO) -> None:
        self._waiting: queue.Queue[Request] = queue.Queue()
        self._asked = self._stopped = 0
        self._stream = stream
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[Request]:
        while True:
            yield self._waiting.get()

    def is_stopped(self, number: int) -> bool:
        return number <= self._stopped

    def _read(self) -> None:
        for line in self._stream:
            request = requests.decode(line)
            if isinstance(request, Stop):
                self._stopped = self._asked
                continue
            self._asked = max(self._asked, request.number)
            self._waiting.put(request)
        os._exit(
            DONE
        )  # nobody is there to be answered; a model that is being loaded would hold up any other end


class Neighbours:
    """The runs that train on this machine, looked for again before each answer."""

    def __init__(self, roots: set[Path]) -> None:
        self._live = [LiveRuns(root) for root in sorted(roots)]
        self._threads = 0
        self._is_nice = False

    def make_way(self) -> str:
        """Take one thread and a low priority while a run trains here; the run's id, "" where there is none."""
        found = next((run.name for live in self._live for run in self._found(live)), "")
        if found and not self._is_nice:
            self._is_nice = True
            with suppress(OSError):
                os.nice(_NICER)
        import torch

        self._threads = self._threads or torch.get_num_threads()
        torch.set_num_threads(1 if found else self._threads)
        return found

    def _found(self, live: LiveRuns) -> Iterator[Path]:
        with suppress(InputError):
            yield from (run for run in live.find() if _is_here(run))


def _is_here(run: Path) -> bool:
    paths = RunPaths(run)
    numbers = paths.attempt_numbers()
    attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
    return attempt is not None and attempt.host == host_name()


def main() -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.evaluate.chat_server")
    parser.add_argument("source")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--checkpoint")
    parser.add_argument("--side", choices=SIDES, action="append")
    options = parser.parse_args()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no reply

    def say(reply: Reply) -> None:
        out.write(line_of(reply))
        out.flush()

    inbox = Inbox(sys.stdin.buffer)
    try:
        chat, ready, neighbours = _opened(options)
    except InputError as error:
        say(Failed(error.problems))
        return BAD_INPUT
    except Exception as error:
        say(Failed((_trouble(error),)))
        return 1
    say(ready)
    for request in inbox:
        _reply(chat, request, inbox, neighbours, say)
    return DONE


def _opened(options: argparse.Namespace) -> "tuple[Chat, Ready, Neighbours]":
    from finetui_core.evaluate.subject import subject_of

    sides: tuple[Side, ...] = tuple(options.side or SIDES)
    subject = subject_of(
        options.source, options.runs, options.checkpoint, needs_checkpoint=sides != ("base",)
    )
    if subject.run is None:
        if options.side and "tuned" in options.side:
            hint = "name a run, or leave --tuned-only out"
            raise InputError(Problem("a recipe has no tuned weights", subject.name, hint))
        sides = ("base",)
    roots = {options.runs.absolute(), *([subject.run.root.parent] if subject.run else ())}
    neighbours = Neighbours(roots)
    beside = neighbours.make_way()
    return *_loaded(subject, sides, beside), neighbours


def _loaded(subject: "Subject", sides: tuple[Side, ...], beside: str) -> "tuple[Chat, Ready]":
    import torch
    from transformers.utils.logging import disable_progress_bar

    from finetui_core.evaluate.chat_engine import open_chat
    from finetui_core.train.model import best_device

    disable_progress_bar()
    device = torch.device("cpu") if beside else best_device()
    checkpoint = subject.checkpoint
    try:
        chat = open_chat(subject.recipe, checkpoint.path if checkpoint else None, sides, device)
    except OSError as error:
        if checkpoint is None or checkpoint.path.is_dir():
            raise
        hint = "a run that trains keeps its newest checkpoints only: begin again, or name best or latest"
        raise InputError(
            Problem("the checkpoint was deleted while it was read", str(checkpoint.path), hint)
        ) from error
    named = checkpoint.path.name if checkpoint and "tuned" in sides else ""
    ready = Ready(subject.name, subject.recipe.model.name, named, sides, device.type, chat.context, beside)
    return chat, ready


def _reply(chat: "Chat", request: Request, inbox: Inbox, neighbours: Neighbours, say: Say) -> None:
    from finetui_core.evaluate.chat_engine import answers, shown

    if isinstance(request, Show):
        say(shown(chat, request.number, request.turns))
    elif isinstance(request, Ask):
        neighbours.make_way()
        left = dict.fromkeys(request.conversations)
        try:
            for said in answers(
                chat,
                request.number,
                request.conversations,
                request.sampling,
                lambda: inbox.is_stopped(request.number),
            ):
                if isinstance(said, Answered):
                    del left[said.side]
                say(said)
        except Exception as error:  # a stranger's template or model must not end the conversation
            for side in left:
                chat.kept[side].forget()
                what = _trouble(error).what
                say(Answered(request.number, side, "", "error", fault="other", error=what))


def _trouble(error: BaseException) -> Problem:
    from finetui_core.train.shortage import is_of_gpu, shortage_of

    shortage: Any = shortage_of(error)
    if shortage is None:
        if isinstance(error, InputError):
            return error.problems[0]
        return Problem(f"{type(error).__name__}: {first_line(error)}")
    where = "the GPU" if is_of_gpu(shortage) else "this machine"
    hint = "end what else uses it; after full fine-tuning, --base-only or --tuned-only needs half as much"
    return Problem(f"the memory of {where} does not suffice for this model", hint=hint)


if __name__ == "__main__":
    sys.exit(main())
