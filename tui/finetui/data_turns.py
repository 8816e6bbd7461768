"""One row in full: its turns with the places of its findings, its tokens, and its difference from another row."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from rich.cells import cell_len

from finetui.data_check import Check
from finetui.data_rows import finding_rows
from finetui.text import wrapped
from finetui.widgets.plot import Row, Span
from finetui.widgets.spans import wrap_spans
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.differences import word_diff
from finetui_core.data.check.findings import Hit
from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.row_filter import OpenedRow, readable, without_secrets

_BEFORE = 24  # characters of an excerpt before the place that it is about
_GUTTER, _MARKED = "  ", "▶ "
_LEARNED = ("⟦", "⟧")
_LEAST_HALF = 30
_MOST_RAW = 200_000


def turn_rows(opened: OpenedRow, hits: Sequence[Hit], check: Check, width: int) -> list[Row]:
    """What was found, and then each turn in full; `▶` stands before the lines that a finding is about."""
    rows: list[Row] = []
    for named, excerpt in finding_rows(opened, hits, check):
        rows += [named, *([(("     ", ""), *excerpt)] if excerpt else [])]
    rows += [()] if rows else []
    if opened.row is None:
        rows += [((f" {opened.fault}", "bad"),), ()]
        return rows + _text_rows(without_secrets(readable(opened.text)[:_MOST_RAW]), (), width)
    if not isinstance(opened.row, Conversation):
        return rows + _text_rows(
            without_secrets(opened.row.text), [h for h in hits if "text" in h.path], width
        )
    for index, message in enumerate(opened.row.messages):
        of_turn = [hit for hit in hits if hit.path.startswith(f"$.messages[{index}]")]
        names = ", ".join(dict.fromkeys(RULES[hit.rule].name.replace("_", " ") for hit in of_turn))
        rows += [
            (
                (f" ── {message.role} ", "accent"),
                (f"{len(message.content):,} characters   ", "muted"),
                (f"▶ {names}" if names else "", "warning"),
            )
        ]
        if message.content:
            rows += _text_rows(without_secrets(message.content), of_turn, width)
        rows += _call_rows(message, width)
        rows.append(())
    if opened.row.tools:
        names = ", ".join(str(tool.get("function", tool).get("name", "?")) for tool in opened.row.tools)
        rows.append(((" tools offered: ", "muted"), (names, "")))
    return rows


def _text_rows(text: str, hits: Sequence[Hit], width: int) -> list[Row]:
    """The lines of a text, wrapped, with a mark before each that a finding is about."""
    places = sorted(place for hit in hits if (place := _place(text, hit.excerpt)) is not None)
    rows: list[Row] = []
    start = 0
    room = max(8, width - len(_GUTTER) - 1)
    for line in text.split("\n"):
        indent = min(len(line) - len(line.lstrip(" ")), room // 2)
        inside = [place - start for place in places if start <= place <= start + len(line)]
        marked = {len(wrapped(line[indent:place], room - indent)) - 1 for place in inside}
        rows += [
            ((_MARKED if number in marked else _GUTTER, "warning"), (" " * indent, ""), (part, ""))
            for number, part in enumerate(wrapped(line[indent:], room - indent))
        ]
        start += len(line) + 1
    return rows


def _place(text: str, excerpt: str) -> int | None:
    """Where the excerpt of a finding lies; None where it is masked, or the finding is about the turn as a whole."""
    at = text.find(excerpt) if excerpt else -1
    if at < 0:
        head = excerpt.partition("…")[0]
        at = text.find(head) if len(head) > 2 else -1
        return at + len(head) if at >= 0 else None
    return at + (_BEFORE if at and len(excerpt) > _BEFORE else 0)


def _call_rows(message: Message, width: int) -> list[Row]:
    rows: list[Row] = []
    for call in message.tool_calls or ():
        function = call.get("function", {})
        arguments = msgspec.json.encode(function.get("arguments"), enc_hook=str).decode()
        text = without_secrets(f"{function.get('name')}({arguments})")
        rows += [
            ((_GUTTER, ""), ("calls " if not at else "      ", "muted"), (line, ""))
            for at, line in enumerate(wrapped(text, max(8, width - 9)))
        ]
    return rows


def token_rows(view: Mapping[str, Any], ids: bool, width: int) -> list[Row]:
    """A row as the model reads it: brackets and a bar before the line tell what is learned, besides the colour."""
    tokens = view.get("tokens") or []
    most, learned = view.get("max_length", 0), view.get("learned", 0)
    rows: list[Row] = [
        (
            (f" {len(tokens):,} tokens, {learned:,} learned   ", "strong"),
            (f"{_LEARNED[0]}learned{_LEARNED[1]} ▌", "good"),
            ("  ‹special›", "accent"),
            ("  ✂ cut off", "muted"),
            (
                f"   {_fate(str(view.get('fate', '')), most)}",
                "warning" if view.get("fate") != "kept" else "muted",
            ),
        ),
        (),
    ]
    if view.get("problem"):
        rows.append(((f" {view['problem']}", "bad"),))
    texts = _masked([str(token.get("text", "")) for token in tokens])
    whole = list(zip(tokens, texts, strict=True))
    inside = [pair for pair in whole if pair[0].get("inside", True)]
    cut = [pair for pair in whole if not pair[0].get("inside", True)]
    rows += _lines_of_tokens(inside, ids, width)
    if cut:
        rows.append(((f" ✂── beyond data.max_length = {most:,} ──", "warning"),))
        rows += _lines_of_tokens(cut, ids, width, "✂ ")
    return rows


def _lines_of_tokens(pairs: Sequence[tuple[Any, str]], ids: bool, width: int, gutter: str = "") -> list[Row]:
    spans: list[Span] = []
    for learned, run in groupby(pairs, lambda pair: bool(pair[0].get("learned"))):
        style = "muted" if gutter else "good" if learned else ""
        spans += [(_LEARNED[0], style)] if learned else []
        for token, text in run:
            shown = f"‹{text}›" if token.get("special") else text
            spans.append(
                (shown.replace("\n", "⏎\n"), "accent" if token.get("special") and not gutter else style)
            )
            spans += [(f"·{token.get('id')} ", "axis")] if ids else []
        spans += [(_LEARNED[1], style)] if learned else []
    rows: list[Row] = []
    is_learned = False
    for row in wrap_spans(_joined(spans), width - 3):
        text = "".join(part for part, _ in row)
        bar = is_learned or _LEARNED[0] in text
        if _LEARNED[0] in text or _LEARNED[1] in text:
            is_learned = text.rfind(_LEARNED[0]) > text.rfind(_LEARNED[1])
        rows.append(((gutter or ("▌ " if bar else "  "), "good" if bar and not gutter else "muted"), *row))
    return rows


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one style as one, so that words are not broken between tokens."""
    runs = groupby(spans, lambda span: span[1])
    return [("".join(text for text, _ in run), style) for style, run in runs]


