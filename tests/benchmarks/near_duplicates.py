"""Near-duplicates: how many edited copies of real text are found, and how fast, beside the usual word 5-grams.

    python tests/benchmarks/near_duplicates.py [FILE...] [--copies N] [--megabytes N]

The text is that of the FILEs (any layout that ftui reads), or, without one, the docstrings of Python's standard
library and the licences of this machine, in paragraphs of 40 to 220 words. Of each kind of edit N copies are made
and put among the paragraphs. The usual setting is 5 words a shingle, 128 permutations, 16 bands of 8, threshold 0.8.
"""

import argparse
import ast
import random
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np

from finetui_core.data.check import minhash
from finetui_core.data.check.near import near_text
from finetui_core.data.conversation import Conversation, TextDocument
from finetui_core.data.formats import from_messages
from finetui_core.data.load import load

PRIME = (1 << 61) - 1
Finder = Callable[[Sequence[str]], list[tuple[int, int]]]


def docstrings() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""
    for path in sorted(Path("/usr/share/common-licenses").glob("*")):
        yield path.read_text(encoding="utf-8", errors="replace")


def file_texts(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        for row in load(path).rows:
            if isinstance(row, TextDocument):
                yield row.text
            else:
                yield "\n\n".join(message.content for message in row.messages)


def paragraphs(texts: Iterator[str]) -> list[list[str]]:
    """Each a list of 40 to 220 words, none twice; neighbouring paragraphs that are too short are joined."""
    found: dict[str, list[str]] = {}
    for text in texts:
        words: list[str] = []
        for part in text.split("\n\n"):
            words += part.split()
            if len(words) >= 40:
                found.setdefault(" ".join(words[:220]).lower(), words[:220])
                words = []
    return list(found.values())


def edited(words: list[str], share: float, vocabulary: list[str], rng: random.Random) -> str:
    """Replace, leave out or put in a word at `share` of the places, at least at one."""
    changed: list[str] = []
    places = set(rng.sample(range(len(words)), max(1, round(share * len(words)))))
    for index, word in enumerate(words):
        kind = rng.random() if index in places else 1
        if kind >= 1:
            changed.append(word)
        elif kind < 0.6:
            changed.append(rng.choice(vocabulary))
        elif kind < 0.8:
            changed += [word, rng.choice(vocabulary)]
    return " ".join(changed)


def case_and_punctuation(words: list[str], rng: random.Random) -> str:
    """Another case for a third of the words, and punctuation left out, put in and changed."""
    changed = []
    for word in words:
        if rng.random() < 0.33:
            word = rng.choice((str.upper, str.lower, str.capitalize))(word)
        if rng.random() < 0.5:
            word = word.rstrip(".,;:!?")
        if rng.random() < 0.15:
            word += rng.choice((",", ".", "!", ";", " -", "...", '"'))
        changed.append(word)
    return rng.choice((" ", "\n", "  ")).join(changed)


def half_replaced(words: list[str], other: list[str]) -> str:
    return " ".join(words[: len(words) // 2] + other[len(other) // 2 :])


def copies(base: list[list[str]], number: int, rng: random.Random) -> dict[str, list[tuple[int, str]]]:
    vocabulary = [word for words in base for word in words]

    def some(edit: Callable[[list[str]], str]) -> list[tuple[int, str]]:
        return [(place, edit(base[place])) for place in rng.sample(range(len(base)), number)]

    kinds = {
        f"{percent}% of words edited": some(
            lambda words, share=percent / 100: edited(words, share, vocabulary, rng)
        )
        for percent in (1, 2, 5, 10, 20)
    }
    kinds["case and punctuation"] = some(lambda words: case_and_punctuation(words, rng))
    kinds["a sentence before it"] = some(lambda words: "Sure! Here is what you asked for: " + " ".join(words))
    kinds["half replaced"] = some(lambda words: half_replaced(words, rng.choice(base)))
    return kinds


def by_letters(texts: Sequence[str]) -> list[tuple[int, int]]:
    return [
        (pair.first, pair.second) for pair in minhash.similar_pairs(minhash.sketch(texts), texts.__getitem__)
    ]


def by_five_words(texts: Sequence[str], bands: int = 16, at_least: float = 0.8) -> list[tuple[int, int]]:
    """The usual setting: words as they stand, in lower case; verified by the similarity of the signatures."""
    rng = np.random.default_rng(1)
    factors = rng.integers(1, PRIME, 128, dtype=np.uint64)
    shifts = rng.integers(0, PRIME, 128, dtype=np.uint64)
    signatures = np.empty((len(texts), 128), np.uint64)
    for index, text in enumerate(texts):
        words = text.lower().split()
        grams = {" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))}
        hashes = np.array(
            [int.from_bytes(blake2b(gram.encode(), digest_size=4).digest(), "little") for gram in grams],
            np.uint64,
        )
        permuted = (hashes[:, None] * factors + shifts) % np.uint64(PRIME)
        signatures[index] = permuted.min(axis=0) & np.uint64(0xFFFFFFFF)
    pairs: set[tuple[int, int]] = set()
    rows = 128 // bands
    for band in range(bands):
        buckets: dict[bytes, list[int]] = {}
        for index in range(len(texts)):
            mine = buckets.setdefault(signatures[index, band * rows : (band + 1) * rows].tobytes(), [])
            pairs.update((other, index) for other in mine[-8:])
            mine.append(index)
    return [(a, b) for a, b in sorted(pairs) if (signatures[a] == signatures[b]).mean() >= at_least]


def recall(finder: Finder, base: list[list[str]], copied: list[tuple[int, str]]) -> float:
    texts = [" ".join(words) for words in base] + [text for _, text in copied]
    groups = minhash.Groups()
    for first, second in finder(texts):
        groups.link(first, second)
    return sum(groups.linked(place, len(base) + at) for at, (place, _) in enumerate(copied)) / len(copied)


def write_chat(path: Path, base: list[list[str]], megabytes: int, rng: random.Random) -> None:
    """Chats of one to three questions and answers, put together of pieces of the text; 3% are edited copies."""
    vocabulary = [word for words in base for word in words]
    written = 0
    earlier: list[list[dict[str, str]]] = []
    with path.open("wb") as file:
        while written < megabytes * 1_000_000:
            if earlier and rng.random() < 0.03:
                turns = [
                    {**turn, "content": edited(turn["content"].split(), 0.03, vocabulary, rng)}
                    for turn in rng.choice(earlier)
                ]
            else:
                turns = [
                    {"role": role, "content": _mixed(base, rng, least, most)}
                    for _ in range(rng.randint(1, 3))
                    for role, least, most in (("user", 8, 60), ("assistant", 30, 260))
                ]
                if len(earlier) < 5000:
                    earlier.append(turns)
            written += file.write(msgspec.json.encode({"messages": turns}) + b"\n")


def _mixed(base: list[list[str]], rng: random.Random, least: int, most: int) -> str:
    """Words in runs of three to nine from anywhere, so that one text is not a copy of another."""
    words: list[str] = []
    for _ in range(rng.randint(least, most) // 6 + 1):
        source = rng.choice(base)
        at = rng.randrange(len(source) - 9)
        words += source[at : at + rng.randint(3, 9)]
    return " ".join(words)


def speed(path: Path) -> None:
    """Whole way of a file: read, parse, sketch, find, read again and verify."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    offsets: list[int] = [0]
    with path.open("rb") as file:
        for line in file:
            offsets.append(offsets[-1] + len(line))

        def text_of(number: int) -> str:
            file.seek(offsets[number])
            return _text(file.read(offsets[number + 1] - offsets[number]))

        file.seek(0)
        sketches = minhash.sketch(_text(line) for line in file)
        sketched = time.process_time()
        found = list(minhash.similar_pairs(sketches, text_of))
    ended = time.process_time()
    megabytes = path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{megabytes:.0f} MB, {len(offsets) - 1:,} rows, {len(found):,} pairs: "
        f"{megabytes / (ended - began):.1f} MB per processor second "
        f"(sketches {megabytes / (sketched - began):.1f}); "
        f"resident at most {peak / 1024:.0f} MB, {before / 1024:.0f} MB before"
    )


def _text(line: bytes) -> str:
    row = from_messages(msgspec.json.decode(line), "")
    assert isinstance(row, Conversation)
    return near_text(row)


def usual_speed(path: Path, rows: int = 3000) -> None:
    texts, size = [], 0
    with path.open("rb") as file:
        for line in file:
            size += len(line)
            texts.append(_text(line))
            if len(texts) == rows:
                break
    began = time.process_time()
    by_five_words(texts)
    print(f"5-grams of words, pure Python and numpy: {size / 1e6 / (time.process_time() - began):.1f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=100)
    options = parser.parse_args()
    rng = random.Random(4)
    base = paragraphs(file_texts(options.files) if options.files else docstrings())
    rng.shuffle(base)
    base = base[:7000]
    number = min(options.copies, len(base))
    if number == 0:
        sys.exit("no paragraph of 40 words or more")
    if options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chat.jsonl"
            write_chat(path, base, options.megabytes, rng)
            speed(path)
            usual_speed(path)
    print(f"{len(base):,} paragraphs, {number} copies of each kind: recall")
    print(f"{'':<26}{'letters, 32x4, 0.6':>20}{'5 words, 16x8, 0.8':>20}")
    for kind, copied in copies(base, number, rng).items():
        ours, usual = recall(by_letters, base, copied), recall(by_five_words, base, copied)
        print(f"{kind:<26}{ours:>20.3f}{usual:>20.3f}", flush=True)


if __name__ == "__main__":
    main()
