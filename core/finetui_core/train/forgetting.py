"""How far the model has moved from its base on text that it is not trained on: loss and divergence of each document.

What the base expects is found once, before training or with the adapter switched off, and kept: for each judged
token the base's most likely `TOP` tokens and all others taken together. The divergence over these outcomes is a lower
bound of that over the vocabulary, zero for an untouched model, and needs 520 bytes a token instead of 512 KB at a
vocabulary of 128,000.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from finetui_core.files import private_folder, write_atomically
from finetui_core.train.evaluation import Documents, groups_of, inference
from finetui_core.train.forward import (
    Layout,
    before_head,
    packed_pass,
    padded_pass,
    running,
    supervised_tokens,
)
from finetui_core.train.meters.figures import RowLosses
from finetui_core.train.model import causal_model

TOP = 64
_CHUNK = 128
"""Tokens whose logits are held at once, in float32 and three times over."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the base expects at each judged token of the documents, in their order.

    `tokens` (positions, TOP) are the most likely, `log_probabilities` (positions, TOP + 1) theirs and, last, that of
    all others.
    """

    tokens: torch.Tensor
    log_probabilities: torch.Tensor


@dataclass(frozen=True, slots=True)
class Drift:
    """`losses` of each document, and `divergence` KL(base || model) in nats per token of each."""

    losses: RowLosses
    divergence: NDArray[np.float64]


@contextmanager
def base_of(model: Any) -> Iterator[None]:
    """Inside the block an adapter is switched off; a model that is trained in full stays as it is."""
    with model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext():
        yield


def expected(
    model: Any, documents: Documents, layout: Layout, device: torch.device
) -> tuple[Expected, Drift]:
    """What the model expects, and its drift from itself; call it inside `base_of`, or before the first step."""
    counts = np.array([len(piece) - 1 for piece in documents.pieces], dtype=np.int64)
    tops: list[torch.Tensor] = [torch.empty(0)] * int(counts.sum())
    outcomes, nats = list(tops), np.zeros(len(tops))

    def keep(places: NDArray[np.int64], log_probabilities: torch.Tensor, targets: torch.Tensor) -> None:
        nats[places] = _nats(log_probabilities, targets)
        top = log_probabilities.topk(min(TOP, log_probabilities.shape[1]), dim=1).indices
        for place, tokens, values in zip(
            places.tolist(), top.cpu(), _coarse(log_probabilities, top).cpu(), strict=True
        ):
            tops[place], outcomes[place] = tokens, values

    _each_chunk(model, documents, layout, device, keep)
    found = Expected(torch.stack(tops).to(torch.int32), torch.stack(outcomes))
    return found, Drift(_by_document(nats, counts), np.zeros(len(counts)))


def drift(model: Any, documents: Documents, base: Expected, layout: Layout, device: torch.device) -> Drift:
    """The losses of the documents and how far the model's expectations are from the base's."""
    counts = np.array([len(piece) - 1 for piece in documents.pieces], dtype=np.int64)
    nats, divergence = np.zeros(int(counts.sum())), np.zeros(int(counts.sum()))

    def compare(places: NDArray[np.int64], log_probabilities: torch.Tensor, targets: torch.Tensor) -> None:
        nats[places] = _nats(log_probabilities, targets)
        before = base.log_probabilities[places].to(log_probabilities.device)
        now = _coarse(log_probabilities, base.tokens[places].to(log_probabilities.device, torch.int64))
        chance = before.exp()
        terms = torch.where(chance > 0, chance * (before - now), torch.zeros_like(chance))
        divergence[places] = terms.sum(dim=1).double().cpu().numpy()

    _each_chunk(model, documents, layout, device, compare)
    per_document = _by_document(divergence, counts)
    return Drift(_by_document(nats, counts), per_document.per_token)


def _nats(log_probabilities: torch.Tensor, targets: torch.Tensor) -> NDArray[np.float64]:
    nats: NDArray[np.float64] = -log_probabilities.gather(1, targets[:, None])[:, 0].double().cpu().numpy()
    return nats


def _by_document(of_tokens: NDArray[np.float64], counts: NDArray[np.int64]) -> RowLosses:
    return RowLosses(np.add.reduceat(of_tokens, np.cumsum(counts) - counts), counts)


Taker = Callable[[NDArray[np.int64], torch.Tensor, torch.Tensor], None]


def _each_chunk(model: Any, documents: Documents, layout: Layout, device: torch.device, take: Taker) -> None:
    """Give `take` the places of some judged tokens, their log-probabilities (tokens, vocabulary) and the tokens."""
    inner = causal_model(model)
    lengths = {at: len(piece) for at, piece in enumerate(documents.pieces)}
    counts = np.array([supervised_tokens(documents[at][1]) for at in lengths], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    with inference(model):
        for group in groups_of(range(len(documents)), lengths, layout):
            one = (packed_pass if layout.packed else padded_pass)(documents, group, device)
            places = np.concatenate([np.arange(starts[at], starts[at] + counts[at]) for at in group])
            with running(inner, one):
                states, head = before_head(inner, one, own_head=layout.own_head)
            for start in range(0, len(places), _CHUNK):
                part = slice(start, start + _CHUNK)
                logits = states[part] if head is None else head(states[part])
                take(places[part], torch.log_softmax(logits.float(), dim=-1), one.targets[part])


def _coarse(log_probabilities: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the named tokens and, last, of all others together."""
    others = log_probabilities.scatter(1, tokens, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([log_probabilities.gather(1, tokens), others], dim=1)


def keep_base(path: Path, documents: Documents, base: Expected) -> None:
    """Write documents and what the base expects of them. Raises OSError."""
    private_folder(path.parent)
    tensors = {
        "ids": torch.from_numpy(np.concatenate(documents.pieces).astype(np.int32)),
        "lengths": torch.tensor([len(piece) for piece in documents.pieces], dtype=torch.int32),
        "tokens": base.tokens,
        "log_probabilities": base.log_probabilities,
    }
    write_atomically(path, save(tensors))


def kept_base(path: Path) -> tuple[Documents, Expected] | None:
    """What `keep_base` wrote, or None where it is missing or damaged."""
    try:
        held = load_file(path)
        ids, lengths = held["ids"].numpy(), held["lengths"].numpy()
        base = Expected(held["tokens"], held["log_probabilities"])
    except (OSError, SafetensorError, KeyError):
        return None
    documents = Documents(np.split(ids, np.cumsum(lengths)[:-1]))
    return (documents, base) if len(base.tokens) == int(lengths.sum()) - len(lengths) else None


def same(one: Documents, other: Documents) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one.pieces, other.pieces))
