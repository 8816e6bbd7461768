"""Trains a job with transformers' Trainer or TRL's SFTTrainer: `python with_trainer.py JOB`.

All settings that a job does not fix are the trainer's own defaults. The rows come as tokens, which saves it the time
of its own tokenisation; it begins with the adapter that ours begins with.
"""

import sys
from pathlib import Path
from typing import Any

from cases import (
    ADAPTER,
    LONGEST,
    MODEL,
    ROWS_PER_PASS,
    Job,
    common_settings,
    read_job,
)
from marks import marks_in
from watching import evaluate, watch_steps

PACKAGES = ("torch", "transformers", "peft", "accelerate", "trl", "datasets")
EXACT_AND_FAST = {"gradient_checkpointing": False}
TRL_SETTINGS: dict[str, dict[str, Any]] = {
    "trl-default": {},
    "trl-no-checkpointing": EXACT_AND_FAST,
    "trl-padding-free": {**EXACT_AND_FAST, "padding_free": True, "max_length": None},
    "trl-packing": {**EXACT_AND_FAST, "packing": True, "packing_strategy": "bfd", "eval_packing": False},
}


def settings_of(job: Job) -> dict[str, Any]:
    """What is the same for all of them, by the names of transformers' TrainingArguments."""
    return {**common_settings(job), "train_sampling_strategy": "sequential"}


def model_of(job: Job) -> Any:
    """The model with the first adapter of ours, in the same number types."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    case = job.case
    dtype = torch.float32 if case.method == "full" else getattr(torch, case.dtype)
    model = AutoModelForCausalLM.from_pretrained(job.folder / MODEL, dtype=dtype)
    if case.method == "full":
        return model
    return PeftModel.from_pretrained(model, job.folder / ADAPTER, is_trainable=True)


def plain_trainer(job: Job) -> Any:
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    rows = job.rows
    for row in (*rows["train"], *rows["val"]):
        row["attention_mask"] = [1] * len(row["input_ids"])
    return Trainer(
        model=model_of(job),
        args=TrainingArguments(**settings_of(job)),
        train_dataset=rows["train"],
        eval_dataset=rows["val"],
        data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(job.folder / MODEL)),
    )


def trl_trainer(job: Job) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = job.rows
    settings = {"max_length": LONGEST, **settings_of(job), **TRL_SETTINGS[job.system]}
    if job.system == "trl-packing":
        settings |= _packs_of_steps(job, rows["train"])
    return SFTTrainer(
        model=model_of(job),
        args=SFTConfig(**settings),
        train_dataset=Dataset.from_list(rows["train"]),
        eval_dataset=Dataset.from_list(rows["val"]),
        processing_class=AutoTokenizer.from_pretrained(job.folder / MODEL),
    )


def _packs_of_steps(job: Job, rows: list[dict[str, list[int]]]) -> dict[str, int]:
    """As many full rows of packed chats a step as hold the tokens of an average step."""
    tokens = sum(len(row["input_ids"]) for row in rows) / job.case.all_steps
    packs = max(1, round(tokens / LONGEST))
    together = min(packs, ROWS_PER_PASS)
    return {
        "per_device_train_batch_size": together,
        "gradient_accumulation_steps": max(1, round(packs / together)),
    }


def main() -> None:
    import torch

    job = read_job(Path(sys.argv[1]))
    torch.set_num_threads(job.threads)
    marks = marks_in(job.out)
    trainer = plain_trainer(job) if job.system == "trainer" else trl_trainer(job)
    watch_steps(trainer, marks)
    trainer.train()
    evaluate(trainer, marks)
    marks.end(PACKAGES)


if __name__ == "__main__":
    main()
