"""How soon the Data station shows the first rows of a large file, and how soon it opens any row.

    python tests/benchmarks/data_open.py [--folder FOLDER] [--gigabytes 1] [--rows 10000000] [--rounds 7]

Writes two files of conversations into FOLDER (a temporary one where none is named, kept where one is): one of so
many gigabytes, one of so many rows. Takes the processor time of `ftui FILE` in a pseudo-terminal until rows are
painted, against that of `ftui` with an empty list of runs; the processor time of opening the file itself; and the
wall time of opening rows at places drawn at random, once the index is built. Prints medians and the worst row.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from measuring import processor_seconds, report

from finetui_core.data.lines import open_rows
from finetui_core.data.row_filter import layout_of, open_row
from terminal import run_on_terminal

WORDS = [
    "the",
    "order",
    "number",
    "of",
    "my",
    "lamp",
    "is",
    "late",
    "and",
    "I",
    "would",
    "like",
    "to",
    "know",
    "when",
    "it",
    "will",
    "come",
    "to",
    "my",
    "house",
    "today",
]
LOOKED_AT = 2000
TARGET_FIRST, TARGET_ROW = 0.3, 0.05


def write_rows(path: Path, *, size: int = 0, rows: int = 0) -> Path:
    """A file of conversations of at least so many bytes, of about a kilobyte a row, or of so many short rows."""
    if path.exists():
        return path
    draw = random.Random(7)
    words = 80 if size else 3
    written = number = 0
    with path.open("wb") as file:
        while written < size or number < rows:
            block = b"".join(_row(draw, number + at, words) for at in range(1000))
            file.write(block)
            written, number = written + len(block), number + 1000
    return path


def _row(draw: random.Random, number: int, words: int) -> bytes:
    question = f"{number}: {' '.join(draw.choices(WORDS, k=words))}"
    answer = " ".join(draw.choices(WORDS, k=words))
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}).encode() + b"\n"


def first_rows(runs: Path, file: Path | None) -> float:
    """Processor seconds of the studio until it shows a row, or its empty list of runs."""
    shown = "There are no runs" if file is None else "[3 Data]"
    arguments = ["-m", "finetui", *([str(file)] if file else ["--runs", str(runs)])]
    with run_on_terminal(arguments, rows=24, columns=80) as terminal:
        deadline = time.monotonic() + 60
        while shown not in (screen := terminal.screen()) or (file is not None and " ua " not in screen):
            if time.monotonic() > deadline:
                raise SystemExit(f"no rows:\n{screen}")
            terminal.read(0.005)
        return processor_seconds(terminal)


def opening(file: Path) -> float:
    """Processor seconds until the first screenful of rows is decoded, in this process."""
    began = time.process_time()
    rows = open_rows(str(file))
    layout = layout_of(rows)
    for number in range(40):
        text = rows.row(number)
        assert text is not None
        open_row(text, layout, str(file))
    taken = time.process_time() - began
    rows.close()
    return taken


def any_row(file: Path) -> tuple[float, list[float]]:
    """Processor seconds of the whole index, and wall seconds of opening each of many rows."""
    rows = open_rows(str(file))
    layout = layout_of(rows)
    began = time.process_time()
    while not rows.complete:
        rows.read_more(0.1)
    indexed = time.process_time() - began
    draw = random.Random(3)
    taken = []
    for _ in range(LOOKED_AT):
        number = draw.randrange(rows.rows)
        start = time.perf_counter()
        text = rows.row(number)
        assert text is not None
        opened = open_row(text, layout, str(file))
        taken.append(time.perf_counter() - start)
        assert next(opened.texts()).startswith(f"{number}: ")
    print(f"{file.name}: {rows.rows:,} rows, {rows.size / 1e9:.2f} GB", flush=True)
    rows.close()
    return indexed, taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        large = write_rows(folder / "large.jsonl", size=int(options.gigabytes * 1e9))
        many = write_rows(folder / "many.jsonl", rows=options.rows)
        runs = Path(temporary) / "runs"
        runs.mkdir()
        bare: list[float] = []
        shown: list[float] = []
        for turn in range(options.rounds + 1):
            figures = first_rows(runs, None), first_rows(runs, large)
            if turn:  # the first round fills the caches
                bare.append(figures[0])
                shown.append(figures[1])
        report("ftui: empty list of runs painted", bare, "cpu s")
        report(
            "ftui FILE: first rows painted", shown, "cpu s", sorted(bare)[len(bare) // 2], "the empty list"
        )
        report("  of it for the file", [a - b for a, b in zip(shown, bare, strict=True)], "cpu s")
        report(
            f"first 40 rows decoded (at most {TARGET_FIRST})", [opening(large) for _ in range(20)], "cpu s"
        )
        for file in (large, many):
            indexed, taken = any_row(file)
            report("  index of all rows", [indexed], "cpu s")
            report(f"  any row opened (at most {TARGET_ROW})", taken, "s")


if __name__ == "__main__":
    main()
