"""The options of a job of Slurm that a person may give: on the command line and in the settings."""

import re
from collections.abc import Mapping, Sequence

from finetui_core.errors import InputError, Problem
from finetui_core.toml_file import shown

_VALUE = re.compile(r"[A-Za-z0-9_.,:/@+*=\[\]-]{1,200}")
ALLOWED = (
    "account",
    "comment",
    "constraint",
    "cpus-per-task",
    "exclude",
    "gpus-per-node",
    "gres",
    "mail-type",
    "mail-user",
    "mem",
    "mem-per-cpu",
    "nodelist",
    "partition",
    "qos",
    "reservation",
    "time",
    "wckey",
)
"""The options of sbatch that may be given; the others are the run's own."""
HINT = f"options are: {', '.join(ALLOWED)}"


def parse_options(written: Sequence[str], settings: Mapping[str, object]) -> dict[str, str]:
    """The options of a job: those of the settings file, and over them those `written` as KEY=VALUE.

    Raises InputError with all that is wrong with them.
    """
    found: dict[str, object] = {}
    problems: list[Problem] = []
    pairs: list[tuple[str, object, str]] = [
        (key, value, f"slurm.{shown(key)} of the settings") for key, value in settings.items()
    ]
    for item in written:
        key, equals, value = item.partition("=")
        if not equals:
            problems.append(Problem(f"--slurm {shown(item)} has no value", hint="write KEY=VALUE"))
            continue
        pairs.append((key, value, "--slurm"))
    for key, given, where in pairs:
        if fault := fault_of(key, given):
            problems.append(Problem(fault, where, HINT))
        found[key] = given
    if problems:
        raise InputError(problems)
    return {key: str(value) for key, value in found.items()}


def fault_of(key: str, value: object) -> str:
    """What is wrong with an option; "" where it may stand in a script."""
    if key not in ALLOWED:
        return f"{shown(key)} is no option of a job that can be given"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        letters = "letters, digits and _ . , : / @ + * = [ ] -"
        return f"{key} = {shown(value)} may hold at most 200 {letters}"
    return ""
