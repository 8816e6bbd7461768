"""What a knob promises is what the verdict says once it is applied: the formula's, and a trace's."""

import pytest

from finetui_core.preflight.figures import Device, Memory
from finetui_core.preflight.knobs import apply
from finetui_core.preflight.report import Found, quick
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.workload import workload
from finetui_core.recipe.options import Recipe
from preflight_values import FACTS, GIB, LLAMA, recipe

SIZES = (8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80)
MODELS = (
    LLAMA,
    "HuggingFaceTB/SmolLM2-1.7B",
    "Qwen/Qwen3-4B",
    "google/gemma-2-2b",
    "allenai/OLMo-2-1124-7B",
    "microsoft/phi-2",
)


def traced(one: Recipe) -> Memory:
    from finetui_core.train.traced import longest_documents, trace

    shape = model_shape(one.model.name)
    assert shape is not None
    work = workload(one, FACTS, shape, "cuda")
    return Memory("trace", trace(work, longest_documents(work))[0], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_knob_promises_what_a_trace_with_it_denies(name: str, checkpointing: bool) -> None:
    asked = recipe(
        model__name=name,
        data__max_length=2048,
        train__per_device_train_batch_size=4,
        train__gradient_checkpointing=checkpointing,
    )
    before, after, promised = traced(asked), dict[str, Memory](), 0
    for size in SIZES:
        card = Device("a card", "cuda", size * GIB)
        for knob in quick(asked, FACTS, card, found=Found(memory=before), past=()).knobs:
            if knob.fit != "fits":
                continue
            promised += 1
            changed = apply(asked, knob.changes)
            if knob.name not in after:
                after[knob.name] = traced(changed)
            found = Found(memory=after[knob.name])
            verdicts = [quick(changed, FACTS, card, found=one, past=()).verdict for one in (found, Found())]
            assert [one and one.fit for one in verdicts] == ["fits", "fits"], (size, knob.name)
    assert promised
