"""`ftui runs ACTION RUN …`: rename, tag, note, archive, restore and delete."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from finetui_core.cli.say import data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.runs import manage
from finetui_core.runs.labels import Labels, noted, renamed, tagged
from finetui_core.runs.listing import summarise
from finetui_core.runs.paths import ARCHIVE, TRASH, RunPaths, find_run, runs_root

DONE, FAILED = 0, 1
_RUN_HELP = "the run's id, a part of it that only it has, a path, or: latest"


def add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="what to do to a run")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs", type=Path, default=argparse.SUPPRESS, help="the folder that holds the runs")
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the run after it as JSON on stdout",
    )

    def action(name: str, summary: str, *, several: bool = False) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.", parents=[common])
        one.add_argument("run", nargs="+" if several else None, metavar="RUN", help=_RUN_HELP)
        return one

    action("rename", "show another name; the id stays").add_argument(
        "name", help='the name; "" for the first'
    )
    tag = action("tag", "add tags, or take them away")
    tag.add_argument("tags", nargs="*", metavar="TAG", help="tags to add")
    tag.add_argument("--remove", nargs="+", default=[], metavar="TAG", help="tags to take away")
    action("note", "write a note").add_argument("text", help='the note; "" for none')
    action("archive", "put runs that have ended out of the list", several=True)
    action("restore", "bring runs back from the archive or the trash", several=True)
    delete = action("delete", "put runs that have ended into the trash", several=True)
    delete.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    root: Path = options.runs or runs_root()
    if options.action in _LABELS:
        paths = find_run(root, options.run)
        manage.relabel(paths, _LABELS[options.action](options))
        changed = [paths]
    elif options.action == "restore":
        changed = [manage.restore(paths) for paths in _put_away(root, options.run)]
    else:
        found = _different([find_run(root, wanted) for wanted in options.run])
        if options.action == "delete" and not _agreed(found, options.yes):
            talk("Nothing was deleted.")
            return FAILED
        changed = _put_all_away(found, options.action)
    if options.json:
        data_json([msgspec.to_builtins(summarise(paths.root)) for paths in changed])
    else:
        for paths in changed:
            talk(_DONE[options.action].format(id=paths.id, folder=paths.root.parent))
    return DONE


_LABELS: dict[str, Callable[[argparse.Namespace], Callable[[Labels], Labels]]] = {
    "rename": lambda options: lambda labels: renamed(labels, options.name),
    "tag": lambda options: lambda labels: tagged(labels, options.tags, options.remove),
    "note": lambda options: lambda labels: noted(labels, options.text),
}
_DONE = {
    "rename": "{id}: renamed",
    "tag": "{id}: tags written",
    "note": "{id}: note written",
    "archive": "{id}: archived; bring it back with: ftui runs restore {id}",
    "restore": "{id}: back in {folder}",
    "delete": "{id}: in the trash, {folder}; bring it back with: ftui runs restore {id}",
}


def _put_all_away(found: list[RunPaths], action: str) -> list[RunPaths]:
    """Move all of them, or none where any cannot be moved."""
    problems = []
    for paths in found:
        refused = manage.refusal(paths)
        if refused is not None:
            reason, hint = refused
            problems.append(Problem(f"{paths.id}: {reason}", str(paths.root), hint))
    if problems:
        raise InputError(problems)
    move = manage.archive if action == "archive" else manage.delete
    return [move(paths) for paths in found]


def _put_away(root: Path, wanted: list[str]) -> list[RunPaths]:
    """The runs in the archive or, where that has none that fits, in the trash."""
    found = []
    for one in wanted:
        try:
            found.append(find_run(root / ARCHIVE, one))
        except InputError:
            try:
                found.append(find_run(root / TRASH, one))
            except InputError as error:
                hint = "ftui runs --archived and ftui runs --deleted list them"
                what = f"no archived or deleted run fits {one!r}"
                raise InputError(Problem(what, str(root), hint)) from error
    return _different(found)


def _different(found: list[RunPaths]) -> list[RunPaths]:
    return list({paths.root: paths for paths in found}.values())


def _agreed(found: list[RunPaths], yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(Problem("deleting asks first, and there is nobody to ask", hint="add --yes"))
    for paths in found:
        talk(f"  {paths.id}")
    talk(f"Move {len(found)} {'run' if len(found) == 1 else 'runs'} into the trash? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
