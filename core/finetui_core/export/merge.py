"""An adapter merged into its base, one tensor at a time: base + s·B·A in float32, rounded to the base's type.

The base's files are mapped, not read whole, and the merged ones are written as they come, so that beside the mapped
file no more than a few tensors are in memory.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D

from finetui_core.data.model_files import INDEX, WEIGHTS, read_json
from finetui_core.data.model_source import cannot_load
from finetui_core.errors import InputError, Problem
from finetui_core.export.adapter_file import Adapter, Pair
from finetui_core.export.weights import Described, Shards, bytes_of, shards_of
from finetui_core.train.tensor_file import streamed

_ADAPTER_INSTEAD = "Export the adapter (--to adapter): peft itself applies it to its base."


@dataclass(frozen=True, slots=True)
class Merge:
    """What becomes of each tensor of the base.

    `files` are the merged files and their tensors, `pairs` what is added by name of the weight, `whole` the adapter's
    key of each that is replaced, `copies` the base's tensor of each that the base has only under another name.
    `transposed` are those stored as [in, out]. `config` is config.json of the merged model.
    """

    base: Shards
    adapter: Adapter
    files: Mapping[str, Mapping[str, Described]]
    pairs: Mapping[str, Pair]
    whole: Mapping[str, str]
    copies: Mapping[str, str]
    transposed: frozenset[str]
    config: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        return sum(bytes_of(one) for file in self.files.values() for one in file.values())


def plan_merge(base: Path, adapter: Adapter, trusted: bool) -> Merge:
    """How `adapter` is merged into the model in `base`. Raises InputError where that cannot be done exactly."""
    config = read_json(base / "config.json")
    if config.get("quantization_config"):
        what = "the base's own files hold quantised weights, into which nothing can be merged"
        hint = f"Name the model that is not quantised in model.name of a new run. {_ADAPTER_INSTEAD}"
        raise InputError(Problem(what, str(base), hint))
    shards, model = shards_of(base), _skeleton(base, trusted)
    tensors, modules = shards.tensors, dict(model.named_modules())
    name_of = _names(model, tensors)
    pairs = {name_of(f"{module}.weight"): pair for module, pair in adapter.pairs.items()}
    ends = _ends(model, name_of)
    parted = ends.tied and any(_stored(name, name_of) in ends.names for name in adapter.whole)
    copies = {ends.head: ends.embedding} if parted and ends.head not in tensors else {}
    whole = {name if name in copies else name_of(name): key for name, key in adapter.whole.items()}
    changed = _replaced(adapter, whole, tensors, ends)
    files = {
        file: {name: changed.get(name, one) for name, one in there.items()}
        for file, there in shards.files.items()
    }
    for name, source in copies.items():
        files[[*files][-1]][name] = changed.get(name, tensors[source])
    if parted:
        config["tie_word_embeddings"] = False
    rows = _vocabulary(changed, ends, parted)
    if rows is not None:
        config["vocab_size"] = rows
    return Merge(
        base=shards,
        adapter=adapter,
        files=files,
        pairs=pairs,
        whole=whole,
        copies={name: source for name, source in copies.items() if name not in whole},
        transposed=frozenset(
            name_of(f"{module}.weight") for module in adapter.pairs if isinstance(modules.get(module), Conv1D)
        ),
        config=config,
    )


def _skeleton(base: Path, trusted: bool) -> Any:
    """The model without weights: what its layers are and how its tensors are called."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=trusted, local_files_only=True)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=trusted)
    except Exception as error:  # a made-up file brings up any of them
        raise InputError(cannot_load(str(base), error)) from error


def _names(model: Any, tensors: Mapping[str, Described]) -> Callable[[str], str]:
    """The function from a parameter's name in the model to its name in the files."""
    prefix = f"{model.base_model_prefix}."

    def name_of(name: str) -> str:
        for one in (name, name.removeprefix(prefix), f"{prefix}{name}"):
            if one in tensors:
                return one
        what = f"the base's files have no tensor for {name}: this {model.config.model_type} model stores it otherwise"
        raise InputError(Problem(what, hint=_ADAPTER_INSTEAD))

    return name_of


def _stored(name: str, name_of: Callable[[str], str]) -> str:
    """The name in the files, or the model's own where the files have no such tensor."""
    try:
        return name_of(name)
    except InputError:
        return name


@dataclass(frozen=True, slots=True)
class _Ends:
    """The weights of the input embedding and of the head by their names, [tokens, ...], and whether they are one."""

    embedding: str
    head: str
    tied: bool
    rows: int

    @property
    def names(self) -> tuple[str, str]:
        return self.embedding, self.head


