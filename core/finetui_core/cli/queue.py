"""`ftui queue`: the runs that wait for a device, their order, and whether they are being started."""

import argparse
from pathlib import Path
from typing import get_args

import msgspec

from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.runs import queue
from finetui_core.runs.listing import list_runs
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.mailbox import send
from finetui_core.runs.paths import RunPaths, find_run, runs_root
from finetui_core.runs.records import Attempt, read_small
from finetui_core.runs.summary import RunSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument("--json", action="store_true", help="print the queue as it then is as JSON on stdout")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs", type=Path, default=argparse.SUPPRESS, help="the folder that holds the runs")
    common.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print the queue as JSON on stdout"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="what to do")
    for name, summary in _ACTIONS.items():
        one = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.", parents=[common])
        if name in ("add", "remove", "move"):
            one.add_argument("run", help="the run's id, a part of it that only it has, or a path")
        if name == "move":
            one.add_argument("direction", choices=get_args(queue.Direction), help="where to, in the queue")


_ACTIONS = {
    "list": "show the queue, as without an action",
    "start": "let the queue go on: after a pause, a restart of the machine, or a kill of its process",
    "pause": "start no further runs; those under way go on",
    "stop": "pause, and ask the runs that the queue has started to save a checkpoint and end",
    "add": "put a run that does not go on into the queue: it is continued from its newest checkpoint",
    "remove": "take a run out of the queue; it is kept, and ftui queue add puts it back",
    "move": "move a run in the queue",
}


def run(options: argparse.Namespace) -> int:
    root = (options.runs or runs_root()).absolute()
    if options.action == "start":
        queue.start(root)
    elif options.action in ("pause", "stop"):
        queue.pause(root)
    elif options.action is not None and options.action != "list":
        _change_one(root, find_run(root, options.run), options)
    runs = list_runs(root)
    if options.action == "stop":
        _stop(runs)
    _show(root, runs, as_json=options.json)
    return 0


def _change_one(root: Path, paths: RunPaths, options: argparse.Namespace) -> None:
    if options.action == "add":
        queue.add(root, paths)
        queue.start_worker(root)
    elif options.action == "remove":
        queue.remove(root, paths)
        talk(f"{paths.id}: taken out of the queue; put it back with: ftui queue add {paths.id}")
    else:
        queue.move(root, paths, options.direction)


def _stop(runs: list[RunSummary]) -> None:
    for one in runs:
        if one.state in LIVE and _device(one) is not None:
            send(RunPaths(Path(one.path)), "stop")
            talk(f"{one.id}: asked to save a checkpoint and end; continue it with: ftui queue add {one.id}")


def _show(root: Path, runs: list[RunSummary], *, as_json: bool) -> None:
    waiting = sorted((one for one in runs if one.queue_number), key=lambda one: one.queue_number or 0)
    under_way = [one for one in runs if one.state in LIVE]
    said = queue.standstill(root, len(waiting))
    if as_json:
        data_json(
            {
                "working": queue.is_working(root),
                "paused": queue.is_paused(root),
                "says": said,
                "running": [{**msgspec.to_builtins(one), "device": _device(one)} for one in under_way],
                "waiting": [msgspec.to_builtins(one) for one in waiting],
            }
        )
        return
    if not waiting and not under_way:
        talk("The queue is empty. Put runs into it with: ftui train RECIPE --queue, or ftui sweep RECIPE")
    else:
        rows = [
            [one.state, one.name, f"{one.step}/{one.total_steps or '?'}", _device(one) or "by hand", one.id]
            for one in under_way
        ]
        rows += [[str(one.queue_number), one.name, "–", "–", one.id] for one in waiting]
        for line in table(["place", "name", "step", "device", "run"], rows):
            data(line)
    if said:
        talk(said)
    elif queue.is_paused(root):
        talk("The queue is paused: ftui queue start")


def _device(one: RunSummary) -> str | None:
    """What the queue gave the run; None for a run that was started by hand."""
    paths = RunPaths(Path(one.path))
    numbers = paths.attempt_numbers()
    attempt = read_small(paths.attempt(numbers[-1]), Attempt) if numbers else None
    return attempt.device if attempt else None
