"""What the screens keep between two starts: small files in the user's state folder."""

import contextlib
from typing import TypeVar

import msgspec

from finetui_core.files import private_folder, write_atomically
from finetui_core.folders import state_folder
from finetui_core.runs.records import read_small

Kept = TypeVar("Kept", bound=msgspec.Struct)


class Order(msgspec.Struct, frozen=True):
    """By which column a list is sorted."""

    column: str
    reverse: bool = False


def recall(name: str, kind: type[Kept], otherwise: Kept) -> Kept:
    """What was kept under `name`; `otherwise` where that is missing or damaged."""
    return read_small(state_folder() / f"{name}.json", kind) or otherwise


def keep(name: str, value: msgspec.Struct) -> None:
    """Keep `value` for the next start. Where that cannot be, the next start is as the last one was."""
    path = state_folder() / f"{name}.json"
    with contextlib.suppress(OSError):
        private_folder(path.parent)
        write_atomically(path, msgspec.json.encode(value) + b"\n", durable=False)


def forget(name: str) -> None:
    """Keep nothing under `name` any more."""
    with contextlib.suppress(OSError):
        (state_folder() / f"{name}.json").unlink()
