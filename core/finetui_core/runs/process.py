"""Who a process is: a pid alone says little, since pids are used again.

psutil is imported only where /proc is missing: the screens start faster without it.
"""

import socket
import sys
from pathlib import Path

_PROC = Path("/proc")


def start_ticks(pid: int) -> int | None:
    """When the live process `pid` started, in clock ticks (1/100 s elsewhere than on Linux), else None.

    A zombie counts as gone: it runs nothing, and where nobody reaps it would look alive for ever.
    """
    if pid <= 0:
        return None
    if sys.platform != "linux":
        return _start_ticks_by_psutil(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # proc(5): the name before may hold spaces and brackets
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process (Linux only, else False)."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :].split()[0] in (b"T", b"t")


def _start_ticks_by_psutil(pid: int) -> int | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 100)
    except psutil.Error:
        return None


def boot_id() -> str:
    """What tells this start of the machine from all others."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def host_name() -> str:
    return socket.gethostname()


def process_identity(pid: int) -> tuple[int, str]:
    """(start ticks, boot id) of a process; the ticks are 0 where it is already gone."""
    return start_ticks(pid) or 0, boot_id()
