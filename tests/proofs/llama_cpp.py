"""What llama.cpp itself reads and answers from the GGUF files of ftui, compared with the runs.

    python -m venv .venv-llama && .venv-llama/bin/pip install xllamacpp
    python tests/proofs/llama_cpp.py .venv-llama/bin/python

The prompts of the check go through llama.cpp's own template engine, tokenizer and model, in the environment that is
named. Prints a table: texts, token ids and greedy answers that differ, and how far the log probabilities of the first
answered token are apart. Exit code 1 where anything differs that should not. The tiny Mistral attends to 8 tokens and
llama.cpp to all of them, so that its export promises the same answers up to 8 tokens only: of whole prompts texts and
token ids count there, and after the first 8 tokens of each the next one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests")]

import exports  # noqa: E402
from finetui_core.evaluate.engine import load, weights_of  # noqa: E402
from finetui_core.export.side import NEW_TOKENS, logits_at, read_prompts  # noqa: E402
from finetui_core.export.source import source_of  # noqa: E402
from finetui_core.export.trained import Trained, checked_recipe, prompts_for, trained_side  # noqa: E402
from finetui_core.runs.paths import RunPaths  # noqa: E402
from tiny_models import ARCHITECTURES  # noqa: E402

READER = ROOT / "tests" / "llama_cpp_reader.py"
TOLERANCE = 5e-4
"""Of a log probability: llama.cpp takes some functions from tables in float16."""
OTHER_WINDOW, WINDOW = "mistral", 8


def prompts_of(trained: Trained) -> list[dict[str, Any]]:
    """Tools are rendered by the trained template alone: llama.cpp writes them in a way of its own."""
    return [
        {
            "messages": None if asked.tools else asked.messages,
            "text": read.prompt_text,
            "ids": read.prompt_ids,
            "most": NEW_TOKENS,
        }
        for read, asked in zip(trained.side.reads, trained.asked, strict=True)
    ]


def answers_of(python: str, folder: Path, prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What llama.cpp says to the prompts."""
    asked = subprocess.run(
        [python, str(READER), str(folder / "model.gguf")],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        sys.exit(f"llama.cpp ended with {asked.returncode}:\n{asked.stderr[-2000:]}")
    answers: list[dict[str, Any]] = json.loads(asked.stdout)
    return answers


def compared_within(python: str, run: RunPaths, folder: Path) -> tuple[int, float]:
    """Likeliest tokens after the first `WINDOW` of each prompt that differ, and log probabilities apart."""
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        source = source_of(str(run.root), run.root.parent, "best")
        loaded = load(checked_recipe(source), source.checkpoint.path)
        reads = read_prompts(loaded.tokenizer, prompts_for(loaded.tokenizer, loaded.context))
        starts = [read.prompt_ids[:WINDOW] for read in reads]
        with weights_of(loaded, "tuned") as (model, _):
            known = [logits_at(model, ids, loaded.device)[-1].log_softmax(-1) for ids in starts]
    prompts = [{"messages": None, "text": "", "ids": ids, "most": 1} for ids in starts]
    tops = [said["top"] for said in answers_of(python, folder, prompts)]
    differ = sum(top[0][0] != int(one.argmax()) for top, one in zip(tops, known, strict=True))
    return differ, max(
        abs(float(one[token]) - value) for top, one in zip(tops, known, strict=True) for token, value in top
    )


def compared(python: str, run: RunPaths, folder: Path) -> tuple[int, int, int, float, int]:
    """Texts, token ids and greedy answers that differ, log probabilities apart, and how many ids there are."""
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        assert exports.export(run, "--to", "gguf", "--out", str(folder), "--no-check") == 0
        trained = trained_side(source_of(str(run.root), run.root.parent, "best"))
    prompts = prompts_of(trained)
    texts = ids = answers = 0
    apart = 0.0
    bos = {trained.side.bos} - {None}
    for prompt, read, said in zip(
        prompts, trained.side.reads, answers_of(python, folder, prompts), strict=True
    ):
        start = trained.side.pieces.get(read.prompt_ids[0], "") if read.prompt_ids[0] in bos else ""
        texts += said["text"] not in (prompt["text"], prompt["text"].removeprefix(start))
        ids += sum(a != b for a, b in zip(said["ids"], read.prompt_ids, strict=False))
        ids += abs(len(said["ids"]) - len(read.prompt_ids))
        answers += _inner(said["greedy"], trained) != _inner(trained.side.greedy[read.name], trained)
        known = trained.logits[read.name][-1].float().log_softmax(-1)
        apart = max([apart, *(abs(float(known[token]) - value) for token, value in said["top"])])
    return texts, ids, answers, apart, sum(len(read.prompt_ids) for read in trained.side.reads)


def _inner(answer: list[int], trained: Trained) -> list[int]:
    return [token for token in answer if token not in trained.side.ends]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("python", help="a Python that has the package xllamacpp")
    options = parser.parse_args()
    wrong, began = 0, time.monotonic()
    print("| | texts | token ids | answers | log probabilities apart |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with redirect_stderr(StringIO()):
            of = exports.runs_of(folder)
            runs = {name: of(name, "lora") for name in ARCHITECTURES}
            runs["the sample model"] = exports.sample_run(folder / "sample")
        for name, run in runs.items():
            texts, ids, answers, apart, number = compared(options.python, run, folder / f"{name}-gguf")
            wrong += bool(texts or ids or (name != OTHER_WINDOW and (answers or apart > TOLERANCE)))
            print(
                f"| {name} | {texts} of 8 | {ids} of {number:,} | {answers} of 8 | {apart:.0e} |", flush=True
            )
        answers, apart = compared_within(options.python, runs[OTHER_WINDOW], folder / f"{OTHER_WINDOW}-gguf")
        wrong += bool(answers or apart > TOLERANCE)
        print(f"| {OTHER_WINDOW}, {WINDOW} tokens | | | {answers} of 8 | {apart:.0e} |")
    print(f"{wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
