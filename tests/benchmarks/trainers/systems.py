"""The trainers that are compared: with what each is run, and in which environment."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """`environment` is the folder of its virtual environment among those of `make peers`; "" is the one of ftui.

    `same_rows`: each of its steps trains on the rows of ours. `note` says how it is set up.
    """

    title: str
    script: str
    environment: str
    note: str
    same_rows: bool = True


SYSTEMS: Mapping[str, System] = {
    "ours": System("ftui", "with_ours.py", "", "its own recipe, tokenisation and preflight included"),
    "trl-default": System(
        "TRL SFTTrainer, default", "with_trainer.py", "trl", "activation checkpointing is on"
    ),
    "trl-no-checkpointing": System(
        "TRL, no checkpointing", "with_trainer.py", "trl", "gradient_checkpointing=False"
    ),
    "trl-padding-free": System(
        "TRL, padding_free",
        "with_trainer.py",
        "trl",
        "gradient_checkpointing=False, padding_free=True",
    ),
    "trl-packing": System(
        "TRL, packing bfd",
        "with_trainer.py",
        "trl",
        "gradient_checkpointing=False, packing=True, packing_strategy=bfd: which rows share a step is its own "
        "choice, so only tokens per second can be compared",
        same_rows=False,
    ),
    "trainer": System("transformers Trainer", "with_trainer.py", "trl", "its defaults"),
    "llamafactory": System(
        "LLaMA-Factory",
        "with_llamafactory.py",
        "llamafactory",
        "its defaults; activation checkpointing is on",
    ),
    "litgpt": System("litgpt", "with_litgpt.py", "litgpt", "its own loop and model"),
}
