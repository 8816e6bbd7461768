"""A model's files looked through before any library reads them: a model folder is a stranger's data.

Only regular files of the folder are read, of a bounded size and depth. Refused are pickles, names that lead out of
the folder, safetensors headers that do not fit their file, sizes that the weights do not bear out, and every way in
which a file could ask for code: `auto_map` where nobody agreed to it, code of another repository, kernels from the
hub. Nothing here imports a training library.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.preflight.shape import parameters, shape_of
from finetui_core.recipe.wording import quote

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_MIB = 1 << 20
_JSON = {
    "config.json": _MIB,
    "generation_config.json": _MIB,
    "tokenizer_config.json": 8 * _MIB,
    "special_tokens_map.json": 8 * _MIB,
    "added_tokens.json": 8 * _MIB,
    "tokenizer.json": 64 * _MIB,
    "vocab.json": 64 * _MIB,
    "tekken.json": 64 * _MIB,
    INDEX: 32 * _MIB,
}
"""The JSON files that transformers opens by itself, and the most bytes of each; the largest known have half."""
_OTHERS = {".jinja": _MIB, ".txt": 64 * _MIB, ".model": 64 * _MIB, ".tiktoken": 64 * _MIB}
_MOST_FILES = 10_000
_NAMED = 20  # faults of weight files
_DEEPEST = 64
_HEADER = 16 * _MIB
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of an element of each type that a safetensors header can name (safetensors/src/tensor.rs)."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_MOST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2_000),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "intermediate_size", "n_inner", "ffn_dim"), 1_000_000
    ),
    **dict.fromkeys(("moe_intermediate_size", "head_dim", "ffn_hidden_size"), 1_000_000),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"), 10_000),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "n_shared_experts"), 10_000),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"), 100_000_000
    ),
    **dict.fromkeys(("vocab_size", "type_vocab_size", "num_labels"), 20_000_000),
}
"""The most that a size in config.json can be; no known model has a tenth of it."""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WEIGHTS_PER_BYTE = 8
"""Of a model whose weights take two bits each, twice as many as there are; a few more may be absent."""
_MAY_BE_ABSENT = 50_000_000  # weights
_CHOICE_OF_CODE = ("attn_implementation", "attn_implementation_internal", "experts_implementation")
_CODE_HINT = (
    "Take a model that transformers knows by itself; or read the code, set model.trust_remote_code = true, and say "
    "so when the run starts."
)


@dataclass(frozen=True, slots=True)
class Weights:
    """What the safetensors headers of a folder say: the number of tensors and the bytes of all of them."""

    tensors: int
    bytes: int


def check_model_files(folder: Path, *, with_weights: bool, may_run_code: bool) -> None:
    """Raise InputError, with every fault, where a model's folder holds what must not be read.

    `with_weights` looks at the headers of its safetensors files too. `may_run_code` lets it name code of its own.
    """
    problems, values = _checked_small_files(folder)
    config, tokenizer = values.get("config.json", {}), values.get("tokenizer_config.json", {})
    problems += _code_faults(folder / "config.json", config, may_run_code)
    problems += _code_faults(folder / "tokenizer_config.json", tokenizer, may_run_code)
    problems += _size_faults(folder / "config.json", config)
    if "adapter_config.json" in _names(folder):
        what = "the model's folder also holds an adapter, which would be loaded with it"
        problems.append(
            Problem(what, str(folder / "adapter_config.json"), "Name a folder with the base model alone.")
        )
    if with_weights and not problems:
        weights, faults = _checked_weights(folder, values.get(INDEX))
        problems += faults or _promise_faults(folder / "config.json", config, weights)
    if problems:
        raise InputError(problems)


def read_json(path: Path, most: int = _MIB) -> dict[str, Any]:
    """The object in a model's JSON file. Raises InputError where it is no regular file of sane size and depth."""
    raw = _read(path, most)
    try:
        value = msgspec.json.decode(raw)
    except RecursionError as error:
        raise InputError(_too_deep(path)) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"not valid JSON: {error}", str(path), "Copy the model again.")) from error
    if not isinstance(value, dict):
        raise InputError(Problem("the file is not a JSON object", str(path), "Copy the model again."))
    if any(depth > _DEEPEST for depth, _, _ in _entries(value)):
        raise InputError(_too_deep(path))
    return value


def _too_deep(path: Path) -> Problem:
    return Problem(
        f"values are nested more than {_DEEPEST} deep", str(path), "No model needs that: take another one."
    )


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry, _ in zip(entries, range(_MOST_FILES), strict=False)}
    except OSError as error:
        raise InputError(Problem(f"the folder cannot be read: {error.strerror}", str(folder))) from error


