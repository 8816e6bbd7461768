"""The figures of a comparison in words, the same in the verdict, on the page and on the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetui_core.evaluate.figures import ArmName
from finetui_core.evaluate.statistics import Comparison, Interval, Judgement

_ARMS = {
    "zero_shot": "the model as it is",
    "few_shot": "the model with fixed examples",
    "retrieved": "the model with looked-up examples",
    "documents": "the model with looked-up passages",
    "tuned": "the tuned model",
    "tuned_retrieved": "the tuned model with looked-up examples",
    "tuned_documents": "the tuned model with looked-up passages",
    "endpoint": "the endpoint",
}
_METRICS = {
    "exact_match": "exact match",
    "token_f1": "token F1",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "json_valid": "valid JSON",
    "json_fields": "JSON fields",
    "json_exact": "exact JSON",
    "macro_f1": "macro-F1",
}
IN_TABLES: dict[Judgement, str] = {
    "better": "better",
    "worse": "worse",
    "no_difference_shown": "not shown",
    "equivalent": "equivalent",
}


def metric_name(metric: str) -> str:
    return _METRICS.get(metric, metric)


def names_of(arms: Sequence[ArmName]) -> str:
    """Arms in a sentence."""
    names = [_ARMS.get(one, one) for one in arms]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric as it is shown: out of 100 where its scores lie between 0 and 1, else as its author counts."""

    metric: str
    is_share: bool = True

    @property
    def name(self) -> str:
        return metric_name(self.metric)

    def score(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.is_share else f"{value:.4g}"

    def points(self, value: float) -> str:
        if not self.is_share:
            return f"{value:.3g}"
        return f"{100 * value:.0f} points" if value >= 0.02 else f"{100 * value:.1f} points"


def measure_of(metric: str, row_scores: Mapping[ArmName, Mapping[str, Sequence[float]]]) -> Measure:
    """How the metric is shown, by the scores that it gave."""
    return Measure(metric, all(0 <= one <= 1 for scores in row_scores.values() for one in scores[metric]))


def signed(value: float, measure: Measure) -> str:
    """A gain with its sign; a true minus, as columns of figures have it."""
    shown = f"{100 * value:+.1f}" if measure.is_share else f"{value:+.3g}"
    return shown.replace("-", "−")


def interval(one: Interval, measure: Measure) -> str:
    return f"{signed(one.low, measure)} to {signed(one.high, measure)}"


def gain_of(one: Comparison, measure: Measure) -> str:
    """`a gain of 12.5 points (+8.0 to +17.0)`, or a loss."""
    size = f"{100 * abs(one.gain):.1f} points" if measure.is_share else f"{abs(one.gain):.3g}"
    word = "a loss" if one.gain < 0 else "a gain"
    return f"{word} of {size} ({interval(one.interval, measure)})"


def percent_of(share: float) -> str:
    return f"{100 * share:.0f} %"