def _masked(texts: Sequence[str]) -> list[str]:
    """The texts of tokens with dots in place of the secrets that they make together."""
    whole, at = without_secrets("".join(texts)), 0
    masked = []
    for text in texts:
        masked.append(whole[at : at + len(text)])
        at += len(text)
    return masked


def _fate(fate: str, most: object) -> str:
    return {
        "kept": "trained on whole",
        "cut": f"cut at {most} tokens",
        "dropped": f"left out: longer than {most} tokens",
        "nothing_learned": "left out: no token of it is learned",
        "refused": "refused by the chat template",
    }.get(fate, fate)


def difference_rows(first: OpenedRow, second: OpenedRow, titles: tuple[str, str], width: int) -> list[Row]:
    """Two rows beside each other, or one below the other; what differs stands in brackets."""
    one, two = _whole(first), _whole(second)
    left: list[Span] = []
    right: list[Span] = []
    for span in word_diff(one, two):
        ours, theirs = one[span.first_begin : span.first_end], two[span.second_begin : span.second_end]
        if span.changed:
            left.append((f"[-{ours}-]" if ours else "", "bad"))
            right.append((f"[+{theirs}+]" if theirs else "", "good"))
        else:
            left.append((ours, ""))
            right.append((theirs, ""))
    half = (width - 5) // 2
    if half < _LEAST_HALF:
        return [
            row
            for title, spans in ((titles[0], left), (titles[1], right))
            for row in (
                ((f" ── {title}", "accent"),),
                *(((" ", ""), *line) for line in wrap_spans(spans, width - 2)),
                (),
            )
        ]
    lines, others = wrap_spans(left, half), wrap_spans(right, half)
    rows: list[Row] = [
        ((" ", ""), *_filled(((titles[0], "accent"),), half), (" │ ", "axis"), (titles[1], "accent"))
    ]
    for place in range(max(len(lines), len(others))):
        line = lines[place] if place < len(lines) else ()
        other = others[place] if place < len(others) else ()
        rows.append(((" ", ""), *_filled(line, half), (" │ ", "axis"), *other))
    return rows


def _below(title: str, spans: Sequence[Span], width: int) -> list[Row]:
    lines: list[Row] = [((" ", ""), *line) for line in wrap_spans(spans, width - 2)]
    return [((f" ── {title}", "accent"),), *lines, ()]


def _filled(row: Row, width: int) -> Row:
    return (*row, (" " * max(0, width - sum(cell_len(text) for text, _ in row)), ""))


def _whole(opened: OpenedRow) -> str:
    if isinstance(opened.row, Conversation):
        return without_secrets("\n\n".join(f"{turn.role}:\n{turn.content}" for turn in opened.row.messages))
    return without_secrets(next(opened.texts()))
