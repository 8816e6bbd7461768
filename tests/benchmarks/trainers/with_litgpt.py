"""Trains a job with litgpt's own `finetune_lora`: `python with_litgpt.py JOB`.

The weights go through its conversion, the rows come as tokens, and it begins with the adapter that ours begins with.
Its cosine schedule is held constant. Its loss is the mean over passes, so steps of several passes are not as ours.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import (
    ADAPTER,
    LEARNING_RATE,
    LONGEST,
    LORA_ALPHA,
    LORA_R,
    MODEL,
    MODELS,
    ROWS_PER_PASS,
    SEED,
    Job,
    read_job,
)
from marks import Marks, marks_in

PACKAGES = ("torch", "litgpt", "lightning")
IGNORED = -100
PRECISION = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
}  # bf16-true would hold the adapters in it as well


def refusal(job: Job) -> str:
    """Why litgpt cannot do this job, or ""."""
    if MODELS[job.case.model]["model_type"] != "llama":
        return f"litgpt has no model of the shape of {job.case.model}"
    if job.case.method == "full":
        return "its finetune_full trains the head apart from the embedding, which this model ties to it"
    return ""


def write_checkpoint(job: Job) -> Path:
    """The model and its first adapter in litgpt's layout."""
    import torch
    from litgpt import Config
    from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
    from litgpt.utils import save_config
    from safetensors.torch import load_file

    shape = MODELS[job.case.model]
    config = Config(
        name="ours",
        block_size=shape["max_position_embeddings"],
        n_layer=shape["num_hidden_layers"],
        n_embd=shape["hidden_size"],
        n_head=shape["num_attention_heads"],
        n_query_groups=shape["num_key_value_heads"],
        head_size=shape["head_dim"],
        intermediate_size=shape["intermediate_size"],
        vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"],
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-6,
        mlp_class_name="LLaMAMLP",
    )
    weights: dict[str, Any] = {}
    copy_weights_hf_llama(config, {}, weights, load_file(job.folder / MODEL / "model.safetensors"))
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    adapter = load_file(job.folder / ADAPTER / "adapter_model.safetensors")
    for layer in range(config.n_layer):
        weights |= adapter_of_layer(adapter, layer, torch.cat)
    folder = job.out / "checkpoint"
    shutil.copytree(job.folder / MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(weights, folder / "lit_model.pth")
    save_config(config, folder)
    return folder


def adapter_of_layer(adapter: dict[str, Any], layer: int, join: Callable[[list[Any]], Any]) -> dict[str, Any]:
    """PEFT's adapter of a layer under litgpt's names: its query, key and value are one layer."""

    def of(name: str, side: str) -> Any:
        return adapter[f"base_model.model.model.layers.{layer}.{name}.lora_{side}.weight"]

    single = {
        "attn.proj": "self_attn.o_proj",
        "mlp.fc_1": "mlp.gate_proj",
        "mlp.fc_2": "mlp.up_proj",
        "mlp.proj": "mlp.down_proj",
    }
    found = {}
    for side in "AB":
        for theirs, name in single.items():
            found[f"transformer.h.{layer}.{theirs}.lora_{side}"] = of(name, side)
        together = [of(f"self_attn.{name}_proj", side) for name in "qkv"]
        found[f"transformer.h.{layer}.attn.qkv.lora_{side}"] = join(together)
    return found


def data_of(job: Job, seen: list[int]) -> Any:
    """The rows as one of litgpt's data modules; the lengths of those that are trained on go into `seen`."""
    import torch
    from litgpt.data import DataModule, get_sft_collate_fn
    from torch.utils.data import DataLoader

    collate = get_sft_collate_fn(max_seq_length=LONGEST, pad_id=0, ignore_index=IGNORED)

    def samples(name: str) -> list[dict[str, Any]]:
        return [
            {
                "input_ids": torch.tensor(row["input_ids"]),
                "labels": torch.tensor(row["labels"]),
                "token_counts": {
                    "raw": len(row["input_ids"]),
                    "raw_plus_prompt_template": len(row["input_ids"]),
                },
            }
            for row in job.rows[name]
        ]

    def seen_collate(rows: list[dict[str, Any]]) -> Any:
        seen.extend(len(row["input_ids"]) for row in rows)
        return collate(rows)

    class Rows(DataModule):  # type: ignore[misc]
        def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: Any = None) -> None:
            pass

        def train_dataloader(self) -> Any:
            return DataLoader(samples("train"), batch_size=job.case.rows_per_pass, collate_fn=seen_collate)

        def val_dataloader(self) -> Any:
            return DataLoader(samples("val"), batch_size=ROWS_PER_PASS, collate_fn=collate)

    return Rows()


