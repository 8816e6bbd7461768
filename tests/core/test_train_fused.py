"""The fused forms give the loss and gradients of peft's and transformers' own, and step aside where they do not."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
)
from transformers.models.auto import AutoModelForCausalLM

from finetui_core.preflight.activations import MOST_FUSED_DROPOUT
from finetui_core.train.forward import packed_pass, padded_pass, running, summed_loss
from finetui_core.train.fused import products
from finetui_core.train.fused.dropout import add_elsewhere, draw_zeros, with_zeros
from finetui_core.train.fused.last_layer import narrow_last_layer
from finetui_core.train.fused.linear import Product
from finetui_core.train.fused.lora import AdaptedLinear
from finetui_core.train.fused.norm import RootMeanSquareNorm, fuse_norms
from finetui_core.train.fused.seam import fuse, unfuse
from finetui_core.train.layout import fuse_proven
from finetui_core.train.model import causal_model

CPU = torch.device("cpu")
LENGTHS = (30, 5, 17, 64, 9, 2)
_LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "llama": (LlamaConfig, _LLAMA),
    "mistral": (MistralConfig, {**_LLAMA, "sliding_window": 8}),
    "qwen2": (Qwen2Config, _LLAMA),
    "gemma": (GemmaConfig, {**_LLAMA, "head_dim": 8}),
}
_NO_DROPOUT = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}


def build(architecture: str, method: str = "full", *, dropout: float = 0.0, **lora: Any) -> Any:
    """A small random model; its adapters, biases and norms are not what they are made as, so that each one counts."""
    from peft import LoraConfig, get_peft_model

    make, sizes = CONFIGS[architecture]
    torch.manual_seed(0)
    config = make(vocab_size=300, **sizes, **(_NO_DROPOUT if architecture == "gpt2" else {}))
    model: Any = AutoModelForCausalLM.from_config(config)
    if method == "lora":
        model = get_peft_model(
            model,
            LoraConfig(
                task_type="CAUSAL_LM",
                r=4,
                lora_alpha=8,
                lora_dropout=dropout,
                target_modules="all-linear",
                fan_in_fan_out=architecture == "gpt2",
                **lora,
            ),
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def rows() -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(7)
    return [(generator.integers(0, 300, length), generator.random(length) < 0.4) for length in LENGTHS]


def loss_and_gradients(model: Any, rows: Any, packed: bool) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    model.train()
    inner = causal_model(model)
    one = (packed_pass if packed else padded_pass)(rows, range(len(rows)), CPU)
    with running(inner, one):
        loss = summed_loss(inner, one, own_head=True)
        loss.backward()
    return float(loss.detach()), {
        name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None
    }


def fused_modules(model: PreTrainedModel) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in module.__dict__]


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(
    ("architecture", "library"),
    [*((name, "as it is here") for name in CONFIGS), ("gpt2", "oneDNN"), ("llama", "oneDNN")],
)
def test_loss_and_gradients_are_those_of_the_plain_forms(
    architecture: str, method: str, library: str, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "oneDNN":
        if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            pytest.skip("this torch has no such product")
        monkeypatch.setattr(products, "uses_onednn", lambda: True)
        monkeypatch.setattr("finetui_core.train.fused.linear.uses_onednn", lambda: True)
    plain = build(architecture, method)
    model = copy.deepcopy(plain)
    assert fuse(model) == ""
    assert [name for name in fused_modules(model) if name.endswith(".1.mlp")]
    assert model.state_dict().keys() == plain.state_dict().keys()
    for checkpointing in (False, True):
        if checkpointing:
            for one in (plain, model):
                one.gradient_checkpointing_enable({"use_reentrant": False})
                one.enable_input_require_grads()
        for packed in (True, False):
            loss, gradients = loss_and_gradients(plain, rows, packed)
            other_loss, others = loss_and_gradients(model, rows, packed)
            assert other_loss == pytest.approx(loss, rel=1e-6)
            assert others.keys() == gradients.keys()
            for name, gradient in gradients.items():
                if ("k_proj.bias" in name and method == "full") or not gradient.any():
                    continue  # softmax does not see what is added to every key: its gradient is rounding alone
                assert float((others[name] - gradient).norm() / gradient.norm()) < 1e-5, name


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_under_autocast_both_forms_are_as_near_to_the_exact_gradient(architecture: str, rows: Any) -> None:
    plain = build(architecture, "lora")
    model = copy.deepcopy(plain)
    fuse(model)
    _, exact = loss_and_gradients(plain, rows, True)
    with torch.autocast("cpu", torch.bfloat16):
        _, theirs = loss_and_gradients(plain, rows, True)
        _, ours = loss_and_gradients(model, rows, True)

    def distance(found: dict[str, torch.Tensor]) -> float:
        off = sum(float((found[name] - value).norm() ** 2) for name, value in exact.items())
        return (off / sum(float(value.norm() ** 2) for value in exact.values())) ** 0.5

    assert distance(ours) < 1.25 * distance(theirs) + 1e-3
    assert all(value.dtype == exact[name].dtype for name, value in ours.items())


def doubles(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "zeros", [None, torch.tensor([0, 7, 8, 19, 29]), torch.arange(30).view(5, 6) % 4 == 0]
)
def test_gradient_of_an_adapted_layer(with_bias: bool, transposed: bool, zeros: torch.Tensor | None) -> None:
    x, down, up = doubles((5, 6), (2, 6), (4, 2))
    weight, bias = (one.detach() for one in doubles((6, 4) if transposed else (4, 6), (4,)))
    weight = weight.t() if transposed else weight
    given_bias = bias if with_bias else None
    assert torch.autograd.gradcheck(
        lambda x, down, up: AdaptedLinear.apply(x, weight, given_bias, down, up, 0.7, zeros), (x, down, up)
    )
    masked = x if zeros is None else with_zeros(x, zeros)
    expected = x @ weight.t() + 0.7 * masked @ down.t() @ up.t() + (bias if with_bias else 0)
    assert torch.allclose(AdaptedLinear.apply(x, weight, given_bias, down, up, 0.7, zeros), expected)


def test_gradients_of_a_product_and_of_a_norm() -> None:
    x, weight, bias = doubles((5, 6), (4, 6), (4,))
    assert torch.autograd.gradcheck(Product.apply, (x, weight, bias))
    assert torch.autograd.gradcheck(lambda x, weight: Product.apply(x, weight, None), (x, weight))
    (gain,) = doubles((6,))
    for offset in (0, 1):
        assert torch.autograd.gradcheck(
            lambda x, gain, offset=offset: RootMeanSquareNorm.apply(x, gain, 1e-6, offset, torch.float64),
            (x, gain),
        )


@given(st.integers(1, 4000), st.floats(1e-4, MOST_FUSED_DROPOUT), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_zeros_lie_inside_ascend_and_follow_from_the_seed(size: int, share: float, seed: int) -> None:
    torch.manual_seed(seed)
    zeros = draw_zeros(torch.empty(size), share)
    assert ((zeros >= 0) & (zeros < size)).all()
    assert (zeros.diff() > 0).all()
    torch.manual_seed(seed)
    assert torch.equal(draw_zeros(torch.empty(size), share), zeros)
    x = torch.ones(size)
    masked = with_zeros(x, zeros)
    assert x.all()
    assert int(masked.sum()) == size - len(zeros)
    assert not masked[zeros].any()


@pytest.mark.parametrize("share", [0.001, 0.05, 0.125])
def test_zeros_are_independent_and_as_many_as_asked_for(share: float) -> None:
    """Their number has the mean and variance of a binomial, also in each of many parts; neighbours do not attract."""
    torch.manual_seed(3)
    size, parts = 4_000_000, 4000
    zeros = draw_zeros(torch.empty(size), share)
    deviation = (size * share * (1 - share)) ** 0.5
    assert abs(len(zeros) - size * share) < 5 * deviation
    counts = torch.bincount(zeros * parts // size, minlength=parts).double()
    expected = size / parts * share * (1 - share)
    assert abs(float(counts.var()) / expected - 1) < 5 * (2 / parts) ** 0.5 + 5 * (expected * parts) ** -0.5
    for distance in (1, 2, 16):
        mask = with_zeros(torch.ones(size), zeros) == 0
        both = int((mask[distance:] & mask[:-distance]).sum())
        assert abs(both - size * share**2) < 5 * (size * share**2) ** 0.5 + 1


def test_adding_elsewhere_leaves_what_is_named() -> None:
    total, first, second = (one.detach() for one in doubles((5, 6), (5, 2), (2, 6)))
    places = torch.tensor([0, 3, 29])
    mask = torch.zeros(30, dtype=torch.bool)
    mask[places] = True
    expected = torch.where(mask.view(5, 6), total, total + 0.5 * first @ second)
    assert torch.allclose(add_elsewhere(total.clone(), first, second, places, 0.5), expected)
    assert torch.allclose(add_elsewhere(total.clone(), first, second, mask.view(5, 6), 0.5), expected)


def test_dropout_keeps_the_mean_and_is_the_steps_own(rows: Any) -> None:
    """Over many draws the adapter's output is what it is without; one seed gives one loss, and evaluation none."""
    model = build("llama", "lora", dropout=0.1)
    fuse(model)
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    x = torch.randn(1, 32).expand(20_000, 32)
    with torch.no_grad():
        layer.eval()
        certain = layer(x[:1])
        layer.train()
        drawn = layer(x)
        base = layer.base_layer(x[:1])
        small = layer.lora_A["default"].weight * x[:1]
        per_input = 2.0 * layer.lora_B["default"].weight @ small
    standard_error = (per_input.square().sum(1) * 0.1 / 0.9).sqrt() / 20_000**0.5
    assert not torch.equal(certain, base)
    assert ((drawn.mean(0) - certain[0]).abs() < 5 * standard_error + 1e-6).all()
    variance = per_input.square().sum(1) * 0.1 / 0.9
    assert torch.allclose(drawn.var(0), variance, rtol=0.1)

    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(loss_and_gradients(model, rows, True)[0])
    assert losses[0] == losses[1] != losses[2]


