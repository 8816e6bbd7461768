"""Pids that are used again by force: in a pid namespace of its own, the next process gets the number one wants.

Run as a program inside the namespace, it prints how many strangers had the pid of a process that was meant, and how
many of them were signalled. Linux, with the right to make a namespace (root, or unprivileged user namespaces).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import finetui_core
from finetui_core.runs.leftovers import _kill
from finetui_core.runs.orphans import _end_member, end_orphan
from finetui_core.runs.pidfd import hold, send, started_at
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
SLEEP = ["/bin/sleep", "600"]
_TICK = 0.011  # seconds: no trainer lives shorter, and start times are known to a hundredth
_CALM = 0.005  # seconds in which a signal that was sent has arrived


def unshare() -> list[str] | None:
    """The command that runs another in a pid namespace of its own, None where this machine refuses."""
    program = shutil.which("unshare")
    if program is None:
        return None
    for user in ([], ["--user", "--map-root-user"]):
        command = [program, *user, "--pid", "--fork", "--mount-proc"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None


def force(count: int) -> dict[str, int] | None:
    """Let `count` strangers take over pids; {"reused", "signalled"}, or None where the machine refuses."""
    command = unshare()
    if command is None:
        return None
    paths = [str(Path(finetui_core.__file__).parents[1]), str(Path(__file__).parent)]
    done = subprocess.run(
        [*command, sys.executable, __file__, str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, int] = json.loads(done.stdout)
    return found if found["reused"] or not count else None


def _stranger(pid: int) -> "subprocess.Popen[bytes] | None":
    """A process that has the pid; None where the kernel gave it another."""
    for _ in range(20):
        LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(SLEEP, start_new_session=True)
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    return None


def _gone(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _as_another(act: Callable[[], None]) -> None:
    """Do it in a process that is no parent of the stranger: a supervisor ends all of its own descendants."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def _trial(number: int) -> tuple[bool, bool]:
    """(whether a stranger got the pid, whether it was signalled)."""
    meant = subprocess.Popen(SLEEP, process_group=0)
    pid, (ticks, boot) = meant.pid, process_identity(meant.pid)
    time.sleep(_TICK)
    stranger: list[subprocess.Popen[bytes] | None] = []

    def take_over() -> None:
        _gone(meant)
        stranger.append(_stranger(pid))

    def as_it_is_looked_at(pid: int) -> bool:
        is_meant = started_at(ticks, boot)(pid)
        take_over()
        return is_meant

    way = number % 5
    if way == 0:  # an old record of a trainer
        take_over()
        attempt = Attempt(1, pid, ticks, boot, host_name(), 1, 1, 0.0)
        assert not end_orphan(attempt)
    elif way == 1:  # it dies once it is held
        with hold(pid, started_at(ticks, boot)) as held:
            assert held is not None
            take_over()
            assert not send(held, signal.SIGKILL)
    elif way == 2:  # it dies right after it was looked at
        with hold(pid, as_it_is_looked_at) as held:
            assert held is not None and not send(held, signal.SIGKILL)
    elif way == 3:  # a data loader that was left behind
        take_over()
        _as_another(lambda: _kill(pid, "the mark of the run", 0))
    else:  # a member of the trainer's group
        take_over()
        _end_member(pid, pid + 1)
    if not stranger or stranger[0] is None:
        return False, False
    time.sleep(_CALM)
    signalled = stranger[0].poll() is not None
    _gone(stranger[0])
    return True, signalled


def main() -> None:
    results = [_trial(number) for number in range(int(sys.argv[1]))]
    print(json.dumps({"reused": sum(one for one, _ in results), "signalled": sum(two for _, two in results)}))


if __name__ == "__main__":
    main()
