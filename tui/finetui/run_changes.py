"""What is done to runs from the list, each with the way back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from finetui_core.errors import InputError, Problem
from finetui_core.runs import manage, queue
from finetui_core.runs.labels import MOST_NAME, MOST_NOTE, Labels, noted, renamed, tagged
from finetui_core.runs.paths import ARCHIVE, RunPaths
from finetui_core.runs.summary import RunSummary


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done: in words, and what undoes it."""

    said: str
    undo: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before a label is written. `words` takes the names of the runs, `check` raises InputError."""

    words: str
    text: Callable[[RunSummary], str]
    check: Callable[[str], object]
    change: Callable[[Sequence[Path], str], Change]


def rename(runs: Sequence[Path], name: str) -> Change:
    return _relabel(runs, lambda labels: renamed(labels, name), "renamed")


def tag(runs: Sequence[Path], words: str) -> Change:
    add, remove = tag_words(words)
    return _relabel(runs, lambda labels: tagged(labels, add, remove), "tagged")


def note(runs: Sequence[Path], text: str) -> Change:
    return _relabel(runs, lambda labels: noted(labels, text), "noted")


def tag_words(words: str) -> tuple[list[str], list[str]]:
    """The tags to add and, written with a - before them, to take away."""
    parts = words.split()
    return [part for part in parts if not part.startswith("-")], [
        part[1:] for part in parts if part[0] == "-"
    ]


QUESTIONS: Mapping[str, Question] = {
    "rename": Question(
        'Name to show for {} ("" for the first one)',
        lambda run: run.label[:MOST_NAME],
        lambda text: renamed(Labels(), text),
        rename,
    ),
    "tag": Question(
        "Tags for {}; -tag takes one away",
        lambda run: "",
        lambda text: tagged(Labels(), *tag_words(text)),
        tag,
    ),
    "note": Question(
        "Note for {}", lambda run: run.note[:MOST_NOTE], lambda text: noted(Labels(), text), note
    ),
}


def archive(runs: Sequence[Path]) -> Change:
    return _move(runs, manage.archive, manage.restore, "archived")


def delete(runs: Sequence[Path]) -> Change:
    return _move(runs, manage.delete, manage.restore, "in the trash")


def restore(runs: Sequence[Path]) -> Change:
    """The way back leads into the folder where the runs were."""
    back = {path.name: manage.archive if path.parent.name == ARCHIVE else manage.delete for path in runs}
    return _move(runs, manage.restore, lambda paths: back[paths.id](paths), "back in the list")


def move_in_queue(root: Path, run: Path, direction: queue.Direction) -> Change:
    """One place up or down; the way back is the other direction."""
    number = queue.move(root, RunPaths(run), direction)
    back: queue.Direction = "down" if direction == "up" else "up"
    return Change(
        f"{run.name} is number {number} in the queue", partial(queue.move, root, RunPaths(run), back)
    )


def take_out_of_queue(root: Path, run: Path) -> Change:
    place = queue.remove(root, RunPaths(run))

    def undo() -> None:
        queue.add(root, RunPaths(run), place)
        queue.start_worker(root)

    return Change(f"{run.name} is out of the queue", undo)


def pause_or_start_queue(root: Path) -> Change:
    """Pause a queue that works, and let one go on that is paused or stands still."""
    if queue.is_working(root):
        queue.pause(root)
        return Change("the queue is paused: what runs goes on", partial(queue.start, root))
    queue.start(root)
    return Change("the queue goes on", partial(queue.pause, root))


def _relabel(runs: Sequence[Path], change: Callable[[Labels], Labels], done: str) -> Change:
    before: dict[Path, Labels] = {}

    def undo() -> None:
        for path, labels in before.items():
            manage.relabel(RunPaths(path), lambda _, labels=labels: labels)  # type: ignore[misc]

    _each(runs, lambda path: before.update({path: manage.relabel(RunPaths(path), change)}), undo)
    return Change(f"{_names(runs)} {done}", undo)


def _move(
    runs: Sequence[Path],
    there: Callable[[RunPaths], RunPaths],
    back: Callable[[RunPaths], RunPaths],
    done: str,
) -> Change:
    moved: list[RunPaths] = []

    def undo() -> None:
        while moved:
            back(moved[-1])
            moved.pop()

    _each(runs, lambda path: moved.append(there(RunPaths(path))), undo)
    return Change(f"{_names(runs)} {done}", undo)


def _each(runs: Sequence[Path], do: Callable[[Path], None], undo: Callable[[], None]) -> None:
    """Do it to all the runs or, where one will not have it, to none. Raises InputError."""
    if not runs:
        raise InputError(Problem("there is no run here"))
    try:
        for path in runs:
            do(path)
    except InputError:
        undo()
        raise


def _names(runs: Sequence[Path]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