def test_dropout_is_recomputed_alike_under_gradient_checkpointing(rows: Any) -> None:
    model = build("llama", "lora", dropout=0.1)
    fuse(model)
    torch.manual_seed(4)
    loss, gradients = loss_and_gradients(model, rows, True)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    torch.manual_seed(4)
    other_loss, others = loss_and_gradients(model, rows, True)
    assert other_loss == loss
    assert all(torch.equal(others[name], gradient) for name, gradient in gradients.items())


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_disabled_and_merged_adapters_are_peft_s(architecture: str) -> None:
    plain = build(architecture, "lora").eval()
    model = copy.deepcopy(plain)
    fuse(model)
    ids = torch.arange(20)[None]

    def same() -> bool:
        return torch.allclose(model(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-5)

    with torch.no_grad():
        assert same()
        with model.disable_adapter(), plain.disable_adapter():
            assert same()
        for one in (model, plain):
            one.merge_adapter()
        assert same()
        for one in (model, plain):
            one.unmerge_adapter()
            one.add_adapter("other", copy.deepcopy(one.peft_config["default"]))
            one.base_model.set_adapter(["default", "other"])
        assert same()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_last_mlp_runs_only_where_the_loss_reads_it(
    architecture: str, packed: bool, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(architecture, "lora")
    fuse(model)
    inner = causal_model(model)
    decoder = getattr(inner, inner.base_model_prefix)
    layers = decoder.h if architecture == "gpt2" else decoder.layers
    first, last = layers[0].mlp, layers[-1].mlp
    given: dict[int, int] = {}
    own = type(last).forward

    def noting(module: Any, hidden: torch.Tensor) -> torch.Tensor:
        given[id(module)] = hidden.shape[:-1].numel()
        result: torch.Tensor = own(module, hidden)
        return result

    monkeypatch.setattr(type(last), "forward", noting)
    one = (packed_pass if packed else padded_pass)(rows, range(len(rows)), CPU)
    loss_and_gradients(model, rows, packed)
    assert given == {id(first): one.input_ids.numel(), id(last): len(one.predicting)}
    with torch.no_grad():
        model(input_ids=torch.arange(20)[None])
    assert given == {id(first): 20, id(last): 20}


def test_a_pass_without_a_supervised_token_has_no_loss_and_no_gradient(rows: Any) -> None:
    model = build("llama", "lora", dropout=0.1)
    fuse(model)
    nothing = [(ids, np.zeros(len(ids), dtype=bool)) for ids, _ in rows]
    for packed in (True, False):
        loss, gradients = loss_and_gradients(model, nothing, packed)
        assert loss == 0
        assert not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_last_mlp_is_known_in_every_type(architecture: str, dtype: torch.dtype) -> None:
    assert narrow_last_layer(build(architecture).to(dtype))


def test_an_mlp_that_mixes_positions_runs_everywhere() -> None:
    model = build("llama")
    mlp = model.model.layers[-1].mlp
    own = mlp.forward
    for other in (lambda x: own(x).cumsum(1), lambda x: (own(x), x), lambda x: own(x)[..., 1:]):
        mlp.forward = other
        assert not narrow_last_layer(model)
        assert mlp.forward is other


@pytest.mark.parametrize("variant", [{"use_dora": True}, {"lora_bias": True}, {"dropout": 0.5}])
def test_what_is_no_plain_adapter_keeps_pefts_forward(variant: dict[str, Any]) -> None:
    model = build("qwen2", "lora", **{"dropout": 0.0, **variant, "bias": "none"})
    fuse(model)
    assert not [name for name in fused_modules(model) if name.endswith("q_proj")]


def test_a_norm_of_another_kind_keeps_its_form_and_is_named() -> None:
    class OddRMSNorm(torch.nn.Module):
        eps = 1e-6

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * x / x.norm(dim=-1, keepdim=True)

    model = torch.nn.Sequential(OddRMSNorm(), OddRMSNorm())
    assert fuse_norms(model) == ["OddRMSNorm keeps its own form, as the other one's results differ"]
    assert not fused_modules(model)  # type: ignore[arg-type]


def test_forms_that_prove_wrong_on_the_model_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama", "lora")
    assert fuse_proven(model) == ""
    assert fused_modules(model)
    unfuse(model)
    assert not fused_modules(model)
    real = AdaptedLinear.forward
    monkeypatch.setattr(AdaptedLinear, "forward", staticmethod(lambda *given: real(*given) * 1.5))
    assert fuse_proven(model).startswith(
        "all parts keep their own form: with the fused ones logits differ by"
    )
    assert not fused_modules(model)
    monkeypatch.setattr(AdaptedLinear, "forward", staticmethod(lambda *given: real(*given)[:, 1:]))
    assert fuse_proven(model).startswith("all parts keep their own form: with the fused ones ")
    assert not fused_modules(model)
