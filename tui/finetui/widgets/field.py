"""A line that the user types or pastes."""

from textual.widgets import Input

from finetui.text import safe

MOST_TYPED = 20_000
"""Characters that it holds at most."""


class Field(Input):
    """Textual's input line. What is pasted may be anybody's text: Textual would hand it to the terminal as it is."""

    def validate_value(self, value: str) -> str:
        return safe(value[:MOST_TYPED])
