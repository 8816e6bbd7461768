"""TRL's `SFTConfig`, `ModelConfig` and `ScriptArguments`, as `trl sft --config` reads them."""

from typing import Any

from finetui_core.recipe.exchange import common
from finetui_core.recipe.exchange.conversion import Conversion
from finetui_core.recipe.exchange.rows import LOADERS, carry_rows, one_file, say_others

MARKS = {
    "model_name_or_path",
    "dataset_name",
    "use_peft",
    "lora_r",
    "assistant_only_loss",
    "dataset_train_split",
}

STOPS = {
    "num_generations": "GRPO's option: this config is not one of SFT",
    "beta": "an option of preference training: this config is not one of SFT",
    "reward_model_path": "an option of reinforcement learning: this config is not one of SFT",
    "reward_funcs": "an option of reinforcement learning: this config is not one of SFT",
    "teacher_model_name_or_path": "an option of distillation: this config is not one of SFT",
    "lora_target_parameters": "adapters on bare parameters do not exist here",
}
REASONS = {
    "output_dir": "runs are kept in one folder here, each under its own name",
    "overwrite_output_dir": "a run never overwrites another here",
    "report_to": "a run keeps its own metrics here, and sends them nowhere",
    "run_name": "give it when the run starts: ftui train --name",
    "logging_steps": "every step is logged here",
    "logging_strategy": "every step is logged here",
    "logging_first_step": "every step is logged here",
    "push_to_hub": "nothing is sent to the hub by itself here",
    "hub_model_id": "nothing is sent to the hub by itself here",
    "resume_from_checkpoint": "ftui resume continues a run",
    "dataset_num_proc": "the number of processes is chosen here",
    "dataloader_num_workers": "rows are prepared before the run here",
    "use_liger_kernel": "faster code for the same computation; not used here",
    "tf32": "a matter of speed; not set here",
    "torch_compile": "a matter of speed; not used here",
    "deepspeed": 'launch.sharding = "full" divides weights among devices here, by FSDP2',
    "fsdp": 'launch.sharding = "full" does this here: set it if you want it',
    "fsdp_config": "settled here",
    "padding_free": "rows are laid end to end here when data.packing is on",
    "gradient_checkpointing_kwargs": "how activations are computed again is settled here",
    "ddp_timeout": "settled here",
    "env": "set environment variables in the shell",
    "neftune_noise_alpha": "noise on the embeddings is not added here",
    "label_smoothing_factor": "the loss is not smoothed here",
    "use_bnb_nested_quant": "settled here",
    "metric_for_best_model": "the validation loss, always",
    "greater_is_better": "the validation loss, always",
    "save_only_model": "a checkpoint here can always be continued",
    "do_train": "a recipe always trains",
    "do_eval": "validation follows from data.val and data.val_fraction here",
    "include_num_input_tokens_seen": "tokens are always counted here",
    "data_seed": "train.seed seeds the order of rows here",
    "dataset_kwargs": "settled here",
    "eval_packing": "as in training here",
    "eos_token": "the tokenizer's own is taken here",
    "pad_token": "settled here",
    "loss_type": "the exact loss over all learned tokens, always",
    "group_by_length": "packing does what this was for",
    "remove_unused_columns": "columns that no layout reads are ignored here",
    "ignore_bias_buffers": "settled here",
}
PREFIXES = {
    "hub_": "nothing is sent to the hub by itself here",
    "dataloader_": "rows are prepared before the run here",
    "logging_": "every step is logged here",
    "ddp_": "settled here",
    "torch_compile": "a matter of speed; not used here",
    "fsdp": 'launch.sharding = "full" does this here: set it if you want it',
    "trackio_": "a run keeps its own metrics here, and sends them nowhere",
}


def import_trl(c: Conversion) -> None:
    common.model(c, "model_name_or_path", "model_revision")
    common.dtype(c, "dtype", "torch_dtype")
    common.attention(c, "attn_implementation")
    _template(c)
    _method(c)
    _rows(c)
    _lengths(c)
    loop(c, learning_rate=2e-5, scheduler="linear", checkpointing=True)
    common.settle(c)
    c.leave_the_rest(STOPS, REASONS, PREFIXES)


