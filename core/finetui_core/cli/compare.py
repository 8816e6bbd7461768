"""`ftui compare RECIPE|RUN`: is it better, on rows that nothing was trained on?"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.consenting import add_consent, consent_to
from finetui_core.cli.onward import after_comparing
from finetui_core.cli.say import data, data_json, table, talk
from finetui_core.cli.train import require_training_libraries
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.figures import ComparisonPaths, Result
from finetui_core.recipe.saving import write_new_recipe
from finetui_core.runs.paths import runs_root

DONE, IN_PART = 0, 1
_TOLD_EVERY = 10.0  # seconds, where nothing is written over


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask held-out rows of the untrained and of the tuned model, with and without examples and documents, and say "
        "which way to take. Of a recipe the untrained model is measured: the bar to beat by training. Ctrl-C keeps "
        "what is answered, and the same command goes on."
    )
    parser.add_argument(
        "source",
        metavar="RECIPE|RUN",
        help="a recipe's file; or a run's id, a part of it, a path, or: latest",
    )
    parser.add_argument("--runs", type=Path, help="the folder that holds the runs (FTUI_RUNS, or ./runs)")
    parser.add_argument(
        "--plan", action="store_true", help="only say what would be compared, and what it can show"
    )
    parser.add_argument(
        "--arms", metavar="A,B,…", help="ways to answer, such as zero_shot,retrieved,tuned (all)"
    )
    parser.add_argument(
        "--documents", type=Path, metavar="FOLDER", help="look passages up in these files as well"
    )
    parser.add_argument("--shots", type=int, default=4, metavar="N", help="examples before a question (4)")
    parser.add_argument(
        "--max-rows", type=int, default=200, metavar="N", help="rows that are asked; 0 for all (200)"
    )
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="the longest answer (a quarter more than the longest reference)",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="what decides: one of ours, or module:function(answer, reference) of your own",
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="the run's weights (its best, or else its newest)"
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="a served model as a further way: http://127.0.0.1:8000/v1"
    )
    parser.add_argument("--endpoint-model", metavar="NAME", default="", help="the name it has there")
    parser.add_argument("--endpoint-key-env", metavar="VARIABLE", help="the variable that holds its key")
    parser.add_argument(
        "--judge", action="store_true", help="let the endpoint say which of two answers is better"
    )
    add_consent(parser)
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the report into this new file as well"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result, or the plan, as JSON on stdout"
    )


def run(options: argparse.Namespace) -> int:
    require_training_libraries()
    _check_options(options)
    runs = (options.runs or runs_root()).absolute()
    with _undisturbed():
        from finetui_core.evaluate.answering import ways_of
        from finetui_core.evaluate.comparison import run_comparison
        from finetui_core.evaluate.page import plan_lines
        from finetui_core.evaluate.planning import plan_comparison
        from finetui_core.evaluate.subject import subject_of

        subject = subject_of(options.source, runs, options.checkpoint)
        consent_to(subject.recipe, options.consent_remote_code)
        wanted, endpoint = _wanted(options)
        planned = plan_comparison(subject, wanted, runs)
        if options.plan:
            if options.json:
                data_json({"folder": str(planned.paths.root), **msgspec.to_builtins(planned.plan)})
            else:
                for line in plan_lines(planned.plan):
                    data(line)
            return DONE
        for line in plan_lines(planned.plan):
            talk(line)
        judge = endpoint if options.judge else None
        ways = ways_of(subject, planned.plan, wanted.endpoint, judge)
        try:
            result = run_comparison(planned, ways, _Talk().follower())
        except KeyboardInterrupt:
            talk("\nstopped: what is answered is kept, and the same command goes on")
            raise
    _show(result, planned.paths, options)
    weights = {one.arm.name: one.arm.weights for one in result.arms}
    if subject.run is not None and weights[result.verdict.arm] == "tuned" and not options.json:
        talk(after_comparing(subject.run))
    return DONE if len(result.plan.arms) == len(planned.plan.arms) else IN_PART


def _check_options(options: argparse.Namespace) -> None:
    least = {"shots": 1, "max_rows": 0, "max_new_tokens": 1}
    problems = [
        Problem(f"--{name.replace('_', '-')} {number} cannot be", hint=f"from {least[name]} on")
        for name in least
        if (number := getattr(options, name)) is not None and number < least[name]
    ]
    if options.max_rows == 1:
        problems.append(Problem("--max-rows 1 cannot be", hint="a comparison needs two rows at least"))
    if options.judge and not options.endpoint:
        problems.append(
            Problem("--judge needs an endpoint", hint="name it with --endpoint and --endpoint-model")
        )
    if options.page is not None and os.path.lexists(options.page):
        hint = "give another name, or move it away"
        problems.append(Problem("there is a file of this name already", str(options.page), hint))
    if problems:
        raise InputError(problems)


def _wanted(options: argparse.Namespace) -> tuple[Any, Any]:
    """What is asked for, and the endpoint, which as a judge answers only if it is named among the arms."""
    from finetui_core.evaluate.endpoint import endpoint_at
    from finetui_core.evaluate.planning import Wanted

    arms = [one.strip() for one in options.arms.split(",") if one.strip()] if options.arms else None
    endpoint = None
    if options.endpoint:
        endpoint = endpoint_at(options.endpoint, options.endpoint_model, options.endpoint_key_env)
    answers_too = not options.judge or (arms is not None and "endpoint" in arms)
    wanted = Wanted(
        arms=arms,
        documents=options.documents,
        shots=options.shots,
        max_rows=options.max_rows,
        max_new_tokens=options.max_new_tokens,
        metric=options.metric,
        metric_folder=Path.cwd(),
        endpoint=endpoint if answers_too else None,
    )
    return wanted, endpoint


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A closed terminal does not end it, and SIGTERM is as Ctrl-C: both keep what is answered."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Talk:
    """Progress on stderr: on a terminal a line that is written over, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._over = sys.stderr.isatty()
        self._told = 0.0
        self._open = False

    def follower(self) -> Any:
        from finetui_core.evaluate.comparison import Follower

        return Follower(self._say, self._progress)

    def _say(self, line: str) -> None:
        self._end_line()
        talk(line)

    def _progress(self, what: str, done: int, rows: int) -> None:
        line = f"{what}: {done:,} of {rows:,} rows"
        if self._over:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._open = True
            if done == rows:
                self._end_line()
        elif done == rows or time.monotonic() - self._told >= _TOLD_EVERY:
            self._told = time.monotonic()
            talk(line)

    def _end_line(self) -> None:
        if self._open:
            self._open = False
            sys.stderr.write("\n")


def _show(result: Result, paths: ComparisonPaths, options: argparse.Namespace) -> None:
    from finetui_core.evaluate.page import cost_table, gain_table, judged_lines, other_scores

    if options.page is not None:
        write_new_recipe(options.page, paths.page.read_text(encoding="utf-8"))
        talk(f"the page is in {options.page}")
    if options.json:
        shown = msgspec.to_builtins(msgspec.structs.replace(result, row_scores={}))
        del shown["row_scores"]
        data_json({"folder": str(paths.root), **shown})
        return
    data("")
    data(result.verdict.says)
    for reason in result.verdict.reasons:
        data(f"  {reason}")
    _print_table(*gain_table(result))
    _print_table(*cost_table(result))
    headings, cells = other_scores(result)
    if headings:
        _print_table(headings, cells)
    for line in judged_lines(result):
        data(f"by a judge: {line}")
    data("")
    for number, step in enumerate(result.verdict.next_steps, 1):
        data(f"{number}. {step}")
    talk(f"\nwith answers side by side: {paths.page}")


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    data("")
    for line in table(headings, rows):
        data(line)
