"""What people add to a run: a name to show, tags and a note, in a file of its own (labels.json)."""

import re
from collections.abc import Iterable

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.files import write_atomically
from finetui_core.runs.ownership import require_own
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import read_small

MOST_NAME, MOST_TAG, MOST_NOTE = 100, 40, 10_000
"""The longest name, tag and note, in characters."""
_NO_TAG = re.compile(r'[\s,"]')


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """`name` is shown instead of the one the run was started with; "" where there is none."""

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""


def read_labels(paths: RunPaths) -> Labels:
    """The labels of a run; none where the file is missing or damaged."""
    return read_small(paths.labels, Labels) or Labels()


def write_labels(paths: RunPaths, labels: Labels) -> None:
    """Replace the labels of a run. Raises InputError where its folder cannot be written or is another's."""
    require_own(paths)
    try:
        write_atomically(paths.labels, msgspec.json.format(msgspec.json.encode(labels), indent=2) + b"\n")
    except OSError as error:
        what = f"the labels cannot be written: {error.strerror}"
        raise InputError(Problem(what, str(paths.labels), "check that the folder is yours")) from error


def renamed(labels: Labels, name: str) -> Labels:
    """`labels` with another name; "" brings back the one that the run was started with."""
    name = name.strip()
    if len(name) > MOST_NAME or not name.isprintable():
        raise InputError(
            Problem("this name is too long or not one line", hint=f"up to {MOST_NAME} characters")
        )
    return msgspec.structs.replace(labels, name=name)


def tagged(labels: Labels, add: Iterable[str], remove: Iterable[str] = ()) -> Labels:
    """`labels` with tags added at the end and others taken away. Raises InputError with every bad tag."""
    added, dropped = list(add), set(remove)
    problems = [
        Problem(
            f"{tag!r} cannot be a tag",
            hint=f"a tag is one word of up to {MOST_TAG} characters, without - at its start",
        )
        for tag in added
        if not tag
        or tag.startswith("-")
        or len(tag) > MOST_TAG
        or _NO_TAG.search(tag)
        or not tag.isprintable()
    ]
    if problems:
        raise InputError(problems)
    tags = dict.fromkeys([*labels.tags, *added])
    return msgspec.structs.replace(labels, tags=tuple(tag for tag in tags if tag not in dropped))


def noted(labels: Labels, note: str) -> Labels:
    """`labels` with another note; "" takes it away."""
    note = note.strip().encode("utf-8", "replace").decode()
    if len(note) > MOST_NOTE:
        raise InputError(Problem("this note is too long", hint=f"up to {MOST_NOTE:,} characters"))
    return msgspec.structs.replace(labels, note=note)
