"""Options that contradict each other.

Each check is a function from a recipe, and the options that were written out, to a Contradiction or None.
The first line of its docstring is the rule as the reference page prints it.
"""

import re
from collections.abc import Callable, Set
from dataclasses import dataclass

from finetui_core.recipe.faults import OptionPath
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.wording import printable


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Options that cannot hold together; the first of them that was written is to blame."""

    options: tuple[OptionPath, ...]
    what: str
    hint: str


Check = Callable[[Recipe, Set[OptionPath]], Contradiction | None]


def contradictions(recipe: Recipe, given: Set[OptionPath], doubtful: Set[OptionPath]) -> list[Contradiction]:
    """Every contradiction among the options, leaving out those that touch a `doubtful` one.

    `given` are the options written in the recipe or by `--set`, the others have their defaults.
    """
    found = [check(recipe, given) for check in CHECKS]
    return [fault for fault in found if fault is not None and doubtful.isdisjoint(fault.options)]


def settle_quantize(recipe: Recipe) -> Recipe:
    """Method qlora with `quantize` left out means nf4, as in the QLoRA paper."""
    if recipe.train.method != "qlora" or recipe.model.quantize != "none":
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"quantize": "nf4"})})


def _quantize_fits_method(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`model.quantize` goes with `train.method = "qlora"` and with no other method."""
    options = (("model", "quantize"), ("train", "method"))
    method, quantize = recipe.train.method, recipe.model.quantize
    if method == "qlora" and quantize == "none" and ("model", "quantize") in given:
        what = 'model.quantize = "none" contradicts train.method = "qlora"'
        return Contradiction(options, what, 'write quantize = "nf4", or method = "lora"')
    if method == "full" and quantize != "none":
        what = f'model.quantize = "{quantize}" contradicts train.method = "full", which trains every weight'
        return Contradiction(options, what, 'leave quantize out, or write method = "qlora"')
    if method == "lora" and quantize != "none":
        what = f'model.quantize = "{quantize}" contradicts train.method = "lora"'
        return Contradiction(options, what, 'write method = "qlora" for adapters on a quantized model')
    return None


