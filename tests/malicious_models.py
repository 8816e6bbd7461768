"""Models that are to run code, to read what is not theirs, or to eat the machine."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malicious import CHECK, TRAIN, Fixture, change_json, hollow, option

CODE = "import os, pathlib\npathlib.Path(os.environ['CANARY']).touch()\n"
_CLASS = "\nfrom transformers import LlamaConfig, PreTrainedTokenizerFast\nclass Own(LlamaConfig): pass\n"


class Canary:
    """Leaves a file where the pickle of it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ('touch "$CANARY"',)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Canary()))


def model(project: Path, name: str = "") -> Path:
    return project / "model" / name


def config(**changes: object) -> Callable[[Path], None]:
    return lambda project: change_json(model(project, "config.json"), **changes)


def tokenizer_config(**changes: object) -> Callable[[Path], None]:
    return lambda project: change_json(model(project, "tokenizer_config.json"), **changes)


def tokenizer(**changes: object) -> Callable[[Path], None]:
    return lambda project: change_json(model(project, "tokenizer.json"), **changes)


def safetensors(
    header: dict[str, Any] | bytes, length: int | None = None, data: int = 64
) -> Callable[[Path], object]:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)
    return lambda project: model(project, "model.safetensors").write_bytes(content)


def tensor(begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def index(**names: object) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        model(project, "model.safetensors").unlink()
        weight_map = names or {}
        model(project, "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, **weight_map}))

    return make


def many_shards(project: Path) -> None:
    index(weight_map={str(number): f"{number}.safetensors" for number in range(100_000)})(project)


def long_header(project: Path) -> None:
    safetensors(b" " * 40_000_000)(project)


def deep_header(project: Path) -> None:
    safetensors(deep(100_000).encode())(project)


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def in_place_of(name: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        path = model(project, name)
        path.unlink(missing_ok=True)
        put(path)

    return make


def with_code(file: str, change: Callable[[Path], None], code: str = CODE + _CLASS) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        model(project, file).write_text(code)
        change(project)

    return make


def only_pickle(project: Path) -> None:
    model(project, "model.safetensors").unlink()
    write_pickle(model(project, "pytorch_model.bin"))


def adapter_pickle(project: Path) -> None:
    value = {"base_model_name_or_path": "../outside", "peft_type": "LORA", "auto_mapping": None}
    model(project, "adapter_config.json").write_text(json.dumps(value))
    write_pickle(model(project, "adapter_model.bin"))


def own_generate(project: Path) -> None:
    model(project, "custom_generate").mkdir()
    model(project, "custom_generate/generate.py").write_text(CODE)
    model(project, "generation_config.json").write_text(json.dumps({"custom_generate": "./custom_generate"}))


def trusting_recipe(project: Path) -> None:
    with_code("own.py", config(model_type="own", auto_map={"AutoConfig": "own.Own"}))(project)
    option(project, "model", "trust_remote_code = true")


def own_weights(project: Path) -> None:
    write_pickle(model(project, "adapter_model.bin"))
    config(transformers_weights="adapter_model.bin")(project)


def many_tokens(count: int) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        path = model(project, "tokenizer.json")
        value = json.loads(path.read_text())
        value["model"]["vocab"] |= {f"token number {at:09d}": at for at in range(300, count)}
        path.write_text(json.dumps(value))

    return make


_REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
_POLYNOMIAL = {**_REGEX, "pattern": {"Regex": "q*q*q*q*q*q*q*q*Q"}}
_DOUBLING = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40,
}


def _nested_sequences(levels: int) -> Any:
    value: Any = {"type": "Lowercase"}
    for _ in range(levels):
        value = {"type": "Sequence", "normalizers": [value]}
    return value


_AUTO = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
_TOO_MANY = "the most that a model has is"

MODELS = [
    Fixture("model", name, make, TRAIN, says, codes)
    for name, make, says, codes in [
        ("weights only as a pickle", only_pickle, "never read", (2,)),
        ("an adapter with a pickle beside the model", adapter_pickle, "also holds an adapter", (2,)),
        ("config names a pickle as weights", own_weights, "weight file of its own choice", (2,)),
        ("safetensors: header of 2^63 bytes", safetensors(b"{}", 1 << 63), "header is to have", (2,)),
        ("safetensors: header longer than the file", safetensors(b"{}", 4096), "header is to have", (2,)),
        ("safetensors: header of 40 MB", long_header, "its header has", (2,)),
        ("safetensors: header nested deeply", deep_header, "not valid", (2,)),
        ("safetensors: header is a list", safetensors(b"[1]"), "not valid", (2,)),
        ("safetensors: tensors overlap", safetensors({"a": tensor(0, 64), "b": tensor(32, 64)}), "overlap", (2,)),
        ("safetensors: a gap", safetensors({"a": tensor(0, 32), "b": tensor(48, 64)}), "gap", (2,)),
        ("safetensors: beyond the file", safetensors({"a": tensor(0, 1 << 40)}), "holds", (2,)),
        ("safetensors: shape of 2^64", safetensors({"a": tensor(0, 64, [1 << 32, 1 << 32])}), "fit together", (2,)),
        ("safetensors: shape that overflows", safetensors({"a": tensor(0, 64, [1 << 59] * 9)}), "fit together", (2,)),
        ("safetensors: negative places", safetensors({"a": tensor(-64, 0, [16])}), "fit together", (2,)),
        ("safetensors: unknown type", safetensors({"a": tensor(0, 64, [16], "EVIL")}), "fit together", (2,)),
        ("safetensors: empty", lambda p: model(p, "model.safetensors").write_bytes(b""), "header is to have", (2,)),
        ("safetensors: a hole of 5 GB", lambda p: hollow(model(p, "model.safetensors"), 5 << 30), "sound", (2,)),
        ("safetensors is a link to /dev/zero", in_place_of("model.safetensors", lambda p: p.symlink_to("/dev/zero")),
         "not a regular file", (2,)),
        ("index leads out of the folder", index(weight_map={"a": "../../outside/secret.txt"}), "own folder", (2,)),
        ("index names /etc/passwd", index(weight_map={"a": "/etc/passwd"}), "own folder", (2,)),
        ("index names a pickle", index(weight_map={"a": "pytorch_model-00001-of-00001.bin"}), "own folder", (2,)),
        ("index without a map", index(weight_map=[["a"]]), "names no weights", (2,)),
        ("index of 100,000 files", many_shards, "files as weights", (2,)),
        ("config: code for an unknown type", with_code("own.py", config(model_type="own", auto_map=_AUTO)),
         "needs Python code", (2,)),
        ("config: code for a known type", with_code("own.py", config(auto_map=_AUTO)), "", (0,)),
        ("config: nested code (CVE-2026-5241)", with_code("own.py", config(text_config={"auto_map": _AUTO})),
         "nested configuration names Python code", (2,)),
        ("config: trusts itself", with_code("own.py", config(auto_map=_AUTO, trust_remote_code=True)),
         "only you can say", (2,)),
        ("config: nested trust", with_code("own.py", config(vision={"auto_map": _AUTO, "trust_remote_code": True})),
         "only you can say", (2,)),
        ("recipe trusts, nobody agreed", trusting_recipe, "nobody agreed", (2,)),
        ("config: a kernel of the hub", config(_attn_implementation="evil/kernel"), "compiled kernel", (2,)),
        ("config: sends to another file", config(configuration_files=["config.9.json"]), "other files", (2,)),
        ("config: 10^9 layers", config(num_hidden_layers=10**9), _TOO_MANY, (2,)),
        ("config: 10^12 words", config(vocab_size=10**12), _TOO_MANY, (2,)),
        ("config: 10^300 words", config(vocab_size=10**300), _TOO_MANY, (2,)),
        ("config: 1,900 layers, weights of 2", config(num_hidden_layers=1900), "tensors", (2,)),
        ("config: 10^12 weights, a file of 100 kB", config(hidden_size=500_000, intermediate_size=900_000),
         "weights, and the weight files", (2,)),
        ("config: negative sizes", config(hidden_size=-5, num_attention_heads=0), "cannot be", (2,)),
        ("config: wrong types", config(hidden_size="x", vocab_size=[1], model_type=7), "cannot be", (2,)),
        ("config: nested 10^5 deep", lambda p: model(p, "config.json").write_text(deep(100_000)), "nested", (2,)),
        ("config: no object", lambda p: model(p, "config.json").write_text("[]"), "not a JSON object", (2,)),
        ("config is a pipe", in_place_of("config.json", os.mkfifo), "", (2,)),
        ("config is a hole of 3 GB", lambda p: hollow(model(p, "config.json"), 3 << 30), "MiB", (2,)),
        ("tokenizer.json is a pipe", in_place_of("tokenizer.json", os.mkfifo), "not a regular file", (2,)),
        ("tokenizer.json is a link to a key",
         in_place_of("tokenizer.json", lambda p: p.symlink_to("../../home/.ssh/id_ed25519")), "leads out", (2,)),
        ("chat_template.jinja is a pipe", in_place_of("chat_template.jinja", os.mkfifo), "not a regular file", (2,)),
        ("chat_template.jinja is a link to a secret",
         in_place_of("chat_template.jinja", lambda p: p.symlink_to("../../outside/secret.txt")), "leads out", (2,)),
        ("chat_template.jinja is a hole of 3 GB", lambda p: hollow(model(p, "chat_template.jinja"), 3 << 30),
         "MiB", (2,)),
        ("tokenizer.json of 100 MB", lambda p: hollow(model(p, "tokenizer.json"), 100 << 20), "MiB", (2,)),
        ("generation code of its own", own_generate, "", (0,)),
    ]
] + [
    Fixture("model", name, make, CHECK, says, codes)
    for name, make, says, codes in [
        ("tokenizer: pattern that never ends", tokenizer(pre_tokenizer=_REGEX), "tokenizer", (2,)),
        ("tokenizer: pattern of the eighth power", tokenizer(pre_tokenizer=_POLYNOMIAL), "tokenizer", (2,)),
        ("tokenizer: doubles a text 40 times", tokenizer(normalizer=_DOUBLING), "tokenizer was stopped", (2,)),
        ("tokenizer: sequences 5,000 deep", tokenizer(normalizer=_nested_sequences(200)), "tokenizer", (2,)),
        ("tokenizer: a million tokens too many", many_tokens(1_000_000), "vocabulary ends", (2,)),
        ("tokenizer: code of its own", with_code("own.py", tokenizer_config(auto_map=["own.Own", "own.Own"])),
         "", (0, 2, 3)),
        ("tokenizer: class in a path", tokenizer_config(tokenizer_class="../../outside/Evil"), "", (0, 2, 3)),
        ("tokenizer: vocabulary of another place",
         tokenizer_config(vocab_file="../../outside/secret.txt", tokenizer_file="/etc/passwd"), "", (0, 2, 3)),
        ("tokenizer: sends to another file", tokenizer_config(fast_tokenizer_files=["tokenizer.9.json"]),
         "other files", (2,)),
        ("tokenizer: settings of wrong types", tokenizer_config(auto_map=7, eos_token=[{}], extra_special_tokens=3),
         "", (2,)),
    ]
]  # fmt: skip