def watch(job: Job, marks: Marks, seen: list[int]) -> None:
    """Have litgpt's loop note its steps and its final validation, and hold its learning rate constant."""
    from litgpt.finetune import lora
    from torch.optim.lr_scheduler import LambdaLR

    losses: list[tuple[float, int]] = []
    steps = 0
    cross_entropy, validate = lora.chunked_cross_entropy, lora.validate

    def noted_loss(logits: Any, targets: Any, **named: Any) -> Any:
        loss = cross_entropy(logits, targets, **named)
        losses.append((float(loss.detach()), int((targets != IGNORED).sum())))
        return loss

    def constant(optimizer: Any, warmup_steps: int, max_steps: int) -> Any:
        scheduler = LambdaLR(optimizer, lambda step: 1.0)
        step = scheduler.step

        def marked_step() -> None:
            nonlocal steps
            step()
            steps += 1
            mean = sum(loss for loss, _ in losses) / len(losses)
            marks.step(mean, sum(seen), sum(count for _, count in losses))
            losses.clear()
            seen.clear()

        scheduler.step = marked_step
        return scheduler

    def marked_validate(*arguments: Any, **named: Any) -> Any:
        losses.clear()
        clock, cpu = time.perf_counter(), time.process_time()
        answer = validate(*arguments, **named)
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        if steps:
            supervised = sum(count for _, count in losses)
            loss = sum(loss * count for loss, count in losses) / supervised
            tokens = sum(len(row["input_ids"]) for row in job.rows["val"])
            marks.evaluation(clock, cpu, loss, supervised, tokens)
            marks.end(PACKAGES)
            sys.exit(0)  # what comes then is saving
        losses.clear()
        return answer

    lora.chunked_cross_entropy, lora.get_lr_scheduler, lora.validate = noted_loss, constant, marked_validate


def main() -> None:
    import torch

    job = read_job(Path(sys.argv[1]))
    torch.set_num_threads(job.threads)
    marks = marks_in(job.out)
    if why := refusal(job):
        marks.unavailable(why)
        return
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.finetune.lora import setup

    case = job.case
    seen: list[int] = []
    watch(job, marks, seen)
    setup(
        checkpoint_dir=write_checkpoint(job),
        out_dir=job.out / "run",
        precision=PRECISION[case.dtype],
        lora_r=LORA_R,
        lora_alpha=LORA_ALPHA,
        lora_dropout=case.dropout,
        lora_query=True,
        lora_key=True,
        lora_value=True,
        lora_projection=True,
        lora_mlp=True,
        data=data_of(job, seen),
        train=TrainArgs(
            save_interval=None,
            global_batch_size=case.rows_per_step,
            micro_batch_size=case.rows_per_pass,
            lr_warmup_steps=1,
            epochs=2,
            max_steps=case.all_steps,
        ),
        eval=EvalArgs(interval=10**9, max_new_tokens=1, max_iters=10**9, final_validation=True),
        optimizer={
            "class_path": "torch.optim.AdamW",
            "init_args": {"lr": LEARNING_RATE[case.method], "weight_decay": 0.0},
        },
        seed=SEED,
    )


if __name__ == "__main__":
    main()