def _template(c: Conversion) -> None:
    template = c.word("chat_template_path")
    if template is None:
        return
    path = common.local(c, template)
    if path and path.is_file():
        c.carry("chat_template_path", "model.chat_template", str(path))
    else:
        c.leave("chat_template_path", "not a Jinja file here; the model's own chat template is taken")


def _method(c: Conversion) -> None:
    adapters = c.switch("use_peft")
    quantized = common.quantized(c)
    if not adapters:
        if quantized:
            c.leave(quantized, "a quantized base without use_peft cannot be trained", stops=True)
        if adapters is None:
            c.assume("train.method", "full", "use_peft is off")
        else:
            c.carry("use_peft", "train.method", "full")
    else:
        c.carry("use_peft", "train.method", "qlora" if quantized else "lora")
        if not common.names_of_modules(c, "lora_target_modules", "lora.target_modules"):
            c.differ(
                "lora.target_modules", "peft's choice for the model, mostly q_proj and v_proj", "all-linear"
            )
    _adapters(c, adapters)


def _adapters(c: Conversion, on: bool | None) -> None:
    keys = (
        "lora_r",
        "lora_alpha",
        "lora_dropout",
        "lora_target_modules",
        "lora_modules_to_save",
        "use_rslora",
        "use_dora",
    )
    c.used.update((*keys, "lora_task_type"))
    if not on:
        for key in keys:
            if c.has(key):
                c.leave(key, "use_peft is off: there are no adapters")
        return
    common.rank(c, "lora_r", 16)
    common.alpha(c, 32)
    common.dropout(c, 0.05)
    common.names_of_modules(c, "lora_modules_to_save", "lora.modules_to_save")
    common.flag(c, "use_rslora", "lora.use_rslora")
    common.flag(c, "use_dora", "lora.use_dora")


def _rows(c: Conversion) -> None:
    strategy = common.strategy(c, c.first("eval_strategy", "evaluation_strategy")) or "no"
    evaluates = common.evaluations(c, strategy, c.number("eval_steps") if strategy != "no" else None)
    if strategy == "no" and c.has("eval_steps"):
        c.leave("eval_steps", "eval_strategy is no, so that it has no effect")
    c.used.update({"dataset_test_split", "dataset_train_split", "test_split_size"})
    name, mixture = c.word("dataset_name"), c.get("datasets")
    fraction = None
    if mixture:
        fraction = c.number("test_split_size")
        _mixture(c, mixture)
        if name:
            c.leave("dataset_name", "datasets is written too and wins")
    elif name:
        split = c.get("dataset_train_split")
        carry_rows(c, "data.train", ("dataset_name",), name, split or None, ("dataset_train_split",))
        if c.has("dataset_config"):
            c.leave(
                "dataset_config", "a part of a hub data set cannot be named here; the default part is read"
            )
        if evaluates:
            test = c.get("dataset_test_split") or "test"
            if common.local(c, name):
                c.leave("eval_strategy", "a file has no split for validation; name a file as data.val")
            else:
                carry_rows(c, "data.val", ("dataset_name",), name, test, ("dataset_test_split",))
                return
    else:
        c.leave("dataset_name", "the data set is missing, and a recipe needs one", stops=True)
    if c.has("dataset_test_split") and not evaluates:
        c.leave("dataset_test_split", "nothing is evaluated there (eval_strategy is no)")
    if evaluates and fraction is not None:
        whole = not 0 < fraction < 1
        if whole:
            c.leave("test_split_size", "a number of rows; a recipe keeps a share of them: data.val_fraction")
        else:
            c.carry("test_split_size", "data.val_fraction", fraction)
    else:
        if fraction is not None:
            c.leave("test_split_size", "nothing is evaluated there (eval_strategy is no)")
        c.assume("data.val_fraction", 0.0, "nothing is evaluated")


