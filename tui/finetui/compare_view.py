"""What the overview of one comparison says: the verdict, the table of arms, and the reasons."""

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from finetui.compare_folder import UNDER_WAY, Compared
from finetui.compare_words import (
    STATES,
    arm_name,
    detectable_words,
    excluded_words,
    gain,
    in_points,
    interval_words,
    judgement_words,
    probability,
    score,
    verdict_words,
    working_words,
)
from finetui.text import wrapped
from finetui.widgets.plot import Row, Span
from finetui.widgets.table import Column, Record
from finetui_core import wording
from finetui_core.evaluate.figures import ArmName, ArmResult, Plan, Score
from finetui_core.evaluate.in_words import metric_name

BAR_CELLS = 20
COLUMNS = (
    Column("arm", 11, most=14),
    Column("score", 5, right=True),
    Column("interval of 95 %", BAR_CELLS),
    Column("in numbers", 13, most=15, above=100),
    Column("gain", 5, most=6, right=True),
    Column("its interval", 13, most=16),
    Column("adj. p", 6, right=True),
    Column("judgement", 21, above=120),
    Column("perpl.", 6, right=True, above=130),
    Column("bits/B", 6, right=True, above=130),
    Column("s", 6, right=True, above=140),
    Column("tokens", 8, right=True, above=150),
)
_MEAN, _LINE, _ENDS, _BASE = "◆", "─", ("├", "┤"), "┆"


def title_row(compared: Compared, name: str, left: float | None) -> Row:
    """Which comparison it is, and how far."""
    plan = compared.plan
    words, style = STATES[compared.state]
    if compared.state in UNDER_WAY:
        words = f"{words}: {working_words(compared.working)}"
    facts = f"   {plan.rows:,} rows   {metric_name(plan.metric)}   {plan.model}" if plan else ""
    time = f"   about {wording.duration(left)} left" if left is not None else ""
    return (
        (f" {name}", "strong"),
        (f"   {words}", style),
        (time, "accent"),
        (facts, "muted"),
    )


def verdict_rows(compared: Compared, width: int, age: float | None) -> list[Row]:
    """The verdict in a sentence or, without one, why there is none."""
    outcome = compared.outcome
    said: list[Span] = []
    if outcome is not None and compared.is_current:
        words, style = verdict_words(outcome.verdict)
        said += [(words, style), (outcome.verdict.says, "strong")]
    elif compared.state in UNDER_WAY:
        said.append(
            ("The verdict comes when all arms have answered. What is answered can be read: enter.", "")
        )
    elif compared.state == "gone":
        seen = f", last heard of {wording.age(age)} ago," if age is not None else ""
        said.append((f"The process{seen} has ended without a result: s goes on, o shows its log.", "bad"))
    elif compared.state == "failed":
        said.append(
            (f"It failed: {compared.working.message if compared.working else ''}   o: the log", "bad")
        )
    elif compared.state == "stopped":
        said.append(("It was stopped. What is answered is kept: s goes on.", "warning"))
    elif compared.plan is None:
        said.append((f"{', '.join(compared.faults) or 'There is no plan here'}: s makes it anew.", "bad"))
    else:
        said.append(("It is planned; nothing is answered yet: s begins.", ""))
    return [((" ", ""), (line, style)) for text, style in said for line in wrapped(text, max(8, width - 2))]


def main_scores(arms: Sequence[ArmResult], metric: str) -> list[Score]:
    return [one.scores[metric] for one in arms if metric in one.scores]


