"""What code and which model a result came from, as digests: the parts of a cache's key that are not data."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from finetui_core import data as data_package

_OF_CODE = (".py", ".txt", ".jinja")
_OF_READING = (".json", ".jinja", ".txt", ".model", ".tiktoken")
_LARGEST_FILE = 64 << 20  # bytes


@cache
def code_digest() -> str:
    """Of the code that reads, checks and renders rows: readers, layouts, rules, templates."""
    digest = hashlib.sha256()
    for path in sorted(Path(data_package.__path__[0]).rglob("*")):
        if path.suffix in _OF_CODE:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def model_files(folder: Path, *, code: bool = False) -> Iterator[list[object]]:
    """Each file of a model's folder that says how it reads text, with its digest; with `code` its Python files too.

    Nothing for a name that is no folder: a hub model is known by its revision. Raises OSError.
    """
    suffixes = (*_OF_READING, ".py") if code else _OF_READING
    for path in sorted([*folder.glob("*"), *folder.glob("additional_chat_templates/*")]):
        if path.suffix in suffixes and path.is_file():
            name = path.relative_to(folder).as_posix()
            if (size := path.stat().st_size) > _LARGEST_FILE:
                yield [name, size]  # which is refused before anything of the model is read
            else:
                yield [name, hashlib.sha256(path.read_bytes()).hexdigest()]
