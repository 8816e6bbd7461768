"""What one side of the parity check reads and answers: the run, or the exported files.

Both sides are measured by this code; what differs is who loaded the model and the tokenizer, and from where.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import torch

from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.template import Unrenderable, chat_of
from finetui_core.export.prompts import Asked

NEW_TOKENS = 16
PLAIN = "Hello there, 1204."
"""A text that is read without a template."""
_POSITIONS = 8


class Read(msgspec.Struct, frozen=True):
    """A prompt with what asks for the answer, and the same conversation with its answer, as text and as token ids.

    `refused` is why the template cannot show it; then there is nothing else.
    """

    name: str
    prompt_text: str = ""
    prompt_ids: list[int] = []
    whole_text: str = ""
    whole_ids: list[int] = []
    refused: str = ""


class Side(msgspec.Struct, frozen=True):
    """`reads` of all prompts and `greedy` answers of those that fit, both by name; logits lie in a file of their own.

    `pieces` are the tokens of the ids that were read, `plain_ids` those of a text without a template. `ends` are the
    tokens that end an answer by the generation settings; `tokens` the size of the tokenizer and `rows` that of the
    logits. `missing` are weights that the files lack.
    """

    reads: list[Read]
    greedy: dict[str, list[int]]
    gaps: dict[str, list[float]]
    plain_ids: list[int]
    ends: list[int]
    tokens: int
    rows: int
    bos: int | None
    has_template: bool
    pieces: dict[int, str]
    missing: list[str] = []


def read_prompts(tokenizer: Any, asked: Sequence[Asked]) -> list[Read]:
    """How the tokenizer with its template reads them."""
    return [_read(tokenizer, one) for one in asked]


def _read(tokenizer: Any, asked: Asked) -> Read:
    try:
        chat = chat_of(conversation_of(asked), tokenizer, keep_rest=False)
        prompt, whole = chat.text(chat.messages[:-1], prompt=True), chat.text(chat.messages)
    except (Unrenderable, ValueError) as error:
        return Read(asked.name, refused=str(error) or type(error).__name__)
    return Read(asked.name, prompt, ids_of(tokenizer, prompt), whole, ids_of(tokenizer, whole))


def conversation_of(asked: Asked) -> Conversation:
    messages = [Message(one["role"], one["content"]) for one in asked.messages]
    return Conversation((*messages, Message("assistant", asked.answer)), asked.tools, "")


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """Without the tokens that the tokenizer adds: the template has those that the model wants."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def pieces_of(tokenizer: Any, reads: Sequence[Read]) -> dict[int, str]:
    """The text of each token that was read."""
    known = {token for read in reads for token in (*read.prompt_ids, *read.whole_ids)}
    return {token: tokenizer.convert_ids_to_tokens(token) or "" for token in sorted(known)}


def answerable(reads: Sequence[Read], context: int | None) -> list[Read]:
    """Those that the model can be asked with room for an answer."""
    return [
        read
        for read in reads
        if read.prompt_ids and (context is None or len(read.prompt_ids) + NEW_TOKENS <= context)
    ]


@torch.no_grad()
def logits_at(model: Any, ids: Sequence[int], device: torch.device) -> torch.Tensor:
    """The logits [8, vocabulary] at evenly spaced positions of a prompt, its last one among them, as float32."""
    whole = _forward(model, ids, device)
    count = min(_POSITIONS, len(ids))
    positions = sorted({round((number + 1) * len(ids) / count) - 1 for number in range(count)})
    return whole[positions].float().cpu()


@torch.no_grad()
def gaps_of(model: Any, prompt: Sequence[int], answer: Sequence[int], device: torch.device) -> list[float]:
    """How far the likeliest token was ahead of the next one, in logits, at each token of a greedy answer."""
    ids = [*prompt, *answer]
    top = torch.topk(_forward(model, ids, device)[len(prompt) - 1 :].float(), 2, dim=-1).values
    return [float(one[0] - one[1]) for one in top]


def _forward(model: Any, ids: Sequence[int], device: torch.device) -> torch.Tensor:
    given = torch.tensor([list(ids)], device=device)
    logits: torch.Tensor = model(
        input_ids=given, attention_mask=torch.ones_like(given), use_cache=False
    ).logits[0]
    return logits
