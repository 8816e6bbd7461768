"""A comparison on one page of Markdown, to be read, printed or committed; the terminal shows the same in short."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from finetui_core.evaluate.figures import Answer, ArmName, ArmResult, Plan, Result, TestRow
from finetui_core.evaluate.in_words import (
    IN_TABLES,
    Measure,
    interval,
    measure_of,
    metric_name,
    names_of,
    percent_of,
    signed,
)
from finetui_core.evaluate.scoring import BINARY
from finetui_core.evaluate.statistics import one_way_gain
from finetui_core.text import visible
from finetui_core.wording import NOTHING, count, duration

SHOWN = 3
_LONGEST_TEXT = 600  # characters of a prompt or an answer on the page

Answers = Mapping[ArmName, Sequence[Answer]]


def page(result: Result, rows: Sequence[TestRow], answers: Answers) -> str:
    return "\n".join(_lines(result, rows, answers)) + "\n"


def _lines(result: Result, rows: Sequence[TestRow], answers: Answers) -> Iterator[str]:
    plan, verdict = result.plan, result.verdict
    measure = measure_of(plan.metric, result.row_scores)
    day = time.strftime("%Y-%m-%d", time.localtime(plan.created))
    yield from (f"# {_question(result)}", "", f"{day}. **{_plain(verdict.says)}**", "")
    yield from (f"- {_plain(reason)}" for reason in verdict.reasons)
    yield from ("", "## What each way reached", "")
    yield from _markdown(*gain_table(result))
    yield ""
    yield (
        f"{measure.name} over {plan.rows} rows{', out of 100' if measure.is_share else ''}; gains are against "
        f"{names_of([plan.arms[0].name])}, row by row. In brackets: intervals that hold the truth 95 times in 100. "
        "p: how often chance alone gives such a gain, after Holm's correction over all ways. "
        "Verdict: against the same, not shown where these rows cannot tell."
    )
    yield from ("", "## Likelihood, length and time", "")
    yield from _markdown(*cost_table(result))
    yield ""
    yield (
        "Perplexity and bits per byte are those of the references: lower ones are likelier. Ended: answers that end "
        "by themselves. Tokens: of prompts and answers together."
    )
    headings, cells = other_scores(result)
    if headings:
        yield from ("", "## By other measures", "")
        yield from _markdown(headings, cells)
    if result.judged:
        yield from ("", "## By a judge", "")
        yield from (f"- {line}" for line in judged_lines(result))
    yield from ("", "## What was asked", "")
    yield from (f"- {_plain(line)}" for line in plan_lines(plan))
    yield from _disagreements(result, rows, answers)
    if verdict.next_steps:
        yield from ("", "## What to do next", "")
        yield from (f"{number}. {_plain(step)}" for number, step in enumerate(verdict.next_steps, 1))
    yield from ("", "## What this does not say", "")
    yield from _caveats(plan)


def _question(result: Result) -> str:
    tuned = any(one.arm.weights == "tuned" for one in result.arms)
    return "Is the tuned model better?" if tuned else "What is there to beat by training?"


def gain_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each arm in the order of cost, the chosen one marked."""
    measure = measure_of(result.plan.metric, result.row_scores)
    rows = []
    for one in result.arms:
        against = one.against_base
        score = _with_interval(one, result.plan.metric, measure)
        beside = [NOTHING] * 3
        if against is not None:
            gain = f"{signed(against.gain, measure)} ({interval(against.interval, measure)})"
            beside = [gain, f"{against.adjusted_p:.2g}", IN_TABLES[against.judgement]]
        rows.append([f"{'→ ' if one.arm.name == result.verdict.arm else ''}{one.arm.name}", score, *beside])
    return ["", measure.name, "gain", "p", "verdict"], rows


def cost_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """How likely the references are under each arm, and what its answers took."""
    return ["", "perplexity", "bits/byte", "ended", "tokens", "time"], [
        [
            one.arm.name,
            f"{one.perplexity:,.4g}" if one.perplexity is not None else NOTHING,
            f"{one.bits_per_byte:.3f}" if one.bits_per_byte is not None else NOTHING,
            percent_of(one.stopped),
            count(one.tokens),
            duration(one.seconds),
        ]
        for one in result.arms
    ]


