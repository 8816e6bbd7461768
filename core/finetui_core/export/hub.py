"""Publishing an export on the Hugging Face hub: only when asked, private, and never with a token in a file."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem, RunFailed, first_line
from finetui_core.runs.command import child_environment
from finetui_core.secrets import redact, redact_output

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

    A process of its own does it, since this one is kept from the network where the model is a folder. Raises
    RunFailed where the hub refuses; the export stays.
    """
    command = [sys.executable, "-m", "finetui_core.export.hub", str(folder), name, run]
    environment = child_environment() | {"HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    answer = (ended.stdout.splitlines() or [""])[-1]
    if ended.returncode != 0:
        why = redact(answer) or f"its process ended with code {ended.returncode}"
        raise RunFailed(f"the hub did not take it: {why}\n    It is in {folder}.")
    return answer


def main(folder: str, name: str, run: str) -> int:
    """Print the address, or why it failed."""
    from huggingface_hub import HfApi

    redact_output()
    api: Any = HfApi(token=os.environ[TOKEN].strip())
    try:
        address = api.create_repo(name, private=True, exist_ok=True, repo_type="model")
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=f"Export of {run}", repo_type="model"
        )
    except Exception as error:  # of the network, of the hub
        print(first_line(error))
        return 1
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
