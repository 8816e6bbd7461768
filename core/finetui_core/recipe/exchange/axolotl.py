"""axolotl's YAML."""

from typing import Any

from finetui_core.data.formats import SHAREGPT_ROLES
from finetui_core.recipe.exchange import common, trl
from finetui_core.recipe.exchange.conversion import Conversion
from finetui_core.recipe.exchange.rows import LOADERS, carry_rows, chat_format, one_file, say_others

MARKS = {"base_model", "micro_batch_size", "sequence_len", "num_epochs", "lora_target_linear", "val_set_size"}

_OTHER_METHOD = "another kind of training; here supervised fine-tuning only"
STOPS = {
    "rl": _OTHER_METHOD,
    "reward_model": _OTHER_METHOD,
    "process_reward_model": _OTHER_METHOD,
    "num_labels": _OTHER_METHOD,
    "ebft": _OTHER_METHOD,
    "trl": _OTHER_METHOD,
    "diffusion": _OTHER_METHOD,
    "kd_trainer": _OTHER_METHOD,
    "qat": "training for a quantized model does not exist here",
    "use_onebitllms": "training for a quantized model does not exist here",
    "unfrozen_parameters": "training a part of the weights does not exist here: use lora, or full",
    "pretraining_dataset": "a stream of text does not exist here: name a file under data.train",
    "processor_type": "a model of images or sound; here text only",
    "lora_target_parameters": "adapters on bare parameters do not exist here",
    "fp8": "training in 8-bit numbers does not exist here",
    "gptq": "a base quantized by GPTQ cannot be trained here",
    "lora_model_dir": "adapters start new here; continuing from an adapter is not possible",
    **dict.fromkeys(("use_eaft", "eaft_alpha", "use_dft"), "another loss; here the usual one alone"),
    "relora_steps": "restarted adapters do not exist here",
    "relora": "restarted adapters do not exist here",
    "lisa_n_layers": "training some layers at a time does not exist here",
    "reinit_weights": "weights always start as the model has them",
    "model_config_type": "another model class than the checkpoint's cannot be chosen here",
}
REASONS = {
    **trl.REASONS,
    "batch_size": "the batch over all devices; here rows of one device times accumulation",
    "model_type": "the model's own config.json says its class",
    "tokenizer_type": "the model's own files say the tokenizer",
    "special_tokens": "the tokenizer's own are taken here",
    "tokens": "tokens are not added here",
    "added_tokens_overrides": "tokens are not added here",
    "eot_tokens": "the chat template says where a turn ends",
    "dataset_prepared_path": "rows are prepared for each run here",
    "pad_to_sequence_len": "a matter of memory; not set here",
    "eval_sample_packing": "as in training here",
    "plugins": "faster code, or parts of axolotl; none exist here",
    "strict": "a recipe is always read strictly",
    "shuffle_merged_datasets": "rows are always shuffled by train.seed here",
    "lora_on_cpu": "settled here",
    "lora_fan_in_fan_out": "settled here from the model",
    "resize_token_embeddings_to_32x": "embeddings keep their size here",
    "loss_watchdog_threshold": "a run here warns of a loss that runs away by itself",
    "loss_watchdog_patience": "a run here warns of a loss that runs away by itself",
    "hub_model_id": "nothing is sent to the hub by itself here",
    "skip_prepare_dataset": "rows are prepared for each run here",
    "cosine_min_lr_ratio": "the cosine ends at 0 here",
    "cosine_constant_lr_ratio": "the cosine runs to the end here",
    "lr_quadratic_warmup": "warmup is linear here",
    "max_packed_sequence_len": "data.max_length is the length of a packed sequence too",
    "loraplus_lr_ratio": "adapters have one learning rate here",
    "train_on_eos": "the end of each learned turn is learned here",
    "auto_resume_from_checkpoints": "ftui resume continues a run",
    "cut_cross_entropy": "faster code for the same computation; not used here",
    "activation_offloading": "activations are never moved off the device here",
    "quantize_moe_experts": "the experts of a mixture are quantized like the rest here",
    "torchdistx_path": "not used here",
    "debug": "not used here",
}
PREFIXES = {
    **trl.PREFIXES,
    "wandb_": "a run keeps its own metrics here, and sends them nowhere",
    "mlflow_": "a run keeps its own metrics here, and sends them nowhere",
    "swanlab_": "a run keeps its own metrics here, and sends them nowhere",
    "comet_": "a run keeps its own metrics here, and sends them nowhere",
    "use_": "faster code, or a place for metrics; not used here",
    "liger_": "faster code for the same computation; not used here",
    "gptq_": "settled here",
    "flash_": "the attention code is model.attn_implementation here",
    "dp_": "the model is not divided among devices here",
    "tensor_parallel": "the model is not divided among devices here",
    "context_parallel": "rows are not divided among devices here",
    "expert_parallel": "the model is not divided among devices here",
}
_ALPACA = ("alpaca", "alpaca:chat", "alpaca:phi", "alpaca_chat.load_qa", "alpaca_chat")
_OFF_ATTENTION = {"flex_attention", "xformers_attention", "s2_attention", "sage_attention"}


