"""Whether systemd would end a run when its user logs out, and what keeps it alive then.

A session of its own does not help there: systemd-logind ends by control group, not by session or terminal. What is
asked, and in which order, is that of sd_booted(3), logind.conf(5), loginctl(1) and user@.service(5).
"""

import getpass
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from finetui_core.programs import run_tool

Ask = Callable[..., str | None]
"""Runs a command and gives what it prints, or None where that fails."""

ENABLE_LINGER = "loginctl enable-linger"
FIND_BUS = "export XDG_RUNTIME_DIR=/run/user/$(id -u)"
_SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect")
_PROPERTIES = ("KillUserProcesses", "KillExcludeUsers", "KillOnlyUsers")
_MANAGER = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_FILES = ("usr/lib/systemd/logind.conf.d", "etc/systemd/logind.conf", "etc/systemd/logind.conf.d",
          "run/systemd/logind.conf.d")  # fmt: skip
_YES = ("yes", "true", "on", "1")


@dataclass(frozen=True, slots=True)
class Logins:
    """What ends the processes of this user. `unit` is where this process runs: "session" is one login, "user" the
    user's own service manager, which ends with the last login unless the user lingers."""

    unit: Literal["session", "user", "other"]
    kills: bool
    lingers: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do about it: a command to start the run by, or a warning and the line that mends it; or nothing."""

    prefix: tuple[str, ...] = ()
    warning: str = ""
    mend: str = ""


def read_logins(root: Path = Path("/"), ask: Ask = run_tool, user: str | None = None) -> Logins | None:
    """The facts of this machine; None where it is not run by systemd, which costs one look at a file.

    What is not needed to decide is not asked, and taken as "no". Files lie below `root`.
    """
    if not (root / "run/systemd/system").exists():
        return None
    unit = _unit(root)
    user = user or _user()
    kills = unit == "session" and _kills(root, ask, user)
    asks_linger = kills or unit == "user"
    return Logins(unit, kills, asks_linger and (root / "var/lib/systemd/linger" / user).exists())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _unit(root: Path) -> Literal["session", "user", "other"]:
    try:
        groups = (root / "proc/self/cgroup").read_text()
    except (OSError, UnicodeDecodeError):
        return "other"
    if re.search(r"/user@\d+\.service(/|$)", groups, re.MULTILINE):
        return "user"
    return "session" if re.search(r"/session-[^/]+\.scope(/|$)", groups, re.MULTILINE) else "other"


def _kills(root: Path, ask: Ask, user: str) -> bool:
    """Whether KillUserProcesses is on and meant for this user; from logind itself, else from its files."""
    told = ask("busctl", "get-property", *_MANAGER, *_PROPERTIES)
    lines = (told or "").splitlines()
    if len(lines) != len(_PROPERTIES):
        return user != "root" and configured(root) is True  # root is excluded unless the files say otherwise
    excluded, only = (re.findall(r'"([^"]*)"', line) for line in lines[1:])
    return lines[0].strip() == "b true" and user not in excluded and (not only or user in only)


def configured(root: Path) -> bool | None:
    """KillUserProcesses as logind's files have it, the last one counts; None where none of them says it."""
    value = None
    for path in _config_files(root):
        try:
            found = re.findall(r"(?m)^\s*KillUserProcesses\s*=\s*(\S+)", path.read_text())
        except (OSError, UnicodeDecodeError):
            continue
        value = found[-1].lower() in _YES if found else value
    return value


def _config_files(root: Path) -> Sequence[Path]:
    places = [root / name for name in _FILES]
    return [
        file for place in places for file in (sorted(place.glob("*.conf")) if place.is_dir() else [place])
    ]


def answer(logins: Logins | None, ask: Ask = run_tool) -> Answer:
    """What keeps a run alive that is started here. The user's manager is tried before it is relied on."""
    if logins is None or logins.unit == "other" or (logins.unit == "user" and logins.lingers):
        return Answer()
    if logins.unit == "user":
        what = "systemd ends what you started, this run too, when your last login ends (you do not linger)"
        return Answer(warning=what, mend=ENABLE_LINGER)
    if not logins.kills:
        return Answer()
    what = "systemd ends every process of this login, this run too, when you log out (KillUserProcesses)"
    if not logins.lingers:
        return Answer(warning=what, mend=ENABLE_LINGER)
    if ask(*_SCOPE, "--", "true") is None:
        return Answer(warning=f"{what}, and systemd-run --user does not work here", mend=FIND_BUS)
    return Answer(prefix=(*_SCOPE, "--"))


@cache
def at_logout() -> Answer:
    """The answer for this process, found once."""
    return answer(read_logins())


def warning_at_logout() -> str:
    """One warning with the line that mends it, or "" where logging out ends nothing."""
    found = at_logout()
    return f"{found.warning}; to keep it alive, first: {found.mend}" if found.warning else ""
