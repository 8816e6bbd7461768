"""How often the kernel has killed a process for want of memory."""

from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def oom_kills(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """The count for this process's control group, else for the whole machine; 0 where none is kept.

    Only differences mean something: take it before and after. Reads `oom_kill` of memory.events
    (cgroup v2), memory.oom_control (v1) or /proc/vmstat.
    """
    for path in (*_control_group_files(proc, cgroups), proc / "vmstat"):
        count = _count(path)
        if count is not None:
            return count
    return 0


def _control_group_files(proc: Path, cgroups: Path) -> list[Path]:
    """In a container the group's path may be that of the host: then the root is its own group."""
    files = []
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        inside = group.lstrip("/")
        if controllers == "":
            files += [cgroups / inside / "memory.events", cgroups / "memory.events"]
        elif "memory" in controllers.split(","):
            base = cgroups / "memory"
            files += [base / inside / "memory.oom_control", base / "memory.oom_control"]
    return files


def _count(path: Path) -> int | None:
    try:
        words = path.read_text().split()
    except OSError:
        return None
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else None
