"""Stands in for the process that holds a model: it answers by rules, at once and without one.

    python fake_chat.py SOURCE --runs … [--side SIDE]

A question with "wait" is answered until it is stopped, one with "die" ends the process, one with "full" finds the
context full while there is an older question; "hostile" is answered by what a terminal must never get.
"""

import sys
import threading

from finetui_core.errors import Problem
from finetui_core.evaluate.chat_protocol import (
    SIDES,
    Answered,
    Ask,
    Failed,
    Piece,
    Ready,
    Reply,
    Show,
    Shown,
    Stop,
    line_of,
    requests,
)

HOSTILE = "[bold]not bold[/] \x1b]0;owned\x07 \u202ereversed"
_writing = threading.Lock()


def say(reply: Reply) -> None:
    with _writing:
        sys.stdout.buffer.write(line_of(reply))
        sys.stdout.buffer.flush()


def main() -> int:
    source, *options = sys.argv[1:]
    if "damaged" in source:
        say(Failed((Problem("this checkpoint is damaged", source, "name another one"),)))
        return 2
    sides = tuple(side for side in SIDES if "--side" not in options or side in options)
    beside = "20260101T000000-busy-abcdef" if "busy" in source else ""
    say(Ready(source.rpartition("/")[2], "models/tiny", "step-000042", sides, "cpu", 256, beside))
    waiting: list[tuple[Ask, str]] = []
    for line in sys.stdin.buffer:
        request = requests.decode(line)
        if isinstance(request, Stop):
            for ask, side in waiting:
                say(Answered(ask.number, side, "half an", "stopped", 9, 0, 2, 0.1, 0.5))
            waiting.clear()
        elif isinstance(request, Show):
            text = "|".join(turn.content for turn in request.turns)
            say(Shown(request.number, text, tuple((ord(one), one) for one in text)))
        else:
            for side, turns in request.conversations.items():
                question = turns[-1].content
                if "die" in question:
                    print("MemoryError: no more", file=sys.stderr)
                    return 9
                if "full" in question and len(turns) > 1:
                    error = "the conversation has 300 tokens"
                    say(Answered(request.number, side, "", "error", 300, fault="context", error=error))
                    continue
                if "wait" in question:
                    say(Piece(request.number, side, "half an "))
                    waiting.append((request, side))
                    continue
                text = HOSTILE if "hostile" in question else f"{side} says {len(turns)} to {question}"
                sampling = request.sampling
                if sampling.temperature:
                    text += f" at {sampling.temperature:g} seed {sampling.seed}"
                say(Piece(request.number, side, text))
                say(Answered(request.number, side, text, "end", 9, 0, 4, 0.1, 0.5))
    return 0


if __name__ == "__main__":
    sys.exit(main())
