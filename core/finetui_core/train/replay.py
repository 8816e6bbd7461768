"""General text that is trained on along with the rows, so that the model forgets less.

It is cut into pieces that are learned whole, as rows of text are, and mixed by the schedule as all rows are: order
and resumption follow from the seed. A text that is shorter than the share asks for is taken again.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from finetui_core.data.conversation import TextDocument
from finetui_core.data.prepare import Prepared
from finetui_core.data.render import Example, render
from finetui_core.data.token_rows import TokenRows
from finetui_core.errors import InputError, Problem
from finetui_core.files import write_atomically
from finetui_core.preflight.duration import REPLAY_LENGTH
from finetui_core.recipe.options import Recipe
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of
from finetui_core.train.evaluation import Processes
from finetui_core.train.forgetting import base_of
from finetui_core.train.own_text import written_by

LARGEST_TEXT = 256 << 20  # bytes
MOST_WRITTEN = 256
"""Pieces that the base writes; more are taken from these again, since writing takes long."""


def with_replay(
    paths: RunPaths,
    recipe: Recipe,
    data: Prepared,
    tokenizer: Any,
    model: Any,
    processes: Processes,
    *,
    begun: bool,
) -> TokenRows:
    """The training rows and, after them, pieces that make up the share `data.replay` of all learned tokens.

    `begun` says that the model has been trained already, so that the base can write no more where all weights are.
    Raises InputError where there is no text.
    """
    length = min(REPLAY_LENGTH, recipe.data.max_length or REPLAY_LENGTH)
    learned = sum(int(data.train[row][1][1:].sum()) for row in range(len(data.train)))
    wanted = learned * recipe.data.replay / (1 - recipe.data.replay)
    count = max(1, round(wanted / (length - 1)))
    if recipe.data.replay_text is not None:
        pieces = _of_file(recipe.data.replay_text, tokenizer, length)
    else:
        pieces = _of_base(paths, recipe, model, tokenizer, processes, min(count, MOST_WRITTEN), length, begun)
    order = np.random.default_rng([recipe.train.seed, len(pieces)]).permutation(len(pieces))
    chosen = [pieces[order[at % len(pieces)]] for at in range(count)]
    return data.train + TokenRows.of(chosen)


def _of_file(path: str, tokenizer: Any, length: int) -> list[Example]:
    try:
        text = content_of(Path(path), LARGEST_TEXT).decode(errors="replace")
    except OSError as error:
        hint = f"Name a file of plain text of at most {LARGEST_TEXT >> 20} MiB in data.replay_text."
        raise InputError(Problem(f"the text cannot be read: {error.strerror}", path, hint)) from error
    whole = render(TextDocument(text, path), tokenizer, "all")
    assert not isinstance(whole, Problem)
    pieces = [
        Example(whole.ids[start : start + length], whole.mask[start : start + length], path)
        for start in range(0, len(whole.ids), length)
    ]
    pieces = [piece for piece in pieces if piece.mask[1:].any()]
    if not pieces:
        raise InputError(
            Problem("there is no text to replay", path, "Name a file of plain text in data.replay_text.")
        )
    return pieces


def _of_base(
    paths: RunPaths,
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    processes: Processes,
    count: int,
    length: int,
    begun: bool,
) -> list[Example]:
    """Written by the first process before training and kept in the run; every process reads the same."""
    if processes.index == 0 and not paths.replay.exists():
        if begun and recipe.train.method == "full":
            what = (
                "the text that the base wrote to be replayed is gone, so the run would not continue exactly"
            )
            raise InputError(Problem(what, str(paths.replay), "Put the file back, or start a new run."))
        device = model.get_input_embeddings().weight.device
        with base_of(model):
            seed = recipe.train.seed + 1  # the meter reads text of the seed itself
            texts = written_by(model, tokenizer, device, texts=count, length=length, seed=seed)
        write_atomically(paths.replay, save({"ids": torch.from_numpy(np.stack(texts))}))
    processes.add(torch.zeros(1))  # wait for it
    texts = []
    with suppress(OSError, SafetensorError, KeyError):
        texts = list(load_file(paths.replay)["ids"].numpy())
    if not texts:
        what = "the text that the base wrote to be replayed cannot be read"
        raise InputError(Problem(what, str(paths.replay), "Start a new run."))
    mask = np.ones(length, dtype=bool)
    mask[0] = False
    return [Example(ids, mask[: len(ids)], "text of the base") for ids in texts]


def file_digest(path: str | None) -> str | None:
    """The sha256 of a file's bytes, or None without one. Raises InputError where it cannot be read."""
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(Problem(f"the text to replay cannot be read: {error.strerror}", path)) from error
