"""Comparisons for tests: results and the rows behind them, without a model."""

from collections.abc import Mapping, Sequence

from finetui_core.evaluate.figures import (
    Answer,
    Arm,
    ArmResult,
    Plan,
    Result,
    Score,
    TestRow,
    Verdict,
)
from finetui_core.evaluate.statistics import compare, detectable_gain, wilson

ARMS = {
    "zero_shot": Arm("zero_shot", "the model as it is", "base", 0),
    "tuned": Arm("tuned", "the tuned model", "tuned", 1),
    "few_shot": Arm("few_shot", "4 examples in front", "base", 2),
    "retrieved": Arm("retrieved", "4 like examples in front", "base", 3),
    "documents": Arm("documents", "passages in front", "base", 4),
    "tuned_retrieved": Arm("tuned_retrieved", "the tuned model with examples", "tuned", 5),
    "endpoint": Arm("endpoint", "a model that is served", "endpoint", 6),
}


def a_plan(arms: Sequence[str], rows: int, **changes) -> Plan:
    facts = {
        "created": 0.0,
        "source": "recipe.toml",
        "model": "tiny",
        "test_file": "val.jsonl",
        "rows": rows,
        "excluded": {},
        "task": "labels",
        "metric": "exact_match",
        "metrics": ("exact_match",),
        "arms": tuple(ARMS[name] for name in arms),
        "max_new_tokens": 32,
        "shots": 4,
        "detectable": detectable_gain(rows, binary=True),
        "fingerprints": {name: f"print-of-{name}" for name in arms},
    }
    return Plan(**{**facts, **changes})


def a_result(scores: Mapping[str, Sequence[float]]) -> Result:
    """A result with these scores per row, the first arm being the base; nothing is concluded from them."""
    names = list(scores)
    rows = len(scores[names[0]])
    plan = a_plan(names, rows)
    against = compare([scores[name] for name in names[1:]], scores[names[0]])
    arms = tuple(
        ArmResult(
            ARMS[name],
            rows,
            0,
            {"exact_match": Score(sum(scores[name]) / rows, wilson(sum(scores[name]), rows))},
            None,
            None,
            1.0,
            1.0,
            1,
            comparison,
        )
        for name, comparison in zip(names, [None, *against], strict=True)
    )
    verdict = Verdict(names[0], "no_difference_shown", "nothing", (), ())
    return Result(plan, arms, verdict, {name: {"exact_match": tuple(scores[name])} for name in names})


def rows_of(references: Sequence[str], prompts: Sequence[str] | None = None) -> list[TestRow]:
    asked = prompts or [f"question {number}" for number in range(len(references))]
    return [
        TestRow(number, f"val.jsonl:{number + 1}", ({"role": "user", "content": prompt},), reference)
        for number, (prompt, reference) in enumerate(zip(asked, references, strict=True))
    ]


def answers(texts: Sequence[str], nll: float | None = 5.0) -> list[Answer]:
    """Answers that ended by themselves; with `nll` the nats of each reference, of 10 tokens and 40 bytes."""
    tokens, size = (0, 0) if nll is None else (10, 40)
    return [Answer(number, text, "end", 20, 5, 0.1, nll, tokens, size) for number, text in enumerate(texts)]
