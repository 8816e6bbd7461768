"""One evaluation, one step and one prompt of a run, on fake tensors; what was alive, extrapolated to all layers.

Memory is linear in the number of decoder layers, so two small models tell of the large one. The peak of each part of
a step is followed on its own: which part is highest may change with the layers, but not the part's own line.
"""

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from finetui_core.errors import InputError, Problem, first_line
from finetui_core.preflight.figures import Kind, Phase, Workload
from finetui_core.preflight.formula import merged
from finetui_core.preflight.sharded import is_sharded
from finetui_core.preflight.workload import (
    compute_dtype,
    evaluation_tokens,
    has_own_head,
    packed,
    sampled_tokens,
)
from finetui_core.train.as_on_cuda import AsOnCuda
from finetui_core.train.checkpoint import trainable
from finetui_core.train.evaluation import inference
from finetui_core.train.fake_model import build, has_kinds_of_layers, make_fake
from finetui_core.train.fake_quantized import quantize
from finetui_core.train.forward import Layout, Pass, running, summed_loss
from finetui_core.train.fused.dropout import draw_places
from finetui_core.train.fused.last_layer import narrow_last_layer
from finetui_core.train.fused.norm import fuse_norms
from finetui_core.train.fused.seam import fuse
from finetui_core.train.live_memory import LiveMemory
from finetui_core.train.model import DTYPES, causal_model
from finetui_core.train.optimizer import build_optimizer

FEW, MORE = 2, 3  # decoder layers
MORE_OF_KINDS = 4  # decoder layers, where they alternate between kinds
Parts = dict[str, dict[str, int]]
PHASES: dict[str, Phase] = {
    "load": "load",
    "save": "save",
    "evaluate": "evaluate",
    "evaluate head": "evaluate",
    "sample": "evaluate",
    "forward": "train",
    "head": "train",
    "backward of last layer": "train",
    "backward": "train",
    "step": "train",
}


@dataclass(frozen=True, slots=True)
class Documents:
    """The rows of the longest pass of a step, and of an evaluation: tokens of each, and how many carry loss."""

    train: tuple[int, ...]
    train_supervised: int
    evaluate: tuple[int, ...] = ()
    evaluate_supervised: int = 0


def longest_documents(work: Workload) -> Documents:
    """The passes that a workload describes: rows as long as its longest, and what is left."""
    share = work.supervised_per_pass / work.tokens_per_pass
    evaluated = evaluation_tokens(work)
    return Documents(
        _rows_of(work.tokens_per_pass, work.longest_row),
        work.supervised_per_pass,
        _rows_of(evaluated, work.longest_row),
        round(evaluated * share),
    )


def _rows_of(tokens: int, longest: int) -> tuple[int, ...]:
    whole, rest = divmod(tokens, longest)
    return (longest,) * whole + ((rest,) if rest else ())


def trace(work: Workload, documents: Documents) -> tuple[dict[Phase, dict[Kind, int]], str]:
    """Peaks by phase and kind, and a note where the layout is not the one that was asked for.

    Raises InputError where the model cannot be built or run without numbers.
    """
    _be_quiet()
    layers = work.shape.layers
    layout, note = Layout(packed(work), has_own_head(work.shape), 0, 0), ""
    try:
        few = parts_of(work, documents, layout, min(FEW, layers))
    except ValueError as error:  # attention that cannot be packed
        if not layout.packed:
            raise InputError(_cannot_run(work, error)) from error
        layout, note = Layout(False, layout.own_head, 0, 0), f"padded rows: {first_line(error)}"
        few = parts_of(work, documents, layout, min(FEW, layers))
    larger = MORE_OF_KINDS if has_kinds_of_layers(work.shape.config) else MORE
    more = parts_of(work, documents, layout, larger) if layers > FEW else few
    peaks = by_phase(extrapolated(few, more, larger, layers))
    return (peaks if work.recipe.train.method == "full" else {**peaks, "merge": merged(work)}), note