def _ends(model: Any, name_of: Callable[[str], str]) -> _Ends:
    names = {id(module): f"{name}.weight" for name, module in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    text = model.config.get_text_config()
    return _Ends(
        _stored(names[id(embedding)], name_of),
        _stored(names[id(head)], name_of) if head is not None else "",
        bool(text.tie_word_embeddings) and head is not None,
        text.vocab_size,
    )


def _replaced(
    adapter: Adapter, whole: Mapping[str, str], tensors: Mapping[str, Described], ends: _Ends
) -> dict[str, Described]:
    """Type and shape of the replaced tensors. Raises InputError where one does not fit the base; a vocabulary may
    have grown."""
    found: dict[str, Described] = {}
    with safe_open(adapter.path, "pt") as file:
        for name, key in whole.items():
            shape = tuple(file.get_slice(key).get_shape())
            dtype, before = tensors.get(name) or tensors[ends.embedding]
            grew = name in ends.names and shape[1:] == before[1:] and shape[0] > before[0]
            if shape != before and not grew:
                what = f"the adapter's {name} has the shape {list(shape)}, and the base's {list(before)}"
                raise InputError(Problem(what, str(adapter.path), "It was trained on another base model."))
            found[name] = dtype, shape
    return found


def _vocabulary(changed: Mapping[str, Described], ends: _Ends, parted: bool) -> int | None:
    """The size of a vocabulary that grew; None where it did not. Raises InputError where only one end of it did."""
    rows = {name: changed[name][1][0] if name in changed else ends.rows for name in ends.names if name}
    if max(rows.values()) <= ends.rows:
        return None
    if len(set(rows.values())) > 1 and (parted or not ends.tied):
        what = (
            f"the vocabulary of {ends.rows} tokens grew in the adapter, but not alike in {ends.embedding} and "
            f"{ends.head}"
        )
        raise InputError(Problem(what, hint="Train both of them in lora.modules_to_save."))
    return max(rows.values())


@contextmanager
def merged_tensors(merge: Merge, names: Collection[str]) -> Iterator[Callable[[str], torch.Tensor]]:
    """The function that gives each of these merged tensors by its name."""
    place = {tensor: file for file, there in merge.base.files.items() for tensor in there}
    described = {name: one for there in merge.files.values() for name, one in there.items()}
    stored = {name: merge.copies.get(name, name) for name in names}
    needed = {place[one] for one in stored.values() if one in place}
    with ExitStack() as opened:
        adapter = opened.enter_context(safe_open(merge.adapter.path, "pt"))
        files = {one: opened.enter_context(safe_open(merge.base.folder / one, "pt")) for one in needed}

        def load(name: str) -> torch.Tensor:
            if name in merge.whole:
                whole: torch.Tensor = adapter.get_tensor(merge.whole[name])
                return whole.to(described[name][0])
            tensor: torch.Tensor = files[place[stored[name]]].get_tensor(stored[name])
            pair = merge.pairs.get(name)
            if pair is None:
                return tensor
            return _added(tensor, pair, adapter, merge.adapter.scale, name in merge.transposed)

        yield load


def merged_file(merge: Merge, name: str) -> Iterator[bytes | memoryview]:
    """The content of one of the merged weight files."""
    described = merge.files[name]
    with merged_tensors(merge, described) as load:
        yield from streamed(described, load)


@torch.no_grad()
def _added(weight: torch.Tensor, pair: Pair, adapter: Any, scale: float, transposed: bool) -> torch.Tensor:
    """`weight` with the adapter's part, in its own type."""
    a, b = adapter.get_tensor(pair.a).float(), adapter.get_tensor(pair.b).float()
    if transposed:
        a, b = b.T, a.T
    expected = (b.shape[0], a.shape[1])
    if tuple(weight.shape) != expected:
        what = (
            f"the adapter fits a weight of the shape {list(expected)}, and the base's is {list(weight.shape)}"
        )
        raise InputError(Problem(what, hint="It was trained on another base model."))
    merged = torch.addmm(weight.float(), b, a, alpha=scale)
    if pair.magnitude is not None:
        length = adapter.get_tensor(pair.magnitude).float().reshape(-1)
        outputs = 1 if transposed else 0
        factor = length / torch.linalg.vector_norm(merged, dim=1 - outputs)
        merged *= factor[None, :] if transposed else factor[:, None]
    return merged.to(weight.dtype)


def index_of(files: Mapping[str, Mapping[str, Described]]) -> dict[str, bytes]:
    """The index beside several weight files; none beside one."""
    if list(files) == [WEIGHTS]:
        return {}
    total = sum(bytes_of(one) for there in files.values() for one in there.values())
    weight_map = {name: file for file, there in files.items() for name in sorted(there)}
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2, sort_keys=True)
    return {INDEX: text.encode() + b"\n"}
