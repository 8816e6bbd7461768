"""What is measured at an evaluation beside the validation loss, kept for whoever judges it.

Process 0 measures alone: it has all weights, and the others wait for it at the next step.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from finetui_core.errors import first_line
from finetui_core.runs.evaluations import keep_evaluation, kept_evaluations, measured_in
from finetui_core.runs.reader import RunView
from finetui_core.train.budget import Budget
from finetui_core.train.evaluation import Documents
from finetui_core.train.forgetting import (
    Drift,
    Expected,
    base_of,
    drift,
    expected,
    keep_base,
    kept_base,
    same,
)
from finetui_core.train.generate import Sample, answer_rows, last_answer
from finetui_core.train.memorisation import Half, halves, overlaps
from finetui_core.train.meters.figures import Measured, Overlaps, RowLosses, StepLoss
from finetui_core.train.meters.judge import ended, judge
from finetui_core.train.output import Output
from finetui_core.train.own_text import written_by
from finetui_core.train.setup import Session
from finetui_core.train.step import StepResult
from finetui_core.train.task_score import Asked, asked_rows, mean_score

OWN_TEXTS, OWN_LENGTH = 24, 32
TEXTS = ("probe", "own_text")
OFF_IF_SHARDED = (
    'with launch.sharding = "full" only the validation loss is measured, and no samples are written'
)


@dataclass(slots=True)
class Meters:
    """What was measured so far, and with what; empty on every process but the first.

    `texts` are documents with what the base expects of them, `halves` the training and the validation rows that are
    asked by heart, `asked` those whose answers are scored. `off` are meters that failed. `nonfinite_evaluation` says
    that the newest validation loss was not finite.
    """

    names: tuple[str, ...] = ()
    history: list[Measured] = field(default_factory=list)
    steps: list[StepLoss] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    texts: dict[str, tuple[Documents, Expected]] = field(default_factory=dict)
    halves: tuple[list[Half], list[Half]] = field(default_factory=lambda: ([], []))
    asked: Asked | None = None
    off: set[str] = field(default_factory=set)
    nonfinite_evaluation: bool = False

    def stepped(self, step: int, result: StepResult) -> None:
        self.budget.trained += result.seconds
        self.steps.append(StepLoss(step, result.loss, result.grad_norm))

    def foreseen(self) -> dict[str, float]:
        """Seconds that the meters took, take when all are measured, and take at the end; see `TimeLeft.metered`."""
        costs = {name: self.budget.costs.get(name, 0.0) for name in self.names if name != "probe"}
        return {
            "spent": self.budget.spent,
            "each": sum(costs.values()),
            "at_the_end": costs.get("own_text", 0.0),
        }


@dataclass(slots=True)
class Found:
    """What one evaluation found. `samples` are the answers for a person to read, None where none were asked for."""

    texts: dict[str, Drift] = field(default_factory=dict)
    overlaps: Overlaps | None = None
    samples: list[Sample] | None = None
    score: float | None = None


def open_meters(session: Session, step: int) -> Meters:
    """The meters of a run that has done `step` steps, as they would be had it not been interrupted."""
    if session.processes.index != 0:
        return Meters()
    recipe, data = session.recipe, session.data
    meters = Meters(names=("probe",) if session.probe is not None else ())
    if session.processes.is_sharded:
        meters.names = ()
    elif recipe.eval.meters:
        seed = recipe.train.seed
        train = halves(data.train, range(session.own_rows), seed)
        val = halves(data.val, session.val_rows, seed)
        meters.halves = (train, val)
        meters.asked = asked_rows(
            data.val, session.val_rows, session.tokenizer, recipe.eval.sample_max_new_tokens
        )
        meters.names += (
            "own_text",
            *(("task",) if meters.asked is not None else ()),
            *(("overlap",) if train and val else ()),
        )
    if step:
        _recall(session, meters, step)
    return meters


def _recall(session: Session, meters: Meters, step: int) -> None:
    """What was measured and trained up to `step`, from the run's files."""
    for kept in kept_evaluations(session.paths, step):
        meters.history.append(measured_in(kept))
        meters.budget.costs |= kept.seconds
    view = RunView(session.paths)
    view.refresh()
    meters.nonfinite_evaluation = any(alarm.get("kind") == "nonfinite_evaluation" for alarm in view.alarms)
    columns = view.columns
    for number, loss, norm in zip(*map(columns.column, ("step", "loss", "grad_norm")), strict=False):
        if number <= step and math.isfinite(loss) and math.isfinite(norm):
            meters.steps.append(StepLoss(int(number), loss, norm))


