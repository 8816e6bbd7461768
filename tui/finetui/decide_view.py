"""What the answers given so far come to: the verdict, its reasons, and which questions still matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from finetui.decide_measured import Measured
from finetui.decide_proposals import Proposed
from finetui.decide_sheet import Sheet
from finetui_core.decide.answers import Answers
from finetui_core.decide.explain import Explained, can_change, explain
from finetui_core.decide.next_steps import ROWS, Step, next_steps
from finetui_core.decide.questions import UNKNOWN, Questions

State = Literal["answered", "not known", "to be asked", "needless"]


@dataclass(frozen=True, slots=True)
class View:
    """`asking` is the next question to ask, None where no answer can change the verdict any more."""

    questions: Questions
    answers: Answers
    explained: Explained
    steps: Sequence[Step]
    states: Mapping[str, State]
    asking: str | None
    proposed: Proposed
    measured: Measured | None

    @property
    def begun(self) -> bool:
        return any(state in ("answered", "not known") for state in self.states.values())

    def count(self, state: State) -> int:
        return sum(one == state for one in self.states.values())


def look(sheet: Sheet, questions: Questions, proposed: Proposed, measured: Measured | None) -> View:
    """All that is shown. Takes some 20 milliseconds."""
    answers, asked = sheet.answers, sheet.asked
    explained = explain(answers, questions)
    nobody_knows = [key for key in asked if answers[key] == UNKNOWN]
    states: dict[str, State] = {}
    for question in questions.questions:
        key = question.key
        if answers[key] != UNKNOWN:
            states[key] = "answered"
        elif key in nobody_knows:
            states[key] = "not known"
        elif key in explained.can_change and (
            not nobody_knows or can_change(question, answers, questions, nobody_knows)
        ):
            states[key] = "to be asked"
        else:
            states[key] = "needless"
    return View(
        questions,
        answers,
        explained,
        next_steps(explained.decision, answers, questions, proposed.rows.train or ROWS),
        states,
        next((key for key, state in states.items() if state == "to be asked"), None),
        proposed,
        measured,
    )
