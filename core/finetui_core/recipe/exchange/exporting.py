"""From a recipe to a config of TRL or axolotl, and what became of each option."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetui_core.recipe.defaults import evaluation_rows
from finetui_core.recipe.exchange.conversion import Carried, Differs, Left, ours_in_words, table_of
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.table import option_table

TARGETS = ("trl", "axolotl")

_SHARED = {
    "train.learning_rate": "learning_rate",
    "train.max_steps": "max_steps",
    "train.gradient_accumulation_steps": "gradient_accumulation_steps",
    "train.warmup_steps": "warmup_steps",
    "train.weight_decay": "weight_decay",
    "train.max_grad_norm": "max_grad_norm",
    "train.gradient_checkpointing": "gradient_checkpointing",
    "train.seed": "seed",
    "save.total_limit": "save_total_limit",
}
_TRL = {
    **_SHARED,
    "model.name": "model_name_or_path",
    "model.revision": "model_revision",
    "model.chat_template": "chat_template_path",
    "data.max_length": "max_length",
    "data.packing": "packing",
    "train.num_train_epochs": "num_train_epochs",
    "train.per_device_train_batch_size": "per_device_train_batch_size",
    "eval.per_device_eval_batch_size": "per_device_eval_batch_size",
}
_AXOLOTL = {
    **_SHARED,
    "model.name": "base_model",
    "model.revision": "revision_of_model",
    "model.chat_template": "chat_template_jinja",
    "data.max_length": "sequence_len",
    "data.packing": "sample_packing",
    "train.num_train_epochs": "num_epochs",
    "train.per_device_train_batch_size": "micro_batch_size",
    "eval.per_device_eval_batch_size": "eval_batch_size",
    "eval.early_stopping_patience": "early_stopping_patience",
}
_LORA = {
    "lora.r": "lora_r",
    "lora.lora_alpha": "lora_alpha",
    "lora.lora_dropout": "lora_dropout",
    "lora.target_modules": "lora_target_modules",
    "lora.modules_to_save": "lora_modules_to_save",
}
_THEIR_DEFAULTS = {
    "trl": {
        "train.learning_rate": "2e-5",
        "train.num_train_epochs": "3",
        "train.weight_decay": "0",
        "data.max_length": "1024",
        "lora.lora_dropout": "0.05",
    },
    "axolotl": {
        "train.learning_rate": "must be given: 2e-4 for adapters or 2e-5 is written",
        "train.num_train_epochs": "1",
        "train.weight_decay": "0",
        "data.max_length": "512",
        "lora.lora_dropout": "0",
    },
}
_OFF = ("train.max_steps", "eval.per_device_eval_batch_size", "eval.early_stopping_patience")
"""Options whose zero or -1 means off, or as in training, which is said there by leaving the key out."""
_WHY = {
    "data.replay": "add the general text to the rows yourself there",
    "data.replay_text": "add the general text to the rows yourself there",
    "eval.on_start": "nothing is evaluated before training there, unless eval_on_start is set",
    "eval.max_rows": "all validation rows are used there",
    "eval.samples": "no sample answers there",
    "eval.sample_max_new_tokens": "no sample answers there",
    "eval.forgetting_probe": "forgetting is not measured there",
    "eval.meters": "there are no meters there",
    "eval.early_stopping_patience": "TRL stops early only by Python code",
    "cost.gpu_hour_price": "an estimate of ftui before the run, nothing that a trainer reads",
    "cost.currency": "an estimate of ftui before the run, nothing that a trainer reads",
    "launch.nproc_per_node": "given on the command line there: accelerate launch --num_processes",
    "launch.nnodes": "given on the command line there: accelerate launch --num_machines",
    "launch.rdzv_endpoint": "given on the command line there: accelerate launch --main_process_ip",
    "launch.max_restarts": "given on the command line there: accelerate launch --max_restarts",
    "launch.sharding": "given on the command line there: accelerate launch --use_fsdp --fsdp_version 2",
    "model.trust_remote_code": "say it there yourself, after reading the code",
    "model.dtype": "chosen there by bf16: auto",
}
_SUFFIXES = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A config as YAML text, and the three lists."""

    text: str
    carried: tuple[Carried, ...]
    left: tuple[Left, ...]
    differs: tuple[Differs, ...]


@dataclass(slots=True)
class _Export:
    recipe: Recipe
    target: str
    config: dict[str, Any] = field(default_factory=dict)
    carried: list[Carried] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    differs: list[Differs] = field(default_factory=list)

    def value(self, option: str) -> Any:
        table, name = table_of(option)
        return getattr(getattr(self.recipe, table), name)

    def carry(self, option: str, key: str, value: Any) -> None:
        self.config[key] = value
        self.note(option, key, value)

    def note(self, option: str, key: str, value: Any) -> None:
        self.carried.append(Carried(option, 0, key, value))

    def leave(self, option: str, why: str) -> None:
        self.left.append(Left(option, 0, why))


