"""The entry point: without a command the studio opens, a command goes to the core."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run ftui with `argv` (without the program's name) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        return _studio(None)
    if len(arguments) == 2 and arguments[0] == "--runs":
        return _studio(Path(arguments[1]))
    if len(arguments) == 1 and arguments[0].startswith("--runs="):
        return _studio(Path(arguments[0].removeprefix("--runs=")))

    from finetui_core.cli.main import main as run_command

    return run_command(arguments)


def _studio(root: Path | None) -> int:
    if os.environ.get("TERM") in ("dumb", "unknown") or not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        print(
            "ftui: the screens need a terminal for input and output, and TERM must not be dumb.\n"
            "    ftui runs lists the runs as text; ftui --help names all commands.",
            file=sys.stderr,
        )
        return USAGE_ERROR

    from finetui.app import Studio
    from finetui_core.runs.paths import runs_root

    studio = Studio(runs_root() if root is None else root.expanduser().absolute())
    studio.run()
    return studio.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
