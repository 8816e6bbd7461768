"""A tokenizer tried under limits before it is used: `python -m finetui_core.data.tokenizer_trial TOKENIZER_JSON`.

A tokenizer.json is a stranger's program too: its rules can multiply a text, and the patterns that it splits text by
can take longer than a life over a short one. So a process of its own, which loads nothing but the tokenizer, reads it
and splits texts that such patterns go wrong on. It runs beside the imports of whoever asks.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetui_core.data.template_worker import limit_memory
from finetui_core.errors import InputError, Problem
from finetui_core.runs.command import child_environment

SECONDS, SECONDS_PER_BYTE = 2, 1 / (16 << 20)
"""Processor time for any tokenizer, and for each byte of its file more: the largest known take half of it."""
MEMORY = 1 << 30
"""Bytes above what the process has before it reads the file."""
_LENGTH = 2_000  # characters of a text that is split
_MOST_TEXTS = 100
_WAY_OUT = "Take the model from its first source, or name another one in model.name."


class Trial:
    """A trial that runs; `result` waits for it, and leaving the block ends it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tokenizer.json"
        self._seconds = _seconds(self._path) if self._path.is_file() else 0
        self._process = (
            subprocess.Popen(
                [sys.executable, "-m", "finetui_core.data.tokenizer_trial", str(self._path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment() | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
                process_group=0,
            )
            if self._path.is_file()
            else None
        )

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def result(self) -> int:
        """The number of its tokens, 0 where there is no such file.

        Raises InputError where the tokenizer cannot be read, or not within the limits.
        """
        if self._process is None:
            return 0
        assert self._process.stdout
        said = self._process.stdout.read()
        code = self._process.wait()
        if code == 0 and said:
            answer = json.loads(said)
            if answer.get("error"):
                what = f"the tokenizer cannot be loaded: {answer['error'][:300]}"
                raise InputError(Problem(what, str(self._path), _WAY_OUT))
            return int(answer["tokens"])
        if code == -signal.SIGXCPU:
            what = f"the tokenizer was stopped: to read it and split short texts takes over {self._seconds} seconds"
            raise InputError(Problem(what, str(self._path), _WAY_OUT))
        if code < 0:
            what = f"the tokenizer was stopped: it takes more than {MEMORY >> 20} MiB of memory"
            raise InputError(Problem(what, str(self._path), _WAY_OUT))
        raise RuntimeError(f"the process that tries tokenizers ended with exit code {code}")


def main() -> None:
    path = Path(sys.argv[1])
    from tokenizers import Tokenizer

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    resource.setrlimit(resource.RLIMIT_CPU, (_seconds(path), resource.RLIM_INFINITY))
    error, tokens = "", 0
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokens = tokenizer.get_vocab_size()
        _try(tokenizer)
    except BaseException as fault:  # a panic of its library is no Exception
        error = str(fault) or type(fault).__name__
    sys.stdout.write(json.dumps({"error": error, "tokens": tokens}))
    sys.stdout.flush()
    os._exit(0)


def _seconds(path: Path) -> int:
    """The limit of processor time for a file."""
    return SECONDS + int(path.stat().st_size * SECONDS_PER_BYTE)


def _try(tokenizer: Any) -> None:
    for text in _texts(_rules(tokenizer)):
        tokenizer.encode(text)


def _rules(tokenizer: Any) -> str:
    """What the tokenizer does with a text before it looks words up, as JSON."""
    parts = (tokenizer.normalizer, tokenizer.pre_tokenizer)
    return " ".join(part.__getstate__().decode() for part in parts if part is not None)


def _texts(rules: str) -> Iterator[str]:
    """Long runs of one character and an end that fits no word: what patterns with two ways through take longest over.

    The characters are one of each kind, and those that the tokenizer's own patterns name.
    """
    patterns = "".join(re.findall(r'"Regex":"((?:[^"\\]|\\.)*)"', rules))
    named = sorted(set(re.sub(r"\\.", "", patterns)) - set("[](){}|?*+^$\\."))
    yield "The quick brown fox: 12 dogs, and a lazy one."
    for character in [*"aA0 \n.-_'é一🙂", *named][:_MOST_TEXTS]:
        yield character * _LENGTH + "\x01" + "".join(named)  # some are looked for before a pattern is tried
        yield character * _LENGTH


if __name__ == "__main__":
    main()
