"""From a run to a folder that other programs load: what is written for each target, and in which order."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from finetui_core.data.reading import Reading, context_length, read_with
from finetui_core.errors import InputError, Problem
from finetui_core.export import gguf, hub, ollama
from finetui_core.export.adapter import adapter_parts
from finetui_core.export.adapter_file import CONFIG
from finetui_core.export.card import CARD, card_of
from finetui_core.export.gguf_file import FILE
from finetui_core.export.model_parts import Content, Parts, whole_model
from finetui_core.export.parity import Further, Parity, check, write_parity
from finetui_core.export.source import Source, trained_template
from finetui_core.export.staging import Staging, check_space, check_target, put, put_all, staged
from finetui_core.export.vllm import COMMAND_FILE, vllm_command
from finetui_core.files import write_atomically
from finetui_core.runs.manifest import MANIFEST, Buffer

Target = Literal["adapter", "merged", "ollama", "vllm", "gguf", "hub"]
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
    """What was made. `command` is how it is served, `address` where it was published."""

    target: str
    folder: str
    run: str
    step: int
    bytes: int
    notes: tuple[str, ...]
    command: str = ""
    address: str = ""
    parity: Parity | None = None


def export(source: Source, wanted: Wanted, told: Told) -> Exported:
    """Write the export, whole or not at all, and check it against the run.

    Raises InputError for what cannot be exported, and then nothing is left of it; RunFailed where the hub refuses.
    """
    check_target(wanted.folder)
    if wanted.target == "hub":
        hub.check_hub(wanted.name)
    if wanted.target == "ollama":
        ollama.check_name(wanted.name)
    if wanted.converter is not None:
        gguf.check_converter(wanted.converter)
    told.phase("reading the run")
    if wanted.target == "adapter" and not wanted.checked:
        return _written(source, wanted, adapter_parts(source), "", told)
    reading = read_with(source.recipe)
    if wanted.target == "gguf":
        return _as_gguf(source, reading, wanted, told)
    parts = _parts(source, wanted, reading)
    command = _command(wanted, reading)
    if wanted.target == "vllm":
        parts = replace(parts, small={**parts.small, COMMAND_FILE: f"{command}\n".encode()})
    made = _written(source, wanted, parts, command, told)
    if wanted.checked:
        further = _in_ollama(wanted.folder, reading) if wanted.target == "ollama" else None
        parity = check(source, wanted.folder, told.phase, further)
        made = _with_parity(source, wanted, made, parity)
    if wanted.target == "hub" and (made.parity is None or made.parity.agrees):
        told.phase(f"publishing {wanted.name}")
        address = hub.publish(wanted.folder, wanted.name, source.run.id)
        made = msgspec.structs.replace(made, address=address)
    return made


def _written(source: Source, wanted: Wanted, parts: Parts, command: str, told: Told) -> Exported:
    check_space(wanted.folder, parts.all_bytes)
    told.phase("writing")
    with staged(wanted.folder, _plan(source, wanted)) as staging:
        _write(staging, parts, told)
        put_all(staging, {CARD: _card(source, wanted, parts.notes)})
    return Exported(
        target=wanted.target,
        folder=str(wanted.folder),
        run=source.run.id,
        step=source.checkpoint.step,
        bytes=parts.all_bytes,
        notes=parts.notes,
        command=command,
    )


def _parts(source: Source, wanted: Wanted, reading: Reading) -> Parts:
    tokenizer = reading.tokenizer
    if wanted.target == "adapter" or (wanted.target == "hub" and not source.is_full):
        return adapter_parts(source, tokenizer)
    parts = whole_model(source, tokenizer)
    if wanted.target != "ollama":
        return parts
    made = ollama.template_for(tokenizer, trained_template(source))
    return ollama.ollama_parts(parts, made, tokenizer, context_length(reading.config))


def _command(wanted: Wanted, reading: Reading) -> str:
    if wanted.target == "vllm":
        return vllm_command(wanted.folder, wanted.name, context_length(reading.config))
    if wanted.target == "ollama":
        return ollama.create_command(wanted.folder, wanted.name)
    return ""


def _plan(source: Source, wanted: Wanted) -> str:
    """A fingerprint of what the files follow from: the checkpoint with its hashes, the base, the target."""
    manifest = (source.checkpoint.path / MANIFEST).read_bytes()
    base = str(source.checkpoint.facts.get("base"))
    parts = (_FORMAT, wanted.target, wanted.name, base, str(wanted.converter))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape") + manifest).hexdigest()


def _write(staging: Staging, parts: Parts, told: Told) -> None:
    done = 0
    for name, content in parts.large.items():
        begun = done

        def so_far(count: int, name: str = name, begun: int = begun) -> None:
            told.written(name, begun + count, parts.large_bytes)

        if not put(staging, name, _counted(content, so_far)):
            told.phase(f"kept what was written: {name}")
        done += staging.files[name].bytes
    put_all(staging, parts.small)


def _counted(content: Content, so_far: Callable[[int], None]) -> Iterator[Buffer]:
    done = 0
    for piece in content():
        yield piece
        done += len(piece)
        so_far(done)


def _as_gguf(source: Source, reading: Reading, wanted: Wanted, told: Told) -> Exported:
    if wanted.converter is None:
        planned = gguf.plan(source, reading, wanted.name)
        size, notes = planned.file.bytes, planned.notes
    else:
        planned, parts = None, whole_model(source, reading.tokenizer)
        size, notes = 2 * parts.all_bytes, parts.notes
    check_space(wanted.folder, size)
    told.phase("writing")
    with staged(wanted.folder, _plan(source, wanted)) as staging:
        if planned is not None:
            gguf.write(staging, planned, told.written)
        else:
            assert wanted.converter is not None
            gguf.convert(staging, parts, wanted.converter)
        put_all(staging, {CARD: _card(source, wanted, notes)})
    made = Exported(wanted.target, str(wanted.folder), source.run.id, source.checkpoint.step, size, notes)
    if not wanted.checked:
        return made
    told.phase("reading the file back")
    parity = gguf.check(source, reading, planned, wanted.folder)
    write_parity(wanted.folder, parity)
    return _with_parity(source, wanted, made, parity)


def _card(source: Source, wanted: Wanted, notes: tuple[str, ...], parity: str = "") -> bytes:
    return card_of(source, wanted.target, notes, parity).encode()


def _with_parity(source: Source, wanted: Wanted, made: Exported, parity: Parity) -> Exported:
    """The result with what the check found, which the card tells as well."""
    content = _card(source, wanted, (*made.notes, *parity.notes), parity.says)
    write_atomically(wanted.folder / CARD, content)
    return msgspec.structs.replace(made, parity=parity)


def _in_ollama(folder: Path, reading: Reading) -> Further:
    """How Ollama reads what transformers reads too."""
    return lambda trained, side: ollama.reads_in_ollama(
        folder, trained.side.reads, trained.asked, reading.tokenizer
    )


def check_again(source: Source, folder: Path, told: Told) -> Parity:
    """The check of a folder that was exported before, whatever for. Raises InputError where it is none."""
    known = (CONFIG, "config.json", FILE)
    if not any((folder / name).is_file() for name in known):
        hint = "Name a folder that ftui export has made."
        raise InputError(Problem("there is no exported model in it", str(folder), hint))
    if not (folder / FILE).is_file():
        for_ollama = (folder / ollama.MODELFILE).is_file()
        further = _in_ollama(folder, read_with(source.recipe)) if for_ollama else None
        return check(source, folder, told.phase, further)
    reading = read_with(source.recipe)
    parity = gguf.check(source, reading, gguf.plan(source, reading, source.run.id), folder)
    write_parity(folder, parity)
    return parity
