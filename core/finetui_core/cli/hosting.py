"""What the commands about hosted jobs share: which platform, which run or job, and faults as exit codes."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetui_core.cli.follow import follow
from finetui_core.cli.launching import finish
from finetui_core.cli.say import talk
from finetui_core.errors import InputError, Problem, RunFailed
from finetui_core.hosted.ends import job_is_over
from finetui_core.hosted.faults import FaultKind, ProviderFault
from finetui_core.hosted.place import KEY_VARIABLE, OPENAI, Place, place_at
from finetui_core.hosted.record import place_of, read_record
from finetui_core.hosted.run_folder import run_of_job
from finetui_core.runs.logind import warning_at_logout
from finetui_core.runs.paths import RunPaths, find_run, runs_root
from finetui_core.runs.reader import RunView
from finetui_core.runs.supervisor import launch

INTERRUPTED = 130
_LATER = "Try again later: a file that is there already is not sent again."
_WAYS_OUT: Mapping[FaultKind, str] = {
    "key": "Look at the key, and at what it is allowed to do.",
    "quota": f"Look at the account's limits and bills at the provider. {_LATER}",
    "rate": _LATER,
    "refused": "Mend what the provider names, then try again.",
    "absent": "Look at the id (ftui hosted list) and at --base-url.",
    "server": _LATER,
    "malformed": "Look at --base-url: it ends with what comes before /files, mostly /v1.",
    "slow": _LATER,
    "unreachable": f"Look at the network and at --base-url. {_LATER}",
}


def add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", default=OPENAI, metavar="URL", help=f"the platform's API ({OPENAI})")
    parser.add_argument(
        "--key-env",
        default=KEY_VARIABLE,
        metavar="NAME",
        help=f"the variable of the environment that holds the key ({KEY_VARIABLE}); a key is taken from nowhere else",
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")


def root_of(options: argparse.Namespace) -> Path:
    return (options.runs or runs_root()).absolute()


@contextmanager
def provider_faults() -> Iterator[None]:
    """Faults of a provider as errors of a command: a key that is refused is bad input, the rest has failed."""
    try:
        yield
    except ProviderFault as fault:
        if fault.kind == "key":
            raise InputError(Problem(str(fault), "--key-env", _WAYS_OUT[fault.kind])) from fault
        raise RunFailed(f"{fault}\n    {_WAYS_OUT[fault.kind]}") from fault


@dataclass(frozen=True, slots=True)
class Subject:
    """A job, where it is, and the run here that follows it, if one does."""

    job: str
    place: Place
    run: RunPaths | None


def subject_of(options: argparse.Namespace) -> Subject:
    """The job that a person names by its id, or by a run that follows it. Raises InputError."""
    root, named = root_of(options), options.job
    if named.startswith(("ftjob", "ft-")):
        run = run_of_job(root, named, options.base_url.rstrip("/"))
    else:
        run = find_run(root, named)
    if run is None:
        return Subject(named, place_at(options.base_url, options.key_env), None)
    record = read_record(run)
    if record is None:
        hint = "Name a job by its id, or a run that ftui hosted start has made."
        raise InputError(Problem(f"{run.id} follows no hosted job", str(run.root), hint))
    return Subject(record.job, place_of(record), run)


def follow_run(paths: RunPaths, *, detach: bool, as_json: bool) -> int:
    """Start the process that follows the job, unless one does, and stay with the run until it ends."""
    view = RunView(paths)
    view.refresh()
    if not job_is_over(view.events) and not (view.attempts and view.state.live):
        launch(paths)
        if warning := warning_at_logout():
            talk(f"warning: {warning}")
    view = RunView(paths)
    view.refresh()
    try:
        if detach and view.state.live:
            talk(f"{paths.id} follows the job in the background.")
            _say_how_to_return(paths)
        elif not detach:
            talk(
                f"{paths.id}: closing this terminal, or Ctrl-C, ends neither the job nor the run that follows it."
            )
            follow(view, attempt=view.attempts[-1].attempt)
    except KeyboardInterrupt:
        talk()
        _say_how_to_return(paths)
        return INTERRUPTED
    return finish(view, as_json=as_json)


def _say_how_to_return(paths: RunPaths) -> None:
    talk(
        f"watch it:   ftui hosted watch {paths.id}\ncancel it:  ftui hosted cancel {paths.id}\nsee it:     ftui"
    )