def scale_of(scores: Sequence[Score]) -> tuple[float, float]:
    """What the bars reach over: all intervals, the same for each of them."""
    edges = [edge for one in scores for edge in (one.interval.low, one.interval.high, one.mean)]
    known = [edge for edge in edges if math.isfinite(edge)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def bar(one: Score, base: float, scale: tuple[float, float], cells: int = BAR_CELLS) -> str:
    """The interval as a line from end to end with the mean in it; where the base's mean lies, a broken line."""
    if not all(map(math.isfinite, (one.interval.low, one.interval.high, one.mean))):
        return ""

    def cell(value: float) -> int:
        share = (value - scale[0]) / (scale[1] - scale[0])
        return max(0, min(cells - 1, round(share * (cells - 1))))

    drawn = [" "] * cells
    if math.isfinite(base):
        drawn[cell(base)] = _BASE
    low, high = cell(one.interval.low), cell(one.interval.high)
    drawn[low : high + 1] = _LINE * (high - low + 1)
    if high > low:
        drawn[low], drawn[high] = _ENDS
    drawn[cell(one.mean)] = _MEAN
    return "".join(drawn)


def arm_records(compared: Compared) -> list[Record]:
    """A line for each arm: its result or, until that is there, how many rows it has answered."""
    outcome, plan = compared.outcome, compared.plan
    results: Mapping[ArmName, ArmResult] = {}
    if outcome is not None and compared.is_current:
        results, plan = {one.arm.name: one for one in outcome.arms}, outcome.plan
    if plan is None:
        return []
    scores = main_scores(list(results.values()), plan.metric)
    points, scale = in_points(scores), scale_of(scores)
    base = scores[0].mean if scores else math.nan
    names = [arm.name for arm in plan.arms]
    return [
        _result_record(results[name], plan, points, scale, base)
        if name in results
        else _answering_record(compared, plan, name)
        for name in names
    ]


def _result_record(
    one: ArmResult, plan: Plan, points: bool, scale: tuple[float, float], base: float
) -> Record:
    reached, against = one.scores.get(plan.metric), one.against_base
    judged, style = judgement_words(against)
    gained: Span = (gain(against.gain, points), style) if against else ("", "")
    return Record(
        one.arm.name,
        (
            (arm_name(one.arm.name), "strong"),
            (score(reached.mean if reached else None, points), ""),
            (bar(reached, base, scale) if reached else "", style or "accent"),
            (interval_words(reached.interval, points) if reached else "", ""),
            gained,
            (interval_words(against.interval, points, signed=True) if against else "", ""),
            (probability(against.adjusted_p) if against else "", "muted"),
            (judged, style),
            (_number(one.perplexity, 2), "muted"),
            (_number(one.bits_per_byte, 3), "muted"),
            (f"{one.seconds:,.0f}", "muted"),
            (f"{one.tokens:,}", "muted"),
        ),
    )


def _answering_record(compared: Compared, plan: Plan, name: ArmName) -> Record:
    known = compared.answers.get(name)
    number = len(known.ended) if known else 0
    share = min(1.0, number / plan.rows) if plan.rows else 0.0
    working = compared.working
    now = compared.state in UNDER_WAY and working is not None and working.arm == name
    filled = round(share * BAR_CELLS)
    each = known.seconds / number if known and number else None
    speed = f"{1 / each:,.1f} rows/s" if each else ""
    return Record(
        name,
        (
            (arm_name(name), "strong"),
            (wording.percent(share).replace(" ", "") if number else wording.NOTHING, "accent" if now else ""),
            ("█" * filled + "·" * (BAR_CELLS - filled), "accent" if now else "muted"),
            (f"{number:,} of {plan.rows:,}", "muted"),
            ("", ""),
            (speed, "muted"),
            ("", ""),
            ("answering" if now else "answered" if number >= plan.rows else "", "muted"),
            *((("", ""),) * 4),
        ),
    )


def about_arm(compared: Compared, name: ArmName | None, width: int) -> list[Row]:
    """All numbers of the chosen arm in words: at 80 columns the table has no room for them."""
    plan, outcome = compared.plan, compared.outcome
    if plan is None or name is None:
        return []
    says = next((arm.says for arm in plan.arms if arm.name == name), "")
    result = next((one for one in outcome.arms if one.arm.name == name), None) if outcome else None
    lines: list[Span] = [(f"{arm_name(name)}: {says}", "strong")]
    if result is None or not compared.is_current:
        known = compared.answers.get(name)
        if known and known.ended:
            lines.append((_counted(list(known.ended.values())), "muted"))
    else:
        lines += _numbers(result, plan)
    return [((" ", ""), (line, style)) for text, style in lines for line in wrapped(text, max(8, width - 2))]


def _counted(ended: Sequence[str]) -> str:
    parts = [f"{len(ended):,} answered"]
    for kind, words in (("length", "reached the longest answer"), ("error", "without an answer")):
        if number := ended.count(kind):
            parts.append(f"{number:,} {words}")
    return ", ".join(parts)


def _numbers(one: ArmResult, plan: Plan) -> list[Span]:
    others = [
        f"{metric_name(name)} {score(known.mean, in_points([known]))} "
        f"({interval_words(known.interval, in_points([known]))})"
        for name, known in one.scores.items()
    ]
    cost = (
        f"{one.seconds:,.1f} s, {one.tokens:,} tokens; {wording.percent(one.stopped)} of the answers ended by "
        f"themselves{f', {one.errors:,} without an answer' if one.errors else ''}"
    )
    likelihood = (
        f"perplexity {_number(one.perplexity, 2)}, {_number(one.bits_per_byte, 3)} bits per byte; "
        if one.perplexity is not None
        else ""
    )
    judged, style = judgement_words(one.against_base)
    told: list[Span] = [(", ".join(others), ""), (likelihood + cost, "muted")]
    if one.against_base is not None:
        p = probability(one.against_base.adjusted_p)
        told.insert(0, (f"{judged} against {arm_name(plan.arms[0].name)}, p after Holm {p}", style))
    return told


_ONWARD = "Talk to it (c), then take it elsewhere (E)."


def reason_rows(compared: Compared, width: int) -> list[Row]:
    """Why the verdict is so, what to do next, and what the rows can show."""
    plan, outcome = compared.plan, compared.outcome
    rows: list[Row] = []
    if outcome is not None and compared.is_current:
        rows += _listed("why", outcome.verdict.reasons, width)
        is_tuned = any(
            one.arm.name == outcome.verdict.arm and one.arm.weights == "tuned" for one in outcome.arms
        )
        onward = (_ONWARD,) if is_tuned else ()
        rows += _listed("next", (*outcome.verdict.next_steps, *onward), width)
        plan = outcome.plan
    if plan is not None:
        facts = [detectable_words(plan), excluded_words(plan), *plan.notes]
        facts.append(
            f"rows of {plan.test_file}; task: {plan.task}; at most {plan.max_new_tokens:,} tokens an answer"
        )
        rows += _listed("rows", facts, width)
        scores = main_scores(outcome.arms, plan.metric) if outcome else []
        if scores:
            points, (low, high) = in_points(scores), scale_of(scores)
            unit = " points" if points else ""
            rows += _listed(
                "bars",
                [
                    f"from {score(low, points)} to {score(high, points)}{unit}; {_MEAN} mean, {_ENDS[0]}{_LINE}"
                    f"{_ENDS[1]} interval, {_BASE} mean of {arm_name(plan.arms[0].name)}"
                ],
                width,
            )
    faults = list(compared.faults)
    if compared.skipped:
        faults.append(f"{compared.skipped:,} lines of its files could not be understood")
    return [*rows, *_listed("faults", faults, width, "warning")]


def _listed(label: str, sentences: Sequence[str], width: int, style: str = "") -> list[Row]:
    head = f" {label:<7}"
    rows: list[Row] = []
    for number, sentence in enumerate(sentences):
        for part, line in enumerate(wrapped(sentence, max(8, width - cell_len(head) - 1))):
            rows.append(((head if not number and not part else " " * cell_len(head), "muted"), (line, style)))
    return rows


def _number(value: float | None, digits: int) -> str:
    return wording.NOTHING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"
