"""From scores to a verdict: which arm to take, in sentences, with what speaks for it and what does not."""

import math
from collections.abc import Iterator, Mapping, Sequence

from finetui_core.evaluate.choice import Choice, choose
from finetui_core.evaluate.figures import Answer, Arm, ArmName, ArmResult, Plan, TestRow, Verdict
from finetui_core.evaluate.in_words import Measure, gain_of, measure_of, names_of, percent_of, signed
from finetui_core.evaluate.rows import clusters
from finetui_core.evaluate.scoring import MACRO_F1, NLL, macro_f1_score, mean_score
from finetui_core.evaluate.statistics import Comparison, Judgement, compare, one_way_gain

RowScores = Mapping[ArmName, Mapping[str, Sequence[float]]]
SEED = 0
_MANY_CUT = 0.05
"""Share of answers that reach the longest length from which it is said: their scores are too low."""


def decide(
    plan: Plan, rows: Sequence[TestRow], answers: Mapping[ArmName, Sequence[Answer]], scores: RowScores
) -> tuple[tuple[ArmResult, ...], Verdict]:
    """What each arm reached, and the verdict by `plan.metric`. Answers and scores are in the order of the rows."""
    groups = clusters(rows)
    by_metric = {name: one[plan.metric] for name, one in scores.items()}
    choice = choose(plan.arms, by_metric, groups, SEED)
    results = tuple(
        _arm_result(
            arm, plan, rows, answers[arm.name], scores[arm.name], groups, choice.against_base.get(arm.name)
        )
        for arm in plan.arms
    )
    return results, _verdict(plan, results, choice, scores, groups)


def _arm_result(
    arm: Arm,
    plan: Plan,
    rows: Sequence[TestRow],
    answers: Sequence[Answer],
    scores: Mapping[str, Sequence[float]],
    groups: Sequence[str] | None,
    against_base: Comparison | None,
) -> ArmResult:
    means = {name: mean_score(values, groups, SEED) for name, values in scores.items() if name != NLL}
    if plan.task == "labels":
        means[MACRO_F1] = macro_f1_score(
            [one.text for one in answers], [one.reference for one in rows], groups, SEED
        )
    known = [one for one in answers if one.nll is not None]
    nats = math.fsum(one.nll or 0.0 for one in known)
    tokens, size = sum(one.reference_tokens for one in known), sum(one.reference_bytes for one in known)
    return ArmResult(
        arm=arm,
        rows=len(rows),
        errors=sum(one.ended == "error" for one in answers),
        scores=means,
        perplexity=math.exp(min(nats / tokens, 700.0)) if tokens else None,
        bits_per_byte=nats / math.log(2) / size if size else None,
        stopped=sum(one.ended == "end" for one in answers) / max(1, len(answers)),
        seconds=math.fsum(one.seconds for one in answers),
        tokens=sum(one.prompt_tokens + one.new_tokens for one in answers),
        against_base=against_base,
    )


def _verdict(
    plan: Plan,
    results: Sequence[ArmResult],
    choice: Choice,
    scores: RowScores,
    groups: Sequence[str] | None,
) -> Verdict:
    measure = measure_of(plan.metric, scores)
    judgement = _judgement(choice)
    return Verdict(
        choice.arm,
        judgement,
        _says(plan, results, choice, judgement, measure),
        tuple(_reasons(plan, results, choice, scores, groups, measure)),
        tuple(_next_steps(plan, results, choice, judgement, measure)),
    )


def _rival(choice: Choice) -> ArmName | None:
    """Of the arms that were not shown to be better: the tuned one, or the one with the largest gain."""
    if not choice.against_base:
        return None
    if "tuned" in choice.against_base:
        return "tuned"
    return max(choice.against_base, key=lambda name: choice.against_base[name].gain)


def _judgement(choice: Choice) -> Judgement:
    """How the chosen arm stands against the base; where the base stays, how its rival does."""
    rival = _rival(choice) if choice.arm == choice.base else choice.arm
    return choice.against_base[rival].judgement if rival else "no_difference_shown"