def import_axolotl(c: Conversion) -> None:
    common.model(c, "base_model", "revision_of_model")
    common.dtype(c, "torch_dtype")
    _attention(c)
    _template(c)
    _method(c)
    _rows(c)
    _validation(c)
    _lengths(c)
    _loop(c)
    for key in ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel"):
        if c.get(key) is not None:
            c.leave(key, "faster code for the same computation; not used here")
    common.settle(c)
    c.leave_the_rest(STOPS, REASONS, PREFIXES)


def _attention(c: Conversion) -> None:
    common.attention(c, "attn_implementation")
    for key, name in (
        ("flash_attention", "flash_attention_2"),
        ("sdp_attention", "sdpa"),
        ("eager_attention", "eager"),
    ):
        on = c.switch(key)
        if on and ("model", "attn_implementation") not in c.origin:
            c.carry(key, "model.attn_implementation", name)
        elif on is not None:
            c.leave(key, "the attention code is model.attn_implementation here")
    for key in _OFF_ATTENTION:
        if c.get(key) is not None:
            c.leave(key, "not among the attention codes here; the fastest one that is correct is taken")


def _template(c: Conversion) -> None:
    name, jinja = c.word("chat_template"), c.word("chat_template_jinja")
    if jinja is not None:
        path = common.local(c, jinja) if "\n" not in jinja and "{" not in jinja else None
        if path and path.is_file():
            c.carry("chat_template_jinja", "model.chat_template", str(path))
        else:
            c.leave(
                "chat_template_jinja", "save the template as a Jinja file and name it as model.chat_template"
            )
    if name == "tokenizer_default":
        c.leave("chat_template", "the model's own chat template is what is taken here too")
    elif name is not None:
        c.leave("chat_template", f"{name} is a template inside axolotl; the model's own is taken here")


def _method(c: Conversion) -> None:
    adapter = c.word("adapter")
    quantized = common.quantized(c)
    if adapter not in (None, "lora", "qlora"):
        c.leave("adapter", f"there is no method {adapter} here", stops=True)
        return
    if adapter is None:
        if quantized:
            c.leave(quantized, "a quantized base without an adapter cannot be trained", stops=True)
        c.assume("train.method", "full", "no adapter")
        for key in [
            key for key in c.config.values if key.startswith(("lora_", "peft_")) and key not in STOPS
        ]:
            if c.has(key):
                c.leave(key, "there is no adapter")
        return
    c.carry("adapter", "train.method", "qlora" if adapter == "qlora" or quantized else "lora")
    if adapter == "qlora" and not quantized:
        c.assume("model.quantize", "nf4", "what qlora means")
    linear = c.switch("lora_target_linear")
    if linear:
        c.carry("lora_target_linear", "lora.target_modules", "all-linear")
        if c.has("lora_target_modules"):
            c.leave("lora_target_modules", "lora_target_linear names all linear layers already")
    else:
        if linear is False:
            c.leave("lora_target_linear", "switched off there; lora_target_modules says the modules")
        if not common.names_of_modules(c, "lora_target_modules", "lora.target_modules"):
            c.differ("lora.target_modules", "what the config's pattern or peft chooses", "all-linear")
    common.rank(c, "lora_r", 8)
    common.alpha(c, 8, "peft's")
    common.dropout(c, 0.0)
    common.names_of_modules(c, "lora_modules_to_save", "lora.modules_to_save")
    common.flag(c, "peft_use_rslora", "lora.use_rslora")
    common.flag(c, "peft_use_dora", "lora.use_dora")


