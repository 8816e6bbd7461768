"""The answers to the questions while they are given: what was asked, and every step back."""

from dataclasses import dataclass, field
from pathlib import Path

from finetui_core.decide.answers import Answers, answers_into, answers_toml, nothing_known, read_answers
from finetui_core.decide.questions import UNKNOWN, Answer, Questions
from finetui_core.recipe.saving import Opened, save_recipe, write_new_recipe

NEW_NAME = "answers.toml"


@dataclass(frozen=True, slots=True)
class Moment:
    """The answers before a step, what had been asked, and the question that the step answered."""

    answers: Answers
    asked: tuple[str, ...]
    question: str


@dataclass
class Sheet:
    """`asked` has the questions that were answered or said to be unknown, in that order; `saved` what the file holds.

    `opened` is the file as it was read, or None for answers that are in no file yet.
    """

    opened: Opened | None
    name: str
    folder: Path
    answers: Answers
    saved: Answers
    asked: tuple[str, ...] = ()
    _past: list[Moment] = field(default_factory=list)

    @property
    def unsaved(self) -> bool:
        return self.answers != self.saved

    def answer(self, key: str, value: Answer) -> None:
        """Put an answer in the place of the one before; the question then has been asked."""
        self._past.append(Moment(self.answers, self.asked, key))
        self.answers = {**self.answers, key: value}
        self.asked = self.asked if key in self.asked else (*self.asked, key)

    def undo(self) -> str | None:
        """Take the last answer back; the question that it answered, None where there was none."""
        if not self._past:
            return None
        moment = self._past.pop()
        self.answers, self.asked = moment.answers, moment.asked
        return moment.question

    def text(self, questions: Questions) -> str:
        """The file that these answers make; of one that was opened, comments and order stay."""
        if self.opened is None:
            return answers_toml(self.answers, questions)
        return answers_into(self.opened.text, self.answers)


def new_sheet() -> Sheet:
    """Before the first question."""
    return Sheet(None, NEW_NAME, Path.cwd(), nothing_known(), nothing_known())


def opened_sheet(path: Path, questions: Questions) -> Sheet:
    """A file of answers. Raises InputError with every fault at its place."""
    answers = read_answers(path, questions)
    content = path.read_bytes()
    known = tuple(one.key for one in questions.questions if answers[one.key] != UNKNOWN)
    opened = Opened(path, content.decode("utf-8-sig"), content)
    return Sheet(opened, path.name, path.parent, answers, answers, known)


def save(sheet: Sheet, questions: Questions) -> None:
    """Write the answers into their file. Raises InputError, and then the file is as it was."""
    assert sheet.opened is not None
    save_recipe(sheet.opened, sheet.text(questions))
    _saved(sheet, sheet.opened.path)


def save_over(sheet: Sheet, questions: Questions) -> None:
    """Write the answers into their file, whatever that holds now, or is gone. Raises InputError or OSError."""
    assert sheet.opened is not None
    path, text = sheet.opened.path, sheet.text(questions)
    if path.exists():
        save_recipe(Opened(path, "", path.read_bytes()), text)
    else:
        write_new_recipe(path, text)
    _saved(sheet, path)


def save_as(sheet: Sheet, path: Path, questions: Questions) -> None:
    """Write the answers into a new file, which then is theirs. Raises InputError."""
    write_new_recipe(path, sheet.text(questions))
    _saved(sheet, path)


def _saved(sheet: Sheet, path: Path) -> None:
    content = path.read_bytes()
    sheet.opened = Opened(path, content.decode("utf-8-sig"), content)
    sheet.name, sheet.folder, sheet.saved = path.name, path.parent, sheet.answers


def changed_on_disk(sheet: Sheet) -> bool:
    """Whether the file no longer holds what was read from it."""
    if sheet.opened is None:
        return False
    try:
        return sheet.opened.path.read_bytes() != sheet.opened.content
    except OSError:
        return True
