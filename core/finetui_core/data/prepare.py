"""From the recipe's data options to the token rows of a run, and a report of what was done to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetui_core.data.check.gate import Errors, error_problems, note_errors, verdict, way_out
from finetui_core.data.check.recipe_rows import recipe_errors
from finetui_core.data.check.rows import row_hits
from finetui_core.data.check.specials import specials_of
from finetui_core.data.conversation import Row
from finetui_core.data.render import Example, renderer
from finetui_core.data.split import row_digest
from finetui_core.data.stages import Fitted, Sets, fitted_rows, read_sets
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

    The format and the sha256 of the val file are None without one. `unusable_rows` cannot be read or shown by
    the template; there are none unless errors are accepted. `verdict` is the data check in a sentence, and
    `errors` the number of rows by rule.
    """

    format: str
    sha256: str
    val_format: str | None
    val_sha256: str | None
    verdict: str
    errors: dict[str, int]
    rows_read: int
    unusable_rows: int
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
class _Side:
    """One side of the split: rows that the template can show, and its reasons to refuse the others."""

    fitted: tuple[Fitted, ...]
    unrenderable: tuple[Problem, ...]

    @property
    def examples(self) -> list[Example]:
        return [one.example for one in self.fitted if one.example is not None]

    @property
    def cut(self) -> int:
        return sum(one.is_cut for one in self.fitted)

    @property
    def dropped(self) -> int:
        return sum(one.is_long and not one.is_cut for one in self.fitted)

    @property
    def taught_nothing(self) -> int:
        return sum(one.teaches_nothing for one in self.fitted)


def prepare(
    options: DataOptions, tokenizer: Any, max_length: int, seed: int, *, accept_errors: bool = False
) -> Prepared:
    """Load, check, split, render and measure the rows of a recipe; `max_length` is in tokens.

    The tokenizer has its chat template already (`render.ensure_template`). Nothing is thinned out in silence:
    faulty rows, rows in which the data check finds an error, and by default rows over `max_length`, raise
    InputError with the first of them and their number. With `accept_errors` rows with errors are trained on,
    and those that cannot be used at all are left out and counted. A set of which no row is left to learn from
    is always refused.
    """
    sets = read_sets(options, seed)
    errors: Errors = {}
    for row in (*sets.train.rows, *sets.val.rows):
        note_errors(errors, row.source, row_hits(row))
    rows = len(sets.train.rows) + len(sets.val.rows)
    files = [source for source in (options.train, options.val) if source]
    if not accept_errors:
        _refuse(_faulty(options, sets) + error_problems(errors, rows, files))
    sides = _sides(options, sets, tokenizer, max_length, errors)
    _refuse(_unfit(options, sides, errors, max_length, accept_errors))
    return _prepared(sets, sides, max_length, errors, accept_errors)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise InputError(problems)


def _faulty(options: DataOptions, sets: Sets) -> list[Problem]:
    problems: list[Problem] = []
    for source, part in ((options.train, sets.loaded), (options.val or "", sets.separate)):
        if part and part.rejected:
            count, total = len(part.rejected), len(part.rejected) + len(part.rows)
            summary = f"{count:,} of {total:,} rows cannot be used"
            problems += _listed(summary, source, part.rejected, way_out([source]))
    return problems


def _listed(summary: str, where: str, problems: Sequence[Problem], hint: str = "") -> list[Problem]:
    """A summary and the first 20 problems."""
    more = f" (the first {_SHOWN} follow)" if len(problems) > _SHOWN else ""
    return [Problem(summary + more, where, hint), *problems[:_SHOWN]]


def _sides(
    options: DataOptions, sets: Sets, tokenizer: Any, max_length: int, errors: Errors
) -> tuple[_Side, _Side]:
    """Both sides rendered and fitted; what the check finds in them is added to `errors`."""
    render_row, specials = renderer(tokenizer, options.train_on), specials_of(tokenizer)
    sides = []
    for part in (sets.train, sets.val):
        fitted: list[Fitted] = []
        unrenderable: list[Problem] = []
        results = fitted_rows(part, render_row, max_length, options.overlength)
        for row, result in zip(part.rows, results, strict=True):
            note_errors(errors, row.source, recipe_errors(row, result, specials))
            if isinstance(result, Problem):
                unrenderable.append(result)
            else:
                fitted.append(result)
        sides.append(_Side(tuple(fitted), tuple(unrenderable)))
    return sides[0], sides[1]


