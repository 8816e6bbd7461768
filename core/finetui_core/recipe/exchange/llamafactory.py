"""LLaMA-Factory's YAML, and the `dataset_info.json` that says what its data set names mean."""

from pathlib import Path
from typing import Any

from finetui_core.recipe.exchange import common, trl
from finetui_core.recipe.exchange.config_file import LARGEST_DATASET_INFO, Config, read_config
from finetui_core.recipe.exchange.conversion import Carried, Conversion
from finetui_core.recipe.exchange.rows import carry_rows, chat_format

MARKS = {
    *(
        "stage",
        "finetuning_type",
        "template",
        "cutoff_len",
        "dataset",
        "lora_rank",
        "lora_target",
        "dataset_dir",
    ),
    *("model_class", "train_dataset", "peft_config"),  # of its v1 trainer
}

_ANOTHER = "another way of training; here lora, qlora and full"
_V1 = "a config of LLaMA-Factory's new v1 trainer, which is not read here"
STOPS = {
    **dict.fromkeys(
        ("use_galore", "use_apollo", "use_badam", "use_llama_pro", "use_muon", "use_adam_mini", "pissa_init"),
        _ANOTHER,
    ),
    **dict.fromkeys(("mixture_of_depths", "use_dft_loss", "use_eaft_loss", "use_asft_loss"), _ANOTHER),
    **dict.fromkeys(("model", "model_class", "train_dataset", "peft_config"), _V1),
    "loraplus_lr_ratio": "adapters have one learning rate here",
    "fp8": "training in 8-bit numbers does not exist here",
    "do_predict": "a config that predicts and does not train",
    "predict_with_generate": "a config that predicts and does not train",
    "adapter_name_or_path": "adapters start new here; continuing from an adapter is not possible",
    "tokenized_path": "rows of token numbers: here rows are text",
    "export_dir": "a config that exports a model and does not train",
    "use_kt": "ktransformers' training does not exist here",
    "image_max_pixels": "a model of images; here text only",
    "video_max_pixels": "a model of video; here text only",
}
REASONS = {
    **trl.REASONS,
    "template": "a name inside LLaMA-Factory, which also decides how a text begins and ends (BOS, EOS); "
    "the model's own chat template is taken here",
    "max_samples": "a part of the rows cannot be named here: all are read",
    "overwrite_cache": "rows are prepared for each run here",
    "preprocessing_num_workers": "the number of processes is chosen here",
    "plot_loss": "ftui draws the loss",
    "enable_liger_kernel": "faster code for the same computation; not used here",
    "double_quantization": "settled here",
    "enable_thinking": "the chat template says what is learned of thinking",
    "upcast_layernorm": "settled here",
}
PREFIXES = {
    **trl.PREFIXES,
    "swanlab_": "a run keeps its own metrics here, and sends them nowhere",
    "use_swanlab": "a run keeps its own metrics here, and sends them nowhere",
    "ray_": "a run uses the devices of one machine here",
    "freeze_": "parts that are kept as they are cannot be named here",
    "fp8_": "training in 8-bit numbers does not exist here",
    "kt_": "ktransformers' training does not exist here",
}


def import_llamafactory(c: Conversion) -> None:
    stage = c.word("stage")
    if stage not in (None, "sft"):
        c.leave("stage", f"{stage} is another kind of training; here supervised fine-tuning only", stops=True)
    elif stage:
        c.leave("stage", "sft is what a recipe always is")
    if not c.config.values.get("model"):
        common.model(c, "model_name_or_path", "model_revision")
    common.dtype(c, "infer_dtype")
    common.attention(c, "flash_attn", {"fa2": "flash_attention_2", "disabled": "eager"})
    _method(c)
    _rows(c)
    _lengths(c)
    trl.loop(c, learning_rate=5e-5, scheduler="linear", checkpointing=False)
    off = c.switch("disable_gradient_checkpointing")
    if off is None:
        c.assume("train.gradient_checkpointing", True)
    else:
        c.carry(
            "disable_gradient_checkpointing", "train.gradient_checkpointing", not off, "the other way round"
        )
    if c.has("gradient_checkpointing"):
        c.leave("gradient_checkpointing", "LLaMA-Factory goes by disable_gradient_checkpointing")
    common.settle(c)
    c.leave_the_rest(STOPS, REASONS, PREFIXES)


