"""A Modelfile for Ollama: the exported model, its chat template in Go's language, and where answers stop.

https://docs.ollama.com/modelfile
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetui_core.data.model_files import read_json
from finetui_core.data.template import Unrenderable, chat_of
from finetui_core.errors import InputError, Problem
from finetui_core.export.beside import GENERATION, as_json
from finetui_core.export.go_from_jinja import GoTemplate, Show, go_template, ollama_values
from finetui_core.export.go_template import GoTemplateError, render_go
from finetui_core.export.model_parts import Parts
from finetui_core.export.prompts import Asked
from finetui_core.export.side import Read, conversation_of, ids_of

MODELFILE, TOKENIZER = "Modelfile", "tokenizer_config.json"
_GGUF = (
    "Export it for llama.cpp instead (--to gguf): that reads the chat template itself, and Ollama the file."
)
_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,79}/){0,2}[A-Za-z0-9][\w.-]{0,79}(?::[A-Za-z0-9][\w.-]{0,79})?")
_ARCHITECTURES = frozenset(
    f"{name}ForCausalLM"
    for name in ("Llama", "Mistral", "Mixtral", "Gemma", "Gemma2", "Gemma3", "Phi3", "Qwen2", "Qwen3")
)
"""Those whose safetensors files Ollama reads."""
_MOST_CONTEXT = 8192
"""Tokens: a longer context takes memory from the start, and is one line to change."""
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "repetition_penalty": "repeat_penalty",
}
_READ = re.compile(r'^TEMPLATE """(.*?)"""$', re.DOTALL | re.MULTILINE)


def check_name(name: str) -> None:
    """Raise InputError for a name that Ollama does not take."""
    if not _NAME.fullmatch(name):
        hint = (
            "Say --name with letters, digits, dots, hyphens and underscores: support-bot, or me/support-bot."
        )
        raise InputError(Problem(f"Ollama takes no model of the name {name!r}", "--name", hint))


def check_architecture(config: Mapping[str, Any]) -> None:
    """Raise InputError for a model whose files Ollama does not read."""
    found = config.get("architectures") or ["unknown"]
    if found[0] not in _ARCHITECTURES:
        raise InputError(Problem(f"Ollama reads no safetensors files of {found[0]}", hint=_GGUF))


def template_for(tokenizer: Any, template: str) -> GoTemplate:
    """The Go form of the trained template. Raises InputError where there is none."""
    if "strftime" in template:
        raise InputError(_no_form("it shows today's date"))
    bos = tokenizer.bos_token or ""
    made = go_template(shown_by(tokenizer), bos)
    if isinstance(made, str):
        raise InputError(_no_form(made))
    if '"""' in made.text:
        raise InputError(_no_form("it holds three quotes in a row, which a Modelfile cannot"))
    if not all(one.isprintable() or one in "\t\r\n" for one in made.text):
        raise InputError(_no_form("it holds invisible characters, which Ollama drops from a Modelfile"))
    return made


def _no_form(why: str) -> Problem:
    return Problem(f"the chat template cannot be written for Ollama: {why}", "chat template", _GGUF)


def shown_by(tokenizer: Any) -> Show:
    """The function that renders messages as the trained template asks for an answer."""

    def show(messages: Any) -> str | None:
        chat = chat_of(conversation_of(Asked("", tuple(messages), "")), tokenizer, keep_rest=False)
        try:
            return chat.text(chat.messages[:-1], prompt=True)
        except Unrenderable:
            return None

    return show


def modelfile(made: GoTemplate, stops: list[str], settings: Mapping[str, Any], context: int | None) -> str:
    """The Modelfile's text. `stops` are the texts at which an answer ends, `settings` the generation settings."""
    lines = ["FROM .", f'TEMPLATE """{made.text}"""']
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines.append(f"PARAMETER num_ctx {min(context or _MOST_CONTEXT, _MOST_CONTEXT)}")
    for ours, theirs in _SAMPLING.items():
        value = settings.get(ours)
        if isinstance(value, int | float) and not isinstance(value, bool):
            lines.append(f"PARAMETER {theirs} {value}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text or "\n" in text else f'"{text}"'


def template_in(folder: Path) -> str:
    """The TEMPLATE of the Modelfile in an export; "" where it has none."""
    try:
        found = _READ.search((folder / MODELFILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""


def ollama_parts(parts: Parts, made: GoTemplate, tokenizer: Any, context: int | None) -> Parts:
    """The model's files with a Modelfile. Raises InputError for a model that Ollama does not read."""
    config = json.loads(parts.small["config.json"])
    check_architecture(config)
    settings = json.loads(parts.small[GENERATION])
    ends = settings.get("eos_token_id", [])
    stops = [tokenizer.convert_ids_to_tokens(end) for end in (ends if isinstance(ends, list) else [ends])]
    small = {**parts.small, MODELFILE: modelfile(made, stops, settings, context).encode()}
    if tokenizer.bos_token_id is not None and not made.adds_bos:  # Ollama would put it before every prompt
        reading = json.loads(parts.small[TOKENIZER])
        small[TOKENIZER] = as_json({**reading, "add_bos_token": False})
    return Parts(parts.large, parts.large_bytes, small, (*parts.notes, *notes_of(made)))


def reads_in_ollama(
    folder: Path, trained: Sequence[Read], asked: Sequence[Asked], tokenizer: Any
) -> list[Read]:
    """How the prompts read through the Modelfile in `folder`; those with tools are left as they were trained."""
    template = template_in(folder)
    bos = tokenizer.bos_token or ""
    reading = read_json(folder / TOKENIZER, 8 << 20)
    added = bos if reading.get("add_bos_token", True) else ""
    reads = []
    for read, one in zip(trained, asked, strict=True):
        if one.tools or read.refused:
            reads.append(read)
            continue
        try:
            text = added + render_go(template, ollama_values(one.messages))
        except GoTemplateError as error:
            reads.append(Read(one.name, refused=str(error)))
            continue
        reads.append(Read(one.name, text, ids_of(tokenizer, text), read.whole_text, read.whole_ids))
    return reads


def notes_of(made: GoTemplate) -> list[str]:
    """What the Go form does otherwise than the trained template, in sentences."""
    notes = ["Ollama's template shows no tools: its JSON is written otherwise than the trained one."]
    if not made.shows_system:
        notes.append("The trained template has no system messages, so the Modelfile leaves them out.")
    if not made.keeps_spaces:
        notes.append(
            "The trained template cuts white space around messages, which Ollama's templates cannot."
        )
    return notes


def create_command(folder: Path, name: str) -> str:
    """How Ollama takes the export over."""
    return shlex.join(["ollama", "create", name, "-f", str(folder / MODELFILE)])
