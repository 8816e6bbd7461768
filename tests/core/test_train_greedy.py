"""Greedy answers: what transformers' `generate` gives, however the prompts are put together."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from finetui_core.train import greedy as decoding
from finetui_core.train.greedy import Generated, greedy, greedy_batches
from tiny_models import ARCHITECTURES, save_model

LENGTHS = (3, 40, 11, 12, 25, 12, 1, 30)
LIMIT = 12


@pytest.fixture(scope="module")
def prompts() -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [generator.integers(1, 300, length, dtype=np.int32) for length in LENGTHS]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_model(tmp_path_factory.mktemp(request.param), request.param, seed=2)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():  # decided predictions: with small weights all tokens are nearly as likely
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def by_generate(model: Any, prompt: np.ndarray, limit: int, ends: list[int]) -> Generated:
    ids = torch.from_numpy(prompt.astype(np.int64))[None]
    answer = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    return Generated([one for one in answer if one not in ends], answer[-1] in ends)


def ends_of(model: Any, prompts: list[np.ndarray]) -> list[int]:
    """Tokens that end some answers early, some late and some never."""
    free = greedy(model, prompts, [LIMIT] * len(prompts), [])
    return sorted({free[1].ids[0], free[2].ids[3], free[4].ids[8]})


def test_answers_are_those_of_generate_alone_and_together(model: Any, prompts: list[np.ndarray]) -> None:
    ends = ends_of(model, prompts)
    limits = [LIMIT - number % 3 for number in range(len(prompts))]
    truth = [by_generate(model, *pair, ends) for pair in zip(prompts, limits, strict=True)]
    assert {one.ended for one in truth} == {True, False}
    assert len({len(one.ids) for one in truth}) > 2
    for rows in (1, 3, 8):
        found: dict[int, Generated | None] = {}
        for batch in greedy_batches(model, prompts, limits, ends, tokens=10_000, rows=rows):
            assert len(batch.numbers) <= rows
            found |= zip(batch.numbers, batch.answers, strict=True)
        assert [found[number] for number in range(len(prompts))] == truth, rows


def test_a_batch_keeps_within_its_tokens(model: Any, prompts: list[np.ndarray]) -> None:
    batches = list(greedy_batches(model, prompts, [LIMIT] * 8, [], tokens=80, rows=8))
    assert [batch.numbers for batch in batches] == [[1], [7], [4, 3], [5, 2, 0], [6]]


def test_where_memory_does_not_suffice_batches_are_halved(
    prompts: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def small_device(model: Any, batch: list[np.ndarray], limits: Any, ends: Any) -> list[Generated]:
        tried.append(len(batch))
        if len(batch) > 2 or len(batch[0]) > 35:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [Generated([len(prompt)], True) for prompt in batch]

    monkeypatch.setattr(decoding, "greedy", small_device)
    batches = list(greedy_batches(None, prompts, [LIMIT] * 8, [], tokens=10_000, rows=8))
    assert tried == [8, 4, 2, 1, 1, 1, 2, 2, 1]
    assert batches[0].answers == [None]
    for batch in batches[1:]:
        assert batch.answers == [Generated([LENGTHS[number]], True) for number in batch.numbers]
    monkeypatch.setattr(decoding, "greedy", lambda *_: (_ for _ in ()).throw(RuntimeError("another fault")))
    with pytest.raises(RuntimeError, match="another fault"):
        list(greedy_batches(None, prompts, [LIMIT] * 8, [], tokens=10_000, rows=8))


def test_a_model_without_keys_and_values_answers_too(prompts: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    model = MambaForCausalLM(
        MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=2, state_size=4)
    ).eval()
    limits = [4] * 3
    alone = [greedy(model, [prompt], [4], [])[0] for prompt in prompts[:3]]
    assert greedy(model, prompts[:3], limits, []) == alone
    assert greedy(model, prompts[:1], [4], [alone[0].ids[0]]) == [Generated([], True)]