def _one_source_of_validation(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`data.val` and a `data.val_fraction` above 0 are not both given."""
    if recipe.data.val is None or ("data", "val_fraction") not in given or recipe.data.val_fraction == 0:
        return None
    what = "data.val_fraction and data.val both say where validation rows come from"
    return Contradiction((("data", "val_fraction"), ("data", "val")), what, "keep one of the two")


def _patience_needs_validation(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`eval.early_stopping_patience` needs validation rows: `data.val`, or a `data.val_fraction` above 0."""
    if (
        recipe.eval.early_stopping_patience == 0
        or recipe.data.val is not None
        or recipe.data.val_fraction > 0
    ):
        return None
    what = "eval.early_stopping_patience needs validation rows; data.val_fraction = 0 keeps none"
    options = (("eval", "early_stopping_patience"), ("data", "val_fraction"), ("data", "val"))
    return Contradiction(
        options, what, "give data.val or a data.val_fraction above 0, or leave the patience out"
    )


def _warmup_is_share_or_count(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`train.warmup_steps` is a share below 1 or a whole number of steps."""
    warmup = recipe.train.warmup_steps
    if warmup < 1 or warmup.is_integer():
        return None
    what = f"train.warmup_steps must be a share below 1 or a whole number of steps, not {warmup:g}"
    return Contradiction(
        (("train", "warmup_steps"),), what, "write 0.05 for 5 % of all steps, or 10 for ten steps"
    )


def _warmup_ends_within_run(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`train.warmup_steps` is not more than `train.max_steps`."""
    warmup, most = recipe.train.warmup_steps, recipe.train.max_steps
    if most < 1 or warmup <= most:
        return None
    what = f"train.warmup_steps = {warmup:g} is more than train.max_steps = {most}: the peak is never reached"
    options = (("train", "warmup_steps"), ("train", "max_steps"))
    return Contradiction(options, what, "warm up for fewer steps, for example 0.05 of them")


def _max_steps_is_not_zero(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`train.max_steps` is -1 or at least 1."""
    if recipe.train.max_steps != 0:
        return None
    what = "train.max_steps must be -1 (no limit) or at least 1, not 0"
    return Contradiction((("train", "max_steps"),), what, "leave it out for a run without a limit")


def _modules_named_once(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """A module is named in `lora.target_modules` or in `lora.modules_to_save`, not in both."""
    targets = recipe.lora.target_modules
    twice = sorted(set(recipe.lora.modules_to_save) & set(targets if isinstance(targets, list) else []))
    if not twice:
        return None
    what = f"lora.modules_to_save and lora.target_modules both name {printable(', '.join(twice))}"
    options = (("lora", "modules_to_save"), ("lora", "target_modules"))
    return Contradiction(options, what, "a module gets an adapter or is trained in full: name it once")


def _text_has_no_turns(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`data.format = "text"` has no assistant turns, so `data.train_on` can only be "all"."""
    options = (("data", "train_on"), ("data", "format"))
    if recipe.data.format != "text" or recipe.data.train_on == "all" or options[0] not in given:
        return None
    what = f'data.train_on = "{recipe.data.train_on}" contradicts data.format = "text", which has no turns'
    return Contradiction(options, what, 'leave train_on out, or write "all"')


def _flash_attention_needs_half_precision(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`model.attn_implementation = "flash_attention_2"` does not compute in `model.dtype = "float32"`."""
    if recipe.model.attn_implementation != "flash_attention_2" or recipe.model.dtype != "float32":
        return None
    what = 'model.attn_implementation = "flash_attention_2" does not compute in model.dtype = "float32"'
    options = (("model", "attn_implementation"), ("model", "dtype"))
    return Contradiction(options, what, 'write dtype = "bfloat16", or attn_implementation = "sdpa"')


def _replay_has_a_share(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`data.replay_text` needs a `data.replay` above 0."""
    if recipe.data.replay_text is None or recipe.data.replay > 0:
        return None
    what = "data.replay_text is named, but data.replay = 0 takes nothing from it"
    options = (("data", "replay_text"), ("data", "replay"))
    return Contradiction(options, what, "write replay = 0.1, or leave replay_text out")


def _replay_is_not_the_probe(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`data.replay_text` is not the file of `eval.forgetting_probe`, which would then show what was trained."""
    if recipe.data.replay_text is None or recipe.data.replay_text != recipe.eval.forgetting_probe:
        return None
    what = "data.replay_text and eval.forgetting_probe are the same file: forgetting could not be seen on it"
    options = (("data", "replay_text"), ("eval", "forgetting_probe"))
    return Contradiction(options, what, "replay another text, or cut this one in two files")


def _probe_of_full_needs_a_start(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`eval.forgetting_probe` with `train.method = "full"` needs `eval.on_start`: no base is left to compare with."""
    if recipe.eval.forgetting_probe is None or recipe.train.method != "full" or recipe.eval.on_start:
        return None
    what = 'eval.forgetting_probe with train.method = "full" is compared with the model at the start, '
    what += "which eval.on_start = false does not measure"
    options = (("eval", "on_start"), ("eval", "forgetting_probe"), ("train", "method"))
    return Contradiction(options, what, "write on_start = true, or leave forgetting_probe out")


_ENDPOINT = re.compile(r"([^\s:/\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)


def _endpoint_has_a_port(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`launch.rdzv_endpoint` is a host and a port, as 10.0.0.1:29400."""
    endpoint = recipe.launch.rdzv_endpoint
    if endpoint is None:
        return None
    found = _ENDPOINT.fullmatch(endpoint)
    if found is not None and 0 < int(found[2]) < 1 << 16:
        return None
    what = f"launch.rdzv_endpoint must be host:port, not {printable(endpoint)}"
    hint = "write the address of the host that starts the run and a free port, as 10.0.0.1:29400"
    return Contradiction((("launch", "rdzv_endpoint"),), what, hint)


def _hosts_meet_somewhere(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`launch.nnodes` above 1 needs a `launch.rdzv_endpoint`, and one host has no use for one."""
    launch = recipe.launch
    if (launch.nnodes > 1) == (launch.rdzv_endpoint is not None):
        return None
    options = (("launch", "nnodes"), ("launch", "rdzv_endpoint"))
    if launch.nnodes > 1:
        what = f"launch.nnodes = {launch.nnodes}, but launch.rdzv_endpoint does not say where the hosts meet"
        hint = 'write the address of the host that starts the run and a free port: rdzv_endpoint = "10.0.0.1:29400"'
        return Contradiction(options, what, hint)
    what = "launch.rdzv_endpoint is for several hosts, but launch.nnodes is 1"
    return Contradiction(tuple(reversed(options)), what, "write nnodes = 2, or leave rdzv_endpoint out")


def _sharded_weights_are_plain(recipe: Recipe, given: Set[OptionPath]) -> Contradiction | None:
    """`launch.sharding = "full"` goes neither with `model.quantize` nor with `model.dtype = "float16"`."""
    if recipe.launch.sharding == "none":
        return None
    hint = 'leave launch.sharding out, or write method = "lora" and dtype = "bfloat16"'
    if recipe.model.quantize != "none" or recipe.train.method == "qlora":
        options = (("launch", "sharding"), ("model", "quantize"), ("train", "method"))
        return Contradiction(options, 'launch.sharding = "full" cannot divide quantized weights', hint)
    if recipe.model.dtype == "float16":
        what = 'launch.sharding = "full" does not scale the loss, as model.dtype = "float16" needs'
        return Contradiction((("launch", "sharding"), ("model", "dtype")), what, hint)
    return None


CHECKS: tuple[Check, ...] = (
    _quantize_fits_method,
    _one_source_of_validation,
    _patience_needs_validation,
    _warmup_is_share_or_count,
    _warmup_ends_within_run,
    _max_steps_is_not_zero,
    _modules_named_once,
    _text_has_no_turns,
    _replay_has_a_share,
    _replay_is_not_the_probe,
    _probe_of_full_needs_a_start,
    _flash_attention_needs_half_precision,
    _endpoint_has_a_port,
    _hosts_meet_somewhere,
    _sharded_weights_are_plain,
)
