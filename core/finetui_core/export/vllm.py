"""How vLLM serves an exported model: the command line, with nothing left to its defaults that changes answers."""

import shlex
from pathlib import Path

from finetui_core.export.source import TEMPLATE

COMMAND_FILE = "vllm.txt"


def vllm_command(folder: Path, name: str, context: int | None) -> str:
    """Serve the model in `folder` under `name`; `context` is the most tokens of a prompt with its answer.

    https://docs.vllm.ai/en/latest/cli/serve.html
    """
    words = ["vllm", "serve", str(folder), "--served-model-name", name]
    words += ["--chat-template", str(folder / TEMPLATE), "--generation-config", str(folder)]
    if context is not None:
        words += ["--max-model-len", str(context)]
    return shlex.join(words)
