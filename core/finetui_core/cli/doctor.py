"""`ftui doctor`: what the terminal and the machine lack, and the one line that mends each."""

import argparse
from dataclasses import asdict
from pathlib import Path

from finetui_core.cli.say import data, data_json, talk
from finetui_core.doctor import Check, Surroundings, check_all
from finetui_core.runs.paths import runs_root

CHECK_FOUND_ERRORS = 3

_MARKS = {"ok": "✓ ok", "note": "· note", "warning": "! warning", "error": "✗ error"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    checks = check_all(Surroundings((options.runs or runs_root()).expanduser().absolute()))
    has_errors = any(check.state == "error" for check in checks)
    if options.json:
        data_json({"ok": not has_errors, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            _print(check)
        mendable = sum(check.state in ("warning", "error") for check in checks)
        talk(f"{mendable} to mend" if mendable else "all is well")
    return CHECK_FOUND_ERRORS if has_errors else 0


def _print(check: Check) -> None:
    data(f"{_MARKS[check.state]:<10} {check.name:<15} {check.found}")
    if check.mend:
        data(f"{'':<26} {check.mend}")
