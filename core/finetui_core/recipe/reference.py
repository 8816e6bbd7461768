"""docs/recipe.md, written from the options: `python -m finetui_core.recipe.reference > docs/recipe.md`."""

import json
import sys
from collections.abc import Iterable

from finetui_core.recipe.checks import CHECKS
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import OptionInfo, option_table, table_names

_INTRODUCTION = """\
# The recipe

<!-- Made from the options by `python -m finetui_core.recipe.reference`; change them there. -->

A recipe is one TOML file that says what a run is. Names are those of `transformers.TrainingArguments` and
`peft.LoraConfig`. Only `model.name` and `data.train` have to be given:

```toml
[model]
name = "models/my-model"

[data]
train = "chats.jsonl"
```

- A relative path starts at the recipe's own folder; with `--set` it starts at the current folder.
- `--set table.key=value` overrides an option for one run: `--set train.seed=7`.
- Every fault of a recipe is reported at once, with line and column, and the run does not start.
- `ftui recipe new` writes a commented one from a preset, `check` names faults and advice, `show` tells where each
  value comes from, `diff` compares with another recipe, a preset or a run. `set recipe.toml lora.r=8` changes the
  file and keeps every other byte; a path in its value starts at the recipe's folder, as all that is written there.
- `ftui recipe schema > recipe.schema.json` serves editors that know TOML; the first line of a recipe then names
  it: `#:schema recipe.schema.json`.
- *by the run* as a default: chosen from the data and the model when the run starts, and shown.
- Start with the *essential* options; *common* ones are worth knowing, the others are for special cases.
"""


def reference_page() -> str:
    """The Markdown text of the reference page."""
    parts = [_INTRODUCTION]
    for table in table_names():
        purpose = Recipe.model_fields[table].annotation.__doc__  # type: ignore[union-attr]
        options = [option for option in option_table() if option.table == table]
        parts.append(f"## [{table}]\n\n{purpose}\n\n{_rows(options)}\n")
    rules = "\n".join(f"- {(check.__doc__ or '').splitlines()[0]}" for check in CHECKS)
    parts.append(f"## Options that go together\n\n{rules}\n- {_REMOTE_CODE_RULE}\n")
    return "\n".join(parts)


_REMOTE_CODE_RULE = (
    "`model.trust_remote_code` with a hub model needs `model.revision` to be a full commit hash."
)


def _rows(options: Iterable[OptionInfo]) -> str:
    lines = ["| option | value | default | level | what it does |", "|---|---|---|---|---|"]
    for option in options:
        source = f" *Source: {option.source}.*" if option.source else ""
        cells = (f"`{option.name}`", option.type, _default(option), option.level, f"{option.help}{source}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _default(option: OptionInfo) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "none" if option.kind == "text" else "by the run"
    return f"`{json.dumps(option.default)}`"


if __name__ == "__main__":
    sys.stdout.write(reference_page())
