"""Which metrics a comparison is scored by, and the scores of each row."""

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np

from finetui_core.errors import InputError, Problem, first_line
from finetui_core.evaluate.figures import Answer, Score, TestRow
from finetui_core.evaluate.metrics import METRICS, OF_TASK, Metric, Task, macro_f1, normalised, task_of
from finetui_core.evaluate.statistics import bootstrap_means, percentile_interval, unit_count, wilson
from finetui_core.text import visible

NLL = "nll"
MACRO_F1 = "macro_f1"
BINARY = frozenset({"exact_match", "json_exact", "json_valid"})
"""Metrics that are 0 or 1 for each row."""
_MOST_SAID = 5
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Scoring:
    """`functions` are by name, the first decides; `task` is what the references look like."""

    task: Task
    functions: Mapping[str, Metric]

    @property
    def metric(self) -> str:
        return next(iter(self.functions))


def choose_scoring(rows: Sequence[TestRow], wanted: str | None, folder: Path) -> Scoring:
    """The metrics that fit the references, with the `wanted` one in front.

    That is the name of one of ours, or `module:function`, which is imported from `folder` since its user named it,
    and tried on the first row. Raises InputError where there is none, or it does not work.
    """
    task = task_of([row.reference for row in rows])
    usual = {name: METRICS[name] for name in OF_TASK[task]}
    if wanted is None:
        return Scoring(task, usual)
    if wanted in METRICS:
        return Scoring(task, {wanted: METRICS[wanted], **usual})
    if ":" not in wanted:
        hint = f"one of {', '.join(METRICS)}; or module:function for your own"
        raise InputError(Problem(f"there is no metric named {wanted!r}", "--metric", hint))
    function = _own_metric(wanted, folder)
    if rows:
        score_rows(wanted, function, rows[:1], [rows[0].reference])
    return Scoring(task, {wanted: function, **usual})


def _own_metric(wanted: str, folder: Path) -> Metric:
    """Raises InputError where the module cannot be imported or has no such function."""
    module_name, _, name = wanted.partition(":")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the module does while it is imported
        what = f"the module {module_name!r} cannot be imported: {type(error).__name__}: {first_line(error)}"
        hint = f"it is looked for in {folder}, and in what is installed beside ftui"
        raise InputError(Problem(what, f"--metric {wanted}", hint)) from error
    finally:
        sys.path.remove(str(folder))
    function = getattr(module, name, None)
    if not callable(function):
        what = f"the module {module_name!r} has no function {name!r}"
        hint = "it takes answer and reference, two texts, and returns a number, larger for better answers"
        raise InputError(Problem(what, f"--metric {wanted}", hint))
    return function  # type: ignore[no-any-return]


def score_rows(
    name: str, metric: Metric, rows: Sequence[TestRow], texts: Sequence[str], answers_of: str = ""
) -> tuple[float, ...]:
    """The metric of each row. Raises InputError naming the rows where it raises or returns no finite number."""
    scores: list[float] = []
    problems: list[Problem] = []
    faulty = 0
    for row, text in zip(rows, texts, strict=True):
        said = ""
        try:
            value = metric(text, row.reference)
        except Exception as error:
            said = f"raises {type(error).__name__}: {first_line(error)}"
        else:
            if not isinstance(value, Real) or not math.isfinite(value):
                said = f"returns {visible(repr(value))[:80]}, which is no finite number"
            else:
                scores.append(float(value))
        if said:
            faulty += 1
            if faulty <= _MOST_SAID:
                of = f" on the answer of {answers_of}" if answers_of else ""
                hint = "the answers are kept: mend the metric and call the command again"
                problems.append(Problem(f"the metric {name} {said}{of}", row.source, hint))
    if faulty > _MOST_SAID:
        problems.append(Problem(f"the metric {name} fails on {faulty - _MOST_SAID} more rows"))
    if problems:
        raise InputError(problems)
    return tuple(scores)


def score_arm(
    scoring: Scoring, rows: Sequence[TestRow], answers: Sequence[Answer], arm: str
) -> dict[str, tuple[float, ...]]:
    """Per metric the score of each row, and with "nll" the nats per token of the reference.

    An answer that could not be had counts as 0. Raises InputError as `score_rows` does.
    """
    given = [index for index, answer in enumerate(answers) if answer.ended != "error"]
    scores = {}
    for name, metric in scoring.functions.items():
        found = score_rows(
            name, metric, [rows[index] for index in given], [answers[index].text for index in given], arm
        )
        whole = [0.0] * len(rows)
        for index, score in zip(given, found, strict=True):
            whole[index] = score
        scores[name] = tuple(whole)
    if answers and all(one.nll is not None and one.reference_tokens for one in answers):
        scores[NLL] = tuple((one.nll or 0.0) / one.reference_tokens for one in answers)
    return scores


def mean_score(scores: Sequence[float], groups: Sequence[str] | None, seed: int) -> Score:
    """The mean and its interval: Wilson's of a share, else the bootstrap's, over groups where there are some."""
    if not scores:
        return Score(0.0, wilson(0, 0))
    mean = math.fsum(scores) / len(scores)
    if groups is None and all(score in (0, 1) for score in scores):
        return Score(mean, wilson(math.fsum(scores), len(scores)))
    means = bootstrap_means(scores, seed, groups)
    return Score(mean, percentile_interval(means, units=unit_count(len(scores), groups)))


def macro_f1_score(
    texts: Sequence[str], references: Sequence[str], groups: Sequence[str] | None, seed: int
) -> Score:
    """Macro-F1 with the bootstrap's interval. Labels that a draw leaves out do not count in it."""
    given = [normalised(one) for one in texts]
    wanted = [normalised(one) for one in references]
    labels = {label: number for number, label in enumerate(sorted(set(wanted)))}
    rows, count = len(wanted), len(labels)
    right, asked, told = (np.zeros((rows, count)) for _ in range(3))
    for row, (one, other) in enumerate(zip(given, wanted, strict=True)):
        asked[row, labels[other]] = 1
        if one in labels:
            told[row, labels[one]] = 1
        right[row, labels[other]] = float(one == other)
    members = np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(members.max()) + 1
    generator = np.random.default_rng([seed, rows, 2])
    weights = generator.multinomial(units, np.full(units, 1 / units), _RESAMPLES)[:, members]
    both, either, present = weights @ right, weights @ (asked + told), weights @ asked > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(either > 0, 2 * both / either, 0.0)
    drawn = np.sort((f1 * present).sum(1) / np.maximum(1, present.sum(1)))
    return Score(macro_f1(texts, references), percentile_interval(drawn, units=units))