def _method(c: Conversion) -> None:
    kind = c.word("finetuning_type")
    bits = c.whole("quantization_bit")
    if c.get("quantization_method") not in (None, "bnb", "bitsandbytes"):
        c.leave("quantization_method", "the base is quantized by bitsandbytes here", stops=True)
    if kind not in (None, "lora", "full"):
        c.leave("finetuning_type", f"there is no method {kind} here: lora, qlora or full", stops=True)
        return
    if bits is not None and (bits not in (4, 8) or kind == "full"):
        c.leave("quantization_bit", "4 or 8 bits with adapters are known here", stops=True)
    elif bits is not None:
        c.carry("quantization_bit", "model.quantize", "nf4" if bits == 4 else "int8")
    if c.get("quantization_type") not in (None, "nf4"):
        c.leave("quantization_type", "only nf4 is known here")
    elif c.has("quantization_type"):
        c.leave("quantization_type", "nf4 is what 4 bits mean here")
    if kind is not None:
        c.carry("finetuning_type", "train.method", "qlora" if bits and kind == "lora" else kind)
    elif bits:
        c.assume("train.method", "qlora", "lora, and quantization_bit")
    if kind == "full":
        for key in [key for key in c.config.values if key.startswith("lora_")]:
            if c.has(key):
                c.leave(key, "finetuning_type is full: there are no adapters")
        return
    if not common.names_of_modules(c, "lora_target", "lora.target_modules", "all") and c.has("lora_target"):
        c.differ("lora.target_modules", "what the config's pattern names", "all-linear")
    r = common.rank(c, "lora_rank", 8)
    common.alpha(c, 2 * r, "twice the rank")
    common.dropout(c, 0.0)
    common.names_of_modules(c, "additional_target", "lora.modules_to_save")
    common.flag(c, "use_rslora", "lora.use_rslora")
    common.flag(c, "use_dora", "lora.use_dora")


def _rows(c: Conversion) -> None:
    strategy = common.strategy(c, c.first("eval_strategy", "evaluation_strategy")) or "no"
    names, tests = c.names("dataset"), c.names("eval_dataset")
    folder = c.word("dataset_dir") or "data"
    if names is None and not c.config.values.get("train_dataset"):
        c.leave("dataset", "the data set is missing, and a recipe needs one", stops=True)
    info = _dataset_info(c, folder) if names or tests else None
    layout = _named(c, info, "data.train", "dataset", names)
    if layout is not None:
        c.recipe.setdefault("data", {})["format"] = layout
        c.notes["data", "format"] = "from dataset_info.json"
        line = c.config.line(("dataset",))
        c.carried.append(Carried("dataset", line, "data.format", layout, "from dataset_info.json"))
    share = c.number("val_size")
    if tests:
        other = _named(c, info, "data.val", "eval_dataset", tests)
        if None not in (layout, other) and other != layout:
            c.leave("eval_dataset", "validation rows of another layout than the training rows", stops=True)
        if share:
            c.leave("val_size", "eval_dataset is written too and wins")
    elif share is None:
        c.assume("data.val_fraction", 0.0, "nothing is evaluated")
    elif share < 1:
        c.carry("val_size", "data.val_fraction", share)
    else:
        c.leave("val_size", "a number of rows; a recipe keeps a share of them: data.val_fraction")
    if not common.evaluations(c, strategy, c.number("eval_steps")) and c.has("eval_steps"):
        c.leave("eval_steps", "eval_strategy is no, so that it has no effect")
    patience = c.whole("early_stopping_steps")
    if patience is not None:
        c.carry("early_stopping_steps", "eval.early_stopping_patience", patience, "evaluations, not steps")


def _dataset_info(c: Conversion, folder: str) -> Config | None:
    """The list of data sets, sought at the current folder, at the config's, and in the folders above it."""
    starts = [Path.cwd(), *[c.config.folder.absolute(), *c.config.folder.absolute().parents][:6]]
    for start in starts:
        path = start / Path(folder).expanduser() / "dataset_info.json"
        if path.is_file():
            return read_config(path, LARGEST_DATASET_INFO)
    beside = c.config.folder / "dataset_info.json"
    return read_config(beside, LARGEST_DATASET_INFO) if beside.is_file() else None