def extrapolated(few: Parts, more: Parts, larger: int, layers: int) -> Parts:
    """The peaks of a model with `layers` layers from those of models with `FEW` and with `larger`."""
    return {
        part: {
            kind: max(0, size + (more[part].get(kind, 0) - size) * (layers - FEW) // (larger - FEW))
            for kind in few[part].keys() | more[part].keys()
            for size in [few[part].get(kind, 0)]
        }
        for part in few
    }


def by_phase(parts: Parts) -> dict[Phase, dict[Kind, int]]:
    """The highest part of each phase."""
    peaks: dict[Phase, dict[Kind, int]] = {}
    for part, kinds in parts.items():
        phase = PHASES[part]
        if phase not in peaks or sum(kinds.values()) > sum(peaks[phase].values()):
            peaks[phase] = {kind: size for kind, size in kinds.items() if size}  # type: ignore[misc]
    return peaks


def parts_of(work: Workload, documents: Documents, layout: Layout, layers: int) -> Parts:
    """The most memory of each part of the work, of a model with so many decoder layers."""
    recipe, dtype = work.recipe, compute_dtype(work)
    model = build(work.shape.config, recipe, dtype, layers)
    if recipe.model.quantize == "none":
        fuse(model, _zeros_on(work.device_kind))
    else:
        fuse_norms(model)
        narrow_last_layer(causal_model(model))
    memory = LiveMemory()
    try:
        with FakeTensorMode(), memory:
            _run(work, documents, layout, model, layers, memory)
    except (
        RuntimeError,
        TypeError,
        AttributeError,
        NotImplementedError,
        IndexError,
        AssertionError,
    ) as error:
        raise InputError(_cannot_run(work, error)) from error
    return memory.peaks


def _cannot_run(work: Workload, error: BaseException) -> Problem:
    return Problem(
        f"the {work.shape.model_type} model cannot be run without numbers: {first_line(error)[:200]}"
    )


def _run(
    work: Workload, documents: Documents, layout: Layout, model: Any, layers: int, memory: LiveMemory
) -> None:
    dtype = DTYPES[compute_dtype(work)]
    make_fake(model, memory)
    if work.recipe.model.quantize != "none":
        quantize(model, work.recipe.model.quantize, dtype, memory)
    memory.begin("load")
    memory.begin("save")
    parameters = list(trainable(model).values())
    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(lambda one: memory.hold(one.grad, "gradients"))
    optimizer = build_optimizer(model, work.recipe)
    make_moments(optimizer, memory)
    with as_on(work.device_kind):
        watch_head(causal_model(model), memory)
        _evaluate(work, documents, layout, model, memory, dtype)
        watch_last_layer(model, layers, memory)
        step(model, longest_pass(documents.train, documents.train_supervised, layout), layout, memory, dtype)
        memory.begin("step")
        gradients = [parameter.grad for parameter in parameters]
        if work.recipe.launch.world_size > 1 and not is_sharded(work):
            summed = torch.cat([gradient.reshape(-1) for gradient in gradients])
            del summed
        torch.nn.utils.clip_grad_norm_(parameters, work.recipe.train.max_grad_norm)
        optimizer.step()


def as_on(device_kind: str) -> Any:
    """The operations of that kind of device."""
    return AsOnCuda() if device_kind == "cuda" else torch.overrides.BaseTorchFunctionMode()


def _zeros_on(device_kind: str) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """What chooses dropout's zeros there, without numbers: how many there are is not known, only how many at most."""

    def mask(like: torch.Tensor, share: float) -> torch.Tensor:
        return torch.empty(like.shape, dtype=torch.bool, device=like.device)

    return mask if device_kind == "cuda" else draw_places


def autocast(dtype: torch.dtype) -> Any:
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def make_moments(optimizer: Any, memory: LiveMemory) -> None:
    """AdamW's state, as it is from the first step on."""
    with memory.counting("optimizer"):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }


def _evaluate(
    work: Workload, documents: Documents, layout: Layout, model: Any, memory: LiveMemory, dtype: torch.dtype
) -> None:
    inner = causal_model(model)
    memory.begin("evaluate")
    if documents.evaluate:
        one = longest_pass(documents.evaluate, documents.evaluate_supervised, layout)
        with autocast(dtype), inference(model), running(inner, one):
            summed_loss(inner, one, own_head=layout.own_head)
    memory.begin("sample")
    prompts, width = sampled_tokens(work)
    if prompts and documents.evaluate:
        ids = torch.zeros((prompts, width), dtype=torch.int64)
        with autocast(dtype), inference(model):
            inner(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1)


def step(
    model: Any,
    one: Pass,
    layout: Layout,
    memory: LiveMemory,
    dtype: torch.dtype,
    loss_of: Callable[..., torch.Tensor] = summed_loss,
) -> None:
    """Forward and backward of one pass, as `train.step` does it."""
    inner = causal_model(model)
    memory.begin("forward")
    model.train()
    with running(inner, one):
        with autocast(dtype):
            loss = loss_of(inner, one, own_head=layout.own_head)
        scaled = loss / max(1, len(one.targets))
        memory.begin("backward of last layer")
        backward(scaled)


def backward(loss: torch.Tensor) -> None:
    """`loss.backward()`; that function itself would count as an operation, and end the modes that are in force."""
    torch.autograd.Variable._execution_engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def longest_pass(documents: Sequence[int], supervised: int, layout: Layout) -> Pass:
    """A pass of rows of these lengths."""
    shape = (1, sum(documents)) if layout.packed else (len(documents), max(documents))
    return Pass(
        input_ids=torch.zeros(shape, dtype=torch.int64),
        position_ids=torch.zeros(shape, dtype=torch.int64),
        predicting=torch.zeros(supervised, dtype=torch.int64),
        targets=torch.zeros(supervised, dtype=torch.int64),
        attention_mask=None if layout.packed else torch.ones(shape, dtype=torch.int64),
        document_lengths=tuple(documents) if layout.packed else None,
    )


def watch_head(inner: Any, memory: LiveMemory) -> None:
    """From the vocabulary head on, what a forward pass makes is logits."""

    def begin(*_: Any) -> None:
        following = {"forward": "head", "evaluate": "evaluate head"}
        if memory.part in following:
            memory.begin(following[memory.part], "logits")

    inner.get_output_embeddings().register_forward_pre_hook(begin)


def watch_last_layer(model: Any, layers: int, memory: LiveMemory) -> None:
    """Tell the backward pass of the last decoder layer, which finds all activations, from that of the others."""
    stack = next(
        (
            module
            for module in model.modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == layers
        ),
        None,
    )
    if stack is None:
        return

    def begin(_: torch.Tensor) -> None:
        memory.begin("backward")

    def watch(_: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        hidden = arguments[0] if arguments else keywords.get("hidden_states")
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(begin)

    stack[-1].register_forward_pre_hook(watch, with_kwargs=True)


def _be_quiet() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