def measure(session: Session, meters: Meters, step: int, output: Output, *, asked: bool, last: bool) -> Found:
    """Measure what is due; see `budget`. A meter that fails is switched off and says why, and the run goes on.

    Sample answers are given in any case. Where the weights are sharded process 0 cannot run the model alone, so that
    neither is measured.
    """
    if session.processes.is_sharded:
        if step == 0:
            output.event("meter_off", step=step, meter="all", reason=OFF_IF_SHARDED)
        return Found()
    found, recipe = Found(), session.recipe.eval
    budget = Budget() if asked else meters.budget
    waiting = [name for name in budget.turns(meters.names) if name not in meters.off]
    if last:
        waiting.sort(key=lambda name: name not in TEXTS)
    for name in waiting:
        must = name == "probe" or (name in TEXTS and (step == 0 or last))
        later = [] if last else [one for one in meters.names if one not in ("probe", "overlap")]
        if not (asked or must or not recipe.meters or (step and budget.affords(name, later))):
            continue
        try:
            with session.autocast():
                _METERS[name](session, meters, budget, found, step)
        except Exception as error:
            meters.off.add(name)
            output.event("meter_off", step=step, meter=name, reason=first_line(error))
    if found.samples is None and recipe.samples:
        with budget.time("samples"):
            found.samples = answers(session)
    return found


def answers(session: Session, more: tuple[int, ...] = ()) -> list[Sample]:
    """The model's answers to the first validation prompts, as many as the recipe asks for, and to `more`."""
    shown = session.val_rows[: session.recipe.eval.samples]
    numbers = [*shown, *(number for number in more if number not in shown)]
    with session.autocast():
        return answer_rows(
            session.model,
            session.tokenizer,
            session.data.val,
            numbers,
            session.recipe.eval.sample_max_new_tokens,
            session.evaluation_layout.tokens_per_pass,
        )


def _text(name: str) -> Callable[[Session, Meters, Budget, Found, int], None]:
    def meter(session: Session, meters: Meters, budget: Budget, found: Found, step: int) -> None:
        if name not in meters.texts and not _find_base(session, meters, name, budget, found, step):
            return
        if name not in found.texts:
            with budget.time(name) if name == "probe" else budget.charge(name, step):
                found.texts[name] = drift(
                    session.model, *meters.texts[name], session.evaluation_layout, session.device
                )

    return meter


def _find_base(session: Session, meters: Meters, name: str, budget: Budget, found: Found, step: int) -> bool:
    """The documents with what the base expects of them: kept in the run, or found now, before training at once.

    The base of a model that is trained in full is gone after the first step; without what was kept there is none.
    """
    path = session.paths.base_of_text(name)
    kept = kept_base(path)
    if kept is not None and (name == "own_text" or (session.probe and same(kept[0], session.probe))):
        meters.texts[name] = kept
        return True
    if step and session.recipe.train.method == "full":
        return False
    with base_of(session.model):
        documents = session.probe if name == "probe" else _own_text(session, meters, budget, step)
        assert documents is not None
        with budget.time(name) if name == "probe" else budget.charge(name, step):
            base, itself = expected(session.model, documents, session.evaluation_layout, session.device)
    if step == 0:
        found.texts[name] = itself
    meters.texts[name] = (documents, base)
    with suppress(OSError):
        keep_base(path, documents, base)
    return True


def _own_text(session: Session, meters: Meters, budget: Budget, step: int) -> Documents:
    recipe = session.recipe
    length = min(OWN_LENGTH, recipe.data.max_length or OWN_LENGTH)
    with budget.charge("writing", step):
        texts = written_by(
            session.model,
            session.tokenizer,
            session.device,
            texts=OWN_TEXTS,
            length=length,
            seed=recipe.train.seed,
        )
    per_token = budget.costs["writing"] / max(1, OWN_TEXTS * length)
    budget.guess({name: per_token * tokens for name, tokens in _tokens_asked(session, meters).items()})
    return Documents(texts)


