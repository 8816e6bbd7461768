"""Tokenising and reading rows, for ever more of them: speed against the bare tokenizer, cost of a token, memory.

    python tests/benchmarks/rows_scale.py [ROWS ...]

For each number of rows, in a process of its own: the bare tokenizer's `encode_batch` over the rendered texts; the
file read, checked, rendered and tokenised (`prepare`) with an empty cache; the same from the cache; and one epoch of
reading all rows in a run's order. Seconds are of the wall; MiB are what the process has more than before.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from chat_model import save_tokenizer, write_rows

ROWS = (1_000, 10_000, 100_000)
_LEAST_BATCH = 256


def measure(folder: Path, state: str) -> dict[str, Any]:
    """Figures of this process: seconds, tokens, and its resident memory before and at its highest, in MiB."""
    from transformers import AutoTokenizer

    from finetui_core.data.prepare import prepare
    from finetui_core.data.render import ensure_template
    from finetui_core.recipe.options import DataOptions

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    ensure_template(tokenizer, None)
    options = DataOptions(train=str(folder / "train.jsonl"), overlength="truncate")
    if state == "bare":
        return _bare(folder, tokenizer)
    gc.collect()
    before, began = _resident(), time.perf_counter()
    prepared = prepare(options, tokenizer, 1024, 42, reading="0" * 64)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    tokens = sum(len(prepared.train[row][0]) for row in _order(len(prepared.train)))
    return {
        "how": prepared.how[0],
        "seconds": seconds,
        "tokens": prepared.train.tokens + prepared.val.tokens,
        "epoch_us_per_token": (time.perf_counter() - began) / tokens * 1e6,
        "before": before,
        "after": _resident(),
        "highest": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _bare(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """The tokenizer's own batches over the same texts, which are made before the clock runs."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    seconds, tokens, batch = 0.0, 0, []
    with (folder / "train.jsonl").open("rb") as file:
        for line in (*file, None):
            if line is not None:
                turns = json.loads(line)["messages"]
                batch.append("".join(f"{one['role']}\n{one['content']}<|end|>\n" for one in turns))
            if batch and (line is None or len(batch) == _LEAST_BATCH):
                began = time.perf_counter()
                encoded = tokenizer.backend_tokenizer.encode_batch(batch, add_special_tokens=False)
                seconds += time.perf_counter() - began
                tokens += sum(map(len, encoded))
                batch = []
    return {"seconds": seconds, "tokens": tokens}


def _order(rows: int) -> list[int]:
    from finetui_core.train.batches import Schedule

    return [int(row) for row in Schedule(rows, 16, 42, 1).order_of_epoch(0)]


def _resident() -> float:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    numbers = [int(value) for value in sys.argv[1:]] or ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_tokenizer(folder / "model", folder / "learned.jsonl")
        print(
            "rows | tokens | bare, s | tokenised, s | rows/s | of the bare speed | kept, s | epoch, us/token | MiB"
        )
        for rows in numbers:
            write_rows(folder / "train.jsonl", rows)
            environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache{rows}")}
            bare, made, kept = (
                json.loads(
                    subprocess.run(
                        [sys.executable, __file__, str(folder), state],
                        env=environment,
                        check=True,
                        capture_output=True,
                        text=True,
                    ).stdout.splitlines()[-1]
                )
                for state in ("bare", "made", "kept")
            )
            assert (made["how"], kept["how"]) == ("tokenised", "kept")
            more = f"{made['after'] - made['before']:.0f}, kept {kept['after'] - kept['before']:.0f}"
            print(
                f"{rows:>7,} | {made['tokens']:>10,} | {bare['seconds']:.2f} | {made['seconds']:.2f} | "
                f"{rows / made['seconds']:,.0f} | {bare['seconds'] / made['seconds']:.2f} | {kept['seconds']:.2f} | "
                f"{kept['epoch_us_per_token']:.3f} | {more}",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2] in ("bare", "made", "kept"):
        print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
    else:
        main()
