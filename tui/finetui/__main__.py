"""The entry point: without a command the studio opens, a command goes to the core."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetui_core.evaluate.chat_client import Subject
    from finetui_core.evaluate.chat_protocol import Sampling

USAGE_ERROR = 2
DATA_ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
"""What a lone argument ends in that is a data set to open."""
RECIPE_ENDING = ".toml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ftui with `argv` (without the program's name) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        return _studio(None)
    if len(arguments) == 2 and arguments[0] == "--runs":
        return _studio(Path(arguments[1]))
    if len(arguments) == 1 and arguments[0].startswith("--runs="):
        return _studio(Path(arguments[0].removeprefix("--runs=")))

    from finetui.interface import interface
    from finetui_core.cli.main import COMMANDS
    from finetui_core.cli.main import main as run_command

    if len(arguments) == 1 and arguments[0] not in COMMANDS and Path(arguments[0]).expanduser().is_dir():
        return _studio(Path(arguments[0]))
    if len(arguments) == 1 and arguments[0] not in COMMANDS and arguments[0].endswith(DATA_ENDINGS):
        return _studio(None, arguments[0])
    if len(arguments) == 1 and arguments[0] not in COMMANDS and arguments[0].endswith(RECIPE_ENDING):
        return _studio(None, recipe=arguments[0])
    return run_command(arguments, interface(_talk))


def _talk(subject: "Subject", sampling: "Sampling", system: str) -> int:
    return _studio(subject.runs, chat=(subject, sampling, system))


def _studio(
    root: Path | None, data: str = "", recipe: str = "", chat: "tuple[Subject, Sampling, str] | None" = None
) -> int:
    """Show the runs in the folder `root`; where that is itself a run, open it; `data` is a data set to open, `recipe`
    a recipe, `chat` a model to talk to."""
    from finetui.leaving import end_at_once

    end_at_once()
    if os.environ.get("TERM") in ("dumb", "unknown") or not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        print(
            "ftui: the screens need a terminal for input and output, and TERM must not be dumb.\n"
            "    ftui runs lists the runs as text; ftui --help names all commands.",
            file=sys.stderr,
        )
        return USAGE_ERROR

    import asyncio

    from finetui.app import Studio
    from finetui.interface import interface
    from finetui.machine import MachineReader
    from finetui_core.runs.paths import is_run, runs_root
    from finetui_core.settings import load, settings_file, user_themes_folder

    known = interface()
    loaded = load(settings_file(), known.actions, known.themes(user_themes_folder()))
    folder = runs_root() if root is None else root.expanduser().absolute()
    opened = folder if root is not None and is_run(folder) else None
    if opened is not None:
        folder = folder.parent
    studio = Studio(
        folder,
        loaded=loaded,
        look=MachineReader(folder).read,
        opened=opened,
        opened_data=data,
        opened_recipe=Path(recipe).expanduser().absolute() if recipe else None,
        opened_chat=chat,
    )
    try:
        return asyncio.run(studio.run_on_terminal())
    finally:
        end_at_once()


if __name__ == "__main__":
    sys.exit(main())
