"""The line into which a question is typed. A line break stands in it as `␊`."""

from textual import events

from finetui.actions import bindings
from finetui.widgets.field import Field

BREAK = "\u240a"


class PromptField(Field):
    """A field whose text may have several lines; its keys are those of the scope `saying`."""

    BINDINGS = bindings("saying")

    def _on_paste(self, event: events.Paste) -> None:
        """All that is pasted, where Textual takes its first line alone."""
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(event.text.rstrip("\r\n").replace("\r\n", "\n").replace("\r", "\n"))

    def action_new_line(self) -> None:
        self.insert_text_at_cursor("\n")

    def taken(self) -> str:
        """The text with its line breaks; the field is empty then."""
        text, self.value = self.value.replace(BREAK, "\n").strip(), ""
        return text
