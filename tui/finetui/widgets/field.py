"""A line that the user types or pastes."""

from textual.events import Key
from textual.widgets import Input

from finetui.text import safe

MOST_TYPED = 20_000
"""Characters that it holds at most."""


class Field(Input):
    """Textual's input line. What is pasted may be anybody's text: Textual would hand it to the terminal as it is.

    Of a text longer than the line, Textual shows the beginning first, though the cursor stands at the end: of a path,
    the file name would not be seen. And it takes characters at once, but runs the deed of a key only when the key has
    come up to the app: of keys that come together, as over a slow line, a deed would come after the text behind it.
    """

    def validate_value(self, value: str) -> str:
        return safe(value[:MOST_TYPED])

    async def on_key(self, event: Key) -> None:
        if event.is_printable:
            return
        if not self.screen.is_active:  # the key before has left it, and this one is for what is shown now
            return
        bound = self.screen.active_bindings.get(event.key)
        if bound is None or not bound.enabled:
            return
        if await self.app.run_action(bound.binding.action, bound.node):  # else the app asks the next in line
            event.stop().prevent_default()

    def on_resize(self) -> None:
        if self.cursor_at_end:
            self.scroll_to(x=self.virtual_size.width, animate=False, force=True)
