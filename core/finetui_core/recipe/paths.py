"""The files and folders that a recipe names: made absolute, and checked to be there.

A relative path in a recipe starts at the recipe's folder, one given with `--set` at the current folder.
"""

import re
from collections.abc import Callable, Set
from pathlib import Path

from finetui_core.recipe.document import nearest_file
from finetui_core.recipe.faults import Fault, OptionPath
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.wording import printable, quote

DATA_OPTIONS: tuple[OptionPath, ...] = (("data", "train"), ("data", "val"))
FILE_OPTIONS: tuple[OptionPath, ...] = (
    ("model", "chat_template"),
    ("data", "replay_text"),
    ("eval", "forgetting_probe"),
)
MODEL_NAME: OptionPath = ("model", "name")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_HUB_DATA = re.compile(rf"hub:{_HUB_ID.pattern}(#[\w.-]+)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PRIVATE = (
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gcloud",
    ".config/gh",
    ".config/rclone",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".netrc",
    ".git-credentials",
    ".pgpass",
    ".pypirc",
    ".npmrc",
    ".cache/huggingface/token",
    ".cache/huggingface/stored_tokens",
    ".huggingface",
    ".bash_history",
    ".zsh_history",
    ".python_history",
)
"""Of the home folder: where programs keep keys, passwords and what was typed."""
_SYSTEM = ("/proc", "/sys", "/dev", "/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/sudoers", "/run/secrets")


def resolve_paths(
    recipe: Recipe, folder_of: Callable[[OptionPath], Path], doubtful: Set[OptionPath] = frozenset()
) -> tuple[Recipe, list[Fault]]:
    """The recipe with absolute paths, and what is wrong with them.

    `folder_of` gives the folder at which an option's relative path starts; `doubtful` options are skipped.
    A hub id stays as it is: whether it exists is known when it is fetched.
    """
    faults: list[Fault] = []
    for option in (MODEL_NAME, *DATA_OPTIONS, *FILE_OPTIONS):
        table, name = option
        value = getattr(getattr(recipe, table), name)
        if value is None or option in doubtful:
            continue
        try:
            resolved = resolve_path(option, value, folder_of(option))
            faults += _faults_of(option, value, resolved, folder_of(option))
        except (OSError, RuntimeError, ValueError) as fault:
            what = f"{table}.{name}: {quote(value)} cannot be looked up: {_reason(fault)}"
            faults.append(Fault(option, what, "check the path"))
            continue
        options = getattr(recipe, table).model_copy(update={name: resolved})
        recipe = recipe.model_copy(update={table: options})
    if not {MODEL_NAME, ("model", "revision"), ("model", "trust_remote_code")} & doubtful:
        faults += _revision_faults(recipe)
    return recipe, faults


def resolve_path(option: OptionPath, value: str, folder: Path) -> str:
    """One path made absolute; a hub id is returned as it is."""
    if option == MODEL_NAME and not _is_folder_name(value, folder):
        return value
    if option in DATA_OPTIONS and value.startswith("hub:"):
        return value
    return str(_absolute(value, folder))


def _absolute(value: str, folder: Path) -> Path:
    """Links in the folders are followed; the last name stays, because a link's target may lack the suffix."""
    path = folder.absolute() / Path(value).expanduser()
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _is_folder_name(name: str, folder: Path) -> bool:
    """Whether a model name is meant as a folder: by its look, or because it or its first part exists."""
    if _looks_like_path(name) or _HUB_ID.fullmatch(name) is None:
        return True
    return (folder / name).exists() or ("/" in name and (folder / name.split("/")[0]).is_dir())


def _reason(fault: Exception) -> str:
    return (isinstance(fault, OSError) and fault.strerror) or str(fault)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/")


def _faults_of(option: OptionPath, value: str, resolved: str, folder: Path) -> list[Fault]:
    if option == MODEL_NAME:
        return _model_faults(value, Path(resolved)) if _is_folder_name(value, folder) else []
    if option in DATA_OPTIONS and value.startswith("hub:"):
        if _HUB_DATA.fullmatch(value):
            return []
        hint = "write hub:owner/name, or hub:owner/name#split"
        return [Fault(option, f"{quote(value)} is not the name of a hub data set", hint)]
    return _file_faults(option, value, Path(resolved))