def _says(
    plan: Plan, results: Sequence[ArmResult], choice: Choice, judgement: Judgement, measure: Measure
) -> str:
    arms = {one.arm.name: one for one in results}
    base = arms[choice.base]
    if choice.arm != choice.base:
        chosen, against = arms[choice.arm], choice.against_base[choice.arm]
        says = (
            f"Take {names_of([choice.arm])}: {measure.name} {measure.score(chosen.scores[plan.metric].mean)} "
            f"against {measure.score(base.scores[plan.metric].mean)} without help, {gain_of(against, measure)}."
        )
        if choice.undecided:
            verb = "costs" if len(choice.undecided) == 1 else "cost"
            says += (
                f" {names_of(choice.undecided).capitalize()} {verb} less, and {plan.rows} rows cannot tell "
                "whether it does as well."
            )
        return says
    rival = _rival(choice)
    if rival is None:
        reached = measure.score(base.scores[plan.metric].mean)
        return f"The model as it is reaches {measure.name} {reached}: measure another way beside it."
    against, name = choice.against_base[rival], names_of([rival])
    if judgement == "worse":
        return f"Stay with the model as it is: {name} is worse, {gain_of(against, measure)}."
    if judgement == "equivalent":
        return (
            f"Stay with the model as it is: {name} does as well and no better, {gain_of(against, measure)}."
        )
    return (
        f"No difference shown: {plan.rows} rows do not show that anything is better than the model as it is "
        f"({name}: {gain_of(against, measure)})."
    )


def _reasons(
    plan: Plan,
    results: Sequence[ArmResult],
    choice: Choice,
    scores: RowScores,
    groups: Sequence[str] | None,
    measure: Measure,
) -> Iterator[str]:
    yield from _why_this_one(plan, choice, measure)
    yield from _what_rows_show(plan, choice, measure)
    yield from _likelihood(choice, scores, groups)
    yield from _retrieval_after_tuning(plan, scores, groups, measure)
    yield from _limits(plan, results, groups)


def _why_this_one(plan: Plan, choice: Choice, measure: Measure) -> Iterator[str]:
    cost = {arm.name: arm.cost for arm in plan.arms}
    if choice.arm != choice.base:
        p = choice.against_base[choice.arm].adjusted_p
        tested = len(choice.against_base)
        after = f" after Holm's correction over {tested} arms" if tested > 1 else ""
        yield f"A gain like this by chance alone: p = {p:.2g}{after}, on {plan.rows} rows answered by all arms."
        for name, one in choice.against_chosen.items():
            if cost[name] > cost[choice.arm] and one.judgement != "worse" and one.gain >= 0:
                yield (
                    f"{names_of([name]).capitalize()} costs more and is not shown to be better: "
                    f"{gain_of(one, measure)} beside {names_of([choice.arm])}."
                )
    for name, one in choice.against_base.items():
        if one.judgement == "no_difference_shown" and (one.interval.low > 0 or one.interval.high < 0):
            over = f" after Holm's correction over {len(choice.against_base)} arms"
            after = over if len(choice.against_base) > 1 else ""
            yield (
                f"The interval of {names_of([name])} excludes 0, but its test leaves room for chance: "
                f"p = {one.adjusted_p:.2g}{after}."
            )
    worse = [name for name, one in choice.against_base.items() if one.judgement == "worse"]
    if worse and not (choice.arm == choice.base and worse == [_rival(choice)]):
        yield f"Worse than the model as it is: {names_of(worse)}."


def _what_rows_show(plan: Plan, choice: Choice, measure: Measure) -> Iterator[str]:
    """How small a gain these rows would have shown, where that is what keeps the verdict open."""
    unclear = [one for one in choice.against_base.values() if one.judgement == "no_difference_shown"]
    if not unclear:
        return
    known = [one.detectable for one in unclear if one.detectable is not None]
    if len(known) == len(unclear):
        least = measure.points(max(known))
        yield f"These {plan.rows} rows can only show gains above {least}; a smaller one may be there."
    else:
        least_sure = one_way_gain(plan.rows)
        if least_sure is None:
            yield f"These {plan.rows} rows can show nothing, whatever the answers."
        else:
            yield (
                f"These {plan.rows} rows can only show gains above {measure.points(least_sure)}, and those where no "
                "answer gets worse; a smaller one may be there."
            )


