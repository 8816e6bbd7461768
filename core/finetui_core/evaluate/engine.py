"""What a model answers, and how likely it holds the reference: arm by arm, batch by batch, into a file.

Answers are greedy. The reference's likelihood is that of training: after the arm's prompt, to the end of its turn.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from finetui_core.data.reading import context_length, read_with
from finetui_core.data.render import Example
from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.figures import Answer, Decoding, Prompt, TestRow
from finetui_core.evaluate.rendering import Rendered, prompt_renderer, turn_ends
from finetui_core.files import private_folder
from finetui_core.recipe.options import Recipe
from finetui_core.runs.writer import RecordFile
from finetui_core.train.checkpoint import read_adapter
from finetui_core.train.forward import Layout, supervised_tokens
from finetui_core.train.generate import end_tokens
from finetui_core.train.greedy import Generated, greedy_batches
from finetui_core.train.layout import choose_layout, fuse_proven
from finetui_core.train.model import add_adapters, best_device, causal_model, compute_dtype, load_model
from finetui_core.train.row_losses import row_losses
from finetui_core.train.shortage import free_cached, shortage_of

Which = Literal["base", "tuned"]
TOKENS_PER_BATCH = 16_384
"""Of a batch with its longest answers: 2 GiB of cache in a model of 7 billion parameters with grouped queries."""
ROWS_PER_BATCH = {"cpu": 32}
"""A processor gains nothing from more rows, and what is lost by a kill stays small."""
_ROWS_ON_GPU = 128
_TOKENS_PER_PASS = 4_096
_NO_MEMORY = "memory does not suffice for this prompt alone"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and what it is tuned by. `held` has the model in memory: with an adapter it serves as both kinds of
    weights, of full fine-tuning one kind is held at a time."""

    recipe: Recipe
    tokenizer: Any
    context: int | None
    device: torch.device
    dtype: torch.dtype
    checkpoint: Path | None
    held: dict[Which, tuple[Any, Layout]]


def load(
    recipe: Recipe, checkpoint: Path | None, device: torch.device | None = None, first: Which = "base"
) -> Loaded:
    """Load the recipe's model, with the adapter of `checkpoint` where there is one; `device` None is the best one.

    Of full fine-tuning the kind of weights that is asked for `first` is loaded. Take a
    verified checkpoint (`runs.checkpoints.best_or_newest`). Raises InputError where the model cannot be had.
    """
    reading = read_with(recipe)
    device = device or best_device()
    loaded = Loaded(
        recipe=_for_inference(recipe),
        tokenizer=reading.tokenizer,
        context=context_length(reading.config),
        device=device,
        dtype=compute_dtype(recipe.model.dtype, device),
        checkpoint=checkpoint,
        held={},
    )
    _hold(loaded, first if recipe.train.method == "full" else "base")
    return loaded


def _for_inference(recipe: Recipe) -> Recipe:
    """Without what only training has a use for."""
    train = recipe.train.model_copy(update={"gradient_checkpointing": False})
    lora = recipe.lora.model_copy(update={"lora_dropout": 0.0})
    return recipe.model_copy(update={"train": train, "lora": lora})


def _hold(loaded: Loaded, which: Which) -> None:
    """Bring a kind of weights into memory in place of what was there."""
    loaded.held.clear()
    gc.collect()
    free_cached()
    recipe, checkpoint = loaded.recipe, loaded.checkpoint
    is_full = recipe.train.method == "full"
    weights = checkpoint if is_full and which == "tuned" else None
    model = load_model(recipe, loaded.device, loaded.dtype, weights)
    if checkpoint is not None and not is_full:
        model = add_adapters(model, recipe)
        read_adapter(checkpoint, model)
    model.eval()
    with autocast_of(loaded):
        fuse_proven(model)
        chosen = choose_layout(model, packing=True, rows_per_pass=8, tokens_per_pass=_TOKENS_PER_PASS)
    loaded.held[which] = (model, chosen.layout)


def autocast_of(loaded: Loaded) -> Any:
    """The precision that the run's own evaluations have."""
    return (
        nullcontext() if loaded.dtype == torch.float32 else torch.autocast(loaded.device.type, loaded.dtype)
    )


@contextmanager
def weights_of(loaded: Loaded, which: Which) -> Iterator[tuple[Any, Layout]]:
    """The model with the base's or the tuned weights inside the block, and how it is run."""
    if which == "tuned" and loaded.checkpoint is None:
        raise InputError(
            Problem("there is no checkpoint with tuned weights", hint="Compare a run, not a recipe.")
        )
    if loaded.recipe.train.method == "full":
        if which not in loaded.held:
            _hold(loaded, which)
        yield loaded.held[which]
        return
    model, layout = loaded.held["base"]
    has_adapter = loaded.checkpoint is not None
    with model.disable_adapter() if has_adapter and which == "base" else nullcontext():
        yield model, layout


