"""From the recipe's data options to the token rows of a run, and a report of what was done to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from finetui_core.data.check.gate import Errors, error_problems, verdict, way_out
from finetui_core.data.file_rows import SHOWN, FileRows, Fitting, Note, tokenize
from finetui_core.data.rows_cache import Kept, kept_or_made, key_of
from finetui_core.data.split import kept_apart
from finetui_core.data.token_rows import Ints, TokenRows
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import DataOptions


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
    """Everything the training loop reads. `how` says of each file how its rows were had; see `rows_cache.Kept`."""

    train: TokenRows
    val: TokenRows
    report: DataReport
    how: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the split: the places of its `rows` among those of `file`."""

    file: FileRows
    rows: Ints
    max_length: int
    cuts: bool

    @property
    def wholes(self) -> Ints:
        """Tokens before any cut, of the rows that the template can show."""
        wholes = self.file.wholes[self.rows]
        return wholes[wholes >= 0]

    @property
    def kept(self) -> int:
        return int((self.file.lengths[self.rows] > 0).sum())

    @property
    def long(self) -> Ints:
        """The rows over `max_length`."""
        return self.rows[self.file.wholes[self.rows] > self.max_length]

    @property
    def cut(self) -> int:
        return len(self.long) if self.cuts else 0

    @property
    def dropped(self) -> int:
        return 0 if self.cuts else len(self.long)

    @property
    def taught_nothing(self) -> int:
        return len(self.wholes) - self.kept - self.dropped

    @property
    def refused(self) -> list[Problem]:
        """Why the template cannot show the others."""
        here = frozenset(self.rows[self.file.wholes[self.rows] < 0].tolist())
        return [problem for row, problem in self.file.found.refused if row in here]

    def note(self, errors: Errors, notes: Sequence[Note]) -> None:
        """Add those of this side to the errors."""
        if notes:
            here = frozenset(self.rows.tolist())
            for row, rule in notes:
                if row in here:
                    errors.setdefault(rule, []).append(self.file.where(row))

    @property
    def learned(self) -> int:
        """Tokens."""
        return int(self.file.learned[self.rows].sum())


def prepare(
    options: DataOptions,
    tokenizer: Any,
    max_length: int,
    seed: int,
    *,
    accept_errors: bool = False,
    reading: str | None = None,
) -> Prepared:
    """Load, check, split, render and measure the rows of a recipe; `max_length` is in tokens.

    The tokenizer has its chat template already (`render.ensure_template`). Nothing is thinned out in silence:
    faulty rows, rows in which the data check finds an error, and by default rows over `max_length`, raise
    InputError with the first of them and their number. With `accept_errors` rows with errors are trained on,
    and those that cannot be used at all are left out and counted. A set of which no row is left to learn from
    is always refused. `reading` is `Reading.key`: with it, rows that were tokenised before are not tokenised again.
    """
    kept = rows_of_files(options, tokenizer, max_length, accept_errors=accept_errors, reading=reading)
    sides = _divided([one.rows for one in kept], options, seed, max_length)
    errors: Errors = {}
    for side in sides:
        side.note(errors, side.file.found.row_errors)
    rows = sum(len(side.rows) for side in sides)
    sources = [one.rows.source for one in kept]
    if not accept_errors:
        _refuse(_faulty([one.rows for one in kept]) + error_problems(errors, rows, sources))
    for side in sides:
        side.note(errors, side.file.found.recipe_errors)
    _refuse(_unfit(options, sides, errors, max_length, accept_errors))
    return _prepared(kept, sides, max_length, errors, accept_errors)


def rows_of_files(
    options: DataOptions, tokenizer: Any, max_length: int, *, accept_errors: bool, reading: str | None
) -> list[Kept]:
    """The tokenised rows of data.train and, where there is one, of data.val; see `prepare`."""
    fitting = Fitting(options.train_on, max_length, options.overlength)
    files = [(options.train, options.format), *([(options.val, "auto")] if options.val else [])]
    kept = []
    for source, format in files:
        key = None if reading is None else key_of(reading, source, format, fitting)
        make = partial(tokenize, source, format, tokenizer, fitting, until_error=not accept_errors)
        kept.append(kept_or_made(key, source, make))
    return kept


def _divided(
    files: Sequence[FileRows], options: DataOptions, seed: int, max_length: int
) -> tuple[_Side, _Side]:
    side: Callable[[FileRows, Ints], _Side] = partial(
        _Side, max_length=max_length, cuts=options.overlength == "truncate"
    )
    if len(files) == 2:
        train, val = files
        return side(train, np.arange(len(train))), side(val, np.arange(len(val)))
    apart = kept_apart(files[0].prompts, options.val_fraction, seed)
    return side(files[0], np.flatnonzero(~apart)), side(files[0], np.flatnonzero(apart))


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise InputError(problems)


