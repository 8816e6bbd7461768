"""The loss of each row is what the row has alone, and their sum the validation loss, bit for bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from finetui_core.recipe.options import DataOptions, EvalOptions, ModelOptions, Recipe, TrainOptions
from finetui_core.train.evaluation import Processes, evaluation_layout, inference, passes_of
from finetui_core.train.forward import Layout, Rows, running, summed_loss, supervised_tokens
from finetui_core.train.model import causal_model
from finetui_core.train.row_losses import mean_and_row_losses, row_losses
from tiny_models import ARCHITECTURES, save_model

CPU = torch.device("cpu")
NUMBERS = [4, 0, 3, 1, 5]
LAYOUTS = [Layout(packed, own_head, 2, 70) for packed in (True, False) for own_head in (True, False)]


def mean_loss(model: Any, rows: Rows, numbers: Sequence[int], layout: Layout, device: torch.device) -> float:
    """The plain sum of the losses of all passes over the number of supervised tokens."""
    inner, total = causal_model(model), torch.zeros((), dtype=torch.float64)
    with inference(model):
        for one in passes_of(rows, numbers, layout, device):
            with running(inner, one):
                total += summed_loss(inner, one, own_head=layout.own_head).double()
    return float(total) / sum(supervised_tokens(rows[number][1]) for number in numbers)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_model(tmp_path_factory.mktemp(request.param), request.param)
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def rows() -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(7)
    lengths = (30, 5, 17, 64, 9, 40)
    return [(generator.integers(0, 300, length), generator.random(length) < 0.4) for length in lengths]


def test_each_row_has_the_loss_that_it_has_alone(model: Any, rows: Any) -> None:
    alone = [mean_loss(model, rows, [number], LAYOUTS[-1], CPU) for number in NUMBERS]
    for layout in LAYOUTS:
        mean, losses = mean_and_row_losses(model, rows, NUMBERS, layout, CPU)
        assert losses.per_token == pytest.approx(alone, rel=1e-5), layout
        assert losses.tokens.tolist() == [int(rows[number][1][1:].sum()) for number in NUMBERS]
        assert mean == mean_loss(model, rows, NUMBERS, layout, CPU)
        assert losses.mean == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("packed", [True, False])
def test_passes_are_as_large_as_asked_and_the_losses_the_same(model: Any, rows: Any, packed: bool) -> None:
    training = Layout(packed, True, 2, 2 * 64)
    usual = row_losses(model, rows, NUMBERS, training, CPU)
    for asked, largest in ((0, (2, 128)), (1, (1, 64)), (4, (4, 256))):
        recipe = Recipe(
            model=ModelOptions(name="model"),
            data=DataOptions(train="there", max_length=64),
            train=TrainOptions(per_device_train_batch_size=2),
            eval=EvalOptions(per_device_eval_batch_size=asked),
        )
        layout = evaluation_layout(recipe, training, CPU)
        assert (layout.rows_per_pass, layout.tokens_per_pass) == largest
        shapes = [tuple(one.input_ids.shape) for one in passes_of(rows, NUMBERS, layout, CPU)]
        assert max(count for count, _ in shapes) == (1 if packed else largest[0])
        assert max(tokens for _, tokens in shapes) <= largest[1]
        losses = row_losses(model, rows, NUMBERS, layout, CPU)
        assert losses.sums == pytest.approx(usual.sums, rel=1e-5)


def test_two_processes_have_the_rows_of_both(model: Any, rows: Any) -> None:
    """Each computes its share, and adding puts every row in its place."""
    shares: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        shares.append(tensor)
        return sum(shares, torch.zeros_like(tensor))

    row_losses(model, rows, NUMBERS, LAYOUTS[0], CPU, Processes(0, 2, keep))
    both = row_losses(model, rows, NUMBERS, LAYOUTS[0], CPU, Processes(1, 2, keep))
    assert both.sums == pytest.approx(row_losses(model, rows, NUMBERS, LAYOUTS[0], CPU).sums, rel=1e-6)
    assert all((share == 0).any() for share in shares)
