"""Rows kept apart for validation, so that no prompt is on both sides."""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from finetui_core.data.conversation import Row, TextDocument


def split(rows: Sequence[Row], val_fraction: float, seed: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Split into (train, val), each in the order of `rows`; see `kept_for_validation`."""
    chosen = kept_for_validation(rows, val_fraction, seed)
    train = tuple(row for index, row in enumerate(rows) if index not in chosen)
    return train, tuple(rows[index] for index in sorted(chosen))


def kept_for_validation(rows: Sequence[Row], val_fraction: float, seed: int) -> set[int]:
    """The indices of the rows that are kept apart.

    Rows with the same prompt (everything before the last assistant turn; for text the whole text) stay
    together, so that the validation loss does not measure memory. See `whole_groups`.
    """
    return whole_groups([prompt_digest(row) for row in rows], val_fraction, seed)


def whole_groups(digests: Sequence[bytes], val_fraction: float, seed: int) -> set[int]:
    """`kept_apart` for digests of one length, as the indices of what is kept apart."""
    if not digests:
        return set()
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)
    return set(np.flatnonzero(kept_apart(rows, val_fraction, seed)).tolist())


def kept_apart(digests: NDArray[np.uint8], val_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are kept apart, so that equal digests stay together: a mask [rows] for digests [rows, bytes].

    The choice depends on `seed` and the digests alone, not on the process. Val takes whole groups up to
    `val_fraction` of the rows, and at least one group where there are two.
    """
    apart = np.zeros(len(digests), dtype=bool)
    if val_fraction <= 0 or not len(digests):
        return apart
    as_texts = np.ascontiguousarray(digests).view(f"S{digests.shape[1]}").ravel()  # equal where all bytes are
    _, first, group_of, sizes = np.unique(
        as_texts, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) < 2:
        return apart
    key, drawn = str(seed).encode(), bytearray()
    for row in first.tolist():
        drawn += hashlib.blake2b(bytes(digests[row]), key=key).digest()
    order = np.argsort(np.frombuffer(drawn, "S64"), kind="stable")
    target, taken = max(1, round(val_fraction * len(digests))), 0
    chosen = np.zeros(len(first), dtype=bool)
    for group in order.tolist():
        if taken + int(sizes[group]) <= target:
            chosen[group] = True
            taken += int(sizes[group])
    if not taken:
        chosen[min(order.tolist(), key=lambda group: int(sizes[group]))] = True
    return chosen[group_of.ravel()]


def prompt_digest(row: Row) -> bytes:
    """16 bytes that are equal for rows with the same prompt."""
    if isinstance(row, TextDocument):
        return _digest(row.text)
    last = max(index for index, message in enumerate(row.messages) if message.role == "assistant")
    return _digest((row.messages[:last], row.tools))


def row_digest(row: Row) -> bytes:
    """16 bytes that are equal for rows with the same content, wherever they come from."""
    return _digest(row.text if isinstance(row, TextDocument) else (row.messages, row.tools))


def _digest(value: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=16).digest()
