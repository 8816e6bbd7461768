"""Reading the answers of an arm, also while they are written."""

from pathlib import Path

import msgspec

from finetui_core.evaluate.figures import Answer

_DECODER = msgspec.json.Decoder(Answer)


def read_answers(path: Path) -> dict[int, Answer]:
    """The answers in a file by `Answer.index`; none where there is no file. Lines that were torn are left out."""
    answers: dict[int, Answer] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return answers
    for line in lines:
        try:
            answer = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        answers[answer.index] = answer
    return answers
