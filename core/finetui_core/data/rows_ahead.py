"""The rows of a run tokenised beside the trainer's imports: `python -m finetui_core.data.rows_ahead RUN`.

It puts them into the cache of rows, where the trainer finds them, or waits for them, once its libraries are loaded.
What is wrong with the data or the model it leaves to the trainer to find and to tell.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError
from finetui_core.runs import exit_codes
from finetui_core.runs.command import child_environment
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of


def start_ahead(paths: RunPaths, *, accept_errors: bool) -> None:
    """Start it. It ends by itself, and with the group of this process."""
    command = [sys.executable, "-m", __name__, str(paths.root)]
    if accept_errors:
        command.append("--accept-errors")
    with contextlib.suppress(OSError):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=child_environment() | {"TRANSFORMERS_VERBOSITY": "error"},
        )
        threading.Thread(target=process.wait, daemon=True).start()  # or it stays a zombie


def main() -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.data.rows_ahead")
    parser.add_argument("run", type=Path)
    parser.add_argument("--accept-errors", action="store_true")
    options = parser.parse_args()
    os.umask(0o077)
    modules: dict[str, Any] = sys.modules
    modules["torch"] = None  # transformers then reads text without it, which loads in a third of the time

    from finetui_core.data.prepare import rows_of_files
    from finetui_core.data.reading import read_with
    from finetui_core.recipe.options import Recipe

    recipe = Recipe.model_validate_json(content_of(RunPaths(options.run).resolved_recipe))
    if recipe.model.trust_remote_code:
        return exit_codes.DONE  # whose consent the trainer looks at first
    try:
        reading = read_with(recipe)
        if reading.key is not None:
            rows_of_files(
                recipe.data,
                reading.tokenizer,
                reading.max_length,
                accept_errors=options.accept_errors,
                reading=reading.key,
            )
    except InputError:
        return exit_codes.BAD_INPUT
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
