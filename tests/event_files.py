"""TensorBoard's event files, framed by hand: TFRecords of `Event` messages."""

import struct

from finetui_core.runs.foreign_records import masked_crc

FLOAT, DOUBLE = 1, 2


def record(payload: bytes) -> bytes:
    header = struct.pack("<Q", len(payload))
    return header + struct.pack("<I", masked_crc(header)) + payload + struct.pack("<I", masked_crc(payload))


def scalar(step: int, tag: str, value: float, t: float = 1e9) -> bytes:
    """As tensorboardX and torch write it: a simple_value."""
    return event(step, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value), t)


def tensor(step: int, tag: str, value: float, *, packed: bool = True, double: bool = False) -> bytes:
    """As TensorFlow 2 writes it: a tensor of one number."""
    number = struct.pack("<d" if double else "<f", value)
    kind = DOUBLE if double else FLOAT
    content = field(6 if double else 5, number) if packed else field(4, number)
    return event(step, field(1, tag.encode()) + field(8, bytes([0x08, kind]) + content))


def version() -> bytes:
    """The first record of every file."""
    return record(b"\x09" + struct.pack("<d", 1e9) + field(3, b"brain.Event:2"))


def event(step: int, value: bytes, t: float = 1e9) -> bytes:
    return record(b"\x09" + struct.pack("<d", t) + b"\x10" + varint(step) + field(5, field(1, value)))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
