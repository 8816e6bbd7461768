"""Why a run failed or hangs, as far as it can be told: the last words of its log, then what to do."""

from collections.abc import Sequence

from finetui.lines_of import TextFile
from finetui.text import safe
from finetui.widgets.plot import Row
from finetui_core.runs.causes import way_out
from finetui_core.runs.liveness import RunState
from finetui_core.runs.paths import RunPaths

EXPLAINED = frozenset({"failed", "died", "killed", "out_of_memory", "silent", "stalled", "restarting"})
"""States whose cause stands in the log, if anywhere."""
MOST_LINES = 40
MOST_CELLS = 150
"""Of one line of the log, so that the lines before it, and the hint, stay in sight."""
MOST_OF_PROVIDER = 400
"""Cells of what a provider says, which is all that is known of a hosted job's end."""
_NO_MEMORY = (
    *("out of memory", "outofmemory", "cannot allocate memory", "can't allocate memory"),
    *("not enough memory", "memoryerror"),
)
_NOT_FOLLOWED = "Unless the provider says otherwise the job goes on there: ftui hosted watch {id}"
_GPU = ("cuda", "hip", "gpu", "cublas")

_HINTS = {
    "silent": "{reason}. Look whether that machine, its network and its disk are well; only there can be seen "
    "whether the run goes on.",
    "restarting": "{reason}. To end it instead: ftui ctl {id} stop",
    "stalled": "It lives, but made {reason}. The stacks of its threads come into the log: they say who waits "
    "for whom. It takes commands only at the end of a step; once it is ended, continue with: ftui resume {id}",
}
"""Of runs that have not ended."""


def last_words(paths: RunPaths, attempt: int | None, state: RunState) -> tuple[Row, ...]:
    """The end of the log of the last attempt, then a hint."""
    log = TextFile(paths.log(attempt)) if attempt is not None else None
    lines: Sequence[Row] = [row for _, row in log.before(log.end(), MOST_LINES)] if log else ()
    said = [row for row in lines if _text(row).strip()]
    shown: list[Row] = [tuple((safe(text, MOST_CELLS), style) for text, style in row) for row in said]
    hint = _hint(state, said, paths.id)
    if paths.hosted.exists():
        shown.append(((safe(state.reason, MOST_OF_PROVIDER), ""),))  # the line above the charts is cut
        if state.state not in _HINTS and state.cause != "job_failed":
            hint = _NOT_FOLLOWED.format(id=paths.id)
    return (*shown, ((" → ", "warning"), (hint, "")))


def _hint(state: RunState, lines: Sequence[Row], run_id: str) -> str:
    text = "\n".join((state.reason, *(_text(row) for row in lines))).lower()
    if state.state in _HINTS:
        return _HINTS[state.state].format(id=run_id, reason=state.reason)
    cause = state.cause
    if state.state == "failed" and cause in ("", "crashed", "unknown"):
        cause = "crashed"
        if any(words in text for words in _NO_MEMORY):
            cause = "gpu_memory" if any(words in text for words in _GPU) else "memory"
    return way_out(cause, run_id, state.reason)


def _text(row: Row) -> str:
    return "".join(text for text, _ in row)
