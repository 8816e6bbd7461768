"""transformers' Trainer on the same model, rows and adapters as our runs, for comparing what both survive.

It is used as its documentation says: `get_last_checkpoint` finds where to go on, and `train` is called with
`resume_from_checkpoint=True` where there is something. Settings that are not named here are its defaults.
"""

import itertools
import json
import os
import random
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from forks import start
from kill_lab import DEADLINE, STEPS, kill_when

SETTINGS: Mapping[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 8,
    "learning_rate": 0.01,
    "seed": 3,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 3,
    "logging_steps": 1,
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}
STATE = "trainer_state.json"  # the Trainer writes it last


def peer(project: Path, out: Path, settings: Mapping[str, Any], poisoned_step: int = 0) -> int:
    """Train with the Trainer in this process, from its last checkpoint if it has one."""
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
        set_seed,
    )
    from transformers.trainer_utils import get_last_checkpoint

    poison(poisoned_step)
    tokenizer, rows = _rows(project)
    set_seed(SETTINGS["seed"])
    adapters = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = Trainer(
        model=get_peft_model(AutoModelForCausalLM.from_pretrained(project / "model"), adapters),
        args=TrainingArguments(output_dir=str(out), **{**SETTINGS, **settings}),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[_noting(numbers_of(out))],
    )
    trainer.train(resume_from_checkpoint=True if get_last_checkpoint(str(out)) else None)
    return 0


def _rows(project: Path) -> tuple[Any, list[dict[str, list[int]]]]:
    """The rows that our trainer makes of the project's data."""
    from finetui_core.data.prepare import prepare
    from finetui_core.data.reading import read_with
    from finetui_core.recipe.load import load_recipe

    recipe = load_recipe(project / "recipe.toml", ())
    reading = read_with(recipe)
    train = prepare(recipe.data, reading.tokenizer, reading.max_length, recipe.train.seed).train
    reading.tokenizer.pad_token = reading.tokenizer.eos_token
    rows = []
    for ids, mask in (train[number] for number in range(len(train))):
        labels = [int(one) if learned else -100 for one, learned in zip(ids, mask, strict=True)]
        rows.append({"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": labels})
    return reading.tokenizer, rows


def _noting(path: Path) -> Any:
    """A callback that writes each step's logged numbers to a file of its own, and when training begins."""
    from transformers import TrainerCallback

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    class Noting(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            os.write(descriptor, b'{"begins": true}\n')

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
            if "loss" in logs:
                noted = {"step": state.global_step, "loss": logs["loss"], "grad_norm": logs["grad_norm"]}
                os.write(descriptor, json.dumps(noted).encode() + b"\n")

    return Noting()


def poison(step: int) -> None:
    """Make the hidden states of the `step`th training pass of a Llama in this process NaN; 0 poisons none."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaModel

    if step == 0:
        return
    honest = LlamaModel.forward
    passes = iter(range(1, 1_000_000))

    def forward(self: Any, *arguments: Any, **named: Any) -> Any:
        result = honest(self, *arguments, **named)
        if self.training and torch.is_grad_enabled() and next(passes) == step:
            result.last_hidden_state = result.last_hidden_state * float("nan")
        return result

    LlamaModel.forward = forward


def numbers_of(out: Path) -> Path:
    """Where a Trainer's numbers are noted: beside its folder, which may be a disk that is full."""
    return out.with_name(f"{out.name}.jsonl")


def logged(out: Path) -> dict[int, tuple[float, float]]:
    """Loss and gradient norm of each step, of the last time it was done."""
    noted = (json.loads(line) for line in numbers_of(out).read_text().splitlines())
    return {one["step"]: (one["loss"], one["grad_norm"]) for one in noted if "step" in one}


def checkpoints(out: Path) -> list[Path]:
    """The Trainer's checkpoints, newest first."""
    found = out.glob("checkpoint-*") if out.is_dir() else ()
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def adapters(out: Path) -> dict[str, bytes]:
    """The adapters after the last step."""
    saved = load_file(out / f"checkpoint-{STEPS}" / "adapter_model.safetensors")
    return {name: value.tobytes() for name, value in saved.items()}


def is_as(out: Path, calm: Path) -> bool:
    """Whether a run's numbers and adapters are bitwise those of the undisturbed one."""
    return logged(out) == logged(calm) and adapters(out) == adapters(calm)


def start_peer(
    project: Path, out: Path, settings: Mapping[str, Any], log: Path, poisoned_step: int = 0
) -> Any:
    return start(peer, log, project, out, settings, poisoned_step)


@dataclass(frozen=True)
class PeerWatched:
    """What can be seen of a Trainer from outside while it runs; `target` is how many steps it may do."""

    project: Path
    out: Path
    begins_before: int
    steps_before: int
    target: int

    def lines(self) -> bytes:
        try:
            return numbers_of(self.out).read_bytes()
        except FileNotFoundError:
            return b""

    def is_due(self) -> bool:
        return self.lines().count(b'"loss"') - self.steps_before >= self.target

    def trains(self) -> bool:
        return self.lines().count(b'"begins"') > self.begins_before

    def saves(self) -> bool:
        return self.is_due() and is_saving(self.out)


def is_saving(out: Path) -> bool:
    """Whether the newest checkpoint is not whole, or one more is there than may be kept."""
    there = checkpoints(out)
    if not there:
        return False
    return not (there[0] / STATE).exists() or len(there) > SETTINGS["save_total_limit"]


AIMS: tuple[tuple[float, Callable[[PeerWatched], bool], float], ...] = (
    (0.5, PeerWatched.saves, 0.01),
    (0.1, lambda watched: True, 0.4),
    (0.1, PeerWatched.trains, 0.01),
    (0.3, PeerWatched.is_due, 0.02),
)
"""How often, what must be in sight, and the longest pause after it (seconds): half are meant to meet a save."""


@dataclass(frozen=True)
class PeerKill:
    """One kill of a Trainer, and whether the next start could go on from what it left (None: none was due)."""

    inside_save: bool
    resumed: bool | None
    said: str = ""


@dataclass(frozen=True)
class PeerTrial:
    """A Trainer's run with its kills; `identical` is None where it could not be brought to its end."""

    kills: tuple[PeerKill, ...]
    identical: bool | None


def peer_trial(project: Path, calm: Path, name: str, kills: int, chance: random.Random) -> PeerTrial:
    """Kill a Trainer up to `kills` times and start it again each time, until it ends or cannot go on."""
    out, log = project / name, project / f"{name}.txt"
    met: list[PeerKill] = []
    for number in itertools.count():
        lines = PeerWatched(project, out, 0, 0, 0).lines()
        watched = PeerWatched(
            project, out, lines.count(b'"begins"'), lines.count(b'"loss"'), chance.randint(0, 6)
        )
        weights = [weight for weight, _, _ in AIMS]
        _, sees, within = chance.choices(AIMS, weights)[0]
        child = start_peer(project, out, {}, log)
        if number < kills:
            kill_when(child, partial(sees, watched), chance.random() * within)
        child.join(DEADLINE)
        failed = child.exitcode not in (0, -signal.SIGKILL)
        if met:
            met[-1] = replace(met[-1], resumed=not failed, said=last_line(log) if failed else "")
        if failed or child.exitcode == 0:
            return PeerTrial(tuple(met), None if failed else is_as(out, calm))
        met.append(PeerKill(is_saving(out), None))
    raise AssertionError


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, which is what an exception says; without folders and numbers."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return re.sub(r"\d+", "N", re.sub(r"/\S*/", "", lines[-1]))[:200] if lines else ""
