"""A conversation as rows of text: both answers beside each other, or one below the other where it is narrow."""

from collections.abc import Sequence
from dataclasses import dataclass

from finetui.compare_answers import beside, text_block
from finetui.widgets.plot import Row, Span
from finetui.widgets.spans import wrap_spans
from finetui_core.evaluate.chat_protocol import Answered, Shown, Side
from finetui_core.evaluate.chat_talk import Exchange, Talk

NAMES: dict[Side, str] = {"base": "base", "tuned": "tuned"}
_MOST_SHOWN = 20_000  # characters of one text that are laid out


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a conversation is shown: these sides, the chosen one of which is edited and saved; and whether answers
    are being given."""

    sides: tuple[Side, ...]
    chosen: Side
    answering: bool


class Transcript:
    """The rows of a conversation. Those of an exchange are made again only when it has changed."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[object, list[Row]]] = {}

    def rows(self, talk: Talk, seen: Seen, width: int) -> list[Row]:
        rows = _system_rows(talk.system, width)
        made: dict[int, tuple[object, list[Row]]] = {}
        for exchange in talk.exchanges:
            stamp = (
                width,
                seen,
                exchange.asked,
                tuple(exchange.texts.items()),
                tuple(exchange.answers.items()),
                tuple(exchange.edited.items()),
            )
            known = self._made.get(id(exchange))
            made[id(exchange)] = (
                known if known and known[0] == stamp else (stamp, _exchange_rows(exchange, seen, width))
            )
            rows += made[id(exchange)][1]
        self._made = made
        return rows


def _system_rows(system: str, width: int) -> list[Row]:
    return text_block("system", system, width, "muted") if system else []


def _exchange_rows(exchange: Exchange, seen: Seen, width: int) -> list[Row]:
    rows: list[Row] = [
        ((" ── you", "accent"),),
        *(((" ", ""), *line) for line in wrap_spans([(exchange.asked[:_MOST_SHOWN], "strong")], width - 2)),
        (),
    ]
    blocks = [_answer(exchange, side, seen) for side in seen.sides]
    if len(blocks) == 2:
        both = beside(blocks[0], blocks[1], width)
        return [*rows, *both, *([()] if both[-1] else [])]
    ((title, more), spans) = blocks[0]
    rows += [((f" ── {title}   ", "accent"), (more, "muted"))]
    return [*rows, *(((" ", ""), *line) for line in wrap_spans(spans, width - 2)), ()]


def _answer(exchange: Exchange, side: Side, seen: Seen) -> tuple[tuple[str, str], Sequence[Span]]:
    """Title and text of one answer."""
    answer, edited = exchange.answers.get(side), exchange.edited.get(side)
    mark = "*" if side == seen.chosen and len(seen.sides) > 1 else ""
    title = f"{mark}{NAMES[side]}"
    if edited is not None:
        return (title, "edited by you"), [(edited[:_MOST_SHOWN], "good")]
    if answer is None:
        text = exchange.texts.get(side, "").lstrip()[:_MOST_SHOWN]
        if seen.answering:
            return (title, "…"), [(text, ""), ("▌", "accent")]
        return (title, "not answered" if not text else "broken off"), [(text, "")]
    if answer.ended == "error":
        return (title, ""), [(f"no answer: {answer.error or 'no reason is given'}", "bad")]
    text = answer.text[:_MOST_SHOWN]
    return (title, about(answer)), [(text, "") if text else ("(empty)", "muted")]


def about(answer: Answered) -> str:
    """How an answer came about, in a few words."""
    parts = [f"{answer.new_tokens:,} tokens", f"first {answer.first_seconds:.2f} s"]
    busy = answer.seconds - answer.first_seconds
    if answer.new_tokens > 1 and busy > 0:
        parts.append(f"{(answer.new_tokens - 1) / busy:.0f} a second")
    if answer.ended == "stopped":
        parts.append("stopped")
    elif answer.ended == "length":
        parts.append("the context is full" if answer.fault == "context" else "cut at the longest answer")
    return ", ".join(parts)


def prompt_rows(shown: Shown, side: Side, ids: bool, width: int) -> list[Row]:
    """A conversation as the model reads it; with `ids`, token by token with their numbers."""
    title: Row = ((f" ── what {NAMES[side]} reads   ", "accent"), (f"{len(shown.tokens):,} tokens", "muted"))
    if shown.error:
        return [title, ((" ", ""), (shown.error, "bad"))]
    if not ids:
        return [
            title,
            *(((" ", ""), *line) for line in wrap_spans([(shown.text[:_MOST_SHOWN], "")], width - 2)),
        ]
    spans: list[Span] = []
    for number, piece in shown.tokens:
        spans += [(piece.replace("\n", "↵") or "·", ""), (f" {number}  ", "muted")]
    return [title, *(((" ", ""), *line) for line in wrap_spans(spans, width - 2))]
