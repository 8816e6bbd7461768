"""What preflight reckons of sharded weights, and what cannot be combined with them."""

import pytest

from finetui_core.preflight.figures import Memory
from finetui_core.preflight.formula import estimate
from finetui_core.preflight.shape import model_shape
from finetui_core.preflight.sharded import NOTE
from finetui_core.preflight.workload import workload
from finetui_core.recipe.checks import contradictions
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import (
    DataOptions,
    LaunchOptions,
    ModelOptions,
    Recipe,
    TrainOptions,
)


def recipe_of(processes: int, sharding: str, method: str = "full", **model: str) -> Recipe:
    launch = {"nproc_per_node": processes, "sharding": sharding}
    return Recipe(
        model=ModelOptions(name="meta-llama/Llama-2-7b-hf", **model),  # type: ignore[arg-type]
        data=DataOptions(train="there", max_length=512),
        train=TrainOptions(method=method),  # type: ignore[arg-type]
        launch=LaunchOptions.model_validate(launch),
    )


def memory_of(recipe: Recipe) -> Memory:
    shape = model_shape(recipe.model.name)
    assert shape is not None
    return estimate(workload(recipe, Facts(rows=5000), shape, "cuda", None))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_each_process_holds_its_part_and_what_is_put_together(method: str) -> None:
    whole, sharded = memory_of(recipe_of(8, "none", method)), memory_of(recipe_of(8, "full", method))
    for kind in ("weights", "adapter", "optimizer"):
        assert sharded.peaks["save"][kind] == -(-whole.peaks["save"][kind] // 8)  # type: ignore[index]
    assert sum(sharded.peaks["train"].values()) < sum(whole.peaks["train"].values())
    assert sharded.peaks["train"]["weights"] > sharded.peaks["save"]["weights"]
    assert NOTE in sharded.note and NOTE not in whole.note


def test_one_process_holds_all() -> None:
    assert memory_of(recipe_of(1, "full")).peaks == memory_of(recipe_of(1, "none")).peaks


def test_quantized_weights_and_scaled_losses_are_refused() -> None:
    for recipe in (recipe_of(2, "full", "qlora"), recipe_of(2, "full", "lora", dtype="float16")):
        (fault,) = contradictions(recipe, set(), set())
        assert fault.options[0] == ("launch", "sharding")
    assert contradictions(recipe_of(2, "full"), set(), set()) == []