def _unfit(
    options: DataOptions, sides: tuple[_Side, _Side], errors: Errors, max_length: int, accept_errors: bool
) -> list[Problem]:
    """What training refuses once the rows are rendered."""
    files = [source for source in (options.train, options.val) if source]
    unrenderable = [problem for side in sides for problem in side.unrenderable]
    problems: list[Problem] = []
    if unrenderable and not accept_errors:
        summary = f"the chat template cannot show {len(unrenderable):,} rows"
        problems += _listed(summary, "", unrenderable, way_out(files))
    if options.overlength == "error":
        problems += _overlength([one.whole for side in sides for one in side.fitted], max_length)
    if problems:
        return problems
    for side, source in zip(sides, (options.train, options.val), strict=True):
        if source and not side.examples:
            problems.append(_nothing_left(side, max_length, source))
    if problems or accept_errors:
        return problems
    return error_problems(errors, sum(len(side.fitted) for side in sides), files)


def _overlength(examples: Sequence[Example], max_length: int) -> list[Problem]:
    long = [example for example in examples if len(example.ids) > max_length]
    if not long:
        return []
    longest = max(len(example.ids) for example in long)
    problems = [Problem(f"{len(example.ids):,} tokens", example.source) for example in long]
    hint = (
        f"Set data.max_length to {longest} if the model and the memory allow it, "
        'or data.overlength to "drop" or "truncate".'
    )
    summary = (
        f"{len(long):,} of {len(examples):,} rows are longer than data.max_length = {max_length:,} tokens"
    )
    return _listed(summary, "", problems, hint)


def _nothing_left(side: _Side, max_length: int, source: str) -> Problem:
    return Problem(
        f"no row is left to learn from: {side.dropped:,} dropped and {side.cut:,} truncated "
        f"at {max_length:,} tokens, {side.taught_nothing:,} without a token to learn",
        source,
        "Raise data.max_length, or check data.train_on and the chat template.",
    )


def _shared(train_rows: Sequence[Row], val_rows: Sequence[Row]) -> int:
    seen = {row_digest(row) for row in train_rows} if val_rows else set()
    return sum(row_digest(row) in seen for row in val_rows)


def _prepared(
    sets: Sets, sides: tuple[_Side, _Side], max_length: int, errors: Errors, accept_errors: bool
) -> Prepared:
    loaded, separate = sets.loaded, sets.separate
    train, val = (TokenRows.of(side.examples) for side in sides)
    faulty = len(loaded.rejected) + (len(separate.rejected) if separate else 0)
    rows = len(sets.train.rows) + len(sets.val.rows)
    unusable = sum(len(side.unrenderable) for side in sides) + faulty
    report = DataReport(
        format=loaded.format,
        sha256=loaded.sha256,
        val_format=separate.format if separate else None,
        val_sha256=separate.sha256 if separate else None,
        verdict=verdict(errors, rows, accepted=accept_errors, unusable=unusable),
        errors={rule: len(sources) for rule, sources in errors.items()},
        rows_read=rows + faulty,
        unusable_rows=unusable,
        train_rows=len(train),
        val_rows=len(val),
        overlength_dropped=sum(side.dropped for side in sides),
        overlength_truncated=sum(side.cut for side in sides),
        without_supervised_tokens=sum(side.taught_nothing for side in sides),
        val_rows_also_in_train=_shared(sets.train.rows, sets.val.rows),
        max_length=max_length,
        longest_row_tokens=int(max(train.lengths.max(initial=0), val.lengths.max(initial=0))),
        train_tokens=len(train.ids),
        train_supervised_tokens=int(train.mask.sum()),
        val_tokens=len(val.ids),
        val_supervised_tokens=int(val.mask.sum()),
    )
    return Prepared(train, val, report)
