"""What a sweep would run: a line for each run, and what preflight says of it."""

from collections.abc import Sequence
from typing import Any

from finetui_core.cli.say import data, table
from finetui_core.recipe.combinations import Combination


def plan_json(name: str, combinations: Sequence[Combination]) -> dict[str, Any]:
    return {"name": name, "runs": [{"set": list(one.overrides), "label": one.label} for one in combinations]}


def show_plan(name: str, combinations: Sequence[Combination]) -> None:
    rows = [[str(number), one.label] for number, one in enumerate(combinations, 1)]
    data(f"{name}: {len(combinations)} {'run' if len(combinations) == 1 else 'runs'}")
    for line in table(["run", "options"], rows):
        data(line)
