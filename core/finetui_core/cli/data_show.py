"""`ftui data show FILE ROW`: one row, as it stands, or with a recipe as its model reads it."""

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from finetui_core.cli.say import data, data_json, talk
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.row_view import RowView, Token
from finetui_core.data.check.tokens import rows_of, shown_rows
from finetui_core.data.conversation import Conversation, Row
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.load import load_recipe
from finetui_core.text import visible
from finetui_core.wording import count

LEARNED = ("⟦", "⟧")
_GREEN, _DIM, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"
_FATES = {
    "kept": "trained on whole",
    "cut": "cut at {max_length} tokens",
    "dropped": "left out: longer than {max_length} tokens",
    "nothing_learned": "left out: no token of it is learned",
    "refused": "refused by the chat template",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the file that holds the row")
    parser.add_argument("row", type=int, help="its number, counted from 0")
    parser.add_argument(
        "--recipe", type=Path, help="show it as this recipe's model reads it, with what is learned marked"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    if options.recipe is None:
        _show_plain(options.file, options.row, as_json=options.json)
        return 0
    _, show = shown_rows(load_recipe(options.recipe), options.file)
    view = show(options.row)
    if options.json:
        data_json(msgspec.to_builtins(view))
    else:
        _show_tokens(view, coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    return 0


def _show_plain(file: str, number: int, *, as_json: bool) -> None:
    _, row_at = rows_of(file, "auto")
    row: Row | Problem = row_at(number)
    if isinstance(row, Problem):
        raise InputError(row)
    if as_json:
        data_json(msgspec.to_builtins(row))
    elif isinstance(row, Conversation):
        for message in row.messages:
            data(f"{message.role}:")
            data(message.content)
            for call in message.tool_calls or ():
                data(f"calls {msgspec.json.encode(call['function']).decode()}")
            data("")
    else:
        data(row.text)


def _show_tokens(view: RowView, *, coloured: bool) -> None:
    if view.problem:
        raise InputError(Problem(view.problem, view.source))
    print("".join(_marked(view, coloured)), flush=True)
    fate = _FATES[view.fate].format(max_length=count(view.max_length))
    talk(f"{count(view.length)} tokens, {count(view.learned)} learned ({' '.join(LEARNED)}); {fate}")
    for hit in view.hits:
        talk(f"{RULES[hit.rule].severity}: {RULES[hit.rule].title} {hit.path} {hit.excerpt}".rstrip())


def _marked(view: RowView, coloured: bool) -> Iterator[str]:
    """The text in pieces that are safe to print, with brackets around what is learned."""

    def looks(token: Token) -> tuple[bool, bool]:
        return token.inside, token.learned

    is_cut = False
    for (inside, learned), run in groupby(view.tokens, looks):
        if not inside and not is_cut:
            is_cut = True
            yield f"\n── cut here: data.max_length = {count(view.max_length)} ──\n"
        text = visible("".join(token.text for token in run), keep="\n\t")
        marked = f"{LEARNED[0]}{text}{LEARNED[1]}" if learned else text
        colour = _DIM if not inside else _GREEN if learned else ""
        yield f"{colour}{marked}{_PLAIN}" if coloured and colour else marked
