"""Starting the process that holds the model of a conversation, and speaking with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from finetui_core.errors import Problem
from finetui_core.evaluate.chat_protocol import Failed, Reply, Request, Side, line_of, replies
from finetui_core.runs.command import child_environment

SERVER: tuple[str, ...] = (sys.executable, "-m", "finetui_core.evaluate.chat_server")
_ENDING_SECONDS = 2.0
_MOST_SAID = 20_000  # bytes of the end of what it told on stderr


@dataclass(frozen=True, slots=True)
class Subject:
    """What is talked to: a run or a recipe as it was named, the folder of runs, one of the run's checkpoints ("best",
    "latest", a step), and the sides that answer; both where none is named."""

    source: str
    runs: Path
    checkpoint: str | None = None
    sides: tuple[Side, ...] = ()


class ChatProcess:
    """The process. One thread may read its replies while another sends requests."""

    def __init__(self, subject: Subject) -> None:
        """Raises OSError where no process can be started."""
        arguments = [subject.source, "--runs", str(subject.runs)]
        arguments += ["--checkpoint", subject.checkpoint] if subject.checkpoint else []
        arguments += [word for side in subject.sides for word in ("--side", side)]
        environment = child_environment() | {"TOKENIZERS_PARALLELISM": "false"}
        environment.setdefault("OMP_WAIT_POLICY", "passive")  # a waiting thread leaves the core to others
        self._said = TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._child = subprocess.Popen(
                [*SERVER, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
                process_group=0,  # Ctrl-C is for this process to answer
            )
        except OSError:
            self._said.close()
            raise

    def send(self, request: Request) -> None:
        """A process that has ended is told of by `read`."""
        assert self._child.stdin is not None
        with suppress(OSError, ValueError):
            self._child.stdin.write(line_of(request))
            self._child.stdin.flush()

    def read(self) -> Iterator[Reply]:
        """The replies as they come; where it ends by itself, the last one is a Failed that says why."""
        assert self._child.stdout is not None
        failed = False
        with suppress(OSError, ValueError):
            for line in self._child.stdout:
                try:
                    reply = replies.decode(line)
                except msgspec.DecodeError:
                    break
                failed = isinstance(reply, Failed)
                yield reply
        if not failed:
            yield Failed((self._why(),))

    def _why(self) -> Problem:
        try:
            code = self._child.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return Problem("the process of the model says what cannot be understood")
        if code == -signal.SIGKILL:
            what = "the process of the model was killed"
            return Problem(what, hint="by hand, or by the system where the machine had no memory left")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Problem(f"the process of the model ended with {how}", hint=self._last_line())

    def _last_line(self) -> str:
        with suppress(OSError, ValueError):
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - _MOST_SAID))
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def close(self) -> None:
        """End it at once, whatever it does."""
        child = self._child
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        with suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()


def sides_of(base_only: bool, tuned_only: bool) -> Sequence[Side]:
    """The sides that two switches of a command leave."""
    return ("base",) if base_only else ("tuned",) if tuned_only else ()
