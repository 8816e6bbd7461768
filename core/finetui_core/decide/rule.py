"""The verdict: two needs in points, then gates. A pure function of the answers."""

from typing import Literal

import msgspec

from finetui_core.decide.answers import Answers
from finetui_core.decide.questions import UNKNOWN, Questions

Verdict = Literal["prompt_first", "rag", "fine_tune", "both", "not_yet"]
Need = Literal["context", "behaviour"]


class Contribution(msgspec.Struct, frozen=True):
    """Points that one answer gives to a need. `key` is "economy" for what a shorter prompt saves."""

    key: str
    need: Need
    points: int
    says: str
    source: str


class Decision(msgspec.Struct, frozen=True):
    """The verdict, the two scores behind it, and the sentence that says why."""

    verdict: Verdict
    context: int
    behaviour: int
    because: str


def contributions(answers: Answers, questions: Questions) -> list[Contribution]:
    """Every answer that gives points, the largest first."""
    found = []
    for question in questions.questions:
        option = question.option(answers[question.key])
        if option is None or not _counts(question.counts_if, answers, questions):
            continue
        says = f"{question.asks} {option.says}"
        if option.context:
            found.append(Contribution(question.key, "context", option.context, says, option.source))
        if option.behaviour:
            found.append(Contribution(question.key, "behaviour", option.behaviour, says, option.source))
    saved, says = economy(answers, questions)
    if saved:
        found.append(Contribution("economy", "behaviour", saved, says, questions.economy.source))
    return sorted(found, key=lambda one: -one.points)


def economy(answers: Answers, questions: Questions) -> tuple[int, str]:
    """Points for what training saves by each month's requests, and the reason in words."""
    requests, removable = answers["requests_per_month"], answers["removable_prompt_tokens"]
    million = requests * removable / 1e6 if isinstance(requests, int) and isinstance(removable, int) else 0.0
    points = next((points for least, points in questions.economy.steps if million >= least), 0)
    says = f"training would remove {million:,.0f} million prompt tokens a month"
    if answers["latency_strict"] is True and questions.economy.latency_strict > points:
        return questions.economy.latency_strict, "answers must come faster than they do"
    return points, says


def decide(answers: Answers, questions: Questions) -> Decision:
    """The verdict of the rule. An unknown answer gives no points and opens no gate."""
    context, behaviour = 0, economy(answers, questions)[0]
    for question in questions.questions:
        option = question.option(answers[question.key])
        if option is not None and (option.context or option.behaviour):
            counts = _counts(question.counts_if, answers, questions)
            context += option.context * counts
            behaviour += option.behaviour * counts
    verdict, because = _verdict(answers, questions, context, behaviour)
    return Decision(verdict, context, behaviour, because)


def _verdict(answers: Answers, questions: Questions, context: int, behaviour: int) -> tuple[Verdict, str]:
    least = questions.thresholds
    if answers["failure_kind"] == "none" and economy(answers, questions)[0] < least.economy:
        return "prompt_first", "nothing fails, and training would save little"
    needs_text = answers["facts_needed"] == 2 or context >= least.context
    if needs_text and answers["corpus"] in ("none", "unwritten"):
        return (
            "not_yet",
            "the facts that answers rest on are not written down anywhere: write them down first",
        )
    if context >= least.context:
        return _with_context(answers, questions, behaviour)
    if behaviour < least.behaviour:
        return "prompt_first", "neither need is large enough for more than a better prompt"
    if not few_shot_tried(answers):
        return "prompt_first", "worked examples in the prompt have not been tried, and may be enough"
    if missing := not_ready(answers, questions):
        return "not_yet", f"training would fit, but {missing[0]}"
    return "fine_tune", "the model must act otherwise, prompts have been tried, and all is there to train"


def _with_context(answers: Answers, questions: Questions, behaviour: int) -> tuple[Verdict, str]:
    acts_wrongly = behaviour >= questions.thresholds.behaviour
    retrieval_tried = answers["prompt_tried"] == "few_shot_and_retrieval"
    still_wrong = acts_wrongly and retrieval_tried and answers["base_ok_with_context"] == "no"
    if still_wrong and not not_ready(answers, questions):
        return "both", "even with the right passage the model does it wrongly, and all is there to train"
    if _fits_a_prompt(answers, questions):
        return "prompt_first", "all that it needs to know fits into one prompt, which a cache makes cheap"
    after = ", then measure, and train if the form is still wrong" if acts_wrongly else ""
    return "rag", f"answers rest on text that the model does not have: look it up for each request{after}"


def _fits_a_prompt(answers: Answers, questions: Questions) -> bool:
    requests = answers["requests_per_month"]
    return (
        answers["corpus"] == "fits_context"
        and isinstance(requests, int)
        and requests <= questions.thresholds.small_volume
        and answers["citations"] in ("no", "nice")
        and answers["access_or_erasure"] is False
        and answers["change_rate"] in ("static", "quarterly")
    )


def few_shot_tried(answers: Answers) -> bool:
    return answers["prompt_tried"] in ("few_shot", "few_shot_and_retrieval")


def not_ready(answers: Answers, questions: Questions) -> list[str]:
    """What is missing before anything can be trained and proved, in words."""
    missing = []
    examples, least = answers["labelled_examples"], questions.thresholds.labelled_examples
    if not isinstance(examples, int):
        missing.append("the number of labelled examples is not known")
    elif examples < least:
        missing.append(f"{least - examples} more labelled examples are needed")
    if answers["eval_set"] != "heldout":
        missing.append("no set of questions is kept apart to prove a gain")
    if answers["training_route"] in ("none", UNKNOWN):
        missing.append("there is nothing to train on")
    elif answers["ml_skill"] not in ("some", "strong") and answers["training_route"] != "hosted":
        missing.append("nobody could look after a tuned model")
    return missing


def _counts(condition: str, answers: Answers, questions: Questions) -> bool:
    """Whether the question that another depends on has been answered with points."""
    if not condition:
        return True
    option = questions.question(condition).option(answers[condition])
    return option is not None and option.context + option.behaviour > 0
