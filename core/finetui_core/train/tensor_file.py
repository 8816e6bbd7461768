"""The content of a safetensors file in pieces, so that our own code writes and hashes it and no second copy is made.

The format is safetensors' own: eight bytes with the length of a JSON header, the header, and the tensors behind
each other. https://github.com/huggingface/safetensors#format
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from math import prod

import torch

TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


Fetch = Callable[[str, torch.Tensor], torch.Tensor]


def content(
    tensors: Mapping[str, torch.Tensor], fetch: Fetch = lambda name, tensor: tensor
) -> Iterator[bytes | memoryview]:
    """A safetensors file of `tensors`; of one on a GPU only that one is copied at a time.

    `fetch` puts one together that lies in parts on several processes, and is asked for one after the other.

    Wide types come first and names are sorted, so that every tensor is aligned and the same tensors give the same
    bytes. Raises KeyError for a type that the format does not have.
    """
    described = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    return streamed(described, lambda name: fetch(name, tensors[name].detach()))


def streamed(
    described: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], load: Callable[[str], torch.Tensor]
) -> Iterator[bytes | memoryview]:
    """As `content`, of tensors that `load` gives by name, each when its turn comes and not before.

    `described` are their types and shapes, known beforehand. Raises ValueError where `load` gives another one.
    """
    ordered = sorted(described, key=lambda name: (-described[name][0].itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in ordered:
        dtype, shape = described[name]
        start, end = end, end + prod(shape) * dtype.itemsize
        header[name] = {"dtype": TYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for name in ordered:
        if not prod(described[name][1]):
            continue
        tensor = load(name)
        if (tensor.dtype, tuple(tensor.shape)) != described[name]:
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not {described[name]}")
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        yield memoryview(flat.view(torch.uint8).numpy())
