"""What ships behaves as what was trained: the table of parity, and the faults that were planted in exports.

    python tests/proofs/exports.py

Trains tiny models of three shapes by both methods, exports each to every target and lets the check compare all of it,
the exported files in a process of their own. Beside that, programs that know nothing of ftui load what was exported
(transformers, peft, transformers' reader of GGUF files) and are compared with the checkpoint as peft and transformers
load that. Then the faults of tests/export_faults.py. Prints both tables as Markdown. Exit code 1 where a token id or
a logit differs that should not, or a fault is not named.
"""

import json
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

import pytest  # noqa: E402
import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

import exports  # noqa: E402
from export_faults import FAULTS  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from tiny_models import ARCHITECTURES  # noqa: E402

METHODS, TARGETS = ("lora", "full"), ("adapter", "merged", "ollama", "vllm", "gguf")
REFUSED = {
    ("full", "adapter"): "there is no adapter",
    ("gpt2", "ollama"): "reads no safetensors files of GPT2",
}
"""What cannot be exported: by method or shape, and target, what is said."""
TOLERANCE = 1e-4
IDS = torch.tensor([[5, 40, 41, 100, 7, 260, 12]])
"""A text within the 8 tokens to which the tiny Mistral attends, since GGUF has no word for its window."""


def command(run: RunPaths, *words: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of an export, its result, and what else was said."""
    out, talk = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(talk):
        code = exports.export(run, *words, "--json")
    lines = out.getvalue().splitlines()
    return code, json.loads(lines[-1]) if lines else {}, " ".join(talk.getvalue().split())


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    answer: torch.Tensor = model.eval()(IDS).logits
    return answer


def as_trained(run: RunPaths, method: str, step: int) -> torch.Tensor:
    """The checkpoint's logits, by plain transformers and peft."""
    model = AutoModelForCausalLM.from_pretrained(run.root.parents[1] / "model")
    if method == "lora":
        return logits(PeftModel.from_pretrained(model, run.checkpoint(step)))
    found = model.load_state_dict(load_file(run.checkpoint(step) / "model.safetensors"), strict=False)
    assert not found.unexpected_keys and set(found.missing_keys) <= {"lm_head.weight"}
    return logits(model)


def as_shipped(run: RunPaths, folder: Path, target: str) -> torch.Tensor:
    """The exported files' logits, by those that load such files."""
    if target == "gguf":
        config = AutoConfig.from_pretrained(run.root.parents[1] / "model")
        known = (
            {"config": config} if config.model_type == "gpt2" else {}
        )  # it does not read how many positions
        return logits(AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", **known))
    if target == "adapter":
        base = AutoModelForCausalLM.from_pretrained(run.root.parents[1] / "model")
        return logits(PeftModel.from_pretrained(base, folder))
    if target == "ollama":
        assert modelfile_names(folder / "Modelfile") >= {"FROM", "TEMPLATE", "PARAMETER stop"}
    return logits(AutoModelForCausalLM.from_pretrained(folder))


def modelfile_names(path: Path) -> set[str]:
    """The instructions of a Modelfile, read by its grammar: a name, and a value that three quotes may hold."""
    names, rest = set[str](), path.read_text()
    while rest.strip():
        line, _, after = rest.lstrip().partition("\n")
        name, _, value = line.partition(" ")
        if value.count('"""') == 1:
            _, _, after = rest.lstrip().partition('"""')[2].partition('"""')
        names.add(f"{name} {value.split()[0]}" if name == "PARAMETER" else name)
        rest = after
    return names


def cell(run: RunPaths, shape: str, method: str, target: str, folder: Path) -> tuple[str, bool]:
    """A cell of the table of parity, and whether it is as it should be."""
    code, told, said = command(run, "--to", target, "--out", str(folder), "--name", "bot")
    refused = REFUSED.get((method, target)) or REFUSED.get((shape, target))
    if refused:
        sound = code == 2 and refused in said and not folder.exists()
        return ("refused" if sound else f"{code}: {said}"), sound
    if code:
        return f"{code}: {told.get('parity', {}).get('says', said)}", False
    parity = told["parity"]
    apart = float((as_trained(run, method, told["step"]) - as_shipped(run, folder, target)).abs().max())
    largest = "same bits" if parity["largest"] is None else f"{parity['largest']:.0e}"
    sound = parity["agrees"] and not parity["differing"] and (parity["largest"] or 0) <= TOLERANCE >= apart
    return f"{parity['differing']} of {parity['ids']:,}; {largest}; {apart:.0e}", sound


def parity_table(folder: Path) -> int:
    print("Token ids that differ; logits apart, by the check; the same as plain programs load both sides.\n")
    print(f"| | {' | '.join(TARGETS)} |\n|---|{'---|' * len(TARGETS)}")
    of, wrong = exports.runs_of(folder), 0
    for shape, method in product(ARCHITECTURES, METHODS):
        texts = []
        for target in TARGETS:
            out = folder / f"{shape}-{method}-{target}"
            text, sound = cell(of(shape, method), shape, method, target, out)
            texts.append(text if sound else f"WRONG {text}")
            wrong += not sound
        print(f"| {shape}, {method} | {' | '.join(texts)} |", flush=True)
    return wrong


def fault_table(folder: Path) -> int:
    """The exported files are loaded in this process here: what they hold is asked, not where."""
    print("\n| planted | in | named as |\n|---|---|---|")
    run, wrong = exports.sample_run(folder), 0
    for target in ("adapter", "merged"):
        code, told, said = command(run, "--to", target, "--out", str(folder / target))
        assert code == 0 and told["parity"]["agrees"], said
        print(f"| nothing | {target} | {told['parity']['says']} |", flush=True)
    for name, fault in FAULTS.items():
        out = folder / "damaged"
        shutil.copytree(folder / fault.target, out)
        fault.plant(out, run)
        code, told, said = command(run, "--check", str(out))
        named = (code, told.get("cause")) == (3, fault.cause)
        cause = told.get("cause", said)
        print(f"| {name} | {fault.target} | {cause}{'' if named else ' WRONG'} |", flush=True)
        wrong += not named
        shutil.rmtree(out)
    print(f"\n{len(FAULTS) - wrong} of {len(FAULTS)} named.")
    return wrong


def main() -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        wrong = parity_table(Path(folder))
        with pytest.MonkeyPatch.context() as patch:
            exports.ask_here(patch)
            wrong += fault_table(Path(folder) / "faults")
    print(f"{wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
