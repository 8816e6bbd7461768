"""Recipes for the tests of preflight: of hub names, so that nothing is read."""

from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe

GIB = 2**30
LLAMA = "meta-llama/Llama-2-7b-hf"
FACTS = Facts(rows=2000)


def recipe(**changes: object) -> Recipe:
    """A recipe from "table__key" values."""
    tables: dict[str, dict[str, object]] = {
        "model": {"name": LLAMA},
        "data": {"train": "x.jsonl", "max_length": 2048},
    }
    for dotted, value in changes.items():
        table, _, key = dotted.partition("__")
        tables.setdefault(table, {})[key] = value
    return Recipe.model_validate(tables)