def answer_arm(
    loaded: Loaded,
    which: Which,
    prompts: Sequence[Prompt],
    rows: Sequence[TestRow],
    decoding: Decoding,
    answers_file: Path,
    working: Callable[[int], None],
) -> None:
    """Append an Answer to `answers_file` for each prompt that has none there, batch by batch.

    A kill loses the batch it falls into, and calling again goes on after it. `working` is told how many prompts are
    answered, at first and after each batch. A prompt that cannot be answered has an Answer that says why. Raises
    InputError where the disk refuses the answers.
    """
    row_of = {row.index: row for row in rows}
    done = read_answers(answers_file).keys() & {prompt.index for prompt in prompts}
    left = [prompt for prompt in prompts if prompt.index not in done]
    count = len(prompts) - len(left)
    working(count)
    if not left:
        return
    private_folder(answers_file.parent)
    file = RecordFile(answers_file)
    try:
        for answers in _answers(loaded, which, left, row_of, decoding):
            for answer in answers:
                file.append(answer)
            file.sync()
            count += len(answers)
            working(count)
    finally:
        file.close()
    if file.lost:
        hint = "Free some space and compare again: what is answered is kept."
        raise InputError(Problem("the disk refuses the answers", str(answers_file), hint))


def _answers(
    loaded: Loaded, which: Which, prompts: Sequence[Prompt], row_of: dict[int, TestRow], decoding: Decoding
) -> Iterator[list[Answer]]:
    """The answers to `prompts` as they come: first those that cannot be given, then a batch at a time."""
    render = prompt_renderer(loaded.tokenizer)
    asked: list[Rendered] = []
    refused: list[Answer] = []
    for prompt in prompts:
        rendered = render(prompt, row_of[prompt.index])
        if fault := rendered if isinstance(rendered, str) else _misfit(rendered, loaded.context):
            refused.append(_refusal(row_of[prompt.index], fault))
        elif isinstance(rendered, Rendered):
            asked.append(rendered)
    if refused:
        yield refused
    with weights_of(loaded, which) as (model, layout), autocast_of(loaded):
        batches = greedy_batches(
            model,
            [one.prompt for one in asked],
            [_limit(one, decoding, loaded.context) for one in asked],
            sorted({*end_tokens(causal_model(model), loaded.tokenizer), *turn_ends(asked, loaded.tokenizer)}),
            tokens=TOKENS_PER_BATCH,
            rows=ROWS_PER_BATCH.get(loaded.device.type, _ROWS_ON_GPU),
        )
        for batch in batches:
            together = [asked[number] for number in batch.numbers]
            likelihoods = _likelihoods(model, layout, loaded, together)
            seconds = batch.seconds / len(together)
            yield [
                _answer(row_of[one.index], one, generated, likelihood, seconds, loaded.tokenizer)
                for one, generated, likelihood in zip(together, batch.answers, likelihoods, strict=True)
            ]


def _misfit(rendered: Rendered, context: int | None) -> str:
    """Why the model cannot be asked this, or nothing."""
    tokens = len(rendered.prompt)
    if not tokens:
        return "the chat template makes nothing of this prompt"
    if context is not None and tokens >= context:
        return f"the prompt has {tokens:,} tokens, and the model reads at most {context:,} with the answer"
    return ""


def _limit(rendered: Rendered, decoding: Decoding, context: int | None) -> int:
    room = decoding.max_new_tokens if context is None else context - len(rendered.prompt)
    return min(decoding.max_new_tokens, room)


def _likelihoods(
    model: Any, layout: Layout, loaded: Loaded, rendered: Sequence[Rendered]
) -> list[float | None]:
    """Summed nats of each reference; None where it does not fit, or memory does not suffice for its row alone."""
    fitting = [
        number
        for number, one in enumerate(rendered)
        if one.whole is not None
        and supervised_tokens(one.whole.mask)
        and (loaded.context is None or len(one.whole.ids) <= loaded.context)
    ]
    sums: list[float | None] = [None] * len(rendered)
    wholes = [_whole(rendered[number]) for number in fitting]
    for number, nats in zip(fitting, _row_sums(model, layout, loaded.device, wholes), strict=True):
        sums[number] = nats
    return sums


def _whole(rendered: Rendered) -> tuple[np.ndarray, np.ndarray]:
    assert rendered.whole is not None
    return rendered.whole.ids, rendered.whole.mask


def _row_sums(
    model: Any, layout: Layout, device: torch.device, wholes: list[tuple[np.ndarray, np.ndarray]]
) -> list[float | None]:
    if not wholes:
        return []
    try:
        return [float(one) for one in row_losses(model, wholes, range(len(wholes)), layout, device).sums]
    except (RuntimeError, MemoryError) as error:
        if shortage_of(error) is None:
            raise
    free_cached()
    if len(wholes) == 1:
        return [None]
    middle = len(wholes) // 2
    parts = (wholes[:middle], wholes[middle:])
    return [nats for part in parts for nats in _row_sums(model, layout, device, part)]


def _answer(
    row: TestRow,
    rendered: Rendered,
    generated: Generated | None,
    nll: float | None,
    seconds: float,
    tokenizer: Any,
) -> Answer:
    whole: Example | None = rendered.whole
    text = "" if generated is None else tokenizer.decode(generated.ids, skip_special_tokens=True).strip()
    return Answer(
        index=row.index,
        text=text,
        ended="error" if generated is None else "end" if generated.ended else "length",
        prompt_tokens=len(rendered.prompt),
        new_tokens=0 if generated is None else len(generated.ids),
        seconds=seconds,
        nll=nll,
        reference_tokens=0 if whole is None else supervised_tokens(whole.mask),
        reference_bytes=len(row.reference.encode("utf-8", "replace")),
        error=_NO_MEMORY if generated is None else "",
    )


def _refusal(row: TestRow, fault: str) -> Answer:
    size = len(row.reference.encode("utf-8", "replace"))
    return Answer(row.index, "", "error", 0, 0, 0.0, reference_bytes=size, error=fault)
