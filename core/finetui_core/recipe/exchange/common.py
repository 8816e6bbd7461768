"""What the three trainers share, because all of them rest on transformers' `TrainingArguments` and peft."""

import math
from pathlib import Path

from finetui_core.recipe.exchange.conversion import Conversion
from finetui_core.recipe.wording import show

_ADAMW = {"adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw"}
_SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant_with_warmup": "constant",
    "constant": "constant",
}
_ATTENTION = {"sdpa", "eager", "flash_attention_2"}
_DTYPES = {
    "auto": "auto",
    "bfloat16": "bfloat16", "bf16": "bfloat16",
    "float16": "float16", "fp16": "float16", "half": "float16",
    "float32": "float32", "fp32": "float32", "float": "float32",
}  # fmt: skip
_REMOTE_CODE = (
    "code that comes with a model runs only on your word: read it at one commit, then write "
    "trust_remote_code = true and revision = that commit"
)


def model(c: Conversion, name_key: str, revision_key: str) -> None:
    """The base model: a folder, or a hub id."""
    name = c.word(name_key)
    if name is None:
        if not any(one.key == name_key and one.stops for one in c.left):
            c.leave(name_key, "the base model is missing, and a recipe needs one", stops=True)
        return
    folder = local(c, name)
    c.carry(name_key, "model.name", str(folder) if folder else name)
    revision = c.word(revision_key)
    if revision and folder:
        c.leave(revision_key, "a model in a folder has no revisions")
    elif revision:
        c.carry(revision_key, "model.revision", revision)
    if c.switch("trust_remote_code"):
        c.leave("trust_remote_code", _REMOTE_CODE)


def local(c: Conversion, name: str) -> Path | None:
    """An existing file or folder of that name: trainers start at the current folder, people at the config's."""
    try:
        for start in (Path.cwd(), c.config.folder.absolute()):
            path = (start / Path(name).expanduser()).resolve()
            if path.exists():
                return path
    except (OSError, RuntimeError, ValueError):
        return None
    return None


def dtype(c: Conversion, *keys: str) -> None:
    """`dtype` where it is written, else what bf16 and fp16 say."""
    written = c.word(key := c.first(*keys))
    half = {key: c.get(key) for key in ("bf16", "bfloat16", "fp16", "float16", "pure_bf16")}
    if written is not None:
        if found := _DTYPES.get(written.removeprefix("torch.")):
            c.carry(key, "model.dtype", found)
        else:
            c.leave(key, "no such number type of weights here")
    for name, value in half.items():
        if value is None:
            continue
        option = "float16" if name in ("fp16", "float16") else "bfloat16"
        if value == "auto":
            value = True
            option = "auto"
        elif not isinstance(value, bool):
            value = c.switch(name)
        if value and ("model", "dtype") not in c.origin:
            c.carry(name, "model.dtype", option)
        elif value:
            c.leave(name, f"model.dtype = {c.value('model.dtype')} says the number type already")
        elif name in c.config.values:
            c.leave(name, "switched off there; model.dtype says the number type here")


def attention(c: Conversion, key: str, words: dict[str, str] | None = None) -> None:
    written = c.word(key)
    if written is None:
        return
    name = (words or {}).get(written, written)
    if name == "auto" or name in _ATTENTION:
        c.carry(key, "model.attn_implementation", name)
    else:
        c.leave(key, "not among the attention codes here; the fastest one that is correct is taken")


def quantized(c: Conversion) -> str | None:
    """What `load_in_4bit` and `load_in_8bit` make of the base, and the key that says so."""
    if c.switch("load_in_4bit"):
        if c.switch("load_in_8bit"):
            c.leave("load_in_8bit", "load_in_4bit is on too, and only one of them can hold")
        kind = c.word("bnb_4bit_quant_type")
        if kind not in (None, "nf4"):
            c.leave("bnb_4bit_quant_type", "only nf4 is known here")
        elif kind:
            c.carry("bnb_4bit_quant_type", "model.quantize", "nf4")
        c.carry("load_in_4bit", "model.quantize", "nf4")
        return "load_in_4bit"
    if c.switch("load_in_8bit"):
        c.carry("load_in_8bit", "model.quantize", "int8")
        return "load_in_8bit"
    for key in ("load_in_4bit", "load_in_8bit"):
        if c.switch(key) is False:
            c.leave(key, "switched off there; the method says here whether the base is quantized")
    return None


def names_of_modules(c: Conversion, key: str, option: str, every: str = "") -> bool:
    """A list of module names, also with commas; `every` is the word for all linear layers."""
    names = c.names(key)
    if names is None:
        return False
    if option == "lora.target_modules" and names in (["all-linear"], [every]):
        c.carry(key, option, "all-linear")
        return True
    strange = [name for name in names if set(name) & set("\\*^$()[]|+?")]
    if strange:
        c.leave(key, "a pattern; a recipe names modules, or all-linear")
        return False
    c.carry(key, option, names)
    return True


