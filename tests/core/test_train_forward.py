"""Packed, padded and micro-batched forms of one global batch have the same loss and gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from finetui_core.train.forward import (
    Pass,
    logits_at,
    packed_pass,
    padded_pass,
    running,
    summed_loss,
    supervised_tokens,
)
from finetui_core.train.layout import choose_layout
from tiny_models import ARCHITECTURES, save_model

CPU = torch.device("cpu")
LENGTHS = (30, 5, 17, 64, 9, 2)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_model(tmp_path_factory.mktemp(request.param), request.param)
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def rows() -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(7)
    return [(generator.integers(0, 300, length), generator.random(length) < 0.4) for length in LENGTHS]


def loss_and_gradient(
    model: Any, passes: list[Pass], own_head: bool, tokens: int
) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    total = 0.0
    for one in passes:
        with running(model, one):
            loss = summed_loss(model, one, own_head=own_head) / tokens
            loss.backward()
        total += float(loss.detach())
    return total, torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


def test_every_form_of_a_batch_is_the_same(model: Any, rows: Any) -> None:
    tokens = sum(supervised_tokens(mask) for _, mask in rows)
    alone = [padded_pass(rows, [number], CPU) for number in range(len(rows))]
    loss, gradient = loss_and_gradient(model, alone, False, tokens)
    forms = {
        "padded": ([padded_pass(rows, range(len(rows)), CPU)], False),
        "padded, chunked head": ([padded_pass(rows, range(len(rows)), CPU)], True),
        "padded micro-batches": (
            [padded_pass(rows, [0, 3], CPU), padded_pass(rows, [1, 2, 4, 5], CPU)],
            True,
        ),
        "packed": ([packed_pass(rows, range(len(rows)), CPU)], True),
        "packed, whole logits": ([packed_pass(rows, range(len(rows)), CPU)], False),
        "packed in another order": (
            [packed_pass(rows, [5, 3, 0, 4], CPU), packed_pass(rows, [2, 1], CPU)],
            True,
        ),
    }
    for name, (passes, own_head) in forms.items():
        other_loss, other_gradient = loss_and_gradient(model, passes, own_head, tokens)
        assert other_loss == pytest.approx(loss, rel=1e-5), name
        assert float((other_gradient - gradient).norm() / gradient.norm()) < 1e-5, name


def test_what_no_loss_can_reach_is_left_out_of_a_packed_row() -> None:
    rows = [
        (np.arange(10, 20), np.arange(10) == 4),
        (np.arange(20, 30), np.zeros(10, dtype=bool)),
        (np.arange(30, 35), np.ones(5, dtype=bool)),
    ]
    one = packed_pass(rows, [0, 1, 2], CPU)
    assert one.document_lengths == (4, 1, 4)
    assert one.input_ids.tolist() == [[10, 11, 12, 13, 20, 30, 31, 32, 33]]
    assert one.position_ids.tolist() == [[0, 1, 2, 3, 0, 0, 1, 2, 3]]
    assert one.predicting.tolist() == [3, 5, 6, 7, 8]
    assert one.targets.tolist() == [14, 31, 32, 33, 34]


def test_the_loss_is_that_of_transformers(model: Any, rows: Any) -> None:
    ids, mask = rows[3]
    labels = torch.from_numpy(np.where(mask, ids, -100))[None]
    theirs = model(input_ids=torch.from_numpy(ids)[None], labels=labels).loss
    ours, _ = loss_and_gradient(model, [packed_pass(rows, [3], CPU)], True, supervised_tokens(mask))
    assert ours == pytest.approx(float(theirs.detach()), rel=1e-6)


def test_no_document_of_a_packed_row_sees_another(model: Any, rows: Any) -> None:
    everything = [(ids, np.ones(len(ids), dtype=bool)) for ids, _ in rows]
    order = [3, 0, 5, 2]
    with torch.no_grad():
        before = logits_at(model, packed_pass(everything, order, CPU), own_head=True)
    edges = np.cumsum([0, *(len(everything[number][0]) - 1 for number in order)])
    for place, number in enumerate(order):
        changed = list(everything)
        changed[number] = ((everything[number][0] + 1) % 300, everything[number][1])
        with torch.no_grad():
            after = logits_at(model, packed_pass(changed, order, CPU), own_head=True)
        for other in range(len(order)):
            part = slice(edges[other], edges[other + 1])
            assert torch.equal(before[part], after[part]) == (other != place)


def test_every_architecture_gets_the_fast_layout(model: Any) -> None:
    chosen = choose_layout(model, packing=True, rows_per_pass=4, tokens_per_pass=512)
    assert (chosen.layout.packed, chosen.layout.own_head, chosen.note) == (True, True, "")
    assert not choose_layout(model, packing=False, rows_per_pass=4, tokens_per_pass=512).layout.packed


def test_a_model_whose_head_is_not_all_falls_back_to_whole_logits(model: Any) -> None:
    """Cohere's models, for one, scale the logits after the head."""
    original = model.forward
    model.forward = lambda *args, **kwargs: _scaled(original(*args, **kwargs))
    try:
        chosen = choose_layout(model, packing=True, rows_per_pass=4, tokens_per_pass=512)
    finally:
        model.forward = original
    assert chosen.layout.packed
    assert not chosen.layout.own_head
    assert "packed rows with chunked logits: logits differ by" in chosen.note


def _scaled(output: Any) -> Any:
    output.logits = output.logits * 0.25
    return output


def test_a_model_that_mixes_positions_is_padded(model: Any) -> None:
    """A model that ignores where a document begins, as recurrent ones do, must not be packed."""
    decoder = getattr(model, model.base_model_prefix)
    original = decoder.forward

    def leaking(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        states = output.last_hidden_state
        output.last_hidden_state = states + 0.1 * states.cumsum(dim=1)
        return output

    decoder.forward = leaking
    try:
        chosen = choose_layout(model, packing=True, rows_per_pass=4, tokens_per_pass=512)
    finally:
        decoder.forward = original
    assert not chosen.layout.packed
