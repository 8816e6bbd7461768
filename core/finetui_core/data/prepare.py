"""From the recipe's data options to the token rows of a run, and a report of what was done to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.conversation import Row
from finetui_core.data.load import Loaded, load
from finetui_core.data.render import Example, renderer
from finetui_core.data.split import row_digest, split
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import DataOptions

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Many rows in flat arrays: `ids` and `mask` [tokens], `offsets` [rows + 1], `sources` [rows]."""

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "TokenRows":
        return cls(
            np.concatenate([np.empty(0, np.int32), *(example.ids for example in examples)]),
            np.concatenate([np.empty(0, np.bool_), *(example.mask for example in examples)]),
            np.cumsum([0, *(len(example.ids) for example in examples)], dtype=np.int64),
            tuple(example.source for example in examples),
        )

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The ids and the mask of one row, as views. Raises IndexError."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = slice(self.offsets[index % len(self)], self.offsets[index % len(self) + 1])
        return self.ids[row], self.mask[row]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per row."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class DataReport:
    """What became of the data: counts of rows, or of tokens where the name says so.

    The format and the sha256 of the val file are None without one.
    """

    format: str
    sha256: str
    val_format: str | None
    val_sha256: str | None
    rows_read: int
    train_rows: int
    val_rows: int
    overlength_dropped: int
    overlength_truncated: int
    without_supervised_tokens: int
    val_rows_also_in_train: int
    max_length: int
    longest_row_tokens: int
    train_tokens: int
    train_supervised_tokens: int
    val_tokens: int
    val_supervised_tokens: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything the training loop reads."""

    train: TokenRows
    val: TokenRows
    report: DataReport


@dataclass(frozen=True, slots=True)
class _Fitted:
    examples: tuple[Example, ...]
    dropped: int
    truncated: int
    unsupervised: int


def prepare(options: DataOptions, tokenizer: Any, max_length: int, seed: int) -> Prepared:
    """Load, check, split, render and measure the rows of a recipe; `max_length` is in tokens.

    The tokenizer has its chat template already (`render.ensure_template`). Nothing is thinned out in silence:
    faulty rows, and by default rows over `max_length`, raise InputError with the first 20 of them and their
    number. So does a set of which no row is left to learn from. Truncation cuts the end off, the end token
    with it.
    """
    loaded = load(options.train, options.format)
    separate = load(options.val) if options.val else None
    _refuse_faulty(options, loaded, separate)
    train_rows, val_rows = (
        (loaded.rows, separate.rows) if separate else split(loaded.rows, options.val_fraction, seed)
    )
    render_row = renderer(tokenizer, options.train_on)
    rendered = _rendered((*train_rows, *val_rows), render_row)
    if options.overlength == "error":
        _refuse_overlength(rendered, max_length)
    train = _fitted(rendered[: len(train_rows)], max_length, options.overlength)
    val = _fitted(rendered[len(train_rows) :], max_length, options.overlength)
    for part, source in ((train, options.train), (val, options.val)):
        if source and not part.examples:
            raise InputError(_nothing_left(part, max_length, source))
    return _prepared(loaded, separate, (train, val), _shared(train_rows, val_rows), max_length)


def _refuse_faulty(options: DataOptions, loaded: Loaded, separate: Loaded | None) -> None:
    problems: list[Problem] = []
    for source, part in ((options.train, loaded), (options.val or "", separate)):
        if part and part.rejected:
            count, total = len(part.rejected), len(part.rejected) + len(part.rows)
            problems += _listed(f"{count:,} of {total:,} rows cannot be used", source, part.rejected)
    if problems:
        raise InputError(problems)


def _listed(summary: str, where: str, problems: Sequence[Problem], hint: str = "") -> list[Problem]:
    """A summary and the first 20 problems."""
    more = f" (the first {_SHOWN} follow)" if len(problems) > _SHOWN else ""
    return [Problem(summary + more, where, hint), *problems[:_SHOWN]]


def _rendered(rows: Sequence[Row], render_row: Callable[[Row], Example | Problem]) -> list[Example]:
    examples: list[Example] = []
    problems: list[Problem] = []
    for row in rows:
        result = render_row(row)
        if isinstance(result, Problem):
            problems.append(result)
        else:
            examples.append(result)
    if problems:
        raise InputError(_listed(f"the chat template cannot show {len(problems):,} rows", "", problems))
    return examples


def _refuse_overlength(examples: Sequence[Example], max_length: int) -> None:
    long = [example for example in examples if len(example.ids) > max_length]
    if not long:
        return
    longest = max(len(example.ids) for example in long)
    problems = [Problem(f"{len(example.ids):,} tokens", example.source) for example in long]
    hint = (
        f"Set data.max_length to {longest} if the model and the memory allow it, "
        'or data.overlength to "drop" or "truncate".'
    )
    summary = (
        f"{len(long):,} of {len(examples):,} rows are longer than data.max_length = {max_length:,} tokens"
    )
    raise InputError(_listed(summary, "", problems, hint))


def _fitted(examples: Sequence[Example], max_length: int, overlength: str) -> _Fitted:
    """Rows no longer than `max_length` and with something to learn. The first token is never a target."""
    kept: list[Example] = []
    dropped = truncated = unsupervised = 0
    for example in examples:
        fitting = example
        if len(example.ids) > max_length:
            if overlength == "drop":
                dropped += 1
                continue
            truncated += 1
            fitting = Example(example.ids[:max_length], example.mask[:max_length], example.source)
        if fitting.mask[1:].any():
            kept.append(fitting)
        else:
            unsupervised += 1
    return _Fitted(tuple(kept), dropped, truncated, unsupervised)


def _nothing_left(fitted: _Fitted, max_length: int, source: str) -> Problem:
    return Problem(
        f"no row is left to learn from: {fitted.dropped:,} dropped and {fitted.truncated:,} truncated "
        f"at {max_length:,} tokens, {fitted.unsupervised:,} without a token to learn",
        source,
        "Raise data.max_length, or check data.train_on and the chat template.",
    )


def _shared(train_rows: Sequence[Row], val_rows: Sequence[Row]) -> int:
    seen = {row_digest(row) for row in train_rows} if val_rows else set()
    return sum(row_digest(row) in seen for row in val_rows)


def _prepared(
    loaded: Loaded, separate: Loaded | None, fitted: tuple[_Fitted, _Fitted], shared: int, max_length: int
) -> Prepared:
    train, val = (TokenRows.of(part.examples) for part in fitted)
    report = DataReport(
        format=loaded.format,
        sha256=loaded.sha256,
        val_format=separate.format if separate else None,
        val_sha256=separate.sha256 if separate else None,
        rows_read=len(loaded.rows) + (len(separate.rows) if separate else 0),
        train_rows=len(train),
        val_rows=len(val),
        overlength_dropped=sum(part.dropped for part in fitted),
        overlength_truncated=sum(part.truncated for part in fitted),
        without_supervised_tokens=sum(part.unsupervised for part in fitted),
        val_rows_also_in_train=shared,
        max_length=max_length,
        longest_row_tokens=int(max(train.lengths.max(initial=0), val.lengths.max(initial=0))),
        train_tokens=len(train.ids),
        train_supervised_tokens=int(train.mask.sum()),
        val_tokens=len(val.ids),
        val_supervised_tokens=int(val.mask.sum()),
    )
    return Prepared(train, val, report)
