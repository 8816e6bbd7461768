"""Python code that comes with a model: it runs only where this user typed the model's name for one pinned version.

A recipe may ask for it (`model.trust_remote_code`), which is not enough: a recipe can come from anybody, and so can a
run directory. The consent names the version, `owner/name@commit` or for a folder `name@sha256`, the digest of its
Python files, and is kept in the user's own folder; a run also records it in run.json.
"""

import hashlib
import os
import pwd
import stat
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.folders import state_folder
from finetui_core.recipe.options import ModelOptions
from finetui_core.runs.records import Consent, content_of

CONSENT = "--consent-remote-code"
_MOST_FILES, _MOST_BYTES = 1_000, 10_000_000


def consents_file() -> Path:
    """The versions that this user agreed to, a line for each; without its line a version no longer runs."""
    return state_folder() / "remote-code.jsonl"


def pin_of(model: ModelOptions) -> str | None:
    """The version of the code that this recipe would run; None where it runs none. Raises InputError."""
    if not model.trust_remote_code:
        return None
    folder = Path(model.name)
    if folder.is_dir():
        return f"{folder.name}@{_digest(folder)}"
    return f"{model.name}@{model.revision}"


def model_named(pin: str) -> str:
    """What a person types to agree: the model's name in a pin."""
    return pin.rpartition("@")[0]


def agree(pin: str) -> Consent:
    """Keep that this user agreed to a version. Raises InputError where it cannot be kept."""
    consent = Consent(pin, time.time(), _user())
    file = consents_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(
            file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            os.write(descriptor, msgspec.json.encode(consent) + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(Problem(f"the consent cannot be kept: {error.strerror}", str(file))) from error
    return consent


def consent_for(pin: str) -> Consent | None:
    """This user's consent to a version, the last one where there are several."""
    found = None
    with suppress(OSError):
        for line in content_of(consents_file()).splitlines():
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                consent = msgspec.json.decode(line, type=Consent)
                found = consent if consent.pin == pin else found
    return found


def may_run_code(model: ModelOptions) -> bool:
    """Whether the model's code may run here. Raises InputError where the recipe asks for it and nobody agreed."""
    pin = pin_of(model)
    if pin is None:
        return False
    if consent_for(pin) is None:
        raise InputError(not_agreed(pin))
    return True


def not_agreed(pin: str) -> Problem:
    """Why the model's code does not run, and how it would."""
    return Problem(
        "the model brings Python code of its own, which would run with all your rights, and nobody agreed to it",
        model_named(pin),
        f"Read that code; to run this version of it, add to ftui train, resume, compare or export: {CONSENT} {pin}",
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _digest(folder: Path) -> str:
    """sha256 of the names and contents of all Python files in a folder. Raises InputError where they are no such."""
    digest = hashlib.sha256()
    files = []
    for place, folders, names in os.walk(folder):  # links to folders are not followed
        folders.sort()
        files += [Path(place) / name for name in names if name.endswith(".py")]
        if len(files) > _MOST_FILES:
            raise InputError(Problem(f"the folder has more than {_MOST_FILES:,} Python files", str(folder)))
    for path in sorted(files):
        content = _content(path)
        name = str(path.relative_to(folder)).encode("utf-8", "surrogateescape")
        digest.update(len(name).to_bytes(8) + name + len(content).to_bytes(8) + content)
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES:
                return file.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(Problem(f"the file cannot be read: {error.strerror}", str(path))) from error
    raise InputError(Problem("this is no Python file of sane size", str(path), "Copy the model again."))
