"""A line that the user types or pastes."""

from textual.widgets import Input

from finetui.text import safe

MOST_TYPED = 20_000
"""Characters that it holds at most."""


class Field(Input):
    """Textual's input line. What is pasted may be anybody's text: Textual would hand it to the terminal as it is.

    Of a text longer than the line, Textual shows the beginning first, though the cursor stands at the end: of a path,
    the file name would not be seen.
    """

    def validate_value(self, value: str) -> str:
        return safe(value[:MOST_TYPED])

    def on_resize(self) -> None:
        if self.cursor_at_end:
            self.scroll_to(x=self.virtual_size.width, animate=False, force=True)
