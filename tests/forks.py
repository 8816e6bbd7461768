"""Trainers and commands that start in a tenth of a second: one process has imported everything, and forks a child.

A start of the real trainer is five seconds of imports. The fork server (multiprocessing's) has torch with one thread,
no model and no other threads; a child runs the same body as a real process, and can be killed from outside. The
programs that it starts in turn are forked too.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from forked import become, fork_our_programs, run_module

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
_context = multiprocessing.get_context("forkserver")


def warm_up() -> None:
    """Start the fork server, if it does not run yet; the first child waits for its imports (seconds)."""
    if _lives():
        return
    before = dict(os.environ)
    os.environ |= {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        _context.set_forkserver_preload(["fork_imports"])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _lives() -> bool:
    """Whether the fork server runs. One that a test has ended and waited for is forgotten: asking it would raise."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    if server._forkserver_pid is None:
        return False
    try:
        ended = os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        os.close(server._forkserver_alive_fd)
        server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
        return False
    return ended is None


def start(body: Callable[..., int], log: Path, *arguments: Any) -> Any:
    """Fork a child that runs `body(*arguments)`, prints into `log`, and exits with the code that it returns."""
    warm_up()
    child = _context.Process(target=_run, args=(body, log, arguments), daemon=True)
    child.start()
    return child


def _run(body: Callable[..., int], log: Path, arguments: tuple[Any, ...]) -> None:
    os.setpgid(0, 0)
    _write_into(log, 1, 2)
    fork_our_programs()
    sys.exit(body(*arguments))


def _write_into(file: Path, *numbers: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number in numbers:
        os.dup2(descriptor, number)


def trainer(root: Path, attempt: int) -> int:
    """What `python -m finetui_core.train RUN --attempt N` does."""
    from finetui_core.train.__main__ import main

    sys.argv = ["finetui_core.train", str(root), "--attempt", str(attempt)]
    return main()


def ftui(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """What `ftui ARGUMENTS` does, run in `folder`. Raises subprocess.TimeoutExpired."""
    warm_up()
    command = ["ftui", *arguments]
    with TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        child = _context.Process(
            target=_command, args=(tuple(arguments), folder, dict(environment), out, err), daemon=True
        )
        child.start()
        child.join(timeout)
        if child.exitcode is None:
            child.kill()
            raise subprocess.TimeoutExpired(command, timeout, out.read_bytes(), err.read_bytes())
        return subprocess.CompletedProcess(command, child.exitcode, out.read_text(), err.read_text())


def _command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path
) -> None:
    os.setpgid(0, 0)
    _write_into(out, 1)
    _write_into(err, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.chdir(folder)
    fork_our_programs()
    become(partial(run_module, "finetui_core.cli.main", arguments), environment)


class Program:
    """`subprocess.Popen([python, "-m", MODULE, ...], stdin=PIPE, stdout=PIPE, stderr=PIPE or a file)`, but forked."""

    def __init__(self, command: Sequence[str], *, stderr: Any, env: Mapping[str, str], **others: Any) -> None:
        warm_up()
        (asked, ask), (answer, answered) = os.pipe(), os.pipe()
        said, told = os.pipe() if stderr == subprocess.PIPE else (None, os.dup(stderr.fileno()))
        ends = (
            Connection(asked, writable=False),
            *(Connection(one, readable=False) for one in (answered, told)),
        )
        self._child = _context.Process(target=_program, args=(command[2:], dict(env), ends), daemon=True)
        self._child.start()
        for end in ends:
            end.close()
        self.stdin, self.stdout = os.fdopen(ask, "wb"), os.fdopen(answer, "rb")
        self.stderr = None if said is None else os.fdopen(said, "rb")
        self.pid = self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._child.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked program", timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        self._child.kill()

    def communicate(self, request: bytes) -> tuple[bytes, bytes]:
        with self.stdin:
            self.stdin.write(request)
        with self.stdout, self.stderr or self.stdout:
            return self.stdout.read(), self.stderr.read() if self.stderr else b""


SUBPROCESS = SimpleNamespace(Popen=Program, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
"""In the place of the module `subprocess` where a module of ours starts one of our programs with pipes."""


def _program(command: Sequence[str], environment: Mapping[str, str], ends: Sequence[Connection]) -> None:
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
    fork_our_programs()
    become(partial(run_module, command[0], command[1:]), environment)
