"""From a run to a folder that other programs load: what is written for each target, and in which order."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from finetui_core.data.reading import Reading, context_length, read_with
from finetui_core.errors import InputError, Problem
from finetui_core.export.adapter import adapter_parts
from finetui_core.export.card import CARD, card_of
from finetui_core.export.model_parts import Parts, whole_model
from finetui_core.export.parity import Parity, check
from finetui_core.export.source import Source
from finetui_core.export.staging import Staging, check_space, check_target, put, put_all, staged
from finetui_core.export.vllm import COMMAND_FILE, vllm_command
from finetui_core.files import write_atomically
from finetui_core.runs.manifest import MANIFEST

Target = Literal["adapter", "merged", "ollama", "vllm", "gguf", "hub"]
TARGETS: tuple[Target, ...] = ("adapter", "merged", "ollama", "vllm", "gguf", "hub")
_FORMAT = "1"
"""Changes whenever the same run would give other files, so that an older interrupted export is not gone on with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`name` is what the model is called where it is served or published."""

    target: Target
    folder: Path
    name: str
    checked: bool = True
    converter: Path | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what: a phase as it begins, and the bytes of a file that are written."""

    phase: Callable[[str], None]
    written: Callable[[str, int, int], None]


class Exported(msgspec.Struct, frozen=True):
    """What was made. `command` is how it is served, where there is one to be copied."""

    target: str
    folder: str
    run: str
    step: int
    bytes: int
    notes: tuple[str, ...]
    command: str = ""
    parity: Parity | None = None


def export(source: Source, wanted: Wanted, told: Told) -> Exported:
    """Write the export, whole or not at all, and check it against the run.

    Raises InputError for what cannot be exported, and then nothing is left of it.
    """
    check_target(wanted.folder)
    told.phase("reading the run")
    reading = read_with(source.recipe)
    parts = _parts(source, wanted, reading)
    command = _command(source, wanted, reading)
    if command:
        small = {**parts.small, COMMAND_FILE: f"{command}\n".encode()}
        parts = Parts(parts.large, parts.bytes, small, parts.notes)
    check_space(wanted.folder, parts.all_bytes)
    told.phase("writing")
    with staged(wanted.folder, _plan(source, wanted)) as staging:
        _write(staging, parts, told)
        put_all(staging, {CARD: card_of(source, wanted.target, parts.notes).encode()})
    parity = _checked(source, wanted, parts, told) if wanted.checked else None
    return Exported(
        target=wanted.target,
        folder=str(wanted.folder),
        run=source.run.id,
        step=source.checkpoint.step,
        bytes=parts.all_bytes,
        notes=parts.notes,
        command=command,
        parity=parity,
    )


def _parts(source: Source, wanted: Wanted, reading: Reading) -> Parts:
    tokenizer = reading.tokenizer
    if wanted.target == "adapter" or (wanted.target == "hub" and not source.is_full):
        return adapter_parts(source, tokenizer, with_base=wanted.checked)
    return whole_model(source, tokenizer)


def _command(source: Source, wanted: Wanted, reading: Reading) -> str:
    if wanted.target != "vllm":
        return ""
    return vllm_command(wanted.folder, wanted.name, context_length(reading.config))


def _plan(source: Source, wanted: Wanted) -> str:
    """A fingerprint of what the files follow from: the checkpoint with its hashes, the base, the target."""
    manifest = (source.checkpoint.path / MANIFEST).read_bytes()
    base = str(source.checkpoint.facts.get("base"))
    parts = (_FORMAT.encode(), wanted.target.encode(), wanted.name.encode(), base.encode(), manifest)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _write(staging: Staging, parts: Parts, told: Told) -> None:
    done = 0
    for name, content in parts.large.items():

        def counted(name: str = name, content: Any = content) -> Any:
            nonlocal done
            for piece in content():
                yield piece
                done += len(piece)
                told.written(name, done, parts.bytes)

        if not put(staging, name, counted()):
            told.phase(f"kept: {name}")
            done += staging.files[name].bytes
    put_all(staging, parts.small)


def _checked(source: Source, wanted: Wanted, parts: Parts, told: Told) -> Parity:
    parity = check(source, wanted.folder, told.phase)
    notes = (*parts.notes, *parity.notes)
    write_atomically(wanted.folder / CARD, card_of(source, wanted.target, notes, parity.says).encode())
    return parity


def check_again(source: Source, folder: Path, told: Told) -> Parity:
    """The check of a folder that was exported before. Raises InputError where it is none."""
    if not folder.is_dir():
        raise InputError(Problem("there is no such folder", str(folder), "Export the run first."))
    return check(source, folder, told.phase)
