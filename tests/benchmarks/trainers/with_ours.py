"""Trains a job with ftui's own code: a run folder made as the command makes it, and the trainer's own steps.

    python with_ours.py JOB [--export]

--export trains nothing: it writes the rows and the first adapter of the run for the other trainers.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from cases import ADAPTER, LEARNING_RATE, LONGEST, LORA_ALPHA, LORA_R, MODEL, ROWS, SEED, Job, read_job
from marks import marks_in

PACKAGES = ("torch", "transformers", "peft", "accelerate")
CHATS, VAL, RECIPE = "chats.jsonl", "val.jsonl", "recipe.toml"


def recipe_of(job: Job) -> str:
    case = job.case
    return f"""
[model]
name = {json.dumps(str(job.folder / MODEL))}
dtype = "{case.dtype}"
[data]
train = {json.dumps(str(job.folder / CHATS))}
val = {json.dumps(str(job.folder / VAL))}
max_length = {LONGEST}
[train]
method = "{case.method}"
learning_rate = {LEARNING_RATE[case.method]}
num_train_epochs = 1
max_steps = {case.all_steps}
per_device_train_batch_size = {case.rows_per_pass}
gradient_accumulation_steps = {case.passes}
lr_scheduler_type = "constant"
warmup_steps = 0.0
weight_decay = 0.0
max_grad_norm = 1.0
seed = {SEED}
[lora]
r = {LORA_R}
lora_alpha = {LORA_ALPHA}
lora_dropout = {case.dropout}
[eval]
max_rows = 0
"""


def session_of(job: Job) -> Any:
    """The trainer's session for a new run of this job."""
    from finetui_core.cli.train import make_run
    from finetui_core.recipe.options import Recipe
    from finetui_core.train.setup import build_session, start_processes

    recipe = job.out / RECIPE
    recipe.write_text(recipe_of(job), encoding="utf-8")
    paths = make_run(recipe, (), None, job.out / "runs")
    given = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
    accelerator, processes = start_processes(given)
    return build_session(paths, given, accelerator, processes, None, lambda phase: None)[0]


def train(job: Job) -> None:
    import torch

    from finetui_core import __version__
    from finetui_core.train.row_losses import mean_and_row_losses
    from finetui_core.train.step import train_step

    torch.set_num_threads(job.threads)
    marks = marks_in(job.out)
    session = session_of(job)
    for step in range(1, job.case.all_steps + 1):
        result = train_step(session, step)
        marks.step(result.loss, result.tokens, result.supervised_tokens)
    clock, cpu = time.perf_counter(), time.process_time()
    loss, rows = mean_and_row_losses(
        session.model, session.data.val, session.val_rows, session.layout, session.device, session.processes
    )
    marks.evaluation(
        time.perf_counter() - clock,
        time.process_time() - cpu,
        loss,
        int(rows.tokens.sum()),
        int(sum(session.data.val.lengths)),
    )
    marks.end(PACKAGES, ftui=__version__)


def export(job: Job) -> None:
    """Write what the others are given: the rows in the order of the steps, and the adapter that ours begins with."""
    session = session_of(job)
    steps = range(1, job.case.all_steps + 1)
    numbers = [number for step in steps for number in session.schedule.rows_of_step(step)]
    rows = {
        "train": [_row(*session.data.train[number]) for number in numbers],
        "val": [_row(*session.data.val[number]) for number in session.val_rows],
    }
    (job.folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")
    if job.case.method == "lora":
        session.model.save_pretrained(job.folder / ADAPTER)


def _row(ids: Any, mask: Any) -> dict[str, list[int]]:
    """Labels as transformers has them: -100 where nothing is learned, as in the first token of a row."""
    labels = [int(one) if learned else -100 for one, learned in zip(ids, mask, strict=True)]
    return {"input_ids": ids.tolist(), "labels": [-100, *labels[1:]]}


if __name__ == "__main__":
    job = read_job(Path(sys.argv[1]))
    export(job) if "--export" in sys.argv else train(job)
