"""Merging an adapter: our time against peft's `merge_and_unload`, and the most memory, at several sizes.

    python tests/benchmarks/export_merge.py [--hidden 768] [--layers 12] [--rounds 5]

Both read the base from the disk and leave a folder that transformers loads. They alternate in one process, so that
other work on the machine falls on both; memory is measured in a process of its own each.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from finetui_core.export.adapter_file import read_adapter_file
from finetui_core.export.beside import as_json
from finetui_core.export.merge import index_of, merged_file, plan_merge
from finetui_core.runs.manifest import write_sealed


def make(folder: Path, hidden: int, layers: int) -> None:
    """A base in files of 200 MB and an adapter on every linear layer, with random weights."""
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 64, num_key_value_heads=hidden // 64,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    model.save_pretrained(folder / "base", max_shard_size="200MB")
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    tuned.save_pretrained(folder / "adapter")


def ours(folder: Path) -> Path:
    out = folder / "ours"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    merge = plan_merge(folder / "base", read_adapter_file(folder / "adapter"), False)
    for name in merge.files:
        write_sealed(out / name, merged_file(merge, name))
    for name, content in {**index_of(merge.files), "config.json": as_json(merge.config)}.items():
        (out / name).write_bytes(content)
    return out


def of_peft(folder: Path) -> Path:
    out = folder / "peft"
    shutil.rmtree(out, ignore_errors=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "base")
    merged = PeftModel.from_pretrained(model, folder / "adapter").merge_and_unload()
    merged.save_pretrained(out, max_shard_size="200MB")
    return out


WAYS = {"ours": ours, "peft": of_peft}


def peak_of(folder: Path, way: str) -> tuple[int, int]:
    """Bytes above an idle process at the peak: all of them, and those that are no page of a mapped file."""
    command = [sys.executable, __file__, "--measure", way, str(folder)]
    total, private = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return int(total), int(private)


def measure(way: str, folder: Path) -> None:
    highest, done = [0, 0], threading.Event()

    def resident() -> list[int]:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return [int(fields[name].split()[0]) << 10 for name in ("VmRSS", "RssAnon")]

    def watch() -> None:
        while not done.wait(0.005):
            highest[:] = map(max, highest, resident())

    idle = resident()
    thread = threading.Thread(target=watch)
    thread.start()
    WAYS[way](folder)
    done.set()
    thread.join()
    print(*(most - before for most, before in zip(highest, idle, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=2)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    with tempfile.TemporaryDirectory(prefix="ftui-merge-") as name:
        folder = Path(name)
        make(folder, options.hidden, options.layers)
        size = sum(path.stat().st_size for path in (folder / "base").glob("*.safetensors"))
        ratios, seconds = [], {"ours": [], "peft": []}
        for _ in range(options.rounds):
            for way, function in WAYS.items():
                began = time.perf_counter()
                function(folder)
                seconds[way].append(time.perf_counter() - began)
            ratios.append(seconds["ours"][-1] / seconds["peft"][-1])
        print(
            f"model {size / 1e6:.0f} MB, seconds ours {statistics.median(seconds['ours']):.2f}, peft ", end=""
        )
        print(
            f"{statistics.median(seconds['peft']):.2f}, ratio {statistics.median(ratios):.2f} ({sorted(ratios)})"
        )
        for way in WAYS:
            total, private = peak_of(folder, way)
            print(
                f"{way}: peak {total / size:.2f} of the model's size, {private / size:.2f} without mapped files"
            )


if __name__ == "__main__":
    main()