def other_scores(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the measures that do not decide; none where there are none."""
    names = [name for name in result.arms[0].scores if name != result.plan.metric]
    if not names:
        return [], []
    measures = {name: _measure(name, result) for name in names}
    return ["", *(metric_name(name) for name in names)], [
        [one.arm.name, *(_with_interval(one, name, measures[name]) for name in names)] for one in result.arms
    ]


def _measure(name: str, result: Result) -> Measure:
    has_rows = all(name in scores for scores in result.row_scores.values())
    return measure_of(name, result.row_scores) if has_rows else Measure(name)


def _with_interval(one: ArmResult, name: str, measure: Measure) -> str:
    score = one.scores[name]
    low, high = measure.score(score.interval.low), measure.score(score.interval.high)
    return f"{measure.score(score.mean)} ({low} to {high})"


def judged_lines(result: Result) -> Iterator[str]:
    for one in result.judged:
        decided = one.wins + one.losses
        share = (
            f", {percent_of(one.share.low)} to {percent_of(one.share.high)} of those with a winner"
            if decided
            else ""
        )
        errors = f"; {one.errors} rows could not be judged" if one.errors else ""
        yield (
            f"{names_of([one.arm])} against {names_of([one.against])}: {one.wins} wins{share}, {one.ties} ties, "
            f"{one.losses} losses (p = {one.p:.2g}){errors}"
        )


def plan_lines(plan: Plan) -> Iterator[str]:
    """What is compared, before and after it is done: rows, exclusions, metric, what the rows can show, arms."""
    yield f"{plan.rows} rows of {plan.test_file}, by {plan.model}"
    if plan.excluded:
        left_out = "; ".join(f"{number} {reason}" for reason, number in plan.excluded.items())
        yield f"left out: {left_out}"
    tasks = {
        "labels": "labels",
        "json": "JSON",
        "short": "short answers",
        "text": "text",
    }
    yield f"the references are {tasks[plan.task]}: the verdict is by {metric_name(plan.metric)}"
    yield what_rows_can_show(plan)
    yield "ways to answer, the cheaper ones first:"
    yield from (f"{arm.name}: {arm.says}" for arm in plan.arms)
    yield f"the likeliest token each time, {plan.max_new_tokens} tokens at most, the same for all"
    yield from plan.notes


def what_rows_can_show(plan: Plan) -> str:
    """The smallest gain in the metric that the rows show, as it is known before anything is asked."""
    measure, rows = Measure(plan.metric), plan.rows
    if plan.detectable is not None:
        usual = "where a quarter of the answers differ" if plan.metric in BINARY else "at the usual spread"
        return f"{rows} rows can show gains above {measure.points(plan.detectable)} in four of five cases, {usual}"
    least = one_way_gain(rows)
    if least is None:
        return f"{rows} rows can show nothing: keep more apart"
    seen = f"gains above {measure.points(least)}, where no answer gets worse"
    return f"{rows} rows can only show {seen}: keep more apart"


def _disagreements(result: Result, rows: Sequence[TestRow], answers: Answers) -> Iterator[str]:
    pair = compared_pair(result)
    if pair is None:
        return
    one, other = pair
    chosen = largest_differences(result, one, other)
    if not chosen:
        return
    yield from ("", f"## Where {names_of([one])} and {names_of([other])} disagree most", "")
    measure = measure_of(result.plan.metric, result.row_scores)
    for index in chosen:
        row = rows[index]
        yield from (f"### {_plain(Path(row.source).name)}", "")
        yield from _quoted("asked", _last_asked(row))
        yield from _quoted("reference", row.reference)
        for name in (one, other):
            score = measure.score(result.row_scores[name][result.plan.metric][index])
            answer = answers[name][index]
            yield from _quoted(f"{name}, {measure.name} {score}", answer.text or answer.error)


def compared_pair(result: Result) -> tuple[ArmName, ArmName] | None:
    """The arm of the verdict and the base; where the base stays, its largest rival. None for a single arm."""
    base = result.arms[0].arm.name
    if result.verdict.arm != base:
        return result.verdict.arm, base
    rivals = [one for one in result.arms[1:] if one.against_base is not None]
    if not rivals:
        return None
    best = max(rivals, key=lambda one: one.against_base.gain if one.against_base else 0.0)
    return best.arm.name, base


def largest_differences(result: Result, one: ArmName, other: ArmName, shown: int = SHOWN) -> list[int]:
    """Rows with the largest differences of the metric, one of them against the arm that gains, where there is one."""
    metric = result.plan.metric
    scores = zip(result.row_scores[one][metric], result.row_scores[other][metric], strict=True)
    differences = [first - second for first, second in scores]
    gained = sum(differences) >= 0
    order = sorted(
        range(len(differences)), key=lambda index: -differences[index] if gained else differences[index]
    )
    for_it = [index for index in order if (differences[index] > 0) == gained and differences[index] != 0]
    against = [
        index for index in reversed(order) if (differences[index] < 0) == gained and differences[index]
    ]
    chosen = for_it[: shown - 1 if against else shown]
    return [*chosen, *against[: shown - len(chosen)]]


def _last_asked(row: TestRow) -> str:
    content = row.prompt[-1].get("content") if row.prompt else ""
    return content if isinstance(content, str) else str(content or "")


def _quoted(label: str, text: str) -> Iterator[str]:
    """Text as it is, as an indented block that no text can leave."""
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    yield f"{_plain(label)}:"
    yield ""
    yield from (f"    {visible(line)}" for line in (cut.splitlines() or ["(nothing)"]))
    yield ""


def _caveats(plan: Plan) -> Iterator[str]:
    yield (
        f"- {metric_name(plan.metric)} compares with one reference: a good answer in other words counts little. Read "
        "answers, or rate some blind."
    )
    yield "- The rows stand for requests like them, of the same time and source; others may fare differently."
    yield "- Perplexity and bits per byte are about the references' wording, whether or not a model would say so."
    yield "- Who chooses the best of many settings by these rows needs other rows to judge it."


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"


def _plain(text: str) -> str:
    """Text of others on a line of Markdown: visible, and without the signs that Markdown would take."""
    return re.sub(r"[\\`*\[\]<|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", visible(text))
