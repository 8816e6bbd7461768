"""Answers to the questions: a small flat TOML file that can be committed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetui_core.decide.questions import KINDS, UNKNOWN, Answer, Question, Questions, same
from finetui_core.errors import InputError, Problem
from finetui_core.toml_file import Fault, nearest, placed, read_toml, shown

Answers = Mapping[str, Answer]
MOST = 10**15


def read_answers(path: Path, questions: Questions) -> dict[str, Answer]:
    """Every question's answer. Raises InputError with all problems, each at its line and column."""
    file = read_toml(path)
    problems = placed(file, _faults(file.values, questions))
    if problems:
        raise InputError(problems)
    return {key: file.values[key] for key in KINDS}


def nothing_known() -> dict[str, Answer]:
    """The answers before the first question."""
    return dict.fromkeys(KINDS, UNKNOWN)


def answers_toml(answers: Answers, questions: Questions) -> str:
    """The answers as a file, with each question above its answer."""
    lines = ["# Answers for: ftui decide THIS_FILE"]
    for question in questions.questions:
        lines += ["", f"# {question.asks}", f"#   {choices(question)}"]
        lines.append(f"{question.key} = {_toml(answers[question.key])}")
    return "\n".join(lines) + "\n"


def answers_into(text: str, answers: Answers) -> str:
    """The text of a file of answers with other answers; its comments and order stay. Raises InputError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        before = document.unwrap()
        for key, value in answers.items():
            if key not in before or not same(before[key], value):
                document[key] = value
    except (TOMLKitError, ValueError) as error:
        raise InputError(Problem(f"the text cannot be changed: {error}")) from error
    return tomlkit.dumps(document)


def choices(question: Question) -> str:
    """What can be written there."""
    known = [_toml(option.value) for option in question.options] or [f"a number of {question.unit}"]
    return ", ".join([*known, f'or "{UNKNOWN}"'])


def parse_answer(text: str, question: Question) -> Answer | None:
    """The answer that somebody typed, None where it is none."""
    for option in question.options:
        if text.strip().lower() in (str(option.value).lower(), _toml(option.value)):
            return option.value
    if text.strip().lower() in (UNKNOWN, "?", ""):
        return UNKNOWN
    digits = text.strip().replace(",", "").replace("_", "")
    fits = question.unit and digits.isascii() and digits.isdigit() and len(digits) <= len(str(MOST))
    return int(digits) if fits else None


def _toml(value: Answer) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _faults(values: Mapping[str, Any], questions: Questions) -> Iterator[Fault]:
    for key in KINDS:
        if key not in values:
            hint = f"write {key} = and one of {choices(questions.question(key))}"
            yield Fault((), f"{key} is missing: {questions.question(key).asks}", hint)
    for key, value in values.items():
        if key not in KINDS:
            yield Fault((key,), f"no question is called {shown(key)}", nearest(key, KINDS), at_key=True)
        elif not _fits(value, questions.question(key)):
            hint = f"write {choices(questions.question(key))}"
            yield Fault((key,), f"{key} cannot be {shown(value)}: {questions.question(key).asks}", hint)


def _fits(value: Any, question: Question) -> bool:
    if value == UNKNOWN:
        return True
    if question.unit:
        return type(value) is int and 0 <= value <= MOST
    return isinstance(value, str | int) and question.option(value) is not None