def _rows(c: Conversion) -> None:
    rows = c.get("datasets")
    if rows is None:
        if not any(c.config.values.get(key) for key in ("pretraining_dataset",)):
            c.leave("datasets", "the data set is missing, and a recipe needs one", stops=True)
    elif not isinstance(rows, list) or not isinstance(rows[0], dict):
        c.leave("datasets", "must be a list of data sets", stops=True)
    else:
        _one(c, "data.train", ("datasets", 0), rows[0])
        say_others(c, [("datasets", index) for index in range(1, len(rows))])
    inputs = c.switch("train_on_inputs")
    if inputs is not None:
        c.carry("train_on_inputs", "data.train_on", "all" if inputs else "assistant", "the other way round")
        if c.value("data.format") == "text" and not inputs:
            c.drop("data.train_on", "a text has no turns: all of it is learned")


def _one(c: Conversion, option: str, at: tuple[str | int, ...], rows: dict[str, Any]) -> None:
    """One entry of `datasets` or `test_datasets`."""
    name, path, files = rows.get("path"), (*at, "path"), rows.get("data_files")
    if files and (name in LOADERS or (rows.get("ds_type") in LOADERS and common.local(c, str(name)))):
        path = (*at, "data_files")
        name = one_file(c, path, files)
    elif files:
        c.leave((*at, "data_files"), "files of a hub data set cannot be chosen here", stops=True)
        name = None
    if name is not None:
        split = rows.get("split") or ("train" if not common.local(c, str(name)) else None)
        carry_rows(c, option, path, name, split, (*at, "split"))
    elif not files:
        c.leave(path, "the data set is missing", stops=True)
    layout = _layout(c, (*at, "type"), at, rows)
    if layout is not None and option == "data.train":
        c.carry((*at, "type"), "data.format", layout)
        if layout == "alpaca":
            c.differ("data.format", "alpaca's own prompt, with its headings", "the model's chat template")
    elif layout is not None and layout != c.value("data.format"):
        c.leave((*at, "type"), "validation rows of another layout than the training rows", stops=True)
    learned = rows.get("roles_to_train")
    if isinstance(learned, list) and {SHAREGPT_ROLES.get(str(role)) for role in learned} == {"assistant"}:
        if option == "data.train":
            c.carry((*at, "roles_to_train"), "data.train_on", "assistant")
    elif learned is not None:
        c.leave((*at, "roles_to_train"), "here the assistant's turns are learned, the last one, or all")
    read = {"path", "type", "split", "data_files", "ds_type", "roles_to_train", "roles", "field", *_CHAT}
    for key in rows:
        if key not in read and rows[key] not in (None, False, "", []):
            c.leave((*at, key), "nothing here corresponds to it")


_CHAT = ("field_messages", "message_property_mappings", "message_field_role", "message_field_content")


def _layout(
    c: Conversion, key: tuple[str | int, ...], at: tuple[str | int, ...], rows: dict[str, Any]
) -> str | None:
    kind = rows.get("type")
    if kind in ("chat_template", "chat_template.default", "sharegpt"):
        mapping = rows.get("message_property_mappings")
        mapping = mapping if isinstance(mapping, dict) else {}
        old = kind == "sharegpt"
        role = mapping.get("role") or rows.get("message_field_role") or ("from" if old else "role")
        content = (
            mapping.get("content") or rows.get("message_field_content") or ("value" if old else "content")
        )
        messages = rows.get("field_messages") or ("conversations" if old else "messages")
        roles = rows.get("roles") if isinstance(rows.get("roles"), dict) else {}
        aliases = {
            str(word): str(role_)
            for role_, words in (roles or {}).items()
            for word in (words if isinstance(words, list) else [words])
        }
        at = next(((*at, name) for name in _CHAT if rows.get(name)), key)
        return chat_format(c, at, str(messages), str(role), str(content), aliases)
    if kind in _ALPACA:
        return "alpaca"
    if kind == "completion":
        if rows.get("field") in (None, "text"):
            return "text"
        c.leave((*at, "field"), "the text of a row is in text here: rename it", stops=True)
        return None
    if kind is None:
        c.leave(key if "type" in rows else at, "rows of token numbers: here rows are text", stops=True)
    else:
        shown = kind if isinstance(kind, str) else "its own prompt"
        c.leave(
            key, f"the layout {shown} does not exist here: ftui data convert makes one that does", stops=True
        )
    return None


