"""Runs as lines of a table and as sentences about the list."""

from pathlib import Path

from finetui import states
from finetui.widgets.plot import Row
from finetui.widgets.sparkline import sparkline
from finetui.widgets.table import Column, Record
from finetui_core import wording
from finetui_core.runs.liveness import LIVE
from finetui_core.runs.paths import ARCHIVE, TRASH
from finetui_core.runs.summary import RunSummary

TREND_CELLS = 8
COLUMNS = (
    Column("state", 15),
    Column("name", 12, most=36),
    Column("step", 11, right=True),
    Column("trend", TREND_CELLS),
    Column("loss", 7, right=True),
    Column("val", 7, right=True, above=100),
    Column("best", 7, right=True),
    Column("age", 6, right=True),
    Column("model", 12, most=20, above=120),
    Column("tags", 10, most=24, above=100),
    Column("note", 20, most=80, above=140),
)
SORTED_COLUMNS = tuple(column.title for column in COLUMNS if column.title != "trend")
"""In the order in which the keys go through them; `finetui_core.runs.filter.SORT_KEYS` has the same names."""
PLACES = {"": "", ARCHIVE: "archived ", TRASH: "deleted "}
"""Folder inside the folder of runs → what its runs are called."""


def record(run: RunSummary, now: float) -> Record:
    """The line about a run; a note gives way to the reason of the state where there is none."""
    words, style = states.state_words(run.state)
    words += f" {run.queue_number}" if run.queue_number else ""
    total = f"/{wording.count(run.total_steps)}" if run.total_steps else ""
    return Record(
        run.id,
        (
            (words, style),
            (run.name or run.id, ""),
            (f"{wording.count(run.step)}{total}", ""),
            (sparkline(run.recent_losses, TREND_CELLS), "train"),
            (wording.loss(run.loss), ""),
            (wording.loss(run.eval_loss), ""),
            (wording.loss(run.best_eval_loss), ""),
            (wording.age(now - run.created), "muted"),
            (run.model, "muted"),
            (_tags(run), "accent"),
            (run.note, "") if run.note else (run.reason, "muted"),
        ),
    )


def about(run: RunSummary) -> tuple[Row, Row]:
    """What the columns had no room for, of the run under the cursor."""
    made = ", ".join(part for part in (run.model, run.method) if part)
    best = f"   best {wording.loss(run.best_eval_loss)} at step {wording.count(run.best_step)}"
    first: Row = (
        (f" {run.id}", "strong"),
        (f"   {made}" if made else "", "muted"),
        (best if run.best_step is not None else "", ""),
    )
    second: Row = (
        (f" {run.reason}", "muted"),
        (f"   {_tags(run)}" if run.tags else "", "accent"),
        (f"   {run.note}" if run.note else "", ""),
    )
    return first, second


def title(
    root: Path,
    place: str,
    shown: int,
    runs: int,
    live: int,
    unread: int,
    sort: str,
    filter: str,
    queued: int = 0,
    stands: str = "",
) -> Row:
    """How many runs of which kind are in which folder, and which of them are shown in what order."""
    counted = f" {runs:,} {PLACES[place]}{'run' if runs == 1 else 'runs'}"
    if unread:
        counted += f", reading {unread:,} more"
    elif not place:
        counted += f", {live:,} under way" + (f", {queued:,} queued" if queued else "")
    chosen = f"   {shown:,} fit: {filter}" if filter else ""
    standing = f"   {stands}" if stands and not place else ""
    row = (
        (counted, ""),
        (standing, "warning"),
        (chosen, "accent"),
        (f"   by {sort}   in {short(root)}", "muted"),
    )
    return tuple(span for span in row if span[0])


def nothing(root: Path, place: str, filter: str) -> tuple[Row, ...]:
    """What stands in the place of an empty table."""
    if filter:
        return (((f" No run fits: {filter}", ""),), ((" / changes the filter.", "muted"),))
    if place:
        return (((f" There are no {PLACES[place]}runs in {short(root)}.", ""),),)
    return (
        ((f" There are no runs in {short(root)} yet.", ""),),
        ((" Press s to start one, or from a shell:", ""),),
        (),
        (("   ftui demo           ", "strong"), ("fine-tune the small sample model, no GPU needed", "")),
        (("   ftui train RECIPE   ", "strong"), ("fine-tune as a recipe file says", "")),
        (),
        ((" It appears here by itself.", "muted"),),
    )


def short(path: Path) -> str:
    """`path` as seen from the home folder."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _tags(run: RunSummary) -> str:
    return " ".join(f"#{tag}" for tag in run.tags)


def unavailable(run: RunSummary | None, place: str, can_compare: bool, can_undo: bool) -> dict[str, str]:
    """The reason for each action, by id, that cannot be done now with the run under the cursor."""
    reasons: dict[str, str] = {}
    if run is None or run.kind != "ftui":
        why = "there is no run" if run is None else "a run of another trainer is only read"
        reasons = {f"runs.{name}": why for name in ("rename", "tag", "note", "archive", "delete")}
    elif run.state in LIVE and not place:
        reasons = dict.fromkeys(("runs.archive", "runs.delete"), f"it is {run.state}")
    elif place == TRASH:
        reasons = {"runs.delete": "it is in the trash"}
    if run is None or run.queue_number is None or place:
        in_queue = ("runs.queue_up", "runs.queue_down", "runs.unqueue")
        reasons |= dict.fromkeys(in_queue, "it does not wait in the queue")
    if not can_compare:
        reasons["runs.compare"] = "mark another run with space"
    if not can_undo:
        reasons["runs.undo"] = "nothing was changed here"
    return reasons
