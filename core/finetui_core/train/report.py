"""What a run says of itself once it is ready to train."""

from typing import Any

import msgspec

from finetui_core.files import write_atomically
from finetui_core.recipe.defaults import explain
from finetui_core.recipe.options import Recipe
from finetui_core.runs.halving import PASSES, ROWS
from finetui_core.train.checkpoint import trainable
from finetui_core.train.model import matched_modules
from finetui_core.train.setup import Session


def ready_event(session: Session, given: Recipe) -> dict[str, Any]:
    """The facts that a person wants before the first step, and each default with its reason and source."""
    layout = session.layout
    return {
        "total_steps": session.schedule.total_steps,
        "steps_per_epoch": session.schedule.steps_per_epoch,
        "total_tokens": total_tokens(session),
        "train_rows": session.own_rows,
        "replay_rows": len(session.data.train) - session.own_rows,
        "val_rows": len(session.data.val),
        "eval_rows": len(session.val_rows),
        "trainable_parameters": sum(value.numel() for value in trainable(session.model).values()),
        "total_parameters": sum(value.numel() for value in session.model.parameters()),
        "matched_modules": {} if session.recipe.train.method == "full" else matched_modules(session.model),
        "device": str(session.device),
        "processes": session.processes.count,
        "layout": {"packed": layout.packed, "chunked_head": layout.own_head, "note": session.layout_note},
        "chat_template": session.template_origin,
        "defaults": explain(given, session.recipe),
        "rows_from": list(session.data.how),
        "data_report": msgspec.to_builtins(session.data.report),
    }


def total_tokens(session: Session) -> int:
    """Tokens of all steps of the run, without padding; of a part of an epoch, as many as it has on average."""
    schedule = session.schedule
    return round(session.data.train.tokens / schedule.steps_per_epoch * schedule.total_steps)


def data_check_event(session: Session) -> dict[str, Any]:
    """The verdict on the run's rows, and the number of rows by rule where errors were accepted."""
    report = session.data.report
    return {"verdict": report.verdict, "errors": report.errors, "unusable_rows": report.unusable_rows}


def write_data_report(session: Session) -> None:
    """Write report/data.json: what became of the rows."""
    report = msgspec.json.format(msgspec.json.encode(session.data.report), indent=2)
    write_atomically(session.paths.report / "data.json", report + b"\n")


def write_resolved(session: Session, given: Recipe) -> None:
    """Write recipe.resolved.json with every default filled in.

    Its passes are those of the recipe as `given`, whatever a want of memory made of them for this attempt.
    """
    sizes = {name: getattr(given.train, name) for name in (ROWS, PASSES)}
    recipe = session.recipe.model_copy(update={"train": session.recipe.train.model_copy(update=sizes)})
    write_atomically(session.paths.resolved_recipe, recipe.model_dump_json(indent=1).encode() + b"\n")
