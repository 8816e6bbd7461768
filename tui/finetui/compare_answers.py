"""The answers of two arms, row by row: which rows are shown in what order, and one row in full."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

from rich.cells import cell_len

from finetui.compare_folder import Compared
from finetui.compare_words import arm_name, score
from finetui.text import safe
from finetui.widgets.plot import Row, Span
from finetui.widgets.spans import wrap_spans
from finetui.widgets.table import Column, Record
from finetui_core.data.check.differences import word_diff
from finetui_core.evaluate.figures import Answer, ArmName, TestRow
from finetui_core.evaluate.in_words import metric_name

Which = Literal["all", "differ", "left", "right", "errors"]
WHICH: tuple[Which, ...] = ("all", "differ", "left", "right", "errors")
Marks = Literal["each other", "reference", "none"]
MARKS: Mapping[Marks, str] = {
    "each other": "against",
    "reference": "by the reference, and",
    "none": "unmarked, beside",
}
"""What the answers are marked by, and what the title says of that."""
Shown = Literal["answers", "left", "right"]
SHOWN: tuple[Shown, ...] = ("answers", "left", "right")
"""Both answers, or the whole prompt of the left or the right arm."""

COLUMNS = (
    Column("row", 6, right=True),
    Column("left", 5, right=True),
    Column("right", 5, right=True),
    Column("", 1),
    Column("asks", 16, most=100),
)
BESIDE = 100
"""Cells from which on two answers stand beside each other."""
_MOST_SHOWN = 20_000  # characters of one text that are laid out
_SIGNS: Mapping[str, Span] = {"left": ("◀", "accent"), "right": ("▶", "accent"), "error": ("!", "warning")}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which two arms are beside each other, and which rows of them in what order."""

    left: ArmName
    right: ArmName
    which: Which = "all"
    by_difference: bool = False


class Rows:
    """The rows that fit a choice, by their index; made anew when the choice or the answers change."""

    def __init__(self, compared: Compared, choice: Choice) -> None:
        self.compared, self.choice = compared, choice
        metric = compared.plan.metric if compared.plan else ""
        known = compared.scores if compared.is_current else {}
        self._left = known.get(choice.left, {}).get(metric, ())
        self._right = known.get(choice.right, {}).get(metric, ())
        rows = compared.plan.rows if compared.plan else 0
        answered = {index for name in (choice.left, choice.right) for index in self._ended(name)}
        fitting = [index for index in sorted(answered) if 0 <= index < rows and self._fits(index)]
        if choice.by_difference and self.has_scores:
            fitting.sort(key=lambda index: -abs(self.difference(index) or 0.0))
        self.numbers: Sequence[int] = fitting
        self.answered = len(answered)

    @property
    def has_scores(self) -> bool:
        return bool(self._left) and bool(self._right)

    def scores(self, index: int) -> tuple[float | None, float | None]:
        return _at(self._left, index), _at(self._right, index)

    def difference(self, index: int) -> float | None:
        """By how much the right arm scores higher."""
        left, right = self.scores(index)
        return None if left is None or right is None else right - left

    def sign(self, index: int) -> Span:
        """Which arm scores higher, or that one gave no proper answer."""
        if self._is_error(index):
            return _SIGNS["error"]
        difference = self.difference(index) or 0.0
        return _SIGNS["right"] if difference > 0 else _SIGNS["left"] if difference < 0 else ("", "")

    def _ended(self, name: ArmName) -> Mapping[int, str]:
        known = self.compared.answers.get(name)
        return known.ended if known else {}

    def _is_error(self, index: int) -> bool:
        arms = (self.choice.left, self.choice.right)
        return any(self._ended(name).get(index) in ("error", "length") for name in arms)

    def _fits(self, index: int) -> bool:
        which = self.choice.which
        if which == "all":
            return True
        if which == "errors":
            return self._is_error(index)
        if which == "differ":
            answers = (self.compared.answers.get(name) for name in (self.choice.left, self.choice.right))
            texts = [known.texts.get(index) if known else None for known in answers]
            return texts[0] != texts[1]
        difference = self.difference(index) or 0.0
        return difference < 0 if which == "left" else difference > 0