def _likelihood(choice: Choice, scores: RowScores, groups: Sequence[str] | None) -> Iterator[str]:
    """Whether the references have become likelier, which shows before answers change."""
    name = "tuned" if "tuned" in scores else choice.arm
    if name == choice.base or NLL not in scores[name] or NLL not in scores[choice.base]:
        return
    fewer = [[-value for value in scores[name][NLL]]]
    (one,) = compare(fewer, [-value for value in scores[choice.base][NLL]], seed=SEED, groups=groups)
    if one.judgement in ("better", "worse"):
        more = "likelier" if one.gain > 0 else "less likely"
        low, high = sorted((abs(one.interval.low), abs(one.interval.high)))
        yield (
            f"The references are {more} under {names_of([name])}, by {abs(one.gain):.2f} nats per token "
            f"({low:.2f} to {high:.2f}); that is about their wording, not about answers."
        )


def _retrieval_after_tuning(
    plan: Plan, scores: RowScores, groups: Sequence[str] | None, measure: Measure
) -> Iterator[str]:
    for name in ("tuned_retrieved", "tuned_documents"):
        if name not in scores or "tuned" not in scores:
            continue
        (one,) = compare([scores[name][plan.metric]], scores["tuned"][plan.metric], seed=SEED, groups=groups)
        what = "examples" if name == "tuned_retrieved" else "passages"
        if one.judgement == "worse":
            yield (
                f"Looked-up {what} make the tuned model worse, {gain_of(one, measure)}: "
                "it was tuned without them. Leave them out, or train with them in the rows."
            )


def _limits(plan: Plan, results: Sequence[ArmResult], groups: Sequence[str] | None) -> Iterator[str]:
    for one in results:
        cut = 1 - one.stopped - one.errors / max(1, one.rows)
        if cut >= _MANY_CUT:
            yield (
                f"{percent_of(cut)} of the answers of {names_of([one.arm.name])} reach the longest length of "
                f"{plan.max_new_tokens} tokens and are cut: --max-new-tokens gives more."
            )
        if one.errors:
            yield f"{names_of([one.arm.name]).capitalize()} gave no answer to {one.errors} rows, which count as 0."
    if groups is not None:
        yield (
            f"The {plan.rows} rows come from {len(set(groups))} origins, which the intervals count, not the rows."
        )


def _next_steps(
    plan: Plan, results: Sequence[ArmResult], choice: Choice, judgement: Judgement, measure: Measure
) -> Iterator[str]:
    is_tuned = any(one.arm.weights == "tuned" for one in results)
    chosen = next(one for one in results if one.arm.name == choice.arm)
    if not is_tuned:
        bar = measure.score(chosen.scores[plan.metric].mean)
        yield f"The bar to beat by training is {measure.name} {bar}: ftui train {plan.source} (station 5)."
        yield "Then compare the run on the same rows, whose answers are kept: ftui compare latest (station 6)."
    if is_tuned and chosen.arm.weights == "tuned":
        yield "Read the answers where the arms disagree, and rate some without knowing whose they are (station 6)."
    if is_tuned and chosen.arm.weights != "tuned":
        yield "See whether more rows would help before training longer: ftui data value RECIPE (station 3)."
    if choice.arm in ("retrieved", "documents"):
        yield "Look text up for each request in the service as well: what was measured is plain word search (BM25)."
    rival = _rival(choice)
    if judgement == "no_difference_shown" and rival is not None:
        against = choice.against_base[rival]
        more = _rows_needed(against)
        if more is not None:
            yield (
                f"A gain like the one seen ({signed(against.gain, measure)}) would be shown by about {more:,} "
                "held-out rows: ftui data split ROWS keeps more apart (station 3)."
            )
        else:
            yield "More held-out rows show smaller gains: ftui data split ROWS keeps more apart (station 3)."


def _rows_needed(one: Comparison) -> int | None:
    """Rows at which a gain of this size is shown in four of five cases: the detectable gain falls by their root."""
    if one.detectable is None or one.gain <= 0 or one.detectable <= one.gain:
        return None
    needed = one.rows * (one.detectable / one.gain) ** 2
    return math.ceil(needed / 10) * 10 if needed <= 50_000 else None
