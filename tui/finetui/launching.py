"""Starting and continuing runs by a child process, as a shell would: the screens may end before it does."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from finetui.remembered import keep, recall
from finetui.text import safe
from finetui_core.errors import InputError, Problem
from finetui_core.runs.command import child_environment

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "finetui_core.cli.main")
"""What takes the arguments: ftui itself, without its screens."""
BAD_INPUT = 2
INEXACT = "--inexact"
LAST_RECIPE = "last_recipe"
_LOOK_EVERY = 0.2  # seconds between two looks whether the screens have ended


class UsedRecipe(msgspec.Struct, frozen=True):
    """The recipe that a run was started from last, or that was opened or saved since."""

    path: str


@dataclass(frozen=True, slots=True)
class Launched:
    """How the command ended: its exit code, the run where it named one, what it told the person, and its answer."""

    code: int
    run: Path | None
    said: str
    answer: str = ""


def train_arguments(
    recipe: Path, root: Path, *, ignore_preflight: bool = False, consent: str | None = None
) -> list[str]:
    """A new run of `recipe` in the folder `root`; `consent` names the version of its model's code that may run."""
    from finetui_core.preflight.gate import IGNORE

    ignore = [IGNORE] if ignore_preflight else []
    return ["train", str(recipe), "--detach", "--json", "--runs", str(root), *ignore, *_consent(consent)]


def _consent(pin: str | None) -> list[str]:
    from finetui_core.recipe.remote_code import CONSENT

    return [] if pin is None else [CONSENT, pin]


def refused_by_preflight(launched: Launched) -> bool:
    """Whether the command would have gone on with `--ignore-preflight`, which its hints then name."""
    from finetui_core.preflight.gate import IGNORE

    return launched.code == BAD_INPUT and IGNORE in launched.said


def refused_as_inexact(launched: Launched) -> bool:
    """Whether the command would have gone on with `--inexact`, which its hints then name."""
    return launched.code == BAD_INPUT and INEXACT in launched.said


def refused_for_code(launched: Launched) -> str | None:
    """The version of the model's own code that nobody agreed to, where the command did not begin for want of it."""
    from finetui_core.recipe.remote_code import CONSENT

    found = re.search(rf"{CONSENT} (.+@[0-9a-f]{{40,64}})$", launched.said, re.MULTILINE)
    return found[1] if found and launched.code == BAD_INPUT else None


def resume_arguments(run: Path, *, inexact: bool = False, consent: str | None = None) -> list[str]:
    """The next attempt of `run`."""
    return ["resume", str(run), "--detach", "--json", *([INEXACT] if inexact else []), *_consent(consent)]


def launch(arguments: Sequence[str], cancelled: Callable[[], bool]) -> Launched | None:
    """Wait for the command, or leave it to itself once `cancelled` says so and return None.

    It has a session of its own and writes to files, not to pipes, so that it does not notice when it is left.
    """
    try:
        with TemporaryFile() as out, TemporaryFile() as err:
            child = subprocess.Popen(
                [*PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=child_environment(),
                start_new_session=True,
            )
            while True:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_LOOK_EVERY)
                    break
                if cancelled():
                    return None
            out.seek(0)
            err.seek(0)
            return _launched(child.returncode, out.read(), err.read().decode("utf-8", "replace"))
    except OSError as error:
        return Launched(1, None, f"no process can be started: {error.strerror}")


def _launched(code: int, answer: bytes, said: str) -> Launched:
    """Of a run that ended at once the command tells nothing but the summary."""
    summary: dict[str, object] = {}
    with suppress(ValueError):
        found = json.loads(answer)
        summary = found if isinstance(found, dict) else {}
    path = summary.get("path")
    ended = (
        f"{summary.get('state')}: {summary.get('reason')}" if summary else f"it ended with exit code {code}"
    )
    named = Path(path) if isinstance(path, str) else None
    return Launched(code, named, said.strip() or ended, answer.decode("utf-8", "replace").strip())


def proposed_recipe() -> str:
    """The recipe used last, else the quickstart of the sample data, as it is typed; "" where neither is there."""
    from finetui_core.cli.demo import sample_data

    used = recall(LAST_RECIPE, UsedRecipe, UsedRecipe("")).path
    if used and Path(used).is_file():
        return as_typed(Path(used))
    try:
        return as_typed(sample_data() / "recipes" / "quickstart.toml")
    except InputError:
        return ""


def keep_recipe(recipe: Path) -> None:
    """Propose `recipe` the next time."""
    keep(LAST_RECIPE, UsedRecipe(str(recipe)))


def recipe_path(text: str) -> Path:
    """The absolute path of the recipe that was typed. Raises InputError where it names nothing."""
    return typed_path(text, "no recipe is named", "type the path of a TOML file; tab completes it")


def typed_path(
    text: str, missing: str = "no file is named", hint: str = "type a path; tab completes it"
) -> Path:
    """The absolute path that was typed. Raises InputError where it names nothing."""
    if not text.strip():
        raise InputError(Problem(missing, hint=hint))
    try:
        return Path(text.strip()).expanduser().absolute()
    except RuntimeError as error:
        raise InputError(Problem(f"{text.strip()}: {error}", hint="write the whole path")) from error


def check_recipe(text: str) -> None:
    """Raises InputError with every fault of the recipe at the path that was typed."""
    from finetui_core.recipe.load import load_recipe

    load_recipe(recipe_path(text))


def complete_file(text: str) -> str:
    """`text` with what all files and folders that begin so have in common."""
    return complete_path(text, ("",))


def complete_path(text: str, endings: tuple[str, ...] = (".toml",)) -> str:
    """`text` with what all folders, and files with one of the endings, that begin so have in common."""
    folder, slash, begun = text.rpartition("/")
    try:
        entries = list(Path(folder + slash or ".").expanduser().iterdir())
        names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
    except (OSError, RuntimeError, ValueError):
        return text
    fitting = [
        name
        for name in names
        if name.startswith(begun)
        and name.endswith(("/", *endings))
        and (begun or not name.startswith("."))
        and safe(name) == name
    ]
    return folder + slash + _shared_start(fitting) if fitting else text


def _shared_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    size = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return first[:size]


def as_typed(path: Path) -> str:
    """`path` from the current folder or from the home folder, where it is inside."""
    for folder, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(folder):
            return f"{prefix}{path.relative_to(folder)}"
    return str(path)
