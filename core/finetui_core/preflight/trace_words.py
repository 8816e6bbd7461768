"""What the trace's process is asked and what it answers: one JSON object each way."""

from typing import Any

import msgspec

from finetui_core.preflight.figures import Kind, Phase, RowLengths, Workload
from finetui_core.recipe.facts import Facts
from finetui_core.recipe.options import Recipe


class RowsOf(msgspec.Struct, frozen=True):
    """A recipe as it was written, of which the rows are to be read before the trace."""

    recipe: Recipe
    facts: Facts


class TraceRequest(msgspec.Struct, frozen=True):
    """With `rows_of`, the longest pass is that of the real rows, where model and data are on this machine."""

    work: Workload
    rows_of: RowsOf | None = None


class TraceAnswer(msgspec.Struct, frozen=True):
    """`problem` says in a sentence why there are no peaks."""

    peaks: dict[Phase, dict[Kind, int]] = {}
    seconds: float = 0.0
    resident: int = 0
    note: str = ""
    lengths: RowLengths | None = None
    problem: str = ""


def encode(value: TraceRequest | TraceAnswer) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def decode_request(raw: bytes) -> TraceRequest:
    return msgspec.json.decode(raw, type=TraceRequest, dec_hook=_typed)


def decode_answer(raw: bytes) -> TraceAnswer:
    return msgspec.json.decode(raw, type=TraceAnswer)


def _plain(value: Any) -> Any:
    if isinstance(value, Recipe):
        return value.model_dump(mode="json")
    raise NotImplementedError(type(value).__name__)


def _typed(kind: type, value: Any) -> Any:
    if kind is Recipe:
        return Recipe.model_validate(value)
    raise NotImplementedError(kind.__name__)
