"""`ftui decide`: whether to fine-tune at all, asked in plain words or read from a file of answers."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.cli.say import data, data_json, talk
from finetui_core.decide.answers import answers_toml, choices, nothing_known, parse_answer, read_answers
from finetui_core.decide.explain import Explained, explain, next_question
from finetui_core.decide.next_steps import ROWS, next_steps
from finetui_core.decide.page import NAMES, headline, page, scores
from finetui_core.decide.propose import Proposal, proposals
from finetui_core.decide.questions import SHIPPED, Answer, Question, Questions, read_questions, shipped
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.saving import write_new_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "answers", type=Path, nargs="?", metavar="ANSWERS", help="a TOML file; without it, you are asked"
    )
    parser.add_argument("--data", metavar="ROWS", help="propose answers from these training rows")
    parser.add_argument("--val", metavar="ROWS", help="the rows that are kept apart, beside --data")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the answers in a new file")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the decision on one page of Markdown"
    )
    parser.add_argument(
        "--explain", action="store_true", help="every weight with its source, and all that would change it"
    )
    parser.add_argument("--questions", type=Path, metavar="FILE", help="your own questions and weights")
    parser.add_argument(
        "--print-questions", action="store_true", help="print the shipped questions, to begin your own"
    )
    parser.add_argument("--json", action="store_true", help="print the decision as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    if options.print_questions:
        print(SHIPPED.read_text(encoding="utf-8"), end="")
        return 0
    questions = read_questions(options.questions) if options.questions else shipped()
    proposed = proposals(options.data, options.val) if options.data else []
    if options.answers is not None:
        answers = read_answers(options.answers, questions)
        _compare(answers, proposed, questions)
    else:
        answers = _ask(questions, proposed)
    explained = explain(answers, questions)
    if options.save is not None:
        write_new_recipe(options.save, answers_toml(answers, questions))
        talk(f"the answers are in {options.save}")
    if options.page is not None:
        write_new_recipe(options.page, page(answers, explained, questions, date.today()))
        talk(f"the page is in {options.page}")
    if options.json:
        data_json(_as_json(answers, explained, questions))
    else:
        _say(answers, explained, questions, options.data or ROWS, everything=options.explain)
    return 0


def _ask(questions: Questions, proposed: Sequence[Proposal]) -> dict[str, Answer]:
    """Ask on the terminal for what can still change the verdict. Raises InputError where there is none."""
    if not sys.stdin.isatty():
        hint = "name a file of answers: ftui decide ANSWERS.toml; or run it on a terminal, and keep them with --save"
        raise InputError(Problem("there is nobody to ask", "stdin", hint))
    answers = nothing_known()
    offered = {one.key: one for one in proposed}
    asked: list[str] = []
    while (question := next_question(answers, questions, asked)) is not None:
        answers[question.key] = _answer_to(question, offered.get(question.key), len(asked) + 1)
        asked.append(question.key)
    talk("\nNo other answer can change the verdict.\n")
    return answers


def _answer_to(question: Question, proposed: Proposal | None, number: int) -> Answer:
    talk(f"\n{number}. {question.asks}\n   {question.about}")
    for index, option in enumerate(question.options, 1):
        talk(f"   {index}  {option.says}")
    talk("   ?  I do not know")
    if proposed is not None:
        talk(f"   enter: {proposed.answer} ({proposed.why})")
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        text = line.strip()
        if proposed is not None and not text:
            return proposed.answer
        if text.isdecimal() and question.options and 1 <= int(text) <= len(question.options):
            return question.options[int(text) - 1].value
        answer = parse_answer(text or "?", question) if not text.isdecimal() or question.unit else None
        if answer is not None:
            return answer
        talk(
            f"   That is none of them: {choices(question) if question.unit else 'type a number from the list, or ?'}"
        )


def _compare(answers: dict[str, Answer], proposed: Sequence[Proposal], questions: Questions) -> None:
    """Say where the data tells another thing than the file; the file stands."""
    for one in proposed:
        if answers[one.key] != one.answer:
            talk(
                f"note: {one.key} is {answers[one.key]} in the file, and the data says {one.answer}: {one.why}"
            )


def _say(
    answers: dict[str, Answer], explained: Explained, questions: Questions, rows: str, *, everything: bool
) -> None:
    data(headline(explained))
    for line in scores(explained, questions):
        data(f"  {line}")
    if explained.can_change:
        data("Not answered, and could change the verdict:")
        for key in explained.can_change:
            data(f"  {key}: {questions.question(key).asks}")
    shown = explained.flips if everything else explained.flips[:3]
    if shown:
        data("What would change it:")
        for flip in shown:
            data(f"  {NAMES[flip.verdict]} {flip.says}")
    data("Next:")
    for number, step in enumerate(next_steps(explained.decision, answers, questions, rows), 1):
        data(f"  {number}. {step.says}{f'  ({step.command})' if step.command else ''}")
    if everything:
        data("Weights:")
        for one in explained.contributions:
            data(f"  {one.need} +{one.points}  {one.says}")
            for source in questions.cited(one.source):
                data(f"      {source}")


def _as_json(answers: dict[str, Answer], explained: Explained, questions: Questions) -> dict[str, Any]:
    decision = explained.decision
    return {
        "verdict": decision.verdict,
        "because": decision.because,
        "clarity": explained.clarity,
        "context": decision.context,
        "behaviour": decision.behaviour,
        "thresholds": msgspec.to_builtins(questions.thresholds),
        "contributions": [
            {**msgspec.to_builtins(one), "source": questions.cited(one.source)}
            for one in explained.contributions
        ],
        "flips": msgspec.to_builtins(explained.flips),
        "unanswered": list(explained.open),
        "can_change": list(explained.can_change),
        "next": msgspec.to_builtins(next_steps(decision, answers, questions)),
        "answers": answers,
    }