def _mixture(c: Conversion, mixture: Any) -> None:
    first = mixture[0] if isinstance(mixture, list) else None
    if not isinstance(first, dict):
        c.leave("datasets", "must be a list of data sets", stops=True)
        return
    at = ("datasets", 0)
    name, path = first.get("path"), (*at, "path")
    if first.get("data_files"):
        path = (*at, "data_files")
        if name not in LOADERS:
            c.leave(path, "files of a hub data set cannot be chosen here", stops=True)
            return
        name = one_file(c, path, first["data_files"])
        if name is None:
            return
    split = first.get("split")
    carry_rows(c, "data.train", path, name, split, (*at, "split"))
    for key in first:
        if key not in ("path", "data_files", "split") and first[key] is not None:
            c.leave((*at, key), "a part of a data set cannot be named here")
    say_others(c, [("datasets", index) for index in range(1, len(mixture))])


def _lengths(c: Conversion) -> None:
    key = c.first("max_length", "max_seq_length")
    if key in c.config.values and c.config.values[key] is None:
        c.leave(key, "no limit there; here the model's context, and longer rows stop the run")
    else:
        common.length(c, key, 1024)
        c.assume("data.overlength", "truncate", "rows are cut off")
    if c.get("truncation_mode") not in (None, "keep_start"):
        c.leave("truncation_mode", "the end of a long row is cut off here, never its start")
    packs = c.switch("packing")
    common.flag(c, "packing", "data.packing", default=False)
    if packs:
        strategy = c.word("packing_strategy")
        if strategy not in (None, "bfd", "bfd_split"):
            c.leave("packing_strategy", "rows are never cut to fill a sequence here")
        packed_batch(c, "max_length")
    if c.get("dataset_text_field") not in (None, "text"):
        c.leave("dataset_text_field", "the text of a row is in text here: rename it", stops=True)
    learn = c.switch("assistant_only_loss")
    completion = c.switch("completion_only_loss")
    if learn:
        c.carry("assistant_only_loss", "data.train_on", "assistant")
    elif completion is False:
        c.carry("completion_only_loss", "data.train_on", "all")
    elif completion:
        c.carry("completion_only_loss", "data.train_on", "assistant")
    elif learn is False:
        c.carry(
            "assistant_only_loss", "data.train_on", "all", "chats; prompt and completion learn the completion"
        )
    else:
        c.assume("data.train_on", "all", "chats; rows of prompt and completion learn the completion alone")
    if learn is not None and completion is not None:
        c.leave("completion_only_loss", "data.train_on says both here")


def packed_batch(c: Conversion, length: str) -> None:
    """With packing a row of their batch is a whole sequence of many rows, ours is one row."""
    c.differ(
        "train.per_device_train_batch_size",
        f"counts packed sequences of {length} tokens, each of many rows",
        "counts rows: for the same effective batch raise it to the rows that fill those sequences",
    )


def loop(c: Conversion, *, learning_rate: float, scheduler: str, checkpointing: bool) -> None:
    """The part that is `TrainingArguments` as it stands, with a trainer's own defaults."""
    common.number(c, "learning_rate", "train.learning_rate", learning_rate)
    common.epochs(c, "num_train_epochs", 3)
    common.whole(c, "per_device_train_batch_size", "train.per_device_train_batch_size", 8)
    common.whole(c, "gradient_accumulation_steps", "train.gradient_accumulation_steps", 1)
    common.whole(c, "per_device_eval_batch_size", "eval.per_device_eval_batch_size", 8)
    if c.has("eval_on_start"):
        common.flag(c, "eval_on_start", "eval.on_start")
    named = common.schedule(c, "lr_scheduler_type", scheduler)
    if c.has("lr_scheduler_kwargs"):
        c.leave("lr_scheduler_kwargs", "schedules have no further settings here")
    common.warmup(c, named, 0.0)
    common.number(c, "weight_decay", "train.weight_decay", 0.0)
    common.optimizer(c, "optim")
    if checkpointing:
        common.checkpointing(c, True)
    common.whole(c, "seed", "train.seed", 42)
    strategy = common.strategy(c, "save_strategy")
    common.checkpoints(c, strategy, 500, None)
