"""How fast a data set is checked, beside what other readers take for the same file, in one run.

    python tests/benchmarks/data_scan.py [--megabytes 300] [--rounds 3] [--polars FOLDER] [--only NAME]

Writes a chat file (see chat_rows.py), reads it once to have it in memory, then runs each reader in a process of its
own, in turn. Prints medians of megabytes per second of processor time, of wall time, and of the most memory held.
Polars is measured if a folder is named into which it was installed (pip install --target FOLDER polars).
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chat_rows import write_chats


class Taken(NamedTuple):
    processor: float
    wall: float
    resident: float


def scan_with(workers: int) -> Callable[[str], None]:
    def run(source: str) -> None:
        from finetui_core.data.check.scan import scan

        scan(source, workers=workers)

    return run


def validate(source: str) -> None:
    """msgspec alone, each line against the layout: what any check has to do at least."""
    import msgspec

    class Message(msgspec.Struct):
        role: str
        content: str

    class Chat(msgspec.Struct):
        messages: list[Message]

    decoder = msgspec.json.Decoder(Chat)
    with Path(source).open("rb") as file:
        for line in file:
            decoder.decode(line)


def json_loads(source: str) -> None:
    import json

    with Path(source).open("rb") as file:
        for line in file:
            json.loads(line)


def hugging_face(source: str) -> None:
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        load_dataset("json", data_files=source, split="train", cache_dir=cache)


def polars(source: str) -> None:
    import polars

    polars.read_ndjson(source)


READERS: dict[str, Callable[[str], None]] = {
    "check, one process": scan_with(1),
    "check, two processes": scan_with(2),
    "msgspec, validation alone": validate,
    "json.loads, each line": json_loads,
    "datasets.load_dataset('json')": hugging_face,
    "polars.read_ndjson": polars,
}


def measured(name: str, source: str) -> Taken:
    """Run a reader in a process of its own; imports are done before the clock starts."""
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(name, source, child))
    process.start()
    child.close()
    taken: Taken = parent.recv()
    process.join()
    return taken


def _run(name: str, source: str, answer: "multiprocessing.connection.Connection") -> None:
    small = Path(source).with_name("small.jsonl")
    if name != "check, two processes":
        READERS[name](str(small))
    began, wall = _processor(), time.perf_counter()
    READERS[name](source)
    wall, processor = time.perf_counter() - wall, _processor() - began
    answer.send(Taken(processor, wall, _most_resident()))


def _most_resident() -> float:
    """Of this process alone. (getrusage counts what the parent held before the program was changed.)"""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * float(status.read_text().partition("VmHWM:")[2].split()[0])


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def _processor() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--polars", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", default=None, help="where the file is written")
    options = parser.parse_args()
    if options.polars:
        os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH", ""), options.polars])
        sys.path.append(options.polars)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "chats.jsonl"
        rows = write_chats(path, options.megabytes)
        write_chats(path.with_name("small.jsonl"), 0.5)
        megabytes = path.stat().st_size / 1e6
        print(f"{megabytes:.0f} MB, {rows:,} rows; medians of {options.rounds} rounds")
        readers = [
            name for name in READERS if options.only in name and (options.polars or "polars" not in name)
        ]
        taken: dict[str, list[Taken]] = {name: [] for name in readers}
        for turn in range(options.rounds):
            if turn == 0:
                _read(path)
            for name in readers:
                taken[name].append(measured(name, str(path)))
        for name, all_taken in taken.items():
            processor, wall, resident = (
                statistics.median(one[kind] for one in all_taken) for kind in range(3)
            )
            least = min(one.processor for one in all_taken)
            print(
                f"{name:<32}{megabytes / processor:8.1f} MB per processor second (best {megabytes / least:.1f})"
                f"{megabytes / wall:8.1f} MB/s wall{resident / 1e6:8.0f} MB held"
            )
        if {"check, one process", "check, two processes"} <= taken.keys():
            one, two = (statistics.median(each.wall for each in taken[name]) for name in list(READERS)[:2])
            print(f"two processes are {one / two:.2f} times as fast as one, by the wall")
            print(f"150 MB and 40 bytes a row are {150 + 40 * rows / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
