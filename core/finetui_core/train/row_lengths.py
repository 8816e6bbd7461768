"""How long a recipe's rows are in tokens, where its model's tokenizer and its data are on this machine."""

import itertools
import statistics
from pathlib import Path
from typing import Any

from finetui_core.data.formats import CONVERTERS, sniff
from finetui_core.data.prepare import prepare
from finetui_core.data.readers import HUB_PREFIX, read_rows
from finetui_core.data.reading import read_with
from finetui_core.data.render import renderer
from finetui_core.data.stages import fit
from finetui_core.data.token_rows import TokenRows
from finetui_core.errors import InputError, Problem
from finetui_core.preflight.figures import RowLengths, Workload
from finetui_core.preflight.trace_words import RowsOf
from finetui_core.preflight.workload import evaluation_tokens, packed, workload
from finetui_core.recipe.defaults import evaluation_rows, packed_tokens, total_steps
from finetui_core.recipe.options import Recipe
from finetui_core.train.batches import Schedule, packed_passes, padded_passes, shares
from finetui_core.train.evaluation import fixed_subset
from finetui_core.train.forward import supervised_tokens
from finetui_core.train.traced import Documents, longest_documents

READ_WHOLE = 4_000_000  # bytes of a file of which every row is counted; it takes some seconds
SAMPLED_ROWS = 2_000
_PASSES_LOOKED_AT = 200_000  # rows laid out to find the longest pass


def measured(rows_of: RowsOf, guess: Workload) -> tuple[Workload, Documents | None, str]:
    """The workload of the real rows, their longest passes where all were read, and why if it is still a guess."""
    recipe = rows_of.recipe
    try:
        lengths, train, val = _read(recipe, rows_of.facts.rows)
    except InputError as error:
        return guess, None, f"the rows are not read: {error.problems[0].what}"
    work = workload(recipe, rows_of.facts, guess.shape, guess.device_kind, lengths)
    if train is None or val is None:
        return work, None, ""
    return _with_longest(work, train, val)


def _read(recipe: Recipe, known_rows: int | None) -> tuple[RowLengths, TokenRows | None, TokenRows | None]:
    source = recipe.data.train
    if source.startswith(HUB_PREFIX) or not Path(source).is_file():
        raise InputError(Problem("the training data is not a file on this machine", source))
    reading = read_with(recipe)
    if Path(source).stat().st_size > READ_WHOLE:
        return _sampled(recipe, reading.tokenizer, reading.max_length, known_rows), None, None
    data = recipe.data
    if (
        data.overlength == "error"
    ):  # such rows end the run before it begins; here they count as long as allowed
        data = data.model_copy(update={"overlength": "truncate"})
    prepared = prepare(data, reading.tokenizer, reading.max_length, recipe.train.seed, accept_errors=True)
    train = prepared.train
    tokens = max(1, train.tokens)
    return (
        RowLengths(
            rows=len(train),
            mean=tokens / max(1, len(train)),
            longest=int(train.lengths.max(initial=0)),
            supervised_share=prepared.report.train_supervised_tokens / tokens,
            exact=True,
            val_rows=len(prepared.val),
            deviation=float(train.lengths.std()) if len(train) else None,
        ),
        train,
        prepared.val,
    )


