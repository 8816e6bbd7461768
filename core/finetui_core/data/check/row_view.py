"""One row as the model reads it: its tokens, each with its text and whether it is learned."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from finetui_core.data.check.findings import Hit
from finetui_core.data.check.recipe_rows import recipe_hits
from finetui_core.data.check.rows import row_hits
from finetui_core.data.check.specials import specials_of
from finetui_core.data.conversation import Row
from finetui_core.data.render import piece_renderer
from finetui_core.data.stages import fit
from finetui_core.errors import Problem
from finetui_core.recipe.options import DataOptions

Fate = Literal["kept", "cut", "dropped", "nothing_learned", "refused"]


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token. `text` is raw, and "" for one that ends inside the character of the token before it.

    `learned` is the mask before any cut; what is not `inside` data.max_length is cut off or left out.
    """

    id: int
    text: str
    special: bool = False
    learned: bool = False
    inside: bool = True


class RowView(msgspec.Struct, frozen=True):
    """A row under a recipe. `learned` counts the tokens that are learned once it is cut.

    A row whose `fate` is "refused" has no tokens; `problem` says why.
    """

    source: str
    fate: Fate
    length: int
    learned: int
    max_length: int
    tokens: tuple[Token, ...] = ()
    hits: tuple[Hit, ...] = ()
    problem: str = ""


def row_view(row: Row, tokenizer: Any, options: DataOptions, max_length: int) -> RowView:
    """See `row_viewer`, which is faster for many rows."""
    return row_viewer(tokenizer, options, max_length)(row)


def row_viewer(tokenizer: Any, options: DataOptions, max_length: int) -> Callable[[Row], RowView]:
    """The function that shows a row by the code that training renders and fits it with.

    Raises InputError for a slow tokenizer.
    """
    render_pieces, specials = piece_renderer(tokenizer, options.train_on), specials_of(tokenizer)

    def view(row: Row) -> RowView:
        rendered = render_pieces(row)
        if isinstance(rendered, Problem):
            hits = (*row_hits(row), *recipe_hits(row, rendered, specials))
            return RowView(row.source, "refused", 0, 0, max_length, (), hits, rendered.what)
        whole, pieces = rendered
        fitted = fit(whole, max_length, options.overlength)
        tokens = tuple(
            Token(token, text, token in specials.ids, learned, place < max_length)
            for place, (token, text, learned) in enumerate(
                zip(whole.ids.tolist(), pieces(), whole.mask.tolist(), strict=True)
            )
        )
        if fitted.teaches_nothing:
            fate: Fate = "nothing_learned"
        elif fitted.example is None:
            fate = "dropped"
        else:
            fate = "cut" if fitted.is_cut else "kept"
        return RowView(
            row.source,
            fate,
            len(tokens),
            int(fitted.example.mask.sum()) if fitted.example is not None else 0,
            max_length,
            tokens,
            (*row_hits(row), *recipe_hits(row, fitted, specials)),
        )

    return view
