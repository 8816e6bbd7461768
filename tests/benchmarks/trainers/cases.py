"""What is trained: model shapes, lengths of chats, methods. Plain data, read in the environment of every trainer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

MODELS: Mapping[str, Mapping[str, Any]] = {
    "llama-40m": {
        "model_type": "llama",
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "vocab_size": 32_000,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    "gpt2-30m": {
        "model_type": "gpt2",
        "n_embd": 384,
        "n_layer": 6,
        "n_head": 6,
        "n_positions": 1024,
        "vocab_size": 50_257,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    },
    "gpt2-124m": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
        "vocab_size": 50_257,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    },
}
"""Configurations of transformers; the weights are random, since speed does not depend on their values."""

LENGTHS = ("short", "skewed", "long")
METHODS = ("lora", "full")
DTYPES = ("float32", "bfloat16")
LONGEST = 1024  # tokens of a chat
ROWS_PER_STEP: Mapping[str, int] = {"short": 8, "skewed": 4, "long": 2}
"""What is taken of each length unless told: about as many tokens a step of all, from 500 to 1,700."""
ROWS_PER_PASS = 8  # the default batch of all these trainers; larger steps accumulate gradients
VAL_ROWS = 16
LORA_R, LORA_ALPHA = 16, 32
LEARNING_RATE = {"lora": 2e-4, "full": 2e-5}
SEED = 3
ROWS, ADAPTER, MODEL = "rows.json", "adapter", "model"  # in the folder of a case


@dataclass(frozen=True)
class Case:
    """One thing that every trainer is given: a model, rows, and how it is trained.

    `dtype` is that of the computation: with LoRA the frozen weights are held in it, in full training float32 weights
    compute in it. The first `warmup` of the `steps` are not counted.
    """

    model: str
    length: str
    method: str
    dtype: str
    dropout: float
    rows_per_step: int
    warmup: int
    steps: int

    @property
    def title(self) -> str:
        adapters = f"LoRA r {LORA_R}, dropout {self.dropout:g}" if self.method == "lora" else "full"
        return (
            f"{self.model}, {adapters}, {self.dtype}, {self.length} chats, {self.rows_per_step} rows a step"
        )

    @property
    def rows_per_pass(self) -> int:
        return min(ROWS_PER_PASS, self.rows_per_step)

    @property
    def passes(self) -> int:
        return self.rows_per_step // self.rows_per_pass

    @property
    def all_steps(self) -> int:
        return self.warmup + self.steps


def cases(
    models: Sequence[str],
    lengths: Sequence[str],
    methods: Sequence[str],
    dtypes: Sequence[str],
    dropouts: Sequence[float],
    *,
    rows_per_step: int | None,
    warmup: int,
    steps: int,
) -> Iterator[Case]:
    """Every combination; full training has no adapters to drop from, so that it is there once.

    `rows_per_step` None is that of the length.
    """
    for model, length, method, dtype in product(models, lengths, methods, dtypes):
        for dropout in dropouts if method == "lora" else (0.0,):
            rows = rows_per_step or ROWS_PER_STEP[length]
            yield Case(model, length, method, dtype, dropout, rows, warmup, steps)


@dataclass(frozen=True)
class Job:
    """What one process is to do: train a case by one system, with so many threads.

    `folder` holds what all systems share; `out` is this process's own folder, which is there and empty.
    """

    case: Case
    system: str
    folder: Path
    out: Path
    threads: int

    def save(self, path: Path) -> None:
        values = asdict(self) | {"folder": str(self.folder), "out": str(self.out)}
        path.write_text(json.dumps(values), encoding="utf-8")

    @property
    def rows(self) -> dict[str, list[dict[str, list[int]]]]:
        """The tokens and labels of "train", in the order of the steps, and of "val"."""
        return json.loads((self.folder / ROWS).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def read_job(path: Path) -> Job:
    values = json.loads(path.read_text(encoding="utf-8"))
    case = Case(**values.pop("case"))
    return Job(case, values["system"], Path(values["folder"]), Path(values["out"]), values["threads"])


def common_settings(job: Job) -> dict[str, Any]:
    """The settings of a job that all trainers on top of transformers take by its own names."""
    case = job.case
    return {
        "output_dir": str(job.out / "run"),
        "max_steps": case.all_steps,
        "per_device_train_batch_size": case.rows_per_pass,
        "per_device_eval_batch_size": ROWS_PER_PASS,
        "gradient_accumulation_steps": case.passes,
        "learning_rate": LEARNING_RATE[case.method],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": SEED,
        "bf16": case.dtype == "bfloat16",
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
