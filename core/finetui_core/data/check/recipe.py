"""What becomes of every row under a recipe, by the stages that training goes through, before anything is loaded."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from finetui_core.data.check.catalogue import RULES, SEVERITIES, Severity
from finetui_core.data.check.findings import Example, Found, Hit
from finetui_core.data.check.layout import Layouts, layouts
from finetui_core.data.check.recipe_rows import recipe_hits
from finetui_core.data.check.specials import Specials, ends_learned, specials_of
from finetui_core.data.conversation import Row
from finetui_core.data.reading import Reading
from finetui_core.data.render import renderer
from finetui_core.data.stages import Fitted, fitted_rows, read_sets
from finetui_core.errors import Problem
from finetui_core.recipe.defaults import default_epochs
from finetui_core.recipe.options import Recipe
from finetui_core.wording import count, percent

_EXAMPLES = 50
_TOLD_EVERY = 100  # rows


class Lengths(msgspec.Struct, frozen=True):
    """How long the rows are in tokens, as rendered and before any is cut."""

    shortest: int = 0
    median: int = 0
    p90: int = 0
    p95: int = 0
    p99: int = 0
    longest: int = 0


class RecipeSection(msgspec.Struct, frozen=True):
    """The data check under a recipe. Counts are of rows, or of tokens where the name says so.

    The names that `prepare.DataReport` has too mean the same there. `rows` of `of` were looked at: fewer
    where the check was cancelled, and then not `is_complete`. Tokens are those of one epoch.
    """

    is_complete: bool
    chat_template: str
    train_on: str
    max_length: int
    overlength: Literal["error", "drop", "truncate"]
    packing: bool
    epochs: int
    rows: int
    of: int
    train_rows: int
    val_rows: int
    template_errors: int
    overlength_dropped: int
    overlength_truncated: int
    without_supervised_tokens: int
    answer_tokens_cut: int
    rows_whose_end_is_learned: int
    longest_row_tokens: int
    train_tokens: int
    train_supervised_tokens: int
    val_tokens: int
    val_supervised_tokens: int
    lengths: Lengths
    layouts: Layouts
    found: tuple[Found, ...]
    sentence: str

    @property
    def supervised_share(self) -> float:
        return self.train_supervised_tokens / self.train_tokens if self.train_tokens else 0.0


def recipe_section(
    recipe: Recipe,
    reading: Reading,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RecipeSection:
    """Render and fit every row as training does, and count what becomes of it.

    `progress` is told rows done and rows in all; once `cancelled` is true the rows so far are reported. Rows
    that cannot be read are for the check of the file to name. Raises InputError where a file or the tokenizer
    cannot be used at all.
    """
    options, tokenizer = recipe.data, reading.tokenizer
    sets = read_sets(options, recipe.train.seed)
    render_row, specials = renderer(tokenizer, options.train_on), specials_of(tokenizer)
    of = len(sets.train.rows) + len(sets.val.rows)
    tally = _Tally()
    for part, kept in ((sets.train, tally.train), (sets.val, tally.val)):
        results = fitted_rows(part, render_row, reading.max_length, options.overlength)
        for number, row, result in zip(part.numbers, part.rows, results, strict=True):
            if cancelled():
                break
            if progress is not None and tally.rows % _TOLD_EVERY == 0:
                progress(tally.rows, of)
            tally.rows += 1
            _note_hits(tally, part.file, number, row, recipe_hits(row, result, specials))
            if isinstance(result, Problem):
                tally.template_errors += 1
            else:
                _note_tokens(tally, kept, result, specials)
    if progress is not None:
        progress(tally.rows, of)
    return _section(recipe, reading, tally, of)


@dataclass(slots=True)
class _Kept:
    """The rows of one side that are trained on, or measured with."""

    lengths: list[int] = field(default_factory=list)
    supervised: int = 0  # tokens


@dataclass(slots=True)
class _Tally:
    """The counts so far."""

    rows: int = 0
    template_errors: int = 0
    dropped: int = 0
    cut: int = 0
    teach_nothing: int = 0
    tokens_lost: int = 0
    ends: int = 0
    lengths: list[int] = field(default_factory=list)
    train: _Kept = field(default_factory=_Kept)
    val: _Kept = field(default_factory=_Kept)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)


def _note_hits(tally: _Tally, file: int, number: int, row: Row, hits: Sequence[Hit]) -> None:
    tally.counts.update({hit.rule for hit in hits})
    for hit in hits:
        examples = tally.examples.setdefault(hit.rule, [])
        if len(examples) < _EXAMPLES:
            line = int(row.source.rpartition(":")[2])
            examples.append(Example(file, number, line, hit.path, hit.excerpt))


def _note_tokens(tally: _Tally, kept: _Kept, fitted: Fitted, specials: Specials) -> None:
    whole, example = fitted.whole, fitted.example
    tally.lengths.append(len(whole.ids))
    tally.dropped += fitted.is_long and not fitted.is_cut
    tally.teach_nothing += fitted.teaches_nothing
    if fitted.is_cut:
        tally.cut += 1
        tally.tokens_lost += int(whole.mask[fitted.max_length :].sum())
    if example is not None:
        kept.lengths.append(len(example.ids))
        kept.supervised += int(example.mask.sum())
        tally.ends += ends_learned(example.ids, example.mask, specials)


def _section(recipe: Recipe, reading: Reading, tally: _Tally, of: int) -> RecipeSection:
    options, train, val = recipe.data, tally.train, tally.val
    section = RecipeSection(
        is_complete=tally.rows == of,
        chat_template=reading.template_origin,
        train_on=options.train_on,
        max_length=reading.max_length,
        overlength=options.overlength,
        packing=options.packing,
        epochs=recipe.train.num_train_epochs or default_epochs(len(train.lengths)),
        rows=tally.rows,
        of=of,
        train_rows=len(train.lengths),
        val_rows=len(val.lengths),
        template_errors=tally.template_errors,
        overlength_dropped=tally.dropped,
        overlength_truncated=tally.cut,
        without_supervised_tokens=tally.teach_nothing,
        answer_tokens_cut=tally.tokens_lost,
        rows_whose_end_is_learned=tally.ends,
        longest_row_tokens=max((*train.lengths, *val.lengths), default=0),
        train_tokens=sum(train.lengths),
        train_supervised_tokens=train.supervised,
        val_tokens=sum(val.lengths),
        val_supervised_tokens=val.supervised,
        lengths=_lengths(tally.lengths),
        layouts=layouts(recipe, train.lengths, reading.max_length),
        found=_found(tally, options.overlength, reading.max_length),
        sentence="",
    )
    return msgspec.structs.replace(section, sentence=_sentence(section))


def _found(tally: _Tally, overlength: str, max_length: int) -> tuple[Found, ...]:
    """The gravest first. Rows that are too long are an error where the recipe refuses them."""
    notes = {
        "error": f"over {count(max_length)} tokens: training does not start; raise data.max_length, or set "
        'data.overlength to "drop" or "truncate"',
        "drop": f"over {count(max_length)} tokens: they are left out",
        "truncate": f"cut at {count(max_length)} tokens: {count(tally.tokens_lost)} tokens of answers are lost",
    }
    found = []
    for rule, number in tally.counts.items():
        severity: Severity = RULES[rule].severity
        note = ""
        if rule == "overlength":
            severity, note = ("error" if overlength == "error" else severity), notes[overlength]
        found.append(Found(rule, severity, number, tally.rows, note, tuple(tally.examples[rule])))
    return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), -one.count, one.rule)))


def _lengths(lengths: Sequence[int]) -> Lengths:
    if not lengths:
        return Lengths()
    ordered = sorted(lengths)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Lengths(ordered[0], at(0.5), at(0.9), at(0.95), at(0.99), ordered[-1])


def _sentence(section: RecipeSection) -> str:
    """What a person should know before training with this recipe."""
    used = section.train_rows + section.val_rows
    losses = [
        (section.template_errors, "refused by the chat template"),
        (section.overlength_dropped, "too long"),
        (section.without_supervised_tokens, "without a token to learn"),
    ]
    left_out = ", ".join(f"{count(number)} {words}" for number, words in losses if number)
    parts = [f"{count(used)} of {count(section.rows)} rows can be trained on"]
    parts += [f"({left_out})"] if left_out else []
    sentence = " ".join(parts)
    if section.overlength_truncated:
        sentence += (
            f"; {count(section.overlength_truncated)} are cut, and lose "
            f"{count(section.answer_tokens_cut)} tokens of answers"
        )
    sentence += (
        f"; an epoch has {count(section.train_tokens)} tokens, of which {percent(section.supervised_share)} "
        f"are learned"
    )
    return sentence + ("." if section.is_complete else f" (after {section.rows} of {section.of} rows).")
