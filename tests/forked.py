"""Programs of ours, forked where `subprocess` would start Python anew: that saves seconds of imports each time.

`fork_our_programs` is for a process that has imported everything, has no other threads and will start programs of
ours: `python -m finetui_core...`. As real ones do, they have processes, sessions, groups, locks, descriptors, signals
and exit codes of their own; what they lack are their own /proc/PID/cmdline and /proc/PID/environ.
"""

import atexit
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import pairwise
from multiprocessing import current_process
from typing import Any, NoReturn

OURS = (
    "finetui_core.cli.main",
    "finetui_core.data.table_worker",
    "finetui_core.data.template_worker",
    "finetui_core.data.tokenizer_trial",
    "finetui_core.runs.queue_worker",
    "finetui_core.runs.supervisor",
    "finetui_core.train",
    "finetui_core.train.memory_trace",
    "finetui_core.train.probe",
)
_real = subprocess.Popen.__init__


def fork_our_programs() -> None:
    """From now on `subprocess` forks programs of ours in this process and in all that it forks."""
    subprocess.Popen.__init__ = _popen


def _popen(self: Any, args: Any, *others: Any, **options: Any) -> None:
    """The real Popen does all but the last step, which is exec: what it calls right before that never returns."""
    if _is_ours(args) and not others:
        program = partial(run_module, args[2], args[3:])
        environment = options.get("env") or dict(os.environ)
        options["preexec_fn"] = partial(become, program, environment, options.get("pass_fds", ()))
    _real(self, args, *others, **options)


def _is_ours(args: Any) -> bool:
    return isinstance(args, list) and args[:2] == [sys.executable, "-m"] and args[2] in OURS


def run_module(name: str, arguments: Sequence[str]) -> int:
    """What `python -m NAME ARGUMENTS` does."""
    module = import_module(f"{name}.__main__" if name == "finetui_core.train" else name)
    sys.argv = [str(module.__file__), *arguments]
    return int(module.main() or 0)


def become(
    program: Callable[[], int], environment: Mapping[str, str], kept: Collection[int] = ()
) -> NoReturn:
    """Be as a process that has just begun, apart from its imports; do `program`, and end with its exit code."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        _close_all_but({0, 1, 2, *kept})
        _forget_handlers()
        atexit._clear()
        current_process()._config["daemon"] = False  # or it could have no pool of processes
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (
            open(number, "w", buffering=1, errors=errors, closefd=False)  # noqa: SIM115
            for number, errors in ((1, "strict"), (2, "backslashreplace"))
        )
        code = _exit_code(program)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _exit_code(program: Callable[[], int]) -> int:
    try:
        return program()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def _close_all_but(kept: Collection[int]) -> None:
    for before, number in pairwise(sorted({-1, *kept, 4096})):
        if before + 1 < number:  # nothing between two would be taken for all there are
            os.closerange(before + 1, number)


def _forget_handlers() -> None:
    """As exec does it: what is ignored stays so, all else is the default; then what Python sets at its start."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