def _checked_small_files(folder: Path) -> tuple[list[Problem], dict[str, dict[str, Any]]]:
    """What is wrong with the files that are read whole, and the values of those that are JSON and looked into."""
    problems: list[Problem] = []
    values: dict[str, dict[str, Any]] = {}
    names = _names(folder)
    extra = folder / "additional_chat_templates"
    if extra.name in names and extra.is_dir():
        names |= {f"{extra.name}/{name}" for name in _names(extra) if name.endswith(".jinja")}
    for name in sorted(names):
        path = folder / name
        most = _JSON.get(name) or _OTHERS.get(path.suffix)
        if most is None:
            continue
        try:
            _check_place(path, folder)
            if name in ("config.json", "generation_config.json", "tokenizer_config.json", INDEX):
                values[name] = read_json(path, most)
            else:
                os.close(_opened(path, most)[0])
        except InputError as error:
            problems += error.problems
    return problems, values


def _check_place(path: Path, folder: Path) -> None:
    """Raise InputError for a link that leads out of the folder, unless the hub's cache is laid out so."""
    if not path.is_symlink():
        return
    root = folder.resolve()
    if root.parent.name == "snapshots":
        root = root.parents[1]  # its files are links to ../../blobs
    if not path.resolve().is_relative_to(root):
        what = f"this is a link that leads out of the model's folder, to {path.resolve()}"
        raise InputError(Problem(what, str(path), "Copy the file itself into the folder."))