def which_words(choice: Choice) -> str:
    return {
        "all": "all rows",
        "differ": "answers differ",
        "left": f"{arm_name(choice.left)} scores higher",
        "right": f"{arm_name(choice.right)} scores higher",
        "errors": "an error, or cut at the longest answer",
    }[choice.which]


class RowRecords(Sequence[Record]):
    """A line for each row, made when it is drawn."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows.numbers)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self._record(index) for index in self._rows.numbers[place]]
        return self._record(self._rows.numbers[place])

    def _record(self, index: int) -> Record:
        rows = self._rows
        row = rows.compared.row(index)
        asks: Span = (
            (" ".join(question(row)[:400].split()), "") if row else ("this row cannot be read", "bad")
        )
        left, right = rows.scores(index)
        points = all(one is None or 0 <= one <= 1 for one in (left, right))
        cells: tuple[Span, ...] = (
            (f"{index + 1:,}", "muted"),
            (score(left, points), ""),
            (score(right, points), ""),
            rows.sign(index),
            asks,
        )
        return Record(str(index), cells)


def question(row: TestRow) -> str:
    """The last turn of what is asked."""
    return text_of(row.prompt[-1]) if row.prompt else ""


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message as chat templates take it: a string, or parts; calls of tools as JSON."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        content = "\n".join(str(part) for part in parts if part is not None)
    text = "" if content is None else str(content)
    if calls := message.get("tool_calls"):
        text += ("\n" if text else "") + "calls " + json.dumps(calls, ensure_ascii=False)
    return text


def title_row(rows: Rows, marks: Marks) -> Row:
    choice = rows.choice
    shown = f"{len(rows.numbers):,} of {rows.answered:,}: {which_words(choice)}"
    order = "   by difference" if choice.by_difference and rows.has_scores else ""
    return (
        (f" ← {arm_name(choice.left)}", "strong"),
        (f"   {MARKS[marks]}   ", "muted"),
        (f"→ {arm_name(choice.right)}", "strong"),
        (f"   {shown}{order}", "accent" if choice.which != "all" else ""),
    )


def row_in_full(rows: Rows, index: int, shown: Shown, marks: Marks, width: int) -> list[Row]:
    """One row: what was asked, the reference, and both answers; or the whole prompt of one arm."""
    compared, choice = rows.compared, rows.choice
    row = compared.row(index)
    if row is None:
        return [((" this row cannot be read any more", "bad"),)]
    if shown != "answers":
        return _prompt_rows(compared, choice.left if shown == "left" else choice.right, index, width)
    asked = question(row)
    before = len(row.prompt) - 1
    more = f"   {before} {'turn' if before == 1 else 'turns'} before it: w" if before > 0 else ""
    result = [
        *_block(f"row {index + 1:,}", f"{Path(row.source).name}{more}", [(asked[:_MOST_SHOWN], "")], width),
        *text_block("reference", row.reference, width, "good"),
    ]
    arms = (choice.left, choice.right)
    answers = [compared.answer(name, index) for name in arms]
    metric = metric_name(compared.plan.metric) if compared.plan else ""
    titles = [
        (arm_name(name), _about(answer, known, metric))
        for name, answer, known in zip(arms, answers, rows.scores(index), strict=True)
    ]
    left, right = marked(answers[0], answers[1], row.reference, marks)
    return [*result, *beside((titles[0], left), (titles[1], right), width)]


def marked(
    left: Answer | None, right: Answer | None, reference: str, marks: Marks
) -> tuple[list[Span], list[Span]]:
    """Both answers, with what differs in brackets: from each other, or each from the reference."""
    one, other = _answer_text(left), _answer_text(right)
    plain = [spans_of(left, one)], [spans_of(right, other)]
    if marks == "none" or left is None or right is None or "error" in (left.ended, right.ended):
        return plain
    if marks == "reference":
        return _differing(one, reference)[0], _differing(other, reference)[0]
    return _differing(one, other)


def spans_of(answer: Answer | None, text: str) -> Span:
    if answer is None:
        return "not answered yet", "muted"
    if answer.ended == "error":
        return f"no answer: {answer.error or 'no reason is given'}", "bad"
    return (text, "") if text else ("(empty)", "muted")


def _answer_text(answer: Answer | None) -> str:
    return answer.text[:_MOST_SHOWN] if answer is not None else ""


def _differing(one: str, other: str) -> tuple[list[Span], list[Span]]:
    left: list[Span] = []
    right: list[Span] = []
    for span in word_diff(one, other):
        ours, theirs = one[span.first_begin : span.first_end], other[span.second_begin : span.second_end]
        for spans, text, signs, style in ((left, ours, "--", "bad"), (right, theirs, "++", "good")):
            if text and span.changed:
                space = text[: len(text) - len(text.lstrip())]
                spans.append((space, ""))
                spans.append((f"[{signs[0]}{text[len(space) :]}{signs[1]}]", style))
            elif text:
                spans.append((text, ""))
    return left or [("(empty)", "muted")], right or [("(empty)", "muted")]


def _about(answer: Answer | None, known: float | None, metric: str) -> str:
    if answer is None:
        return ""
    points = known is not None and 0 <= known <= 1
    parts = [f"{metric} {score(known, points)}"] if known is not None else []
    parts += [f"{answer.new_tokens:,} tokens", f"{answer.seconds:.1f} s"] if answer.ended != "error" else []
    parts += ["cut at the longest answer"] if answer.ended == "length" else []
    return ", ".join(parts)


def text_block(title: str, text: str, width: int, style: str = "") -> list[Row]:
    """A titled text."""
    return _block(title, "", [(text[:_MOST_SHOWN], style)] if text else [], width)


def _block(title: str, more: str, spans: Sequence[Span], width: int) -> list[Row]:
    text = list(spans) or [("(empty)", "muted")]
    return [
        ((f" ── {title}   ", "accent"), (more, "muted")),
        *(((" ", ""), *line) for line in wrap_spans(text, width - 2)),
        (),
    ]


def beside(
    left: tuple[tuple[str, str], Sequence[Span]], right: tuple[tuple[str, str], Sequence[Span]], width: int
) -> list[Row]:
    """Two titled texts beside each other or, where it is narrow, one below the other."""
    if width < BESIDE:
        return [row for (title, more), spans in (left, right) for row in _block(title, more, spans, width)]
    half = (width - 4) // 2
    columns = [
        [((f"── {title}   ", "accent"), (more, "muted")), *wrap_spans(spans, half)]
        for (title, more), spans in (left, right)
    ]
    return [
        (
            (" ", ""),
            *_filled(columns[0][place] if place < len(columns[0]) else (), half),
            (" │ ", "axis"),
            *(columns[1][place] if place < len(columns[1]) else ()),
        )
        for place in range(max(map(len, columns)))
    ]


def _filled(row: Row, width: int) -> Row:
    """`row` in exactly `width` cells."""
    cells, left = [], width
    for text, style in row:
        shown = safe(text, left) if cell_len(safe(text)) > left else safe(text)
        cells.append((shown, style))
        left -= cell_len(shown)
    return (*cells, (" " * max(0, left), ""))


def _prompt_rows(compared: Compared, name: ArmName, index: int, width: int) -> list[Row]:
    prompt = compared.prompt(name, index)
    title = f" the whole prompt of {arm_name(name)}"
    if prompt is None:
        return [((title, "strong"),), (), ((" is not written yet, or cannot be read", "muted"),)]
    rows: list[Row] = [((title, "strong"), (f"   {len(prompt.messages)} turns", "muted"))]
    if prompt.used:
        rows += [
            ((" ", ""), *line)
            for line in wrap_spans(
                [("put in: " + ", ".join(Path(one).name for one in prompt.used), "muted")], width - 2
            )
        ]
    rows.append(())
    for message in prompt.messages:
        text = text_of(message)
        long = (
            f"{len(text):,} characters, the first {_MOST_SHOWN:,} are shown"
            if len(text) > _MOST_SHOWN
            else ""
        )
        rows += _block(str(message.get("role", "?")), long, [(text[:_MOST_SHOWN], "")] if text else [], width)
    return rows


def _at(values: Sequence[float | None], index: int) -> float | None:
    return values[index] if index < len(values) else None
