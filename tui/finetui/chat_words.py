"""What stands above and below a conversation."""

from pathlib import Path

from finetui.text import wrapped
from finetui.widgets.plot import Row
from finetui_core.evaluate.chat_client import Subject
from finetui_core.evaluate.chat_protocol import Failed, Ready, Sampling
from finetui_core.evaluate.chat_settings import in_words
from finetui_core.evaluate.chat_talk import Talk

EMPTY = (
    "Type a question and press enter: the model as it is and the tuned one answer side by side. esc leaves the line, "
    "and then keys set how answers are made, show what the model reads, edit an answer and keep the conversation as "
    "a row for the next round."
)


def title_row(subject: Subject, ready: Ready | None) -> Row:
    """Who answers."""
    if ready is None:
        return ((f" {Path(subject.source).name}", "strong"),)
    facts = [ready.checkpoint, Path(ready.model).name, f"on {ready.device}"]
    return (
        (f" {ready.source}", "strong"),
        ("   " + "   ".join(fact for fact in facts if fact), "muted"),
    )


def settings_row(sampling: Sampling, ready: Ready | None, failed: Failed | None, answering: bool) -> Row:
    """How answers are made, and what goes on."""
    if failed is not None:
        doing = "   the model is not there: r starts it again", "bad"
    elif ready is None:
        doing = "   loading the model …", "accent"
    elif answering:
        doing = "   answering … esc stops", "accent"
    else:
        doing = "", ""
    return (f" {in_words(sampling)}", ""), doing


def foot_rows(ready: Ready | None, failed: Failed | None, talk: Talk, width: int) -> list[Row]:
    """What the person has to know now, below the conversation."""
    said: list[tuple[str, str]] = []
    if not talk.exchanges:
        said.append((EMPTY, "muted"))
    if ready is not None and ready.beside:
        said.append(
            (
                f"{ready.beside} trains on this machine: the model keeps to one thread, and off the GPU.",
                "muted",
            )
        )
    if failed is not None:
        for problem in failed.problems:
            place = f"{problem.where}: " if problem.where else ""
            said += [(f"{place}{problem.what}", "bad"), (problem.hint, "muted")]
        said.append(("r starts it again.", ""))
    elif talk.exchanges and any(one.fault == "context" for one in talk.exchanges[-1].answers.values()):
        said.append(("The context is full. D leaves out the oldest question with its answers.", "warning"))
    return [
        ((" ", ""), (line, style))
        for text, style in said
        if text
        for line in wrapped(text.replace("\n", " "), max(8, width - 2))
    ]
