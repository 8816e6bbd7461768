"""`ftui COMMAND`: finds the command, runs it, and turns errors into one sentence and an exit code.

Exit codes: 0 done, 1 it ran and failed, 2 bad input, 3 a check found errors, 130 interrupted.
Data goes to stdout, talk to stderr.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from finetui_core import __version__
from finetui_core.cli.say import talk
from finetui_core.errors import InputError, RunFailed
from finetui_core.interface import Interface
from finetui_core.secrets import redacted_stderr

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "demo": "fine-tune the sample model and show what changed",
    "train": "start a run from a recipe",
    "sweep": "run every combination of some values of options and compare them, or test a range of learning rates",
    "queue": "show the runs that wait for a device, change their order, pause the queue or let it go on",
    "resume": "continue a run that was stopped or has died",
    "join": "take part, with this host, in a run that another host has started",
    "runs": "list the runs; rename, tag, note, archive, restore or delete them",
    "status": "say how a run is doing",
    "watch": "follow a run until it ends",
    "ctl": "tell a run what to do: checkpoint, pause, resume, evaluate, sample, stop, abort",
    "compare": "ask held-out rows of the untrained and the tuned model, and say whether it is better",
    "chat": "talk to the untrained and the tuned model side by side",
    "export": "write the trained model for other programs, and check that it behaves as the run",
    "decide": "say whether to fine-tune, to look text up, or to mend the prompt, and why",
    "recipe": "write, check, show, compare and edit recipes; take them from other trainers, and give them to those",
    "preflight": "say before a run whether it fits, how long it takes and what it costs",
    "data": "check, mend, split, convert and edit data sets; what is written is always a new file",
    "hosted": "start and follow fine-tuning jobs at hosted platforms, and take them from there",
    "settings": "show the settings, name their files, or check them",
    "doctor": "say what the terminal and the machine lack, and what mends it",
}

DESCRIPTION = """Fine-tune language models from a terminal.
Without a command, ftui opens the studio; FILE.jsonl alone opens it at a data set, FILE.toml at a recipe."""
EPILOGUE = """Exit codes: 0 done, 1 it ran and failed, 2 bad input, 3 a check found errors, 130 interrupted.
Runs are kept in ./runs, or in the folder that FTUI_RUNS names."""


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser with every command's name and the arguments of `command` alone, so that help is quick."""
    parser = argparse.ArgumentParser(
        prog="ftui",
        description=DESCRIPTION,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ftui {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="show the Python traceback of an unexpected error"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name == command:
            import_module(f"finetui_core.cli.{name}").add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None, interface: Interface | None = None) -> int:
    """Run one command and return its exit code. `interface` says what the screens know."""
    with redacted_stderr():
        return _run(list(sys.argv[1:] if argv is None else argv), interface or Interface())


def _run(arguments: Sequence[str], interface: Interface) -> int:
    named = next((word for word in arguments if word in COMMANDS), None)
    try:
        options = build_parser(named).parse_args(arguments)
        options.interface = interface
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else BAD_INPUT
    try:
        code: int = import_module(f"finetui_core.cli.{options.command}").run(options)
        return code
    except InputError as error:
        talk(str(error))
        return BAD_INPUT
    except RunFailed as error:
        talk(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except Exception as error:
        if options.traceback:
            traceback.print_exc()
            return FAILED
        talk(f"ftui failed: {type(error).__name__}: {error}")
        talk("    Run it again with: ftui --traceback ... and report what it prints.")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
