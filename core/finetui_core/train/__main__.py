"""The trainer's process: `python -m finetui_core.train RUN --attempt N`, started by the supervisor.

Its exit codes are those of `runs.exit_codes`; 0 is also an end that was asked for.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from finetui_core.data.rows_ahead import start_ahead
from finetui_core.errors import InputError
from finetui_core.runs import exit_codes
from finetui_core.runs.checkpoints import Checkpoint, newest_valid, sweep
from finetui_core.runs.consent import accepts_data_errors
from finetui_core.runs.halving import Sizes, kept_sizes
from finetui_core.runs.lock import keep_lock_from_children
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.rate_range import RateRange
from finetui_core.runs.records import Attempt, content_of, read_small
from finetui_core.runs.writer import Heartbeat, RunWriter
from finetui_core.secrets import redact_output
from finetui_core.train.last_words import last_words
from finetui_core.train.output import Output, Recorded, Silent
from finetui_core.train.peers import LostPeer, tell_launcher
from finetui_core.train.watchdog import watched

if TYPE_CHECKING:
    from finetui_core.recipe.options import Recipe
    from finetui_core.train.evaluation import Processes

_PR_SET_PDEATHSIG = 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.train")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    faulthandler.enable()  # a crash in native code leaves its stacks in the log
    redact_output()
    paths = RunPaths(arguments.run.absolute())
    keep_lock_from_children(paths)
    if "RANK" in os.environ:
        _die_with_launcher()
    if (
        os.environ.get("LOCAL_RANK", "0") == "0" and "torch" not in sys.modules
    ):  # no import, nothing beside it
        start_ahead(paths, accept_errors=accepts_data_errors(paths, resumes=arguments.attempt > 1))
    attempt = read_small(paths.attempt(arguments.attempt), Attempt)
    inexact = attempt is not None and attempt.inexact
    if int(os.environ.get("RANK", "0")) != 0:  # set by torchrun
        return train(paths, Silent(), inexact=inexact)
    with contextlib.ExitStack() as stack:
        writer = RunWriter(paths, arguments.attempt)
        stack.callback(writer.close)
        output = Recorded(writer, stack.enter_context(Heartbeat(paths)))
        return train(paths, stack.enter_context(watched(output)), inexact=inexact)


def train(paths: RunPaths, output: Output, *, inexact: bool = False) -> int:
    """Run or continue the run in `paths`, tell `output` how it ended, and return the exit code.

    With `inexact` it goes on even where the circumstances are not those of its checkpoint.
    """
    try:
        return _train(paths, output, inexact)
    except InputError as error:
        output.event("error", kind="input", problems=[asdict(problem) for problem in error.problems])
        print(error, file=sys.stderr)
        tell_launcher(str(error))
        return exit_codes.BAD_INPUT
    except LostPeer as error:
        output.event("error", kind="lost_peer", problems=[{"what": str(error), "where": "", "hint": ""}])
        print(error, file=sys.stderr)
        tell_launcher(str(error))
        return exit_codes.LOST_PEER
    except Exception as error:
        code, fields = last_words(error)
        tell_launcher(f"{type(error).__name__}: {error}")
        output.event("error", **fields)
        traceback.print_exc()
        return code


def _train(paths: RunPaths, output: Output, inexact: bool) -> int:
    began = time.perf_counter()
    output.beat(step=0, phase="loading", total_steps=0)
    output.event("phase", phase="loading", step=0)
    checkpoint = _checkpoint_to_continue(paths, output)

    # These imports take seconds; the phase above is on disk before them. They make half a million objects that stay.
    gc.disable()
    import transformers.modeling_utils  # noqa: F401 (which every model's module imports)
    from transformers.utils.logging import disable_progress_bar

    from finetui_core.recipe.options import Recipe
    from finetui_core.runs.consent import check_recorded_consent
    from finetui_core.train.control import StopSignal
    from finetui_core.train.loop import fit
    from finetui_core.train.on_nonfinite import recall
    from finetui_core.train.range_test import raise_rate
    from finetui_core.train.report import data_check_event, ready_event, write_data_report, write_resolved
    from finetui_core.train.room import check_room
    from finetui_core.train.saving import newest_in_words
    from finetui_core.train.setup import build_session, start_processes
    from finetui_core.train.tally import Tally

    gc.freeze()
    gc.enable()
    tally = Tally(began)
    tally.imported()
    stop = StopSignal()
    stop.listen()
    disable_progress_bar()
    given = Recipe.model_validate_json(content_of(paths.resolved_recipe))
    check_recorded_consent(paths, given)
    recipe = _with_sizes(given, kept_sizes(paths))
    accelerator, processes = start_processes(recipe)

    def announce(phase: str) -> None:
        if phase == "loading":
            tally.rows_read()
        step = checkpoint.step if checkpoint else 0
        output.beat(step=step, phase=phase, total_steps=0)
        output.event("phase", phase=phase, step=step)

    session, progress = build_session(
        paths, recipe, accelerator, processes, checkpoint, announce, inexact=inexact
    )
    check_room(session, progress, checkpoint, output)
    if processes.index == 0:
        write_resolved(session, given)
        write_data_report(session)
    if checkpoint is not None:
        output.event("resumed", step=progress.step, checkpoint=f"checkpoints/{checkpoint.path.name}")
    if session.inexact:
        facts = [one.as_fact() for one in session.inexact]
        output.event("inexact", step=progress.step, by="asked", differences=facts)
    if checkpoint is None:
        output.event("data_check", **data_check_event(session))
        with contextlib.suppress(OSError):  # a log on a full disk must not end the run
            print(session.data.report.verdict, file=sys.stderr)
    output.event("ready", **ready_event(session, recipe))
    progress = recall(paths, progress, output)
    rates = read_small(paths.rate_range, RateRange)
    if rates is not None:
        reason, step = raise_rate(session, rates, output, stop)
    else:
        with _lost_peer_named(session.processes):
            reason, step = fit(session, progress, output, stop, tally)
        if processes.index == 0:
            with contextlib.suppress(OSError):
                tally.keep(session, reason, resumed=checkpoint is not None)
    note = newest_in_words(paths.checkpoints) if reason == "unsaved" else ""
    output.event("finished", reason=reason, step=step, **({"note": note} if note else {}))
    return _EXIT_CODES.get(reason, exit_codes.DONE)


@contextlib.contextmanager
def _lost_peer_named(processes: "Processes") -> Iterator[None]:
    """Tell a connection that ended in a message of torch's own, as sharded weights need many, by who is lost."""
    from finetui_core.train.shortage import shortage_of

    try:
        yield
    except RuntimeError as error:
        lost = processes.lost() if processes.is_sharded and shortage_of(error) is None else ""
        if lost:
            raise LostPeer(lost) from error
        raise


_EXIT_CODES = {"diverged": exit_codes.DIVERGED, "unsaved": exit_codes.UNSAVED}


def _with_sizes(recipe: "Recipe", sizes: Sizes | None) -> "Recipe":
    """The recipe with the smaller passes that an earlier want of memory made necessary."""
    if sizes is None:
        return recipe
    update = {"per_device_train_batch_size": sizes.rows, "gradient_accumulation_steps": sizes.passes}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=update)})


def _checkpoint_to_continue(paths: RunPaths, output: Output) -> Checkpoint | None:
    """The newest checkpoint that verifies, after sweeping up; those passed over are reported."""
    if int(os.environ.get("RANK", "0")) == 0:
        sweep(paths.checkpoints)
    checkpoint, skipped = newest_valid(paths.checkpoints)
    for one in skipped:
        output.event("checkpoint_skipped", path=f"checkpoints/{one.path.name}", reason=one.reason)
    return checkpoint


def _die_with_launcher() -> None:
    """Have the kernel end this process when torchrun dies: no supervisor knows the processes below it (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    code = main()
    if code == exit_codes.LOST_PEER:
        sys.stderr.flush()
        os._exit(code)  # leaving in good order would wait for the message that never comes
    sys.exit(code)
