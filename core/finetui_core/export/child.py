"""The exported files as anybody loads them: `python -m finetui_core.export.child REQUEST ANSWER LOGITS`.

Nothing of the run is used here: transformers and peft load the folder, and its own generation settings answer.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file

from finetui_core.data.reading import context_length
from finetui_core.export.beside import GENERATION
from finetui_core.export.prompts import Asked
from finetui_core.export.side import (
    NEW_TOKENS,
    PLAIN,
    Side,
    answerable,
    logits_at,
    pieces_of,
    read_prompts,
)
from finetui_core.files import write_atomically
from finetui_core.train.model import DTYPES, best_device


class Request(msgspec.Struct, frozen=True):
    """What to load and to ask. `base` is the folder of an adapter's base; `trusted` whether it may run its code."""

    folder: str
    base: str | None
    dtype: str
    trusted: bool
    asked: list[Asked]


def main(request_file: str, answer_file: str, logits_file: str) -> None:
    request = msgspec.json.decode(Path(request_file).read_bytes(), type=Request)
    side, logits = measured(request)
    save_file(logits, logits_file)
    write_atomically(Path(answer_file), msgspec.json.encode(side))


def measured(request: Request) -> tuple[Side, dict[str, torch.Tensor]]:
    """The side of the exported files, and its logits by prompt."""
    from transformers import AutoTokenizer

    device = best_device()
    tokenizer = AutoTokenizer.from_pretrained(
        request.folder, local_files_only=True, trust_remote_code=request.trusted
    )
    model, missing = _model(request, device)
    reads = read_prompts(tokenizer, request.asked)
    rows = int(model.get_output_embeddings().weight.shape[0])
    ends = model.generation_config.eos_token_id
    greedy: dict[str, list[int]] = {}
    logits: dict[str, torch.Tensor] = {}
    for read in answerable(reads, context_length(model.config)):
        if max(read.prompt_ids) >= rows:
            continue
        logits[read.name] = logits_at(model, read.prompt_ids, device)
        given = torch.tensor([read.prompt_ids], device=device)
        answer = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False
        )
        greedy[read.name] = answer[0, len(read.prompt_ids) :].tolist()
    side = Side(
        reads=reads,
        greedy=greedy,
        gaps={},
        plain_ids=tokenizer(PLAIN)["input_ids"],
        ends=sorted(ends if isinstance(ends, list) else [] if ends is None else [ends]),
        tokens=len(tokenizer),
        rows=rows,
        bos=tokenizer.bos_token_id,
        has_template=bool(tokenizer.chat_template),
        pieces=pieces_of(tokenizer, reads),
        missing=missing,
    )
    return side, logits


def _model(request: Request, device: torch.device) -> tuple[Any, list[str]]:
    from transformers import AutoModelForCausalLM, GenerationConfig

    model, info = AutoModelForCausalLM.from_pretrained(
        request.base or request.folder,
        dtype=DTYPES[request.dtype],
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=request.trusted,
        output_loading_info=True,
    )
    missing = sorted(info["missing_keys"])
    if request.base is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, request.folder)
        if (Path(request.folder) / GENERATION).is_file():
            settings = GenerationConfig.from_pretrained(request.folder, local_files_only=True)
            model.generation_config = model.get_base_model().generation_config = settings
    return model.to(device).eval(), missing


if __name__ == "__main__":
    main(*sys.argv[1:])