def rank(c: Conversion, key: str, default: int) -> int:
    r = c.whole(key)
    if r is None:
        c.assume("lora.r", default)
        return default
    c.carry(key, "lora.r", r)
    return r


def alpha(c: Conversion, default: int, why: str = "") -> None:
    value = c.number("lora_alpha")
    if value is None:
        c.assume("lora.lora_alpha", default, why)
    else:
        c.carry("lora_alpha", "lora.lora_alpha", int(value) if value.is_integer() else value)


def dropout(c: Conversion, default: float) -> None:
    value = c.number("lora_dropout")
    if value is None:
        c.assume("lora.lora_dropout", default)
    else:
        c.carry("lora_dropout", "lora.lora_dropout", value)


def flag(c: Conversion, key: str, option: str, *, default: bool = False) -> None:
    value = c.switch(key)
    if value is None:
        c.assume(option, default)
    else:
        c.carry(key, option, value)


def whole(c: Conversion, key: str, option: str, default: int | None) -> None:
    value = c.whole(key)
    if value is not None:
        c.carry(key, option, value)
    elif default is not None:
        c.assume(option, default)


def number(c: Conversion, key: str, option: str, default: float | None) -> None:
    value = c.number(key)
    if value is not None:
        c.carry(key, option, value)
    elif default is not None:
        c.assume(option, default)


def length(c: Conversion, key: str, default: int) -> None:
    whole(c, key, "data.max_length", default)


def epochs(c: Conversion, key: str, default: int) -> None:
    """Whole passes: what is left of a broken number is rounded up and said, unless max_steps ends the run."""
    steps = c.whole("max_steps")
    if steps is not None and steps > 0:
        c.carry("max_steps", "train.max_steps", steps)
    elif steps is not None:
        c.leave("max_steps", "no limit there, and none here")
    value = c.number(key)
    if value is None:
        c.assume("train.num_train_epochs", default)
    elif value.is_integer():
        c.carry(key, "train.num_train_epochs", int(value))
    else:
        up = max(1, math.ceil(value))
        note = f"{value:g} is not a whole number of epochs: rounded up; train.max_steps can end it earlier"
        c.carry(key, "train.num_train_epochs", up, note)


def schedule(c: Conversion, key: str, default: str) -> str:
    written = c.word(key)
    if written is None:
        c.assume("train.lr_scheduler_type", default)
        return default
    name = written.lower()
    if name in _SCHEDULES:
        c.carry(key, "train.lr_scheduler_type", _SCHEDULES[name])
    else:
        c.leave(key, f"there is no schedule {written} here; cosine is taken, which ends at 0")
    return name


def warmup(c: Conversion, scheduler: str, default: float, why: str = "") -> None:
    """A share of the steps, or a number of them; the schedule `constant` has none in transformers."""
    steps, ratio = c.number("warmup_steps"), c.number("warmup_ratio")
    if scheduler == "constant":
        for key, value in (("warmup_steps", steps), ("warmup_ratio", ratio)):
            if value:
                c.leave(key, "the schedule constant takes no warmup there (constant_with_warmup does)")
        c.assume("train.warmup_steps", 0.0, "the schedule constant has no warmup")
    elif steps:
        c.carry("warmup_steps", "train.warmup_steps", steps, "below 1 it is a share" if steps < 1 else "")
        if ratio is not None:
            c.leave("warmup_ratio", "warmup_steps is written too and wins")
    elif ratio is not None and ratio >= 1:
        c.leave("warmup_ratio", "a share of all steps is below 1", stops=True)
    elif ratio is not None:
        c.carry("warmup_ratio", "train.warmup_steps", ratio, "a number below 1 is a share of all steps")
        if steps is not None:
            c.leave("warmup_steps", "0 there means that warmup_ratio holds")
    elif steps is not None:
        c.carry("warmup_steps", "train.warmup_steps", 0.0)
    else:
        c.assume("train.warmup_steps", default, why)


def optimizer(c: Conversion, key: str) -> None:
    written = c.word(key)
    if written is not None:
        if written in _ADAMW:
            c.leave(key, "AdamW is what trains here, always: the same")
        elif "8bit" in written and "adamw" in written:
            c.leave(key, "AdamW keeps its state in 32 bits here: the same steps, more memory")
        else:
            c.leave(key, "AdamW is the only optimizer here; another one wants another learning rate")
    for name, usual in (("adam_beta1", 0.9), ("adam_beta2", 0.999), ("adam_epsilon", 1e-8)):
        value = c.number(name)
        if value is not None:
            same = math.isclose(value, usual)
            c.leave(name, f"it is {usual:g} here, always{': the same' if same else ''}")
    norm = c.number("max_grad_norm")
    if norm == 0:
        c.leave("max_grad_norm", "0 switches clipping off there; here gradients are clipped at 1.0")
    elif norm is not None:
        c.carry("max_grad_norm", "train.max_grad_norm", norm)


