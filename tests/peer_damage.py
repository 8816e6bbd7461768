"""Sixteen ways to damage the newest checkpoint of transformers' Trainer, and as many of ours.

Ours has no files for the scheduler and the generators, whose state follows from the seed and the step; in their place
are the manifest, the adapter's settings and an older optimizer.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, Path], None]
"""Damages a checkpoint, given an older one."""


def missing(name: str) -> Damage:
    return lambda newest, older: (newest / name).unlink()


def cut(name: str) -> Damage:
    return lambda newest, older: os.truncate(newest / name, (newest / name).stat().st_size // 2)


def zeros(name: str) -> Damage:
    return lambda newest, older: (newest / name).write_bytes(bytes((newest / name).stat().st_size)) and None


def flipped(name: str) -> Damage:
    """One bit of a value in the middle that is not zero: the highest of its mantissa, so that it counts."""

    def damage(newest: Path, older: Path) -> None:
        content = bytearray((newest / name).read_bytes())
        middle = len(content) // 8 * 4 + 2
        at = next(index for index in range(middle, 0, -4) if content[index])
        content[at] ^= 0x40
        (newest / name).write_bytes(bytes(content))

    return damage


def of_older(name: str) -> Damage:
    return lambda newest, older: shutil.copyfile(older / name, newest / name) and None


def edited(name: str, old: str, new: str) -> Damage:
    def damage(newest: Path, older: Path) -> None:
        text = (newest / name).read_text()
        assert old in text
        (newest / name).write_text(text.replace(old, new))

    return damage


ADAPTER = "adapter_model.safetensors"
PEER_KINDS: dict[str, Damage] = {
    "adapter missing": missing(ADAPTER),
    "adapter cut": cut(ADAPTER),
    "adapter all zeros": zeros(ADAPTER),
    "adapter, one bit": flipped(ADAPTER),
    "adapter of an older checkpoint": of_older(ADAPTER),
    "optimizer missing": missing("optimizer.pt"),
    "optimizer cut": cut("optimizer.pt"),
    "optimizer, one bit": flipped("optimizer.pt"),
    "scheduler missing": missing("scheduler.pt"),
    "scheduler cut": cut("scheduler.pt"),
    "generators missing": missing("rng_state.pth"),
    "generators cut": cut("rng_state.pth"),
    "generators, one bit": flipped("rng_state.pth"),
    "state missing": missing("trainer_state.json"),
    "state cut": cut("trainer_state.json"),
    "step edited": edited("trainer_state.json", '"global_step": 40', '"global_step": 39'),
}
OUR_KINDS: dict[str, Damage] = {
    "adapter missing": missing(ADAPTER),
    "adapter cut": cut(ADAPTER),
    "adapter all zeros": zeros(ADAPTER),
    "adapter, one bit": flipped(ADAPTER),
    "adapter of an older checkpoint": of_older(ADAPTER),
    "optimizer missing": missing("optimizer.safetensors"),
    "optimizer cut": cut("optimizer.safetensors"),
    "optimizer, one bit": flipped("optimizer.safetensors"),
    "optimizer of an older checkpoint": of_older("optimizer.safetensors"),
    "adapter's settings missing": missing("adapter_config.json"),
    "manifest missing": missing("manifest.json"),
    "manifest cut": cut("manifest.json"),
    "manifest of an older checkpoint": of_older("manifest.json"),
    "state missing": missing("trainer_state.json"),
    "state cut": cut("trainer_state.json"),
    "step edited": edited("trainer_state.json", '"step": 40', '"step": 39'),
}
