"""The scalars in TensorBoard's event files, read without TensorFlow, TensorBoard or protobuf.

Each record holds one `Event` message (tensorflow/core/util/event.proto): wall_time = 1, step = 2, summary = 5; a
summary holds values = 1 with tag = 1, simple_value = 2 and tensor = 8 (tensorflow/core/framework/summary.proto).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetui_core.runs.foreign_records import RecordTail

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protobuf
_FLOAT, _DOUBLE = 1, 2  # of tensorflow.DataType
_FORMATS = {_FLOAT: ("<f", 5), _DOUBLE: ("<d", 6)}
"""How one number of that type is packed, and the field of a tensor that holds such numbers."""
_MORE = 8
"""How many times as much is read of the end of a file that holds pictures there."""
_Value = int | bytes


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number of one tag; `t` is in unix seconds."""

    t: float
    step: int
    tag: str
    value: float


class EventFile:
    """Reads the new scalars of one file, see RecordTail. With `last`, more is read where that holds none."""

    def __init__(self, path: Path, last: int | None = None) -> None:
        self.tail = RecordTail(path, last)
        self._last = last

    def read(self, most: int | None = None) -> list[Scalar]:
        """The scalars written since the last call, in file order; with `most`, of about so many bytes."""
        scalars = self._read(most)
        while self._last is not None and not scalars and self._last < self.tail.size:
            self._last *= _MORE
            self.tail = RecordTail(self.tail.path, self._last)
            scalars = self._read()
        self._last = None
        return scalars

    def _read(self, most: int | None = None) -> list[Scalar]:
        return [scalar for payload in self.tail.read(most) for scalar in scalars_of(payload)]


def scalars_of(event: bytes) -> list[Scalar]:
    """The scalars in one message; none in one of another kind, or in one that makes no sense."""
    t, step = 0.0, 0
    values: list[bytes] = []
    try:
        for number, value in _fields(event):
            if number == 1 and isinstance(value, bytes):
                (t,) = struct.unpack("<d", value)
            elif number == 2 and isinstance(value, int):
                step = value - (1 << 64) if value >= 1 << 63 else value
            elif number == 5 and isinstance(value, bytes):
                values += [part for inner, part in _fields(value) if inner == 1 and isinstance(part, bytes)]
        found = [(_tag_and_number(value)) for value in values]
    except (ValueError, struct.error):
        return []
    return [Scalar(t, step, tag, number) for tag, number in found if tag and number is not None]


def _tag_and_number(value: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, content in _fields(value):
        if not isinstance(content, bytes):
            continue
        if field == 1:
            tag = content.decode("utf-8", "replace")
        elif field == 2:
            (number,) = struct.unpack("<f", content)
        elif field == 8:
            number = _tensor_number(content)
    return tag, number


def _tensor_number(tensor: bytes) -> float | None:
    """The number in a tensor that holds exactly one; None for any other."""
    fields = dict(_fields(tensor))
    kind = fields.get(1)
    if not isinstance(kind, int) or kind not in _FORMATS:
        return None
    packing, field = _FORMATS[kind]
    content = fields.get(field) or fields.get(4)
    if not isinstance(content, bytes) or len(content) != struct.calcsize(packing):
        return None
    (number,) = struct.unpack(packing, content)
    return float(number)


def _fields(message: bytes) -> Iterator[tuple[int, _Value]]:
    """(field number, value) of a protobuf message. Raises ValueError where it is none."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            length, at = _varint(message, at)
        if length is None or at + length > len(message):
            raise ValueError(f"wire type {wire} at byte {at}")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"no whole number at byte {at}")
