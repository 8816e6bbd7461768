"""The arithmetic of a run: operations for one token, which devices are compared by and seconds are made from."""

from finetui_core.preflight.figures import Workload
from finetui_core.preflight.shape import experts, linears


def computing_parameters(work: Workload) -> float:
    """Weights that one token meets: its layers, of the experts only the active ones, and its share of the head."""
    shape = work.shape
    number, active, width = experts(shape)
    layer = sum(one.parameters for one in linears(shape))
    layer += active * 3 * shape.hidden_size * width if number > 1 else 0
    share = work.supervised_per_pass / max(1, work.tokens_per_pass)
    return shape.layers * layer + share * shape.vocabulary * shape.hidden_size


def forward_of_token(work: Workload) -> float:
    """Operations of the forward pass: twice the weights, and causal attention over half of a row."""
    shape = work.shape
    row = work.lengths.mean if work.lengths is not None else work.longest_row
    return 2 * computing_parameters(work) + 2 * row * shape.heads * shape.head_dim * shape.layers


def work_of_token(work: Workload) -> float:
    """Operations that a training step takes for one token, counted as hardware does them.

    A forward pass, one as large for the gradients of the activations, in full training another for those of the
    weights, and with gradient checkpointing the forward pass again.
    """
    passes = (3 if work.recipe.train.method == "full" else 2) + work.recipe.train.gradient_checkpointing
    return passes * forward_of_token(work)
