"""What the processes of ftui do besides their work: no pickle, no socket, no code from data, no file elsewhere.

    python tests/proofs/audit.py

Trains, stops, resumes and compares a small run, checks data and shows every screen, with an audit hook in each of the
processes from its first line, and looks into the kernel's list for listening sockets. Ends with 1 where there is
anything that `tests/auditing.py` does not excuse with a reason.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tui"), str(ROOT / "tests")]

from audited_work import audited  # noqa: E402
from auditing import CODE_MAKERS, listening_watched  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1, help="how many times the work is done")
    parser.add_argument("--parts", default="training,viewing", help="what of it")
    parser.add_argument(
        "--origins", action="store_true", help="also list what code was made from texts, and where"
    )
    options = parser.parse_args()
    began = time.monotonic()
    listening: list[str] = []
    events: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    processes = 0
    wrong: list[str] = []
    for _ in range(options.count):
        with tempfile.TemporaryDirectory() as folder, listening_watched(listening):
            done, seen, faults = audited(Path(folder), *options.parts.split(","))
        events.update(one.event for one in seen)
        origins.update(f"{one.event} by {one.origin}" for one in seen if one.event in ("exec", "compile"))
        processes += len({one.pid for one in seen})
        wrong += [str(one) for one in faults]
    wrong += sorted(set(listening))
    for text in wrong:
        print(text)
    if options.origins:
        for text, count in origins.most_common():
            print(count, text)
    sockets = sum(count for event, count in events.items() if event.startswith(("socket", "urllib")))
    print(
        f"| {options.count} × ({', '.join(done)}) | {processes} processes | {events['pickle']} pickles | "
        f"{sockets} uses of sockets, {len(set(listening))} listening | {events['write']} paths written | "
        f"code from texts at {len(origins)} places of {len(CODE_MAKERS)} excused libraries | {len(wrong)} faults | "
        f"{time.monotonic() - began:.0f} s |"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