def _faulty(files: Sequence[FileRows]) -> list[Problem]:
    problems: list[Problem] = []
    for file in files:
        if count := file.found.rejected_rows:
            summary = f"{count:,} of {count + len(file):,} rows cannot be used"
            problems += _listed(count, summary, file.source, file.found.rejected, way_out([file.source]))
    return problems


def _listed(
    count: int, summary: str, where: str, problems: Sequence[Problem], hint: str = ""
) -> list[Problem]:
    """A summary and the first 20 of so many problems."""
    more = f" (the first {SHOWN} follow)" if count > SHOWN else ""
    return [Problem(summary + more, where, hint), *problems[:SHOWN]]


def _unfit(
    options: DataOptions, sides: tuple[_Side, _Side], errors: Errors, max_length: int, accept_errors: bool
) -> list[Problem]:
    """What training refuses once the rows are rendered."""
    files = [source for source in (options.train, options.val) if source]
    unrenderable = [problem for side in sides for problem in side.refused]
    problems: list[Problem] = []
    if unrenderable and not accept_errors:
        summary = f"the chat template cannot show {len(unrenderable):,} rows"
        problems += _listed(len(unrenderable), summary, "", unrenderable, way_out(files))
    if options.overlength == "error":
        problems += _overlength(sides, max_length)
    if problems:
        return problems
    for side, source in zip(sides, (options.train, options.val), strict=True):
        if source and not side.kept:
            problems.append(_nothing_left(side, max_length, source))
    if problems or accept_errors:
        return problems
    return error_problems(errors, sum(len(side.wholes) for side in sides), files)


def _overlength(sides: Sequence[_Side], max_length: int) -> list[Problem]:
    count = sum(len(side.long) for side in sides)
    if not count:
        return []
    longest = max(int(side.wholes.max(initial=0)) for side in sides)
    problems = [
        Problem(f"{side.file.wholes[row]:,} tokens", side.file.where(row))
        for side in sides
        for row in side.long[:SHOWN].tolist()
    ]
    hint = (
        f"Set data.max_length to {longest} if the model and the memory allow it, "
        'or data.overlength to "drop" or "truncate".'
    )
    rows = sum(len(side.wholes) for side in sides)
    summary = f"{count:,} of {rows:,} rows are longer than data.max_length = {max_length:,} tokens"
    return _listed(count, summary, "", problems, hint)


def _nothing_left(side: _Side, max_length: int, source: str) -> Problem:
    return Problem(
        f"no row is left to learn from: {side.dropped:,} dropped and {side.cut:,} truncated "
        f"at {max_length:,} tokens, {side.taught_nothing:,} without a token to learn",
        source,
        "Raise data.max_length, or check data.train_on and the chat template.",
    )


def _shared(train: _Side, val: _Side) -> int:
    """Rows of the validation side whose like is trained on."""
    asked = [bytes(digest) for digest in val.file.digests[val.rows]]
    wanted = frozenset(asked)
    seen = {content for digest in train.file.digests[train.rows] if (content := bytes(digest)) in wanted}
    return sum(content in seen for content in asked)


def _prepared(
    kept: Sequence[Kept], sides: tuple[_Side, _Side], max_length: int, errors: Errors, accept_errors: bool
) -> Prepared:
    files = [one.rows.found for one in kept]
    train, val = (side.file.token_rows(side.rows) for side in sides)
    faulty = sum(found.rejected_rows for found in files)
    rows = sum(len(side.rows) for side in sides)
    unusable = sum(len(side.refused) for side in sides) + faulty
    report = DataReport(
        format=files[0].layout,
        sha256=files[0].sha256,
        val_format=files[1].layout if len(files) == 2 else None,
        val_sha256=files[1].sha256 if len(files) == 2 else None,
        verdict=verdict(errors, rows, accepted=accept_errors, unusable=unusable),
        errors={rule: len(sources) for rule, sources in errors.items()},
        rows_read=rows + faulty,
        unusable_rows=unusable,
        train_rows=len(train),
        val_rows=len(val),
        overlength_dropped=sum(side.dropped for side in sides),
        overlength_truncated=sum(side.cut for side in sides),
        without_supervised_tokens=sum(side.taught_nothing for side in sides),
        val_rows_also_in_train=_shared(*sides) if len(sides[1].rows) else 0,
        max_length=max_length,
        longest_row_tokens=int(max(train.lengths.max(initial=0), val.lengths.max(initial=0))),
        train_tokens=train.tokens,
        train_supervised_tokens=sides[0].learned,
        val_tokens=val.tokens,
        val_supervised_tokens=sides[1].learned,
    )
    return Prepared(train, val, report, tuple(one.how for one in kept))
