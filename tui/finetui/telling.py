"""Showing what a command said, once nobody is typing: the screen that shows it takes the keys."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.widgets import Input

from finetui.launching import BAD_INPUT
from finetui.widgets.text_editor import TextEditor

if TYPE_CHECKING:
    from finetui.app import Studio

_BUSY_SECONDS = 0.5


def tell(
    studio: "Studio", title: str, text: str, *, style: str = "bad", then: Callable[[], None] | None = None
) -> None:
    """Show all of `text`, once no dialog and no text field would lose keys to it; `then` follows."""
    from finetui.screens.told import Told

    if is_typed_in(studio):
        studio.set_timer(_BUSY_SECONDS, partial(tell, studio, title, text, style=style, then=then))
        return
    studio.push_screen(Told(title, text, style=style), lambda _: then() if then is not None else None)


def with_code(title: str, code: int) -> str:
    """The title of what failed; an exit code other than that of bad input is told, since the text may be short."""
    return title if code == BAD_INPUT else f"{title} (exit code {code})"


def is_typed_in(studio: "Studio") -> bool:
    """Whether the keys go to a dialog or a text field."""
    return studio.screen.is_modal or isinstance(studio.focused, Input | TextEditor)
