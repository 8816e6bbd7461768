"""Writing files so that a reader never sees half of one, and nobody else reads or redirects them."""

import errno
import os
import stat
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for this user alone, whatever the umask; returns it.

    Raises OSError, also where something else has its name.
    """
    missing = []
    for one in (folder, *folder.parents):
        if one.exists():
            break
        missing.append(one)
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder


def open_private(path: Path, flags: int) -> int:
    """Open a file of this user's own, for this user alone, and make it where there is none; returns its descriptor.

    A link in its place is not followed, a pipe not waited for, and a file of another user not touched: each raises
    OSError. A file that others may read is closed to them.
    """
    descriptor = _open_checked(path, flags | os.O_CREAT)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
        try:
            os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def open_own(path: Path) -> int:
    """Open a file for reading, as strictly as `open_private`; one that others may write raises OSError too."""
    descriptor = _open_checked(path, os.O_RDONLY)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o022:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "others may write it", str(path))
    return descriptor


def _open_checked(path: Path, flags: int) -> int:
    descriptor = _open_unfollowed(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"it belongs to user {status.st_uid}", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_unfollowed(path: Path, flags: int) -> int:
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not followed", str(path)) from error
        raise


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Write `content` under a temporary name in the same folder, then rename it to `path`.

    A reader sees the old file or the new one, never a part. With `durable` the content and the rename
    are on disk when this returns; `mode` are the new file's permissions. Raises OSError and leaves no temporary
    file behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if mode != 0o600:
                os.fchmod(descriptor, mode)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_folder(path.parent)
