"""Trains a job with LLaMA-Factory: `python with_llamafactory.py JOB`.

Its own command's entry is called with the settings that its YAML files have; all others are its defaults. It reads
the rows as a data set that it has tokenised before (`tokenized_path`), and goes on from the adapter that ours has.
"""

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from cases import (
    ADAPTER,
    LONGEST,
    LORA_ALPHA,
    LORA_R,
    MODEL,
    Job,
    common_settings,
    read_job,
)
from marks import Marks, marks_in
from watching import evaluate, watch_steps

PACKAGES = ("torch", "transformers", "peft", "accelerate", "trl", "datasets", "llamafactory")


def settings_of(job: Job) -> dict[str, Any]:
    case = job.case
    adapters = {
        "adapter_name_or_path": str(job.folder / ADAPTER),
        "lora_rank": LORA_R,
        "lora_alpha": LORA_ALPHA,
        "lora_dropout": case.dropout,
        "lora_target": "all",
    }
    return {
        "model_name_or_path": str(job.folder / MODEL),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": case.method,
        **(adapters if case.method == "lora" else {}),
        "template": "default",
        "dataset": "rows",  # a name that it wants, and does not look up where there is a tokenised one
        "tokenized_path": str(tokenised(job)),
        "cutoff_len": LONGEST,
        "disable_shuffling": True,
        **common_settings(job),
    }


def tokenised(job: Job) -> Path:
    """The rows in the layout that it keeps its own tokenised data in."""
    from datasets import Dataset, DatasetDict

    parts = {}
    for name, rows in (("train", job.rows["train"]), ("validation", job.rows["val"])):
        made = [
            {
                **row,
                "attention_mask": [1] * len(row["input_ids"]),
                "images": None,
                "videos": None,
                "audios": None,
            }
            for row in rows
        ]
        parts[name] = Dataset.from_list(made)
    folder = job.out / "tokenised"
    DatasetDict(parts).save_to_disk(folder)
    return folder


def stand_in_for_audio() -> None:
    """It imports torchaudio, of which there is no build beside a torch for processors; no row here has sound."""
    module = types.ModuleType("torchaudio")
    module.__spec__ = ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = module


def watched(marks: Marks) -> None:
    """Have its Trainer note its steps, and evaluate once it has trained."""
    from llamafactory.train.sft import workflow

    made = workflow.CustomSeq2SeqTrainer

    class Watched(made):  # type: ignore[misc, valid-type]
        def train(self, *arguments: Any, **named: Any) -> Any:
            watch_steps(self, marks)
            result = super().train(*arguments, **named)
            evaluate(self, marks)
            marks.end(PACKAGES)
            return result

    workflow.CustomSeq2SeqTrainer = Watched


def main() -> None:
    import torch

    job = read_job(Path(sys.argv[1]))
    torch.set_num_threads(job.threads)
    marks = marks_in(job.out)
    stand_in_for_audio()
    from llamafactory.train.tuner import run_exp

    watched(marks)
    run_exp(settings_of(job))


if __name__ == "__main__":
    main()
