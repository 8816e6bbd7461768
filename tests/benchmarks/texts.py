"""The rules on texts: megabytes per second of processor time on sound answers, in English and in twenty languages.

    PYTHONPATH=core:tests/core python tests/benchmarks/texts.py [--rounds N]

Each answer is some of the sound answers of the labelled rows, drawn without repeating one.
"""

import argparse
import random
import time
from collections.abc import Callable

from labelled_texts import SOUND

from finetui_core.data.check.languages import scripts_of
from finetui_core.data.check.secrets import may_hold_secret
from finetui_core.data.check.texts import answer_hits, text_hits


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    answers = [answered for _, answered in SOUND]
    for name, some in (("English", [text for text in answers if text.isascii()]), ("all languages", answers)):
        rng = random.Random(5)
        texts = ["\n\n".join(rng.sample(some, rng.randint(2, 6))) for _ in range(500)]
        measure(f"{name}: text_hits and answer_hits", _both, texts, rounds)
        measure(f"{name}: text_hits", lambda text: text_hits(text, "$", "assistant"), texts, rounds)
        measure(f"{name}: answer_hits", lambda text: answer_hits(text, "$"), texts, rounds)
        measure(f"{name}: scripts_of", scripts_of, texts, rounds)
        measure(f"{name}: may_hold_secret", lambda text: may_hold_secret(text.encode()), texts, rounds)


def _both(text: str) -> None:
    text_hits(text, "$", "assistant")
    answer_hits(text, "$")


def measure(name: str, look: Callable[[str], object], texts: list[str], rounds: int) -> None:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            look(text)
        best = min(best, time.process_time() - start)
    size = sum(len(text.encode()) for text in texts)
    print(
        f"{name:45}{size / best / 1e6:8.0f} MB/s{best / len(texts) * 1e6:8.1f} µs each of {size // len(texts)} bytes"
    )


if __name__ == "__main__":
    main()
