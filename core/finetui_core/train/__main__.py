"""The trainer's process: `python -m finetui_core.train RUN --attempt N`, started by the supervisor.

Its exit codes are those of `runs.exit_codes`; 0 is also an end that was asked for.
"""

import argparse
import contextlib
import os
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from finetui_core.errors import InputError
from finetui_core.runs import exit_codes
from finetui_core.runs.checkpoints import Checkpoint, newest_valid, sweep
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.rate_range import RateRange
from finetui_core.runs.records import read_small
from finetui_core.runs.writer import Heartbeat, RunWriter
from finetui_core.train.output import Output, Recorded, Silent


def main() -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.train")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    paths = RunPaths(arguments.run.absolute())
    if int(os.environ.get("RANK", "0")) != 0:  # set by torchrun
        return train(paths, Silent())
    with contextlib.ExitStack() as stack:
        writer = RunWriter(paths, arguments.attempt)
        stack.callback(writer.close)
        return train(paths, Recorded(writer, stack.enter_context(Heartbeat(paths))))


def train(paths: RunPaths, output: Output) -> int:
    """Run or continue the run in `paths`, tell `output` how it ended, and return the exit code."""
    try:
        return _train(paths, output)
    except InputError as error:
        output.event("error", kind="input", problems=[asdict(problem) for problem in error.problems])
        print(error, file=sys.stderr)
        return exit_codes.BAD_INPUT
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        output.event("error", kind="crash", problems=[{"what": what, "where": "", "hint": ""}])
        traceback.print_exc()
        return exit_codes.CRASHED


def _train(paths: RunPaths, output: Output) -> int:
    began = time.perf_counter()
    output.beat(step=0, phase="loading", total_steps=0)
    output.event("phase", phase="loading", step=0)
    checkpoint = _checkpoint_to_continue(paths, output)

    # These imports take seconds; the phase above is on disk before them.
    from transformers.utils.logging import disable_progress_bar

    from finetui_core.recipe.options import Recipe
    from finetui_core.train.control import StopSignal
    from finetui_core.train.loop import fit
    from finetui_core.train.on_nonfinite import recall
    from finetui_core.train.range_test import raise_rate
    from finetui_core.train.report import data_check_event, ready_event, write_data_report, write_resolved
    from finetui_core.train.setup import build_session, check_room, start_processes
    from finetui_core.train.tally import Tally

    tally = Tally(began)
    tally.imported()
    stop = StopSignal()
    stop.listen()
    disable_progress_bar()
    recipe = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
    accelerator, processes = start_processes(recipe)

    def announce(phase: str) -> None:
        if phase == "loading":
            tally.rows_read()
        step = checkpoint.step if checkpoint else 0
        output.beat(step=step, phase=phase, total_steps=0)
        output.event("phase", phase=phase, step=step)

    session, progress = build_session(paths, recipe, accelerator, processes, checkpoint, announce)
    check_room(paths, session.model)
    if processes.index == 0:
        write_resolved(session)
        write_data_report(session)
    if checkpoint is not None:
        output.event("resumed", step=progress.step, checkpoint=f"checkpoints/{checkpoint.path.name}")
    if checkpoint is None:
        output.event("data_check", **data_check_event(session))
        print(session.data.report.verdict, file=sys.stderr)
    output.event("ready", **ready_event(session, recipe))
    progress = recall(paths, progress, output)
    rates = read_small(paths.rate_range, RateRange)
    if rates is not None:
        reason, step = raise_rate(session, rates, output, stop)
    else:
        reason, step = fit(session, progress, output, stop, tally)
        if processes.index == 0:
            with contextlib.suppress(OSError):
                tally.keep(session, reason, resumed=checkpoint is not None)
    output.event("finished", reason=reason, step=step)
    return exit_codes.DIVERGED if reason == "diverged" else exit_codes.DONE


def _checkpoint_to_continue(paths: RunPaths, output: Output) -> Checkpoint | None:
    """The newest checkpoint that verifies, after sweeping up; those passed over are reported."""
    if int(os.environ.get("RANK", "0")) == 0:
        sweep(paths.checkpoints)
    checkpoint, skipped = newest_valid(paths.checkpoints)
    for one in skipped:
        output.event("checkpoint_skipped", path=f"checkpoints/{one.path.name}", reason=one.reason)
    return checkpoint


if __name__ == "__main__":
    sys.exit(main())
