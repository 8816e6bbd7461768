"""Writes a chat file of any size for benchmarks: made-up words, the same bytes for the same size and seed.

    python tests/benchmarks/chat_rows.py FILE MEGABYTES

Rows of 1 to 3 questions with answers, some 2.3 kB each; 26% of them in other scripts than plain Latin letters or with
accents, 2% exact and 3% near duplicates of earlier rows, 20% with a system prompt.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

NOT_ASCII, EXACT, NEAR, SYSTEM = 0.26, 0.02, 0.03, 0.2
_LETTERS = {
    "latin": "etaoinshrdlucmfwypvbgk",
    "accents": "etaoinshrdlucméèüößñçåø",
    "russian": "оеаинтсрвлкмдпуяыьгзбчйх",
    "greek": "αεηιοτσνρπκλμυδγθ",
    "chinese": "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后"
    "小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长",
}
_SYSTEM_PROMPTS = ("You are a helpful assistant.", "Answer in one paragraph.", "You are a careful clerk.")


def write_chats(path: Path, megabytes: float, seed: int = 7) -> int:
    """Write rows until the file has this size; the number of rows."""
    chance = random.Random(seed)
    texts = {name: _sentences(chance, letters) for name, letters in _LETTERS.items()}
    others = [name for name in _LETTERS if name != "latin"]
    recent: list[list[dict[str, str]]] = []
    rows = size = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        while size < megabytes * 1e6:
            drawn = chance.random()
            if recent and drawn < EXACT:
                messages = chance.choice(recent)
            elif recent and drawn < EXACT + NEAR:
                messages = [_edited(message, chance) for message in chance.choice(recent)]
            else:
                name = chance.choice(others) if chance.random() < NOT_ASCII else "latin"
                messages = _chat(chance, texts[name])
                if len(recent) < 2000:
                    recent.append(messages)
                else:
                    recent[chance.randrange(2000)] = messages
            line = json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
            file.write(line)
            size += len(line.encode())
            rows += 1
    return rows


def _sentences(chance: random.Random, letters: str) -> list[str]:
    """A few thousand sentences; words of few letters, as many as languages have."""
    spaced = len(letters) < 50
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]
    return [
        (" " if spaced else "").join(chance.choices(words, k=chance.randint(6, 16))).capitalize()
        + ("." if spaced else "。")
        for _ in range(4000)
    ]


def _chat(chance: random.Random, sentences: list[str]) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    if chance.random() < SYSTEM:
        messages.append({"role": "system", "content": chance.choice(_SYSTEM_PROMPTS)})
    for _ in range(chance.choice((1, 2, 2, 2))):
        question = " ".join(chance.choices(sentences, k=chance.randint(1, 4)))
        answer = " ".join(chance.choices(sentences, k=chance.randint(4, 18)))
        if chance.random() < 0.2:
            answer = answer.replace(". ", ".\n\n", 3)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _edited(message: dict[str, Any], chance: random.Random) -> dict[str, str]:
    words = message["content"].split(" ")
    for _ in range(max(1, len(words) // 30)):
        words[chance.randrange(len(words))] = "changed"
    return {"role": message["role"], "content": " ".join(words)}


if __name__ == "__main__":
    print(write_chats(Path(sys.argv[1]), float(sys.argv[2])), "rows")
