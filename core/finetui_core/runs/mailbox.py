"""Commands to a running trainer: small files, dropped by whoever may write to the run directory.

Files work across hosts and over NFS, outlive the one who sent them, and can be read afterwards. The trainer
looks into the mailbox at the end of a step and answers in events.jsonl.
"""

import getpass
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.files import write_atomically
from finetui_core.runs.ownership import require_own
from finetui_core.runs.paths import RunPaths

CommandName = Literal["checkpoint", "pause", "resume", "evaluate", "sample", "stop", "abort"]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
_LONGEST = 4096  # bytes of a command file
_STUCK: set[str] = set()
"""Ids of commands that this process has finished and whose files the disk keeps where they are."""


class Command(msgspec.Struct, frozen=True):
    """One command. `t` is in unix seconds of the sender's clock; ids sort by that time."""

    id: str
    command: CommandName
    t: float
    by: str = ""


def send(paths: RunPaths, command: str) -> str:
    """Drop a command into the mailbox and return its id. Raises InputError on an unknown command and on a
    run of another user, OSError."""
    if command not in COMMANDS:
        raise InputError(Problem(f"unknown command {command!r}", "", f"known are: {', '.join(COMMANDS)}"))
    require_own(paths)
    now = time.time_ns()
    content = {
        "id": f"{now:020d}-{secrets.token_hex(4)}",
        "command": command,
        "t": now / 1e9,
        "by": _sender(),
    }
    write_atomically(_file(paths, str(content["id"])), msgspec.json.encode(content))
    return str(content["id"])


def pending(paths: RunPaths) -> list[Command]:
    """The commands not yet finished, oldest first.

    What is no valid command of the trainer's own user is moved to `control/done`, with a file beside it
    that says why it was refused.
    """
    try:
        files = sorted(path for path in paths.control.iterdir() if path.name.endswith(".json"))
    except OSError:
        return []
    commands = []
    for path in files:
        if path.name.startswith("."):  # still being written
            continue
        found = _read(path)
        if isinstance(found, Command):
            if found.id not in _STUCK:
                commands.append(found)
        else:
            _refuse(paths, path, found)
    return commands


def asked_to_end(paths: RunPaths) -> Command | None:
    """The first abort that waits, else the first stop. Nothing is refused here: only the trainer does that."""
    try:
        files = sorted(path for path in paths.control.iterdir() if path.name.endswith(".json"))
    except OSError:
        return None
    found = [_read(path) for path in files if not path.name.startswith(".")]
    asked = [one for one in found if isinstance(one, Command) and one.command in ("stop", "abort")]
    return next((one for one in asked if one.command == "abort"), asked[0] if asked else None)


def finish(paths: RunPaths, command: Command) -> None:
    """Move a command that was acted upon out of the mailbox. If the disk refuses, it waits no more all the same."""
    try:
        _file(paths, command.id).rename(paths.control_done / f"{command.id}.json")
    except OSError:
        _STUCK.add(command.id)


def refuse_all(paths: RunPaths, reason: str, but: tuple[str, ...] = ()) -> list[Command]:
    """Empty the mailbox: what was asked of an earlier attempt is not meant for the next one, save for `but`.

    Returns what was refused.
    """
    refused = [command for command in pending(paths) if command.command not in but]
    for command in refused:
        _refuse(paths, _file(paths, command.id), reason)
    return refused


def _file(paths: RunPaths, command_id: str) -> Path:
    return paths.control / f"{command_id}.json"


def _read(path: Path) -> Command | str:
    """The command in a file, or why it is refused. Never follows a link and never waits on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_uid != os.geteuid():
            return f"belongs to user {status.st_uid}, not to the owner of the run"
        command = msgspec.json.decode(os.read(descriptor, _LONGEST), type=Command)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not a command: {error}"
    finally:
        os.close(descriptor)
    return command if path.stem == command.id else "its name is not its id"


def _refuse(paths: RunPaths, path: Path, reason: str) -> None:
    with suppress(OSError):
        path.rename(paths.control_done / path.name)
        write_atomically(paths.control_done / f"{path.name}.refused", reason.encode("utf-8", "replace"))


def _sender() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.geteuid()}"