def _file_faults(option: OptionPath, value: str, path: Path) -> list[Fault]:
    label = ".".join(option)
    if path.is_dir():
        return [
            Fault(option, f"{label}: {quote(value)} is a folder, not a file", "give the path of one file")
        ]
    if path.exists() and not path.is_file():
        what = f"{label}: {quote(value)} is a pipe or a device, not a file"
        return [Fault(option, what, "save what it gives to a file first")]
    if not path.exists():
        return [Fault(option, f"{label}: there is no file {quote(value)}", _missing_hint(value, path))]
    return []


def _model_faults(value: str, folder: Path) -> list[Fault]:
    def fault(what: str, hint: str) -> list[Fault]:
        return [Fault(MODEL_NAME, f"model.name: {what}", hint)]

    if not folder.exists() and _looks_like_path(value):
        return fault(f"there is no folder {quote(value)}", _missing_hint(value, folder))
    if not folder.exists():
        return fault(f"{quote(value)} is neither a folder nor a hub id", _missing_hint(value, folder))
    if not folder.is_dir():
        return fault(f"{quote(value)} is a file", "give the folder that holds config.json and the weights")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            return fault(f"{quote(value)} holds an adapter, not a model", "give the folder of its base model")
        return fault(f"{quote(value)} has no config.json", "give a model folder in Hugging Face format")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        hint = f"copy the tokenizer's files into it, such as {_TOKENIZER_FILES[0]} and {_TOKENIZER_FILES[1]}"
        return fault(f"{quote(value)} is a model without a tokenizer", hint)
    return []


def private_faults(recipe: Recipe, doubtful: Set[OptionPath] = frozenset()) -> list[Fault]:
    """Paths that lead to where keys and passwords are kept, or to what is no file of anybody.

    A recipe may come from a stranger, and what it names is read, trained on and given away with the model. Paths that
    leave the recipe's folder are no fault by themselves: data and models often lie beside it.
    """
    faults = []
    for option in (MODEL_NAME, *DATA_OPTIONS, *FILE_OPTIONS):
        table, name = option
        value = getattr(getattr(recipe, table), name)
        if value is None or option in doubtful or not Path(value).is_absolute():
            continue
        if (place := _private_place(Path(value))) is not None:
            what = f"{table}.{name}: {quote(value)} is in {printable(place)}, where keys, passwords or devices are"
            hint = "nothing is read from there: copy the file elsewhere, if it is really meant"
            faults.append(Fault(option, what, hint))
    return faults


def _private_place(path: Path) -> Path | None:
    """The private folder or file that a path is in, links followed."""
    try:
        real, home = path.resolve(), Path.home().resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    if real.is_relative_to("/dev/shm"):  # memory that looks like a disk: data is kept there on clusters
        return None
    places = [*(home / name for name in _PRIVATE), *map(Path, _SYSTEM)]
    return next((place for place in places if real.is_relative_to(place)), None)


def _missing_hint(value: str, path: Path) -> str:
    elsewhere = Path.cwd() / value
    if elsewhere != path and elsewhere.exists():
        return f"it was looked for at {printable(path)}: a path in a recipe starts at the recipe's folder"
    return f"it was looked for at {printable(path)}; {nearest_file(path)}"


def _revision_faults(recipe: Recipe) -> list[Fault]:
    """Remote code needs a pinned commit; a folder has no revisions."""
    model = recipe.model
    if Path(model.name).is_absolute():
        if model.revision is None:
            return []
        what = "model.revision means nothing for model.name, which is a folder"
        return [Fault(("model", "revision"), what, "leave revision out")]
    if not model.trust_remote_code or (model.revision and _COMMIT.fullmatch(model.revision)):
        return []
    what = "model.trust_remote_code = true needs model.revision to be a full commit hash of 40 digits"
    hint = "read the code at one commit and name that commit, so that what runs here cannot change"
    return [Fault(("model", "trust_remote_code"), what, hint)]
