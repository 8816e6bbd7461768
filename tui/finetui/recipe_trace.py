"""The trace of a recipe's memory by its real model class, in a process of its own: seconds, and it can be ended."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from finetui import launching
from finetui.data_child import follow
from finetui_core.errors import InputError
from finetui_core.preflight.figures import Report
from finetui_core.recipe.edit import set_value
from finetui_core.recipe.load import check_recipe
from finetui_core.recipe.paths import DATA_OPTIONS, FILE_OPTIONS, MODEL_NAME


def trace(
    text: str, folder: Path, device: str, root: Path, cancelled: Callable[[], bool]
) -> Report | str | None:
    """The report, or why there is none; None once `cancelled` has said that it is not wanted any more.

    The text need not be saved: a copy whose paths are absolute is given to the child, for this user alone to read.
    """
    try:
        with tempfile.TemporaryDirectory() as own:
            path = Path(own) / "recipe.toml"
            path.touch(0o600)
            path.write_bytes(anywhere(text, folder).encode())
            command = [*launching.PROGRAM, "preflight", str(path), "--json", "--runs", str(root)]
            lines: list[bytes] = []
            ended = follow([*command, *(["--on", device] if device else [])], lines.append, cancelled)
    except InputError as error:
        return str(error.problems[0])
    except OSError as error:
        return f"it cannot be traced: {error.strerror}"
    if ended.code is None:
        return None
    with suppress(ValueError, msgspec.MsgspecError):
        return msgspec.json.decode(b"".join(lines), type=Report)
    return ended.said.partition("\n")[0] or f"the trace ended with exit code {ended.code}"


def anywhere(text: str, folder: Path) -> str:
    """The recipe with each path that it names made absolute, so that it means the same in any folder."""
    checked = check_recipe(text, "", folder)
    for table, name in (MODEL_NAME, *DATA_OPTIONS, *FILE_OPTIONS):
        if (table, name) in checked.given:
            text = set_value(text, table, name, getattr(getattr(checked.recipe, table), name))
    return text
