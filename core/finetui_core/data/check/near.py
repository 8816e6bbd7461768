"""Near-duplicates."""

from collections.abc import Sequence
from finetui_core.data.check import minhash
from finetui_core.data.conversation import Row, TextDocument


def near_text(row: Row) -> str:
    """What of a row is compared: all its texts but the system prompt, which many rows share."""
    if isinstance(row, TextDocument):
        return row.text
    return "\n".join(message.content for message in row.messages if message.role != "system")


def pairs_in(texts: Sequence[str]) -> list[minhash.Pair]:
    return list(minhash.similar_pairs(minhash.sketch(texts), texts.__getitem__))
