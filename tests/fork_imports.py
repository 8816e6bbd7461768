"""Everything that a trainer imports, and what it computes once: the fork server has it before it forks a child."""

from contextlib import suppress
from importlib import import_module

for name in (
    "finetui_core.data.template_worker",
    "finetui_core.train.__main__",
    "finetui_core.train.loop",
    "finetui_core.train.range_test",
    "finetui_core.train.replay",
    "finetui_core.train.report",
    "finetui_core.train.tally",
    "jinja2.sandbox",
    "numpy.ctypeslib",
    "peft",
    "peft.tuners.lora",
    "peft.utils.transformers_weight_conversion",
    "pydantic.type_adapter",
    "safetensors.torch",
    "torch._dynamo",
    "transformers",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "transformers.utils.chat_template_utils",
):
    with suppress(ImportError):  # a child imports what has another name in another version
        import_module(name)

with suppress(ImportError, AttributeError):  # 900 patterns that transformers 5 compiles at the first model
    import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("llama")
