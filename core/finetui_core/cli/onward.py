"""The way from one command to the next: each ends with a line that can be typed as it stands."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from finetui_core.runs.paths import RunPaths, runs_root

_SERVED = {
    "adapter": "peft loads the folder onto {base}",
    "merged": "transformers loads the folder; --to ollama, vllm or gguf is for others",
    "ollama": "the command above, then: ollama run {name}",
    "vllm": "the command above serves it",
    "gguf": "llama-cli -m {folder}/model.gguf",
    "hub": "look at the card there before you make it public",
}


def after_check(train: str, val: str, recipe: Path | None) -> str:
    """After a data check that found no error."""
    if recipe is not None:
        return f"Next: ftui preflight {quote(str(recipe))}"
    return f"Next: ftui recipe new my.toml --model MODEL --train {quote(train)}{_val(val)}"


def after_mending(output: Path | None, val: str) -> str:
    """After rows were mended, or would be: `output` is None for a plan."""
    if output is None:
        return "Next: the same with -o NEW in the place of --plan"
    return f"Next: ftui data check {quote(str(output))}{_val(val)}"


def after_recipe(recipe: Path, overrides: Sequence[str]) -> str:
    """After a recipe was found without fault."""
    return f"Next: ftui preflight {quote(str(recipe))}{_sets(overrides)}"


def after_preflight(recipe: Path, overrides: Sequence[str], *, enough: bool) -> str:
    """After a recipe's needs were reckoned; `enough` says that memory and disk are."""
    name = quote(str(recipe))
    if enough:
        return f"Next: ftui train {name}{_sets(overrides)}"
    return f"Next: ftui recipe set {name} OPTION=VALUE, with a change from above"


def after_training(paths: RunPaths) -> str:
    """After a run that has weights to show."""
    run = run_name(paths)
    return f"Next: ftui compare {run}   (is it better?)\n      ftui chat {run}   (talk to it)"


def after_comparing(paths: RunPaths) -> str:
    """After a comparison in which the tuned model came out best."""
    run = run_name(paths)
    return f"Next: ftui chat {run}   (talk to it)\n      ftui export {run}   (take it elsewhere)"


def after_talking(paths: RunPaths, saved: Path | None) -> str:
    """After a conversation; `saved` holds rows of it for the next round."""
    if saved is not None:
        return f"Next: ftui data check {quote(str(saved))}   (rows for the next round)"
    return f"Next: ftui export {run_name(paths)}   (take it elsewhere)"


def after_exporting(
    paths: RunPaths, target: str, folder: str, name: str, base: str, agrees: bool | None
) -> str:
    """After an export; `agrees` is what the check found, None where it was left out."""
    run = run_name(paths)
    if agrees is None:
        return f"Next: ftui export {run} --check {quote(folder)}"
    if not agrees:
        return "Next: docs/export.md says what each difference comes from; ship nothing before"
    return f"Next: {_SERVED[target].format(run=run, name=name, folder=quote(folder), base=base)}"


def run_name(paths: RunPaths) -> str:
    """What a command takes for this run: its id where runs are looked for anyhow, else its path."""
    return paths.id if paths.root.parent == runs_root().absolute() else quote(str(paths.root))


def _sets(overrides: Sequence[str]) -> str:
    return "".join(f" --set {quote(one)}" for one in overrides)


def _val(val: str) -> str:
    return f" --val {quote(val)}" if val else ""
