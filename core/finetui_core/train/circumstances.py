"""What must be the same for a continuation to be exact, and what to do where it is not."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

import torch

from finetui_core.data.model_source import base_fingerprint, model_folder
from finetui_core.data.prepare import Prepared
from finetui_core.errors import InputError, Problem
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import Checkpoint
from finetui_core.train.evaluation import Processes
from finetui_core.train.fused.products import product_library
from finetui_core.train.model import compute_dtype
from finetui_core.train.replay import file_digest

COMPARED_LIBRARIES = ("torch", "transformers", "peft", "accelerate")
_HINTS = {
    "data_sha256": "Put the training data back as it was, or start a new run.",
    "rows": "The order of rows follows from their number: another number means another order, in which rows of this "
    "epoch come twice or not at all.",
    "val_sha256": "Put the validation data back as it was, or start a new run.",
    "replay_sha256": "Put the text to replay back as it was, or start a new run.",
    "base": "Put the base model back as it was, or start a new run.",
    "processes": "Start as many processes as before (launch.nproc_per_node and launch.nnodes), or start a new run: "
    "with another number a step has another number of rows.",
    "sharding": "Set launch.sharding as it was: sums are added in another order otherwise.",
    "threads": "Set OMP_NUM_THREADS as it was: sums are added in another order otherwise.",
    "device": "Train on a device of the same kind: another one rounds in another way.",
    "products": "Train on a processor of the same maker and kind: the products of matrices round in another way.",
    "dtype": "Train on a device that has the same precision, or set model.dtype.",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One circumstance that is not as it was when the checkpoint was written."""

    name: str
    was: Any
    now: Any

    def as_fact(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"name": self.name, "was": self.was, "now": self.now}


def circumstances(
    recipe: Recipe, data: Prepared, device: torch.device, processes: Processes
) -> dict[str, Any]:
    """The facts that a checkpoint notes, ready for JSON."""
    return {
        "data_sha256": data.report.sha256,
        "rows": len(data.train),
        "val_sha256": data.report.val_sha256,
        "replay_sha256": file_digest(recipe.data.replay_text) if recipe.data.replay else None,
        "base": None if recipe.train.method == "full" else _base(recipe),
        "processes": processes.count,
        "sharding": recipe.launch.sharding if processes.count > 1 else "none",
        "threads": torch.get_num_threads(),
        "device": _device_name(device),
        "products": product_library() if device.type == "cpu" else None,
        "dtype": str(compute_dtype(recipe.model.dtype, device)).removeprefix("torch."),
        **{name: version(name) for name in COMPARED_LIBRARIES},
    }


def _base(recipe: Recipe) -> str:
    """An adapter belongs to one base; a full checkpoint has all weights itself."""
    return base_fingerprint(recipe.model, model_folder(recipe.model, with_weights=True))


def _device_name(device: torch.device) -> str:
    """Of a processor the instructions that torch uses there: they decide how sums are rounded."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return str(device.type)


def differences(now: dict[str, Any], checkpoint: Checkpoint) -> tuple[Difference, ...]:
    """In what the circumstances differ; what an older version did not note of a checkpoint cannot be compared."""
    return tuple(
        Difference(name, checkpoint.facts[name], value)
        for name, value in now.items()
        if name in checkpoint.facts and checkpoint.facts[name] != value
    )


def refuse(run: str, checkpoint: Checkpoint, found: tuple[Difference, ...]) -> NoReturn:
    """Raise InputError with each difference, how to undo it, and how to go on all the same."""
    problems = [
        Problem(
            f"{one.name} was {one.was} when the checkpoint was written and is {one.now} now, "
            "so the run would not continue exactly",
            where=str(checkpoint.path),
            hint=_HINTS.get(one.name, f"Install {one.name}=={one.was}, or start a new run."),
        )
        for one in found
    ]
    way = f"ftui resume {run} --inexact"
    raise InputError(
        [
            *problems,
            Problem("it can go on all the same, marked as inexact from there on", hint=f"Go on with: {way}"),
        ]
    )
