"""The stages that a row goes through before it is trained on.

Training (`prepare`) and the data check (`check.recipe`) both call these, so that what the check says is what the
trainer sees.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from finetui_core.data.conversation import Row
from finetui_core.data.load import Loaded, load
from finetui_core.data.render import Example
from finetui_core.data.split import kept_for_validation
from finetui_core.errors import Problem
from finetui_core.recipe.options import DataOptions


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one side. `file` is 0 for data.train, 1 for data.val; `numbers` are places in that file."""

    rows: tuple[Row, ...]
    numbers: tuple[int, ...]
    file: int


@dataclass(frozen=True, slots=True)
class Sets:
    """What was read, and how it is divided; `separate` is data.val, None where rows of data.train are kept."""

    loaded: Loaded
    separate: Loaded | None
    train: Part
    val: Part


def read_sets(options: DataOptions, seed: int) -> Sets:
    """Load and split the rows of a recipe. Raises InputError for files that cannot be used at all."""
    loaded = load(options.train, options.format)
    if options.val:
        separate = load(options.val)
        return Sets(
            loaded,
            separate,
            Part(loaded.rows, loaded.numbers, 0),
            Part(separate.rows, separate.numbers, 1),
        )
    chosen = kept_for_validation(loaded.rows, options.val_fraction, seed)
    indices = range(len(loaded.rows))
    return Sets(
        loaded,
        None,
        _part(loaded, [index for index in indices if index not in chosen]),
        _part(loaded, sorted(chosen)),
    )


def _part(loaded: Loaded, indices: list[int]) -> Part:
    rows, numbers = loaded.rows, loaded.numbers
    return Part(tuple(rows[index] for index in indices), tuple(numbers[index] for index in indices), 0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What becomes of a rendered row. `example` is what is trained on, None where the row is left out.

    A row that `is_long` has more tokens than data.max_length; unless it is cut it is left out.
    """

    whole: Example
    example: Example | None
    is_long: bool
    is_cut: bool
    max_length: int

    @property
    def teaches_nothing(self) -> bool:
        """Whether the row is left out because no token of it is learned."""
        return self.example is None and (self.is_cut or not self.is_long)


def fit(whole: Example, max_length: int, overlength: str) -> Fitted:
    """Cut, drop or keep a row; one without a token to learn is left out. The first token is never a target.

    Truncation cuts the end off, the end token with it.
    """
    is_long = len(whole.ids) > max_length
    is_cut = is_long and overlength == "truncate"
    if is_long and not is_cut:
        return Fitted(whole, None, is_long, is_cut, max_length)
    example = Example(whole.ids[:max_length], whole.mask[:max_length], whole.source) if is_cut else whole
    return Fitted(whole, example if example.mask[1:].any() else None, is_long, is_cut, max_length)


def fitted_rows(
    part: Part, render_row: Callable[[Row], Example | Problem], max_length: int, overlength: str
) -> Iterator[Fitted | Problem]:
    """Each row of a part in order, rendered and fitted, or the template's reason to refuse it."""
    for row in part.rows:
        whole = render_row(row)
        yield whole if isinstance(whole, Problem) else fit(whole, max_length, overlength)