def _tokens_asked(session: Session, meters: Meters) -> dict[str, int]:
    """The tokens that a meter reads and has the model write: what it takes before it was first measured."""
    asked = [*meters.halves[0], *meters.halves[1]]
    longest = max((len(half.rest) for half in asked), default=0)
    tokens = {"overlap": sum(len(half.prompt) + longest for half in asked)}
    if meters.asked is not None:
        rows, answer = session.data.val, session.recipe.eval.sample_max_new_tokens
        tokens["task"] = sum(len(rows[number][0]) + answer for number in meters.asked.numbers)
    return tokens


def _overlap(session: Session, meters: Meters, budget: Budget, found: Found, step: int) -> None:
    with budget.charge("overlap", step):
        found.overlaps = overlaps(
            session.model, session.tokenizer, *meters.halves, session.evaluation_layout.tokens_per_pass
        )


def _task(session: Session, meters: Meters, budget: Budget, found: Found, step: int) -> None:
    """Score some answers; what those take that a person reads anyway is not counted as a cost."""
    assert meters.asked is not None
    shown = [number for number in session.val_rows[: session.recipe.eval.samples] if _asks(session, number)]
    more = [number for number in meters.asked.numbers if number not in shown]
    with budget.charge("task", step, without="samples"):
        given = answers(session, tuple(more))
    of_number = dict(zip([*shown, *more], given, strict=True))
    found.samples = given[: len(shown)]
    found.score = mean_score(meters.asked.metric, [of_number[number] for number in meters.asked.numbers])


def _asks(session: Session, number: int) -> bool:
    return last_answer(session.data.val[number][1]) is not None


_METERS = {"probe": _text("probe"), "own_text": _text("own_text"), "task": _task, "overlap": _overlap}


def fields_of(meters: Meters, step: int, found: Found) -> dict[str, Any]:
    """What of it the evaluation's event tells; rises are over the base, before training."""
    fields: dict[str, Any] = {}
    for name, text in found.texts.items():
        fields[f"{name}_loss"] = text.losses.mean
        fields[f"{name}_kl"] = float(text.divergence.mean())
        if step == 0:
            fields[f"{name}_rise"] = 0.0
        elif (base := _before_training(meters, name)) is not None:
            fields[f"{name}_rise"] = text.losses.mean - base.mean
    if found.overlaps is not None:
        fields |= {
            "overlap_train": float(found.overlaps.train.mean()),
            "overlap_val": float(found.overlaps.val.mean()),
        }
    if found.score is not None and meters.asked is not None:
        fields |= {
            "task_metric": meters.asked.metric,
            "task_score": found.score,
            "task_rows": len(meters.asked.numbers),
        }
    return fields


def _before_training(meters: Meters, text: str) -> RowLosses | None:
    first = meters.history[0] if meters.history and meters.history[0].step == 0 else None
    losses: RowLosses | None = getattr(first, text, None)
    return losses


def note(session: Session, meters: Meters, step: int, val: RowLosses | None, found: Found) -> None:
    """Add an evaluation to the history and keep it in the run, but for losses that are not finite.

    A disk that refuses it costs only the file.
    """
    since = meters.history[-1].step if meters.history else 0
    recent = [one.loss for one in meters.steps if one.step > since]
    probe, own_text = (found.texts.get(name) for name in TEXTS)
    measured = Measured(
        step=step,
        epoch=session.schedule.epoch_after(step),
        val=_finite(val),
        probe=_finite(probe.losses if probe else None),
        own_text=_finite(own_text.losses if own_text else None),
        probe_kl=probe.divergence if probe else None,
        own_text_kl=own_text.divergence if own_text else None,
        train_loss=float(np.mean(recent)) if recent else None,
        overlaps=found.overlaps,
    )
    meters.history.append(measured)
    with suppress(OSError):
        keep_evaluation(session.paths, measured, session.val_rows, meters.budget.costs)


def _finite(losses: RowLosses | None) -> RowLosses | None:
    """What can be compared with other evaluations: not what holds a NaN."""
    return losses if losses is not None and math.isfinite(losses.mean) else None


def conclude(session: Session, meters: Meters, output: Output) -> None:
    """Tell the alarms that begin and those that end with what was measured last."""
    so_far = (meters.history, meters.steps, session.schedule.total_steps)
    for alarm in judge(*so_far):
        output.event("alarm", **asdict(alarm))
    for over in ended(*so_far):
        output.event("alarm_over", **asdict(over))