def checkpointing(c: Conversion, default: bool) -> None:
    value = c.get("gradient_checkpointing")
    if isinstance(value, str) and value.lower() not in ("true", "false", "yes", "no"):
        note = f"{value} there: activations are computed again here, and never moved off the device"
        c.carry("gradient_checkpointing", "train.gradient_checkpointing", True, note)
    else:
        flag(c, "gradient_checkpointing", "train.gradient_checkpointing", default=default)


def evaluations(c: Conversion, when: str, steps: float | None) -> bool:
    """When evaluations happen; False where there are none."""
    if when == "no":
        return False
    if when == "epoch":
        if c.has("eval_steps"):
            c.leave("eval_steps", "eval_strategy is epoch, so that it has no effect")
        return True
    if steps is None:
        default = int(as_steps(c.number("logging_steps"), 500))
        c.assume("eval.steps", default, "as often as it logs")
    elif steps < 1 or not float(steps).is_integer():
        c.leave("eval_steps", "a share of all steps; here a number of them, or 0 for each epoch")
    else:
        c.carry("eval_steps", "eval.steps", int(steps))
    return True


def as_steps(value: float | None, default: int) -> float:
    return value if value is not None and value >= 1 else default


def checkpoints(c: Conversion, when: str | None, default: int, limit: int | None) -> None:
    """When checkpoints are written, and how many are kept."""
    steps = c.number("save_steps")
    if when in ("no", "best", "epoch"):
        if steps is not None:
            c.leave("save_steps", f"save_strategy is {when}, so that it has no effect")
    elif steps is None:
        c.assume("save.steps", default)
    elif steps < 1 or not steps.is_integer():
        c.leave("save_steps", "a share of all steps; here a number of them, or 0 for each epoch")
    else:
        c.carry("save_steps", "save.steps", int(steps))
    kept = c.whole("save_total_limit")
    if kept is not None and kept >= 1:
        c.carry("save_total_limit", "save.total_limit", kept)
    elif limit is None:
        if kept is not None:
            c.leave("save_total_limit", "no limit there; the most that can be kept is a number here")
        c.differ("save.total_limit", "every checkpoint is kept", "3 are kept")
    else:
        c.assume("save.total_limit", limit)
    flag(c, "load_best_model_at_end", "save.keep_best", default=False)


def strategy(c: Conversion, key: str) -> str | None:
    """When something happens there, named in a list too; `no` is read as false by YAML 1.1."""
    value = c.get(key)
    word = "no" if value is False else value
    if word is None:
        return None
    if word not in ("no", "steps", "epoch", "best"):
        c.leave(key, f"must be no, steps or epoch, not {show(value)}", stops=True)
        return None
    if word == "epoch":
        c.carry(key, "eval.steps" if key.startswith("eval") else "save.steps", 0, "0 is each epoch")
    elif word == "steps":
        c.leave(key, "a number of steps says so here")
    elif key.startswith("eval"):
        c.leave(key, "a run here evaluates where it has validation rows")
    else:
        c.leave(key, "a run here always has checkpoints, so that it can be continued")
    return str(word)


def settle(c: Conversion) -> None:
    """Take out what contradicts the rest here but is harmless there."""
    if not (c.value("data.val") or c.value("data.val_fraction")):
        c.drop("eval.early_stopping_patience", "it needs validation rows, and there are none")
    most, warm = c.value("train.max_steps"), c.value("train.warmup_steps")
    if 0 < most < warm:
        c.drop("train.warmup_steps", f"longer than the run, which ends after {most} steps")
    targets = c.value("lora.target_modules")
    saved = c.value("lora.modules_to_save")
    if isinstance(targets, list) and set(targets) & set(saved):
        c.recipe["lora"]["target_modules"] = [name for name in targets if name not in saved]
        if not c.recipe["lora"]["target_modules"]:
            c.drop("lora.modules_to_save", "lora.target_modules names them all")
            c.recipe["lora"]["target_modules"] = targets
        else:
            c.leave(
                c.origin["lora", "target_modules"],
                "modules that are trained in full get no adapter too: their names were taken out",
            )
    if c.value("model.dtype") == "float32" and c.value("model.attn_implementation") == "flash_attention_2":
        c.drop("model.attn_implementation", "flash attention does not compute in float32")
    if c.value("train.method") == "full":
        for option in [f"lora.{name}" for name in c.recipe.pop("lora", {})]:
            c.drop(option, "every weight is trained: there are no adapters")
