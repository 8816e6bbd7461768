"""Starting an attempt of a run and staying with it: what `train`, `resume` and `demo` share."""

import shutil

import msgspec

from finetui_core.cli.follow import View, current_events, follow, wait_until_ready
from finetui_core.cli.onward import after_training
from finetui_core.cli.say import data_json, talk
from finetui_core.errors import InputError, Problem
from finetui_core.runs.inexact import headline
from finetui_core.runs.logind import warning_at_logout
from finetui_core.runs.mailbox import send
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import content_of
from finetui_core.runs.supervisor import launch
from finetui_core.wording import loss, perplexity

DONE, FAILED, INTERRUPTED = 0, 1, 130
_GOOD = ("queued", "finished", "stopped")


def start(
    paths: RunPaths, *, resumed_from: str | None, detach: bool, as_json: bool, inexact: bool = False
) -> int:
    """Start an attempt and follow it, or leave it once it trains; returns the exit code.

    Bad input that only the trainer can see (rows, weights) raises InputError here, like any other.
    """
    launch(paths, resumed_from, inexact=inexact)
    if warning := warning_at_logout():
        talk(f"warning: {warning}")
    _say_who_joins(paths)
    view = RunView(paths)
    try:
        wait_until_ready(view)
        _raise_bad_input(view)
        if detach and view.state.live:
            talk(f"{paths.id} is training in the background.")
            _say_how_to_return(paths)
        elif not detach:
            talk(
                f"{paths.id}: closing this terminal does not end the run; Ctrl-C stops it with a checkpoint."
            )
            follow(view, attempt=view.attempts[-1].attempt)
    except KeyboardInterrupt:
        return _interrupted(view)
    return finish(view, as_json=as_json)


def _say_who_joins(paths: RunPaths) -> None:
    """What to type on the other hosts, and that this one listens for them."""
    launch = msgspec.json.decode(content_of(paths.resolved_recipe)).get("launch", {})
    others = int(launch.get("nnodes", 1)) - 1
    if others > 0:
        where = "the other host" if others == 1 else f"each of the {others} other hosts"
        talk(f"The processes meet at {launch['rdzv_endpoint']}; whoever reaches it can disturb the run.")
        talk(f"type on {where}:  ftui join {paths.root}")


def _interrupted(view: RunView) -> int:
    """Ctrl-C: ask for a checkpoint and the end; a second one leaves the run alone."""
    talk(
        "\nstopping: the step is finished and a checkpoint is written; Ctrl-C again leaves the run to itself"
    )
    try:
        view.refresh()
        if view.state.live:
            send(view.paths, "stop")
            follow(view, attempt=view.attempts[-1].attempt)
        say_result(view)
    except KeyboardInterrupt:
        talk()
        _say_how_to_return(view.paths)
    return INTERRUPTED


def _raise_bad_input(view: RunView) -> None:
    for event in current_events(view):
        if event.get("type") == "error" and event.get("kind") == "input":
            raise InputError([Problem(one["what"], one["where"], one["hint"]) for one in event["problems"]])


def finish(view: View, *, as_json: bool) -> int:
    """Say how the run ended (or stands), and return the exit code that fits."""
    view.refresh()
    if as_json:
        data_json(view.summary())
    elif not view.state.live:
        say_result(view)
    return exit_code(view)


def exit_code(view: View) -> int:
    """0 for a run that goes on or waits, has finished or was stopped, and where another trainer's run may have."""
    unknown = view.read_only and view.state.state == "silent"
    return DONE if view.state.live or unknown or view.state.state in _GOOD else FAILED


def say_result(view: View) -> None:
    """The end of the run in a few lines: why, what was gained, where it lies, and what to do next."""
    facts = view.summary()
    talk(f"{facts['id']}: {facts['state']}. {facts['reason']}")
    if facts.get("inexact_from") is not None:
        talk(headline(facts["inexact_from"]))
    before = next((one for one in view.evaluations if one["step"] == 0 and "eval_loss" in one), None)
    if before is not None and facts["best_eval_loss"] is not None and facts["best_step"]:
        best = next(one for one in view.evaluations if one["step"] == facts["best_step"])
        talk(
            f"validation loss {loss(before['eval_loss'])} → {loss(best['eval_loss'])}, "
            f"perplexity {perplexity(before['eval_loss'])} → {perplexity(best['eval_loss'])} "
            f"(best at step {best['step']})"
        )
    if facts["last_checkpoint"]:
        talk(f"last checkpoint: {facts['path']}/{facts['last_checkpoint']}")
        if view.state.state == "finished" and not view.read_only and not view.paths.hosted.exists():
            talk(after_training(view.paths))
    way_out = facts.get("way_out") or ""
    if way_out:
        talk(way_out)
    if view.state.state not in ("finished",) and not view.state.live and not view.read_only:
        if "ftui resume" not in way_out and not view.paths.hosted.exists():
            talk(f"continue with: ftui resume {facts['id']}")
        if view.state.state not in ("stopped",) and view.attempts:
            talk(f"what it last wrote: {view.paths.log(view.attempts[-1].attempt)}")


def _say_how_to_return(paths: RunPaths) -> None:
    talk(f"watch it:  ftui watch {paths.id}\nstop it:   ftui ctl {paths.id} stop\nsee it:    ftui")


def discard(paths: RunPaths) -> None:
    """Remove a run that never began, so that bad input leaves nothing behind."""
    shutil.rmtree(paths.root, ignore_errors=True)