def export_recipe(recipe: Recipe, target: str) -> Exported:
    """The config that does the same, as far as the other trainer can say it."""
    e = _Export(recipe, target)
    names = _TRL if target == "trl" else _AXOLOTL
    _method(e)
    if recipe.train.method != "full":
        names = {**names, **_LORA}
        prefix = "" if target == "trl" else "peft_"
        names |= {"lora.use_rslora": f"{prefix}use_rslora", "lora.use_dora": f"{prefix}use_dora"}
    _plain(e, names)
    _when(e)
    _precision(e)
    if target == "axolotl" and recipe.train.learning_rate is None:
        e.config["learning_rate"] = 2e-5 if recipe.train.method == "full" else 2e-4
    if target == "trl":  # without the key it evaluates 8 rows at a time, whatever memory has room for
        e.config.setdefault("per_device_eval_batch_size", evaluation_rows(recipe))
    (_rows_of_trl if target == "trl" else _rows_of_axolotl)(e)
    _schedule(e)
    _the_rest(e)
    if recipe.data.packing:
        e.differs.append(
            Differs(
                "train.per_device_train_batch_size",
                "counts packed sequences, each of many rows",
                "counts rows: for the same effective batch lower it",
                False,
            )
        )
    e.config["output_dir"] = "output"
    return Exported(_yaml(e), tuple(e.carried), tuple(e.left), tuple(e.differs))


def _plain(e: _Export, names: Mapping[str, str]) -> None:
    """Options that are one key there. What is decided here when the run starts is left to their default."""
    for option, key in names.items():
        value = e.value(option)
        if (
            value is not None
            and option == "lora.target_modules"
            and value == "all-linear"
            and e.target == "axolotl"
        ):
            e.carry(option, "lora_target_linear", True)
        elif value is not None:
            if value != [] and not (option in _OFF and value <= 0):
                e.carry(option, key, value)
        elif option in _THEIR_DEFAULTS[e.target]:
            e.differs.append(Differs(option, _THEIR_DEFAULTS[e.target][option], ours_in_words(option), False))


def _method(e: _Export) -> None:
    method, quantize = e.recipe.train.method, e.recipe.model.quantize
    if e.target == "trl":
        e.carry("train.method", "use_peft", method != "full")
    elif method != "full":
        e.carry("train.method", "adapter", "qlora" if quantize == "nf4" else "lora")
    else:
        e.note("train.method", "adapter", None)
    if quantize != "none":
        e.carry("model.quantize", "load_in_4bit" if quantize == "nf4" else "load_in_8bit", True)


def _when(e: _Export) -> None:
    """Evaluations and checkpoints: every so many steps, or after each epoch."""
    has_rows = e.recipe.data.val is not None or e.recipe.data.val_fraction > 0
    moments = (("save.steps", "save", True), ("eval.steps", "eval", has_rows))
    for option, kind, on in moments:
        steps = e.value(option)
        if on:
            e.config[f"{kind}_strategy"] = "steps" if steps else "epoch"
            if steps:
                e.config[f"{kind}_steps"] = steps
            e.note(option, f"{kind}_steps" if steps else f"{kind}_strategy", steps or "epoch")
    if not has_rows or e.recipe.eval.steps != e.recipe.save.steps:
        e.leave("save.keep_best", "it needs evaluations there, as often as checkpoints")
    else:
        e.carry("save.keep_best", "load_best_model_at_end", e.recipe.save.keep_best)


def _precision(e: _Export) -> None:
    dtype = e.recipe.model.dtype
    if dtype != "auto":
        e.carry("model.dtype", "dtype" if e.target == "trl" else "torch_dtype", dtype)
    elif e.target == "axolotl":
        e.carry("model.dtype", "bf16", "auto")
    else:
        e.carry("model.dtype", "dtype", "auto")
    if e.recipe.model.attn_implementation != "auto":
        e.carry("model.attn_implementation", "attn_implementation", e.recipe.model.attn_implementation)


def _schedule(e: _Export) -> None:
    name = e.recipe.train.lr_scheduler_type
    key = "lr_scheduler_type" if e.target == "trl" else "lr_scheduler"
    e.carry("train.lr_scheduler_type", key, "constant_with_warmup" if name == "constant" else name)
    warmup = e.recipe.train.warmup_steps
    if e.target == "axolotl" and 0 < warmup < 1:
        e.config["warmup_ratio"] = e.config.pop("warmup_steps")
    elif warmup >= 1 or warmup == 0:
        e.config["warmup_steps"] = int(warmup)


