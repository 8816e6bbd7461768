"""Trainers that start in a tenth of a second: one process has imported everything, and forks a child for each.

A start of the real trainer is five seconds of imports. The fork server (multiprocessing's) has torch with one thread,
no model and no other threads; a child runs the same body as under the supervisor and can be killed from outside.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

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
    if forkserver._forkserver._forkserver_pid is not None:  # type: ignore[attr-defined]
        return
    before = dict(os.environ)
    os.environ |= {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        _context.set_forkserver_preload(["fork_imports"])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def start(body: Callable[..., int], log: Path, *arguments: Any) -> Any:
    """Fork a child that runs `body(*arguments)`, prints into `log`, and exits with the code that it returns."""
    warm_up()
    child = _context.Process(target=_run, args=(body, log, arguments), daemon=True)
    child.start()
    return child


def _run(body: Callable[..., int], log: Path, arguments: tuple[Any, ...]) -> None:
    """The process for chat templates is forked as well: its imports would be most of the start."""
    from finetui_core.data import template_process

    os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    template_process.subprocess = SimpleNamespace(Popen=ForkedModule, PIPE=subprocess.PIPE)  # type: ignore[attr-defined]
    sys.exit(body(*arguments))


def trainer(root: Path, attempt: int) -> int:
    """What `python -m finetui_core.train RUN --attempt N` does."""
    from finetui_core.train.__main__ import main

    sys.argv = ["finetui_core.train", str(root), "--attempt", str(attempt)]
    return main()


class ForkedModule:
    """`Popen([python, "-m", MODULE], stdin=PIPE, stdout=PIPE)` of a module with a `main`, by a fork and no exec."""

    def __init__(self, command: list[str], **options: Any) -> None:
        asked, ask = os.pipe()
        answer, answered = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(command[2], asked, answered)
        os.close(asked)
        os.close(answered)
        self.stdin, self.stdout = os.fdopen(ask, "wb"), os.fdopen(answer, "rb")

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()


def _become(module: str, asked: int, answered: int) -> NoReturn:
    """Run a module's `main` between two pipes, and end."""
    try:
        os.setpgid(0, 0)
        os.dup2(asked, 0)
        os.dup2(answered, 1)
        os.closerange(3, 1024)
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        import_module(module).main()
    finally:
        os._exit(0)
