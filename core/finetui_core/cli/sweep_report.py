"""What came of a sweep or of a range test: a table, the best, and how far it can be trusted."""

from collections.abc import Sequence
from typing import Any

import msgspec

from finetui_core.cli.say import data, data_json, table
from finetui_core.runs.comparison import Compared, Comparison, compare_runs, written
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.rate_range import Finding, find_range, is_range_test
from finetui_core.wording import NOTHING, count, duration, loss, perplexity


def report(runs: Sequence[RunPaths], *, as_json: bool) -> None:
    """Print what each range test found, and the comparison of the other runs."""
    findings = [find_range(paths) for paths in runs if is_range_test(paths)]
    others = [paths for paths in runs if not is_range_test(paths)]
    comparison = compare_runs(others) if others else None
    if as_json:
        found: dict[str, Any] = {} if comparison is None else msgspec.to_builtins(comparison)
        if findings:
            found["learning_rate_ranges"] = msgspec.to_builtins(findings)
        data_json(found)
        return
    for finding in findings:
        _show_finding(finding)
    if len(findings) > 1:
        _show_spread(findings)
    if comparison is not None:
        _show_comparison(comparison)


def _show_comparison(comparison: Comparison) -> None:
    options = [option.rpartition(".")[2] for option in comparison.options]
    headings = ["", *options, "val loss", "perplexity", "at step", "duration", "tokens/s", "state", "run"]
    rows = [_cells(one, comparison) for one in comparison.runs]
    for line in table(headings, rows):
        data(line)
    if comparison.best is not None:
        data("* the lowest validation loss")
    for note in comparison.notes:
        data(note)


def _cells(one: Compared, comparison: Comparison) -> list[str]:
    return [
        "*" if one.id == comparison.best else "",
        *(written(one.options[option]) for option in comparison.options),
        loss(one.best_eval_loss),
        perplexity(one.best_eval_loss),
        count(one.best_step),
        duration(one.seconds),
        count(one.tokens_per_second),
        one.state.replace("_", " "),
        one.id,
    ]


def _show_finding(found: Finding) -> None:
    data(f"{found.id}: {found.state}, {found.steps} steps from {_rate(found.low)} to {_rate(found.reached)}")
    rows = [
        [_rate(rate), loss(value), _mark(found, rate, at)] for at, (rate, value) in enumerate(found.curve)
    ]
    for line in table(["learning rate", "loss, smoothed", ""], rows):
        data(line)
    data(found.says)
    for note in found.notes:
        data(note)


def _mark(found: Finding, rate: float, at: int) -> str:
    """The words beside the line of the curve that is nearest below each rate that was found."""
    after = found.curve[at + 1][0] if at + 1 < len(found.curve) else float("inf")
    marks = (("steepest fall", found.steepest), ("suggested", found.suggested), ("edge", found.edge))
    return ", ".join(word for word, value in marks if value is not None and rate <= value < after)


def _show_spread(findings: Sequence[Finding]) -> None:
    known = [found.suggested for found in findings if found.suggested is not None]
    if known:
        data(
            f"Over {len(known)} tests the suggested rates lie from {_rate(min(known))} to {_rate(max(known))}."
        )


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}"
