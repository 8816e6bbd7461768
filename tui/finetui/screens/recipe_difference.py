"""What differs between the recipe and its defaults, a preset or a run."""

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container

from finetui.recipe_compared import DEFAULTS, DIFFERENCE_COLUMNS, difference_records, differences, sources
from finetui.recipe_seen import Seen
from finetui.widgets.table import Table
from finetui_core.recipe.edit import set_value, unset


class DifferencePanel(Container):
    """One list, beside `against`."""

    def __init__(self, root: Path) -> None:
        super().__init__(id="difference")
        self._root = root
        self._sources: list[str] = []
        self._seen: Seen | None = None
        self.against = DEFAULTS

    def compose(self) -> ComposeResult:
        yield Table(DIFFERENCE_COLUMNS, id="differences", beside=True)

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def compare(self, against: str) -> None:
        """Compare with another one. Raises InputError where the folder of runs cannot be read."""
        self._sources = sources(self._root)
        self.against = against if against in self._sources else DEFAULTS

    def turn(self, direction: int) -> None:
        """Compare with the next one, or the one before."""
        if self._sources:
            place = self._sources.index(self.against) + direction
            self.against = self._sources[place % len(self._sources)]

    def show(self, seen: Seen | None) -> None:
        self._seen = seen
        if seen is not None and seen.checked is not None and self.display:
            self.table.show(difference_records(seen, self.against, self._root))

    def taken(self, text: str) -> str:
        """The recipe with the other side's value of the option under the cursor; left out there, it is taken out.

        Raises InputError where the other side cannot be read any more.
        """
        if self._seen is None or self._seen.checked is None:
            return text
        for one in differences(self._seen, self.against, self._root):
            if one.option == self.table.chosen:
                table, _, name = one.option.partition(".")
                return unset(text, table, name) if one.b is None else set_value(text, table, name, one.b)
        return text