def _sampled(recipe: Recipe, tokenizer: Any, max_length: int, known_rows: int | None) -> RowLengths:
    """Lengths from rows all over the first part of a large file."""
    source, options = recipe.data.train, recipe.data
    read = itertools.islice(read_rows(source), 10 * SAMPLED_ROWS)
    raw = [row for row in read if not isinstance(row, Problem)]
    if not raw:
        raise InputError(Problem("no row of it can be read", source))
    layout = sniff([row.value for row in raw[:100]], source) if options.format == "auto" else options.format
    render = renderer(tokenizer, options.train_on)
    cut = "drop" if options.overlength == "drop" else "truncate"
    examples = []
    for row in raw[:: max(1, len(raw) // SAMPLED_ROWS)]:
        converted = CONVERTERS[layout](row.value, f"{source}:{row.number}")
        rendered = converted if isinstance(converted, Problem) else render(converted)
        if not isinstance(rendered, Problem):
            fitted = fit(rendered, max_length, cut).example
            examples += [fitted] if fitted is not None else []
    if not examples:
        raise InputError(Problem("no row of it can be learned from", source))
    tokens = sum(len(one.ids) for one in examples)
    rows = known_rows or len(raw)
    share = options.val_fraction if options.val is None else 0.0
    return RowLengths(
        rows=rows,
        mean=tokens / len(examples),
        longest=max_length,  # a longer row than those that were looked at may come
        supervised_share=sum(int(one.mask.sum()) for one in examples) / tokens,
        exact=False,
        val_rows=round(rows * share / (1 - share)) if options.val is None else rows,
        deviation=statistics.pstdev(len(one.ids) for one in examples),
    )


def _with_longest(work: Workload, train: TokenRows, val: TokenRows) -> tuple[Workload, Documents | None, str]:
    if not len(train):
        return work, None, ""
    recipe = work.recipe
    processes = recipe.launch.world_size
    batch = recipe.train.per_device_train_batch_size * recipe.train.gradient_accumulation_steps * processes
    steps = total_steps(len(train), batch, recipe.train.num_train_epochs or 1, recipe.train.max_steps)
    schedule = Schedule(len(train), batch, recipe.train.seed, steps)
    longest: list[int] = []
    most = (-1, -1)
    for step in range(1, min(steps, max(1, _PASSES_LOOKED_AT // batch)) + 1):
        numbers = schedule.rows_of_step(step)
        lengths = {number: len(train[number][0]) for number in numbers}
        for share in shares(numbers, lengths, processes):
            for one in _passes(work, share, lengths, recipe.train.per_device_train_batch_size):
                cost = _cost(work, train, one)
                if cost > most:
                    most, longest = cost, one
    chosen = fixed_subset(len(val), recipe.eval.max_rows, recipe.train.seed)
    val_lengths = {number: len(val[number][0]) for number in chosen}
    passes = _passes(work, chosen, val_lengths, evaluation_rows(recipe))
    evaluated = max(passes, key=lambda one: _cost(work, val, one), default=[])
    guessed = longest_documents(work)
    if recipe.eval.forgetting_probe and evaluation_tokens(work) > sum(val_lengths[one] for one in evaluated):
        val_documents, val_supervised = guessed.evaluate, guessed.evaluate_supervised
    else:
        val_documents, val_supervised = _documents(val, evaluated)
    documents, supervised = _documents(train, longest)
    tokens = sum(documents) if packed(work) else len(documents) * max(documents)
    exact = Workload(
        work.recipe, work.shape, work.device_kind, tokens, work.longest_row, supervised, work.lengths
    )
    return exact, Documents(documents, supervised, val_documents, val_supervised), ""


def _passes(work: Workload, numbers: list[int], lengths: dict[int, int], batch: int) -> list[list[int]]:
    """The forward passes over `numbers`, each of at most `batch` rows, or of as many tokens as those may have."""
    if packed(work):
        longest = work.recipe.data.max_length or work.longest_row
        return packed_passes(numbers, lengths, packed_tokens(batch, longest, work.device_kind))
    return padded_passes(numbers, lengths, batch)


def _cost(work: Workload, rows: TokenRows, numbers: list[int]) -> tuple[int, int]:
    """Tokens of a pass, padding with them, and how many carry loss."""
    lengths = [len(rows[number][0]) for number in numbers]
    tokens = sum(lengths) if packed(work) else len(lengths) * max(lengths)
    return tokens, sum(supervised_tokens(rows[number][1]) for number in numbers)


def _documents(rows: TokenRows, numbers: list[int]) -> tuple[tuple[int, ...], int]:
    return (
        tuple(len(rows[number][0]) for number in numbers),
        sum(supervised_tokens(rows[number][1]) for number in numbers),
    )
