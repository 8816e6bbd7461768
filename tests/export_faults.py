"""Exports that were damaged on purpose, and the cause that the check must name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from finetui_core.export import causes
from finetui_core.runs.paths import RunPaths

WEIGHTS, ADAPTER, TEMPLATE = "model.safetensors", "adapter_model.safetensors", "chat_template.jinja"
CHATML = """{%- for turn in messages -%}
{{- '<|im_start|>' + turn.role + '\\n' + turn.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

Plant = Callable[[Path, RunPaths], None]


@dataclass(frozen=True)
class Planted:
    """What is damaged in which kind of export, and what the check must say."""

    target: str
    plant: Plant
    cause: str


def _template(*changes: tuple[str, str], start: str = "", whole: str | None = None) -> Plant:
    def plant(folder: Path, run: RunPaths) -> None:
        path = folder / TEMPLATE
        text = path.read_text() if whole is None else whole
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(start + text)

    return plant


def _swapped(folder: Path, run: RunPaths) -> None:
    path = folder / TEMPLATE
    text = path.read_text().replace("'<|user|>", "'<|other|>").replace("'<|assistant|>", "'<|user|>")
    path.write_text(text.replace("'<|other|>", "'<|assistant|>"))


def _json(name: str, change: Callable[[dict[str, Any]], Any]) -> Plant:
    def plant(folder: Path, run: RunPaths) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return plant


def _weights(change: Callable[[dict[str, torch.Tensor]], Any], name: str = WEIGHTS) -> Plant:
    def plant(folder: Path, run: RunPaths) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name, {"format": "pt"})

    return plant


def _of_base(folder: Path, run: RunPaths) -> None:
    shutil.copy(run.root.parents[1] / "model" / WEIGHTS, folder / WEIGHTS)


def _of_earlier_step(folder: Path, run: RunPaths) -> None:
    shutil.copy(run.checkpoint(2) / ADAPTER, folder / ADAPTER)


def _merged_earlier(folder: Path, run: RunPaths) -> None:
    """The merged weights of step 2, made from base and adapter by hand."""
    base = load_file(run.root.parents[1] / "model" / WEIGHTS)
    adapter = load_file(run.checkpoint(2) / ADAPTER)
    config = json.loads((run.checkpoint(2) / "adapter_config.json").read_text())
    for key, a in adapter.items():
        if key.endswith("lora_A.weight"):
            name = key.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            base[name] += config["lora_alpha"] / config["r"] * adapter[key.replace("lora_A", "lora_B")] @ a
    save_file(base, folder / WEIGHTS, {"format": "pt"})


def _half(folder: Path, run: RunPaths) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def _smaller(folder: Path, run: RunPaths) -> None:
    name = "model.embed_tokens.weight"
    _weights(lambda tensors: tensors.update({name: tensors[name][:-8].clone()}))(folder, run)
    _json("config.json", lambda config: config.update(vocab_size=config["vocab_size"] - 8))(folder, run)


def _rounded(tensors: dict[str, torch.Tensor]) -> None:
    tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})


def _noised(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name] = -tensors[name]


def _zeroed(tensors: dict[str, torch.Tensor]) -> None:
    tensors.update({name: tensor * 0 for name, tensor in tensors.items() if "lora_B" in name})


def _another_token(tokenizer: dict[str, Any]) -> None:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    tokenizer["added_tokens"].append({"id": 2560, "content": "order", **plain})


def _broken_mark(folder: Path, run: RunPaths) -> None:
    mark = "<|user|>"

    def of_tokenizer(value: dict[str, Any]) -> None:
        value["added_tokens"] = [one for one in value["added_tokens"] if one["content"] != mark]

    _json("tokenizer.json", of_tokenizer)(folder, run)
    _json("tokenizer_config.json", lambda one: one["extra_special_tokens"].remove(mark))(folder, run)


FAULTS = {
    "no template": Planted(
        "merged", lambda folder, run: (folder / TEMPLATE).unlink(), causes.MISSING_TEMPLATE
    ),
    "ChatML in place of the trained template": Planted(
        "merged", _template(whole=CHATML), causes.WRONG_TEMPLATE
    ),
    "start token written twice": Planted("merged", _template(start="{{- bos_token -}}"), causes.DOUBLED_BOS),
    "start token left out": Planted("merged", _template(("{{- bos_token -}}", "")), causes.MISSING_BOS),
    "no end after an answer": Planted(
        "adapter", _template(("      {{- '<|end|>' -}}", "")), causes.MISSING_END
    ),
    "user and assistant swapped": Planted("merged", _swapped, causes.SWAPPED_ROLES),
    "no question mark": Planted(
        "merged",
        _template(("{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}", "")),
        causes.NO_QUESTION_MARK,
    ),
    "system message left out": Planted(
        "merged", _template(("{{- '<|system|>' + content + '<|end|>' -}}", "")), causes.LOST_SYSTEM
    ),
    "tools left out": Planted(
        "merged", _template(("{%- if tools -%}", "{%- if false -%}")), causes.LOST_TOOLS
    ),
    "texts in small letters": Planted(
        "merged",
        _template(("message['content'] or ''", "(message['content'] or '') | lower")),
        causes.ALTERED_TEXT,
    ),
    "answers do not end": Planted(
        "merged", _json("generation_config.json", lambda one: one.update(eos_token_id=1)), causes.NOT_STOPPING
    ),
    "a turn mark in pieces": Planted("merged", _broken_mark, causes.BROKEN_MARK),
    "a token more": Planted("merged", _json("tokenizer.json", _another_token), causes.VOCABULARY),
    "fewer merges": Planted(
        "merged",
        _json("tokenizer.json", lambda one: one["model"].update(merges=one["model"]["merges"][:-900])),
        causes.OTHER_TOKENIZER,
    ),
    "no start token before plain texts": Planted(
        "merged", _json("tokenizer.json", lambda one: one.update(post_processor=None)), causes.MISSING_BOS
    ),
    "fewer rows of the vocabulary": Planted("merged", _smaller, causes.VOCABULARY),
    "the adapter of step 2": Planted("adapter", _of_earlier_step, f"{causes.STALE}: that of step-000002"),
    "merged from step 2": Planted("merged", _merged_earlier, f"{causes.STALE}: that of step-000002"),
    "the base's weights": Planted("merged", _of_base, causes.UNTUNED),
    "an adapter of zeros": Planted("adapter", _weights(_zeroed, ADAPTER), causes.UNTUNED),
    "twice the strength": Planted(
        "adapter", _json("adapter_config.json", lambda one: one.update(lora_alpha=64)), causes.SETTINGS
    ),
    "rounded to bfloat16": Planted("merged", _weights(_rounded), causes.ROUNDING),
    "a weight negated": Planted("merged", _weights(_noised), causes.OTHER_WEIGHTS),
    "a weight missing": Planted(
        "merged", _weights(lambda one: one.pop("model.layers.1.mlp.down_proj.weight")), causes.MISSING_WEIGHTS
    ),
    "half of the weights": Planted("merged", _half, causes.UNREADABLE),
}
