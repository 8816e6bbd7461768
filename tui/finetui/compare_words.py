"""How a comparison is told in a few words: names of arms, judgements, scores, and what is under way."""

import math
from collections.abc import Iterable, Mapping

from finetui_core import wording
from finetui_core.evaluate.figures import ArmName, Plan, Score, Verdict, Working
from finetui_core.evaluate.in_words import metric_name
from finetui_core.evaluate.statistics import Comparison, Interval

ARM_NAMES: Mapping[ArmName, str] = {
    "zero_shot": "zero-shot",
    "few_shot": "few-shot",
    "retrieved": "retrieved",
    "documents": "documents",
    "tuned": "tuned",
    "tuned_retrieved": "tuned+retr.",
    "tuned_documents": "tuned+docs",
    "endpoint": "endpoint",
}
"""At most eleven cells each."""
JUDGEMENTS: Mapping[str, tuple[str, str, str]] = {
    "better": ("▲", "better", "good"),
    "worse": ("▼", "worse", "bad"),
    "no_difference_shown": ("·", "no difference shown", "muted"),
    "equivalent": ("=", "equivalent", "accent"),
}
"""A sign, words and a style."""
STATES: Mapping[str, tuple[str, str]] = {
    "planned": ("planned, not answered yet", "muted"),
    "running": ("under way", "good"),
    "done": ("done", "good"),
    "stopped": ("stopped before its end", "warning"),
    "failed": ("failed", "bad"),
    "gone": ("its process is gone", "bad"),
    "unreadable": ("cannot be read", "bad"),
}
_PHASES: Mapping[str, str] = {
    "planning": "choosing the rows",
    "loading": "loading the model",
    "answering": "answering",
    "judging": "judging",
}


def arm_name(name: ArmName) -> str:
    return ARM_NAMES.get(name, name.replace("_", " "))


def in_points(scores: Iterable[Score]) -> bool:
    """Whether all scores are shares, which are told in points of a hundred."""
    return all(0 <= edge <= 1 for one in scores for edge in (one.mean, one.interval.low, one.interval.high))


def score(value: float | None, points: bool) -> str:
    if value is None or not math.isfinite(value):
        return wording.NOTHING
    return f"{value * 100:.1f}" if points else f"{value:.3g}"


def gain(value: float, points: bool) -> str:
    if not math.isfinite(value):
        return wording.NOTHING
    return f"{value * 100:+.1f}" if points else f"{value:+.3g}"


def interval_words(interval: Interval, points: bool, *, signed: bool = False) -> str:
    told = gain if signed else score
    return f"{told(interval.low, points)} … {told(interval.high, points)}"


def probability(value: float) -> str:
    return wording.NOTHING if not math.isfinite(value) else "<.001" if value < 0.001 else f"{value:.3f}"


def judgement_words(comparison: Comparison | None) -> tuple[str, str]:
    """A sign and words, and their style; of the arm that the others are measured against, nothing."""
    if comparison is None:
        return "", ""
    sign, words, style = JUDGEMENTS[comparison.judgement]
    return f"{sign} {words}", style


def verdict_words(verdict: Verdict) -> tuple[str, str]:
    sign, words, style = JUDGEMENTS[verdict.judgement]
    return f"{sign} {arm_name(verdict.arm)}: {words}", style


def working_words(working: Working | None) -> str:
    """What the process does, and how far it is."""
    if working is None:
        return ""
    phase = _PHASES.get(working.phase, working.phase)
    arm = f" {arm_name(working.arm)}" if working.arm and working.phase in ("answering", "judging") else ""
    far = f", {working.done:,} of {working.rows:,} rows" if working.rows else ""
    return f"{phase}{arm}{far}"


def progress_words(working: Working | None) -> str:
    """The same in a few words."""
    if working is None or working.phase != "answering":
        return working_words(working)
    return f"{arm_name(working.arm)} {working.done:,}/{working.rows:,}"


def detectable_words(plan: Plan) -> str:
    rows = f"{plan.rows:,} {'row' if plan.rows == 1 else 'rows'}"
    if plan.detectable is None:
        return f"{rows} can show no gain in {metric_name(plan.metric)}, however large"
    least = f"{plan.detectable * 100:.1f} points" if plan.detectable <= 1 else f"{plan.detectable:.3g}"
    return f"{rows} show a gain in {metric_name(plan.metric)} of {least} or more in four of five cases"


def excluded_words(plan: Plan) -> str:
    parts = [f"{number:,} {reason}" for reason, number in plan.excluded.items() if number]
    return "left out: " + ", ".join(parts) if parts else "no row was left out"
