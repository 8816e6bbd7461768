"""The loss of each row of a set, from the same passes that give its mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from finetui_core.train.evaluation import (
    ALONE,
    Processes,
    even_groups,
    inference,
    pass_of,
    summing_device,
)
from finetui_core.train.forward import (
    Layout,
    Rows,
    loss_by_token,
    rows_of_targets,
    running,
    supervised_tokens,
)
from finetui_core.train.meters.figures import RowLosses
from finetui_core.train.model import causal_model


def row_losses(
    model: Any,
    rows: Rows,
    numbers: Sequence[int],
    layout: Layout,
    device: torch.device,
    processes: Processes = ALONE,
) -> RowLosses:
    """The loss of each of `numbers`, in their order; every process of the run has all of them."""
    return mean_and_row_losses(model, rows, numbers, layout, device, processes)[1]


def mean_and_row_losses(
    model: Any,
    rows: Rows,
    numbers: Sequence[int],
    layout: Layout,
    device: torch.device,
    processes: Processes = ALONE,
) -> tuple[float, RowLosses]:
    """The loss per supervised token over `numbers` and that of each row, from the same passes.

    `numbers` must hold a supervised token. The mean is that of the passes' sums, bit for bit; rows are summed in
    float64.
    """
    inner = causal_model(model)
    lengths = {number: len(rows[number][0]) for number in numbers}
    places = {number: place for place, number in enumerate(numbers)}
    sums = np.zeros(len(numbers))
    total = torch.zeros((), dtype=torch.float64, device=summing_device(device))
    groups, own = even_groups(numbers, lengths, layout, processes)
    with inference(model):
        for at, group in enumerate(groups):
            one = pass_of(rows, group, layout, device)
            with running(inner, one):
                summed, each = processes.run(loss_by_token, inner, one, own_head=layout.own_head)
            if at >= own:
                continue
            total += summed.to(total.device, total.dtype)
            of_group = np.bincount(
                rows_of_targets(one).cpu().numpy(), each.cpu().double().numpy(), minlength=len(group)
            )
            sums[[places[number] for number in group]] = of_group
    of_all = processes.add(torch.cat([torch.from_numpy(sums).to(total.device), total[None]])).cpu().numpy()
    tokens = np.array([supervised_tokens(rows[number][1]) for number in numbers], dtype=np.int64)
    return float(of_all[-1]) / int(tokens.sum()), RowLosses(of_all[:-1], tokens)
