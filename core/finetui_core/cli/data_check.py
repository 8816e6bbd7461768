"""`ftui data check FILE...`: what is wrong with data sets, row by row, and what mends it."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.data_report import print_report
from finetui_core.cli.onward import after_check
from finetui_core.cli.say import data_json, talk
from finetui_core.data.check.cache import find, keep, key_of
from finetui_core.data.check.checking import Checked, Follower, Source, check
from finetui_core.data.check.findings import Found
from finetui_core.data.check.scan import Progress
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe

CHECK_FOUND_ERRORS = 3
_TOLD_EVERY = 0.25  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="the training data, or hub:owner/name; left out, that of the recipe",
    )
    parser.add_argument(
        "--val",
        action="append",
        default=[],
        metavar="FILE",
        help="validation rows, to be kept apart from training",
    )
    parser.add_argument(
        "--recipe", type=Path, metavar="R", help="read the rows as this recipe's model will, and count tokens"
    )
    parser.add_argument("--fast", action="store_true", help="leave near-duplicates and tokens out")
    parser.add_argument("--no-cache", action="store_true", help="look again, whatever is known from before")
    parser.add_argument(
        "--workers", type=_workers, metavar="N", help="processes that read (as many as processors)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    shown.add_argument("--stream", action="store_true", help="print progress and report as lines of JSON")


def run(options: argparse.Namespace) -> int:
    recipe = _recipe(options)
    sources = _sources(options.files, options.val, recipe)
    key = None if options.no_cache else key_of(sources, recipe, fast=options.fast)
    checked = find(key, sources) if key else None
    if checked is None:
        checked = check(
            sources, recipe, fast=options.fast, workers=options.workers, follower=_follower(options)
        )
        if key:
            keep(key, checked)
    _show(checked, options)
    return CHECK_FOUND_ERRORS if checked.report.verdict == "errors" else 0


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise ValueError
    return number


def _recipe(options: argparse.Namespace) -> Recipe | None:
    """The recipe, with the files named on the command line in the place of its own."""
    if options.recipe is None:
        if options.files:
            return None
        raise InputError(Problem("no file to check", "", "Name one, or a recipe with --recipe."))
    overrides = []
    if options.files:
        others = options.files[1:] or options.val[1:]
        if others:
            hint = "Leave --recipe out to check more files together."
            raise InputError(
                Problem("under a recipe one training and one validation file are read", "", hint)
            )
        val = options.val[0] if options.val else ""
        overrides = [_set("data.train", options.files[0])] + ([_set("data.val", val)] if val else [])
    return load_recipe(options.recipe, overrides)


def _set(option: str, path: str) -> str:
    return f"{option}={msgspec.json.encode(path).decode()}"


def _sources(files: Sequence[str], val: Sequence[str], recipe: Recipe | None) -> list[Source]:
    if recipe is None:
        return [*(Source(file) for file in files), *(Source(file, "val") for file in val)]
    sources = [Source(recipe.data.train, "train", recipe.data.format)]
    if recipe.data.val:
        sources.append(Source(recipe.data.val, "val"))
    return sources


def _show(checked: Checked, options: argparse.Namespace) -> None:
    report: dict[str, Any] = msgspec.to_builtins(checked.report)
    if options.stream:
        data_json({"type": "report", "report": report | {"rows": checked.rows}})
    elif options.json:
        data_json(report)
    else:
        print_report(checked.report)
        if checked.report.verdict != "errors":
            of_role = {file.role: file.path for file in reversed(checked.report.files)}
            talk(after_check(of_role.get("train", ""), of_role.get("val", ""), options.recipe))


def _follower(options: argparse.Namespace) -> Follower:
    if options.stream:
        return _Stream()
    return _Talk() if sys.stderr.isatty() and not options.json else Follower()


class _Stream(Follower):
    """Lines of JSON for a program that follows the check."""

    def __init__(self) -> None:
        self._told = 0.0

    def progress(self, progress: Progress) -> None:
        if time.monotonic() - self._told >= _TOLD_EVERY or progress.bytes_done == progress.bytes_total:
            self._told = time.monotonic()
            data_json({"type": "progress", **msgspec.to_builtins(progress)})

    def stage(self, name: str) -> None:
        data_json({"type": "stage", "stage": name})

    def partial(self, found: Sequence[Found]) -> None:
        data_json({"type": "partial", "found": msgspec.to_builtins(found)})


class _Talk(Follower):
    """One line on the terminal that is written over, and gone at the end."""

    def __init__(self) -> None:
        self._told = 0.0

    def progress(self, progress: Progress) -> None:
        if time.monotonic() - self._told >= _TOLD_EVERY:
            self._told = time.monotonic()
            share = progress.bytes_done / max(1, progress.bytes_total)
            self._line(f"{100 * share:.0f} %, {progress.rows:,} rows")

    def stage(self, name: str) -> None:
        self._line(f"{name} …")

    def partial(self, found: Sequence[Found]) -> None:
        self._line("")

    def _line(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