def _named(c: Conversion, info: Config | None, option: str, key: str, names: list[str] | None) -> str | None:
    """Carry the first named data set over; returns its layout."""
    if not names:
        return None
    for name in names[1:]:
        c.leave(key, f"{name}: a recipe has one set of rows: join the files to use this one too")
    name = names[0]
    if info is None:
        c.leave(
            key, f"{name} is a name in dataset_info.json, and there is none beside the config", stops=True
        )
        return None
    entry = info.values.get(name)
    if not isinstance(entry, dict):
        c.leave(key, f"{name} is not in {info.name}", stops=True)
        return None
    where = f"{name} in {info.name}, line {info.line((name,))}"
    if hub := entry.get("hf_hub_url"):
        carry_rows(c, option, (key,), hub, entry.get("split") or "train", (key,))
    elif file := entry.get("file_name"):
        carry_rows(c, option, (key,), str(info.folder.absolute() / str(file)))
    else:
        c.leave(key, f"{where}: neither a file nor a hub data set", stops=True)
        return None
    for name_ in ("subset", "folder", "num_samples"):
        if entry.get(name_):
            c.leave(key, f"{name_} of {where}: a part of a data set cannot be named here")
    return _layout(c, key, where, entry)


_ALPACA = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    "system": "system",
}
_TAGS = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant"),
    "observation_tag": ("observation", "tool"),
    "function_tag": ("function_call", "assistant"),
    "system_tag": ("system", "system"),
}


def _layout(c: Conversion, key: str, where: str, entry: dict[str, Any]) -> str | None:
    columns = {name: value for name, value in (entry.get("columns") or {}).items() if value}
    tags = entry.get("tags") or {}
    if entry.get("ranking") or {"chosen", "rejected", "kto_tag"} & columns.keys():
        c.leave(key, f"{where}: pairs of answers; here rows with one answer", stops=True)
        return None
    if media := {"images", "videos", "audios"} & columns.keys():
        c.leave(key, f"{where}: {', '.join(sorted(media))}; here text only", stops=True)
        return None
    if entry.get("formatting", "alpaca") == "alpaca":
        names = columns or dict(_ALPACA)
        if {name: value for name, value in names.items() if name != "tools"} == {"prompt": "text"}:
            return "text"
        if names.get("prompt") == "prompt" and names.get("response") == "completion" and "query" not in names:
            return "prompt_completion"
        strange = [
            f"{value} for {_ALPACA.get(n, n)}"
            for n, value in names.items()
            if _ALPACA.get(n, "tools") != value
        ]
        if strange:
            c.leave(key, f"{where}: columns {', '.join(strange)}: rename them in the rows", stops=True)
            return None
        return "alpaca"
    strange = [n for n in ("system", "tools") if columns.get(n, n) != n]
    if strange:
        c.leave(key, f"{where}: the column of {', '.join(strange)} has another name here", stops=True)
        return None
    aliases = {tags.get(tag, usual): meant for tag, (usual, meant) in _TAGS.items()}
    role, content = tags.get("role_tag", "from"), tags.get("content_tag", "value")
    if role == "role":  # OpenAI's layout: what the rows do not have does no harm
        aliases = {tag: _TAGS[name][1] for name, tag in tags.items() if name in _TAGS}
        aliases = {tag: meant for tag, meant in aliases.items() if tag != "function_call"}
    return chat_format(c, (key,), columns.get("messages", "conversations"), role, content, aliases)


def _lengths(c: Conversion) -> None:
    common.length(c, "cutoff_len", 2048)
    c.assume("data.overlength", "truncate", "rows are cut off, always")
    neat = c.switch("neat_packing")
    if neat:
        c.carry("neat_packing", "data.packing", True, "attention never crosses between rows here either")
        c.used.add("packing")
    else:
        packs = c.switch("packing")
        common.flag(c, "packing", "data.packing", default=False)
        if packs:
            c.differ("data.packing", "attention crosses between packed rows", "it never does")
    if c.value("data.packing"):
        trl.packed_batch(c, "cutoff_len")
    prompts, last = c.switch("train_on_prompt"), c.switch("mask_history")
    if prompts is not None:
        c.carry("train_on_prompt", "data.train_on", "all" if prompts else "assistant", "the other way round")
    if last:
        c.carry("mask_history", "data.train_on", "last")
    elif last is False:
        c.leave("mask_history", "switched off there; data.train_on says what is learned here")
    if c.value("data.format") == "text" and c.value("data.train_on") != "all":
        c.drop("data.train_on", "a text has no turns: all of it is learned")