def _opened(path: Path, most: int | None) -> tuple[int, int]:
    """A descriptor of a regular file of at most `most` bytes, and its size; a pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(Problem(f"the file cannot be read: {error.strerror}", str(path))) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (most is None or status.st_size <= most):
        return descriptor, status.st_size
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(Problem("this is not a regular file", str(path), "Copy the model again."))
    what = f"the file has {status.st_size >> 20} MiB, and the most that is read is {(most or 0) >> 20} MiB"
    raise InputError(Problem(what, str(path), "No known model needs more: take it from its first source."))


def _read(path: Path, most: int) -> bytes:
    descriptor, size = _opened(path, most)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(size)


def _entries(value: Any) -> Iterator[tuple[int, str, Any]]:
    """(depth, key, value) of all that is in a JSON value; elements of a list have the key of the list."""
    waiting: list[tuple[int, str, Any]] = [(0, "", value)]
    while waiting:
        depth, key, one = waiting.pop()
        if depth:
            yield depth, key, one
        if depth > _DEEPEST:
            continue
        if isinstance(one, dict):
            waiting += [(depth + 1, name, inner) for name, inner in one.items()]
        elif isinstance(one, list):
            waiting += [(depth + 1, key, inner) for inner in one]


def _code_faults(path: Path, values: Mapping[str, Any], may_run_code: bool) -> list[Problem]:
    """Where the file asks for code that nobody agreed to.

    `auto_map` in the file's first level is transformers' own convention: without trust it is not followed. Deeper it
    has been followed without trust (CVE-2026-5241), and a value named trust_remote_code stood for the caller's.
    """
    faults: list[Problem] = []

    def refuse(what: str, hint: str = _CODE_HINT) -> None:
        faults.append(Problem(what, str(path), hint))

    for depth, key, value in _entries(values):
        if key == "trust_remote_code":
            refuse("the file says by itself that its code is to be trusted, which only you can say")
        elif key == "auto_map" and depth > 1 and not isinstance(value, str) and not may_run_code:
            refuse("a nested configuration names Python code to be run (auto_map)")
        elif key == "transformers_weights":
            refuse(
                "the configuration names a weight file of its own choice", f"Keep the weights in {WEIGHTS}."
            )
        elif key in ("configuration_files", "fast_tokenizer_files"):
            refuse(f"the file sends the reader to other files ({key})", "Keep one file, without versions.")
        elif key.lstrip("_") in _CHOICE_OF_CODE and any("/" in text for text in _texts(value)):
            refuse("the configuration asks for a compiled kernel from the hub", "Remove that line from it.")
    if may_run_code:
        for reference in _texts(values.get("auto_map")):
            if "--" in reference:
                refuse(
                    f"auto_map names the code {quote(reference)} of another repository, which no commit pins",
                    "Copy that code into the model's folder and name it there.",
                )
    return faults


def _texts(value: Any) -> Iterator[str]:
    return (one for _, _, one in _entries([value]) if isinstance(one, str))


def _size_faults(path: Path, config: Mapping[str, Any]) -> list[Problem]:
    faults = []
    for _, key, value in _entries(config):
        most = _MOST.get(key)
        if most is not None and isinstance(value, int | float) and not value <= most:
            faults.append(
                Problem(
                    f"{key} is {value:,.0f}, and the most that a model has is {most:,}",
                    str(path),
                    _NOT_A_MODEL,
                )
            )
    return faults


_NOT_A_MODEL = "The file is damaged or made up: copy the model again."


def _promise_faults(path: Path, config: Mapping[str, Any], weights: Weights) -> list[Problem]:
    """Sizes that the weight files do not bear out: what is missing would be made up, in memory."""
    faults = []
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, dict) else dict(config)
    layers = next((text[name] for name in _LAYERS if isinstance(text.get(name), int)), 0)
    if layers > weights.tensors:
        what = f"the configuration has {layers:,} layers, and the weight files {weights.tensors:,} tensors"
        faults.append(Problem(what, str(path), _NOT_A_MODEL))
    shape = shape_of(config, str(path))
    if shape is not None and parameters(shape) > _WEIGHTS_PER_BYTE * weights.bytes + _MAY_BE_ABSENT:
        what = f"the configuration has {parameters(shape):,} weights, and the weight files {weights.bytes:,} bytes"
        faults.append(Problem(what, str(path), _NOT_A_MODEL))
    return faults


def _checked_weights(folder: Path, index: Mapping[str, Any] | None) -> tuple[Weights, list[Problem]]:
    names = _names(folder)
    if WEIGHTS in names:
        shards: Iterable[str] = [WEIGHTS]
    elif index is not None:
        try:
            shards = shard_names(index, folder / INDEX)
        except InputError as error:
            return Weights(0, 0), list(error.problems)
    else:
        return Weights(0, 0), [_no_weights(folder, names)]
    tensors = size = 0
    problems: list[Problem] = []
    for name in shards:
        if len(problems) == _NAMED:
            break
        try:
            one = check_safetensors(folder / name)
            tensors, size = tensors + one.tensors, size + one.bytes
        except InputError as error:
            problems += error.problems
    return Weights(tensors, size), problems


def _no_weights(folder: Path, names: set[str]) -> Problem:
    pickles = sorted(name for name in names if name.endswith(_PICKLES))
    if not pickles:
        hint = f"Copy {WEIGHTS}, or {INDEX} with the files that it names, into the folder."
        return Problem("the model's folder has no weights", str(folder), hint)
    return Problem(
        f"the weights are only there as {', '.join(map(quote, pickles[:3]))}, which is never read: such a file can "
        "run any program when it is opened",
        str(folder),
        "Take the model's safetensors files; most models on the hub have them.",
    )


def shard_names(index: Mapping[str, Any], path: Path) -> list[str]:
    """The weight files that an index names. Raises InputError for a name that is not one of its own folder."""
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named:
        raise InputError(Problem("the file names no weights", str(path), "Copy the model again."))
    files = {str(name) for name in named.values()}
    if len(files) > _MOST_FILES:
        raise InputError(Problem(f"it names {len(files):,} files as weights", str(path), _NOT_A_MODEL))
    odd = sorted(name for name in files if "/" in name or "\\" in name or not name.endswith(".safetensors"))
    if odd:
        what = f"it names {quote(odd[0])} as weights, which is no safetensors file of the model's own folder"
        raise InputError(Problem(what, str(path), "Take the model from its first source."))
    return sorted(files)


def check_safetensors(path: Path) -> Weights:
    """What the header of a safetensors file says. Raises InputError where it does not describe the file's bytes.

    The format (huggingface.co/docs/safetensors): 8 bytes with the header's length, little-endian; the header, JSON
    with type, shape and place of each tensor; the tensors, without gaps and without overlap.
    """

    def refuse(what: str) -> InputError:
        return InputError(
            Problem(f"not a sound safetensors file: {what}", str(path), "Copy the model again.")
        )

    descriptor, size = _opened(path, None)
    with os.fdopen(descriptor, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise refuse(f"its header is to have {length:,} bytes, and the file has {size:,}")
        if length > _HEADER:
            raise refuse(f"its header has {length:,} bytes")
        raw = file.read(length)
    try:
        header = msgspec.json.decode(raw, type=dict[str, dict[str, Any]])
    except (ValueError, RecursionError, UnicodeDecodeError) as error:
        raise refuse("its header is not valid") from error
    header.pop("__metadata__", None)
    places: list[tuple[int, int]] = []
    for name, one in header.items():
        place = _place(one)
        if place is None:
            raise refuse(f"type, shape and place of {quote(name)} do not fit together")
        places.append(place)
    end = 0
    for begin, stop in sorted(places):
        if begin != end:
            raise refuse(f"its tensors overlap or leave a gap at byte {min(begin, end):,}")
        end = stop
    if end != size - 8 - length:
        raise refuse(f"its tensors have {end:,} bytes, and the file holds {size - 8 - length:,}")
    return Weights(len(places), end)


def _place(tensor: Mapping[str, Any]) -> tuple[int, int] | None:
    """Where a tensor begins and ends, or None where that is not what its type and shape take."""
    bits = _BITS.get(str(tensor.get("dtype")))
    shape, place = _sizes(tensor.get("shape")), _sizes(tensor.get("data_offsets"))
    if bits is None or shape is None or place is None or len(place) != 2 or len(shape) > 64:
        return None
    begin, end = place
    return (begin, end) if 8 * (end - begin) == bits * prod(shape) else None


def _sizes(values: Any) -> list[int] | None:
    whole = isinstance(values, list) and all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 1 << 60 for one in values
    )
    return list(values) if whole else None
