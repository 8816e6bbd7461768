"""The GGUF target: written here, or by llama.cpp's own converter, and read back."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.data.reading import Reading, context_length
from finetui_core.errors import InputError, Problem
from finetui_core.export import causes
from finetui_core.export.beside import turn_end
from finetui_core.export.gguf_check import read_from, tensors_differ, tokens_in, without_marks
from finetui_core.export.gguf_file import (
    FILE,
    Gguf,
    gguf_notes,
    plan_gguf,
    require_gguf,
    window_of,
    write_gguf,
)
from finetui_core.export.gguf_tokens import Tokens, tokens_of
from finetui_core.export.model_parts import Parts, model_tensors, quantised_notes
from finetui_core.export.parity import Parity, agrees, differs, texts_compared
from finetui_core.export.source import Source, trained_template
from finetui_core.export.staging import Staging, adopt, put, put_all
from finetui_core.export.trained import trained_reads
from finetui_core.runs.command import child_environment


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written: `facts` are the file's name, template and special tokens."""

    file: Gguf
    tokens: Tokens
    facts: dict[str, Any]
    notes: tuple[str, ...]


def plan(source: Source, reading: Reading, name: str) -> Plan:
    """Raises InputError for a model or a tokenizer that is not written here."""
    require_gguf()
    file = plan_gguf(model_tensors(source), reading.config)
    tokens = tokens_of(source.checkpoint.path, file.tensors.config["vocab_size"])
    tokenizer = reading.tokenizer
    read = trained_reads(tokenizer, context_length(reading.config)).side.reads[0]
    bos = tokenizer.bos_token or ""
    end = turn_end(tokenizer)
    facts = {
        "name": name,
        "template": without_marks(trained_template(source)),
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id if end is None else end,
        "pad": tokenizer.pad_token_id,
        "adds_bos": bool(bos) and read.prompt_text.startswith(bos),
    }
    return Plan(file, tokens, facts, (*quantised_notes(source), *gguf_notes(file, tokens)))


def write(staging: Staging, planned: Plan, written: Callable[[str, int, int], None]) -> None:
    done = 0
    for count in write_gguf(planned.file, planned.tokens, planned.facts, staging.folder / FILE):
        done += count
        written(FILE, done, planned.file.bytes)
    adopt(staging, FILE)


def check_converter(path: Path) -> None:
    if not path.is_file() or path.suffix != ".py":
        hint = "Name llama.cpp's convert_hf_to_gguf.py."
        raise InputError(Problem("this is no converter", str(path), hint))


def convert(staging: Staging, parts: Parts, converter: Path) -> None:
    """Let the converter, a program that the user names, make the file of the whole model."""
    inner = Staging(staging.folder / "model", staging.target, staging.plan, {})
    inner.folder.mkdir(mode=0o700)
    for name, content in parts.large.items():
        put(inner, name, content())
    put_all(inner, parts.small)
    command = [sys.executable, str(converter), str(inner.folder), "--outfile", str(staging.folder / FILE)]
    ended = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    shutil.rmtree(inner.folder)
    if ended.returncode != 0 or not (staging.folder / FILE).is_file():
        lines = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        why = lines[-1] if lines else f"it ended with code {ended.returncode}"
        raise InputError(
            Problem(f"the converter failed: {why}", str(converter), "See what it needs installed.")
        )
    adopt(staging, FILE)


def check(source: Source, reading: Reading, planned: Plan | None, folder: Path) -> Parity:
    """Read the file back. Without `planned`, of a converter's file, the tensors are not compared."""
    trained = trained_reads(reading.tokenizer, context_length(reading.config))
    tokens, facts = tokens_in(folder / FILE)
    pieces = {token: tokens.texts[token] for token in trained.side.pieces if token < len(tokens.texts)}
    reads = read_from(tokens, facts, reading.tokenizer, trained.asked)
    shipped = msgspec.structs.replace(
        trained.side, reads=reads, has_template=bool(facts["template"]), pieces=pieces
    )
    found = texts_compared(source, trained, shipped, 0.0)
    if not found.agrees:
        return found
    if facts["eos"] not in _ends(reading.tokenizer):
        first = f"the file has {facts['eos']}"
        return differs(source, trained, 0.0, causes.NOT_STOPPING, first)
    limit = "" if facts["has_window"] else _limit(window_of(reading.config))
    if planned is None:
        note = "Its tensors are the converter's: they were not compared."
        return agrees(source, trained, 0.0, None, [note], limit)
    if first := tensors_differ(planned.file, folder / FILE):
        return differs(source, trained, 0.0, causes.OTHER_WEIGHTS, first)
    note = f"All {len(planned.file.names)} tensors are bit by bit what was written."
    return agrees(source, trained, 0.0, None, [note], limit)


def _limit(window: int | None) -> str:
    return (
        f", but only in conversations of up to {window:,} tokens, as many as the model attends to"
        if window
        else ""
    )


def _ends(tokenizer: Any) -> set[int | None]:
    end = turn_end(tokenizer)
    return {tokenizer.eos_token_id} if end is None else {end}
