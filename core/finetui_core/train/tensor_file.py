"""The content of a safetensors file in pieces, so that our own code writes and hashes it and no second copy is made.

The format is safetensors' own: eight bytes with the length of a JSON header, the header, and the tensors behind
each other. https://github.com/huggingface/safetensors#format
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping

import torch

_TYPES = {
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
    ordered = sorted(tensors.items(), key=lambda pair: (-pair[1].element_size(), pair[0]))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for name, tensor in ordered:
        if tensor.numel():
            flat = fetch(name, tensor.detach()).to("cpu").contiguous().reshape(-1)
            yield memoryview(flat.view(torch.uint8).numpy())
