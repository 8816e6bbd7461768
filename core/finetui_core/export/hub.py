"""Publishing an export on the Hugging Face hub: only when asked, private, and never with a token in a file."""

import os
import re
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem, RunFailed, first_line
from finetui_core.secrets import redact

TOKEN = "HF_TOKEN"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def check_hub(name: str) -> None:
    """Raise InputError for a name that is not owner/name, and where the environment has no token."""
    problems = []
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        problems.append(Problem(f"{name!r} is no name on the hub", "--name", "Say it as owner/name."))
    if not os.environ.get(TOKEN, "").strip():
        hint = f"Set {TOKEN} for this one command; it is written nowhere."
        problems.append(Problem("the environment has no token for the hub", TOKEN, hint))
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"):
        problems.append(
            Problem("HF_HUB_OFFLINE keeps this machine from the hub", hint="Unset it to publish.")
        )
    if problems:
        raise InputError(problems)


def publish(folder: Path, name: str, run: str) -> str:
    """Upload the files of an export into a repository that is private where it is new; returns its address.

    Raises RunFailed where the hub refuses; the export stays.
    """
    from huggingface_hub import HfApi

    api: Any = HfApi(token=os.environ[TOKEN].strip())
    try:
        address = api.create_repo(name, private=True, exist_ok=True, repo_type="model")
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=f"Export of {run}", repo_type="model"
        )
    except Exception as error:  # of the network, of the hub
        raise RunFailed(
            f"the hub did not take it: {redact(first_line(error))}\n    It is in {folder}."
        ) from error
    return str(address)
