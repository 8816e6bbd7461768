"""Whose a run is: nothing is written into what belongs to somebody else, or what somebody else could exchange.

Reading is open to everybody whom the file system lets read.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.runs.paths import FOLDERS, RunPaths

_LATER_FOLDERS = ("evaluations", "report/compare")
_APPENDED = ("metrics", "system", "log")
"""The folders with files that are appended to; everything else is replaced by a rename, which follows no link."""


def require_own(paths: RunPaths) -> None:
    """Raise InputError where the run is not this user's to write, with everything that stands against it."""
    problems = run_problems(paths)
    if problems:
        raise InputError(problems)


def run_problems(paths: RunPaths) -> list[Problem]:
    """What stands against writing into a run: another owner, links in it, folders around it open to others."""
    return [*_container_problems(paths.root.parent), *_inner_problems(paths)]


def require_safe_folder(folder: Path) -> None:
    """Raise InputError where nothing must be made in `folder`, which need not exist yet.

    It, or the folder in which it would be made, belongs to another user, or others can exchange what is in it.
    """
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    problems = list(_container_problems(existing))
    if problems:
        raise InputError(problems)


def _container_problems(folder: Path) -> Iterator[Problem]:
    """A folder that holds runs is the user's or root's; nobody else can rename what is in it or in one above it."""
    try:
        folder = folder.resolve()
        owner = folder.stat().st_uid
        if owner not in (os.geteuid(), 0):
            yield _foreign(folder, owner, "name a folder of your own with --runs")
        for one in (folder, *folder.parents):
            mode = one.stat().st_mode
            if not mode & stat.S_ISVTX and _others_write(one.stat()):
                yield Problem(
                    f"other users can change what is in this folder (mode {stat.S_IMODE(mode):04o}), and so put "
                    "something else in place of the runs",
                    str(one),
                    f"chmod go-w {one}, or name another folder with --runs",
                )
    except OSError as error:
        yield Problem(f"the folder cannot be looked at: {error.strerror}", str(folder))


def _inner_problems(paths: RunPaths) -> Iterator[Problem]:
    folders = (paths.root, *(paths.root / name for name in (*FOLDERS, *_LATER_FOLDERS)))
    for folder in folders:
        try:
            status = folder.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode) and folder != paths.root:
            yield _link(folder)
        elif (owner := folder.stat().st_uid) != os.geteuid():
            yield _foreign(
                folder, owner, "only its owner can go on with it; a copy of the folder would be yours"
            )
            return
        elif _others_write(folder.stat()):
            yield Problem("other users can write into this run", str(folder), f"chmod -R go-w {paths.root}")
    for file in (paths.events, paths.lock, *_files_in(paths)):
        if file.is_symlink():
            yield _link(file)


def _files_in(paths: RunPaths) -> Iterator[Path]:
    for name in _APPENDED:
        folder = paths.root / name
        if folder.is_dir() and not folder.is_symlink():
            yield from folder.iterdir()


def _link(path: Path) -> Problem:
    return Problem(
        "this is a link, and nothing is written through links", str(path), "put the real one there"
    )


def _foreign(path: Path, owner: int, hint: str) -> Problem:
    return Problem(
        f"this belongs to {_name(owner)}, not to you, so nothing is written there", str(path), hint
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"user {uid}"


def _others_write(status: os.stat_result) -> bool:
    """Whether the mode lets others write. A group with nobody in it but the user, as many systems have, is none."""
    by_group = status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid)
    return bool(status.st_mode & stat.S_IWOTH or by_group)


def _is_private_group(gid: int) -> bool:
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except (KeyError, OverflowError):
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