def _validation(c: Conversion) -> None:
    share = c.number("val_set_size")
    tests = c.get("test_datasets")
    if isinstance(tests, list) and isinstance(tests[0], dict):
        _one(c, "data.val", ("test_datasets", 0), tests[0])
        say_others(c, [("test_datasets", index) for index in range(1, len(tests))])
        if share:
            c.leave("val_set_size", "test_datasets is written too and wins")
    elif share is None:
        c.assume("data.val_fraction", 0.0, "nothing is evaluated")
    elif share < 1:
        c.carry("val_set_size", "data.val_fraction", share)
    else:
        c.leave("val_set_size", "a number of rows; a recipe keeps a share of them: data.val_fraction")
    common.strategy(c, c.first("eval_strategy", "evaluation_strategy"))
    steps, often = c.number("eval_steps"), c.number("evals_per_epoch")
    if steps is not None:
        common.evaluations(c, "steps", steps)
    elif often in (0, 1):
        c.carry("evals_per_epoch", "eval.steps", 0, "0 is each epoch")
    if often is not None and (steps is not None or often > 1):
        c.leave(
            "evals_per_epoch",
            f"eval.steps is the steps of an epoch divided by {often:g}; each epoch until then",
        )
    patience = c.whole("early_stopping_patience")
    if patience is not None:
        c.carry("early_stopping_patience", "eval.early_stopping_patience", patience)


def _lengths(c: Conversion) -> None:
    common.length(c, "sequence_len", 512)
    strategy = c.word("excess_length_strategy")
    words = {"drop": "drop", "truncate": "truncate", "raise": "error"}
    if strategy is None:
        c.assume("data.overlength", "drop")
    elif strategy in words:
        c.carry("excess_length_strategy", "data.overlength", words[strategy])
    else:
        c.leave("excess_length_strategy", "drop, truncate or raise", stops=True)
    common.flag(c, "sample_packing", "data.packing", default=False)
    if c.value("data.packing"):
        trl.packed_batch(c, "sequence_len")


def _loop(c: Conversion) -> None:
    common.number(c, "learning_rate", "train.learning_rate", None)
    if not c.has("learning_rate"):
        c.differ("train.learning_rate", "must be given", "decided when the run starts")
    common.epochs(c, "num_epochs", 1)
    common.whole(c, "micro_batch_size", "train.per_device_train_batch_size", 1)
    common.whole(c, "gradient_accumulation_steps", "train.gradient_accumulation_steps", 1)
    common.whole(c, "eval_batch_size", "eval.per_device_eval_batch_size", None)
    named = common.schedule(c, "lr_scheduler", "cosine")
    common.warmup(c, named, 0.03, "at most 100 steps there")
    common.number(c, "weight_decay", "train.weight_decay", 0.0)
    common.optimizer(c, "optimizer")
    common.checkpointing(c, False)
    common.whole(c, "seed", "train.seed", 42)
    often = c.number("saves_per_epoch")
    strategy = common.strategy(c, "save_strategy")
    if often == 1 and not c.has("save_steps"):
        c.carry("saves_per_epoch", "save.steps", 0, "0 is each epoch")
    elif often is not None:
        c.leave(
            "saves_per_epoch",
            f"save.steps is the steps of an epoch divided by {often:g}; each epoch until then",
        )
    common.checkpoints(c, strategy, 0, 4)