def _place(data: str) -> dict[str, Any]:
    """A data set as both trainers load it: a file through its loader, or a hub data set and its split."""
    if data.startswith("hub:"):
        name, _, split = data.removeprefix("hub:").partition("#")
        return {"path": name, "split": split or "train"}
    return {"path": _SUFFIXES.get(Path(data).suffix.lower(), "json"), "data_files": data, "split": "train"}


def _rows_of_trl(e: _Export) -> None:
    data = e.recipe.data
    train = _place(data.train)
    val = _place(data.val) if data.val else None
    same = (
        val is not None
        and "data_files" not in train
        and val["path"] == train["path"]
        and "data_files" not in val
    )
    if val is not None and same:
        e.config |= {"dataset_name": train["path"], "dataset_train_split": train["split"]}
        e.config["dataset_test_split"] = val["split"]
        e.note("data.train", "dataset_name", train["path"])
        e.note("data.val", "dataset_test_split", val["split"])
    else:
        e.config["datasets"] = [train]
        e.note("data.train", "datasets", data.train)
        if val is not None:
            e.config["eval_strategy"] = "no"
            e.config.pop("eval_steps", None)
            e.left = [one for one in e.left if one.key != "save.keep_best"]
            e.carried = [one for one in e.carried if one.key not in ("eval.steps", "save.keep_best")]
            e.config.pop("load_best_model_at_end", None)
            e.leave("data.val", "TRL takes validation rows from another split of the same data set only")
            e.leave("eval.steps", "no validation rows there")
            e.leave("save.keep_best", "no validation rows there")
        elif data.val_fraction > 0:
            e.config["test_split_size"] = data.val_fraction
            e.note("data.val_fraction", "test_split_size", data.val_fraction)
    if data.format not in ("auto", "messages", "prompt_completion", "text"):
        e.leave("data.format", f"TRL does not read {data.format}: first ftui data convert --to openai")
    if data.train_on == "last":
        e.leave("data.train_on", "the last turn alone cannot be learned there")
    elif data.format != "text":
        e.carry("data.train_on", "assistant_only_loss", data.train_on == "assistant")
    if data.overlength != "truncate":
        e.leave("data.overlength", "long rows are cut off there, always")


def _rows_of_axolotl(e: _Export) -> None:
    data = e.recipe.data
    kinds: dict[str, dict[str, Any]] = {
        "messages": {"type": "chat_template", "field_messages": "messages"},
        "sharegpt": {
            "type": "chat_template",
            "field_messages": "conversations",
            "message_property_mappings": {"role": "from", "content": "value"},
        },
        "alpaca": {"type": "alpaca"},
        "text": {"type": "completion"},
    }
    layout = kinds.get(data.format, kinds["messages"])
    if data.format in kinds:
        e.note("data.format", "datasets[0].type", layout["type"])
    else:
        e.leave("data.format", f"{data.format} cannot be said there; chats under messages are assumed")
    e.config["datasets"] = [{**_place(data.train), **layout}]
    e.note("data.train", "datasets[0].path", data.train)
    if data.val is not None:
        e.config["test_datasets"] = [{**_place(data.val), **layout}]
        e.note("data.val", "test_datasets[0].path", data.val)
    else:
        e.carry("data.val_fraction", "val_set_size", data.val_fraction)
    if data.train_on == "last":
        e.leave("data.train_on", "the last turn alone cannot be learned there by one key")
    elif data.format != "text":
        e.carry("data.train_on", "train_on_inputs", data.train_on == "all")
    words = {"drop": "drop", "truncate": "truncate", "error": "raise"}
    e.carry("data.overlength", "excess_length_strategy", words[data.overlength])


def _the_rest(e: _Export) -> None:
    """Options that differ from their default and are said nowhere."""
    said = {*(one.key for one in e.carried), *(one.key for one in e.left), *(one.option for one in e.differs)}
    for option in option_table():
        value = e.value(option.dotted)
        if option.dotted not in said and value != option.default and value is not None:
            if option.table == "lora" and e.recipe.train.method == "full":
                continue
            e.leave(option.dotted, _WHY.get(option.dotted, "it cannot be said there"))


def _yaml(e: _Export) -> str:
    lines = [f"# Made from a recipe of ftui, for {'TRL' if e.target == 'trl' else 'axolotl'}."]
    for key, value in e.config.items():
        lines.append(f"{key}: {_flow(value)}")
    if e.left:
        lines += ["", "# Not carried over:", *(f"#   {one.key}: {one.why}" for one in e.left)]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """A value in YAML's JSON-like form; a number such as 1e-05 needs its point to be one in YAML 1.1."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    return json.dumps(value)
