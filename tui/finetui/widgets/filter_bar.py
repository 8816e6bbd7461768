"""The line in which a filter is typed, over any list."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from finetui.actions import bindings
from finetui.widgets.field import Field
from finetui.widgets.lines import Lines

EXAMPLES = 'words  state:running  tag:x  loss<0.5  age<2d  -word  "two words"'


class FilterBar(Horizontal):
    """Sends each change as it is typed; the list says with `fault` what it cannot understand."""

    BINDINGS = bindings("filter")

    class Changed(Message):
        """The text is another one."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The keys are for the list again; `text` is the filter that stays."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, examples: str = EXAMPLES, text: str = "") -> None:
        super().__init__()
        self._examples, self._text = examples, text

    def compose(self) -> ComposeResult:
        yield Lines((((" filter ", "strong"),),))
        yield Field(self._text, placeholder=self._examples, compact=True, select_on_focus=False)
        yield Lines(id="fault")

    def on_mount(self) -> None:
        self.edit()

    def edit(self) -> None:
        """Take the keys."""
        self.query_one(Input).focus()

    def fault(self, said: str) -> None:
        """Say what is wrong with the filter; "" where nothing is."""
        self.query_one("#fault", Lines).show([((f" {said}", "warning"),)])
        self.set_class(bool(said), "-faulty")

    def action_keep(self) -> None:
        self.post_message(self.Left(self.query_one(Input).value))

    def action_clear(self) -> None:
        with self.prevent(Input.Changed):
            self.query_one(Input).value = ""
        self.post_message(self.Changed(""))
        self.post_message(self.Left(""))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()
