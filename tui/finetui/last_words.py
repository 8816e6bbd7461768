"""Why a run failed, as far as it can be told: what to do, and the last words of its log."""

from collections.abc import Sequence

from finetui.lines_of import TextFile
from finetui.widgets.plot import Row
from finetui_core.runs.paths import RunPaths

FAILED = frozenset({"failed", "died", "killed", "out_of_memory", "silent"})
"""States whose cause stands in the log, if anywhere."""
MOST_LINES = 40
_NO_MEMORY = ("out of memory", "outofmemory", "cannot allocate memory", "not enough memory")

_MEMORY_HINT = (
    "halve train.per_device_train_batch_size and double train.gradient_accumulation_steps: the result stays the "
    "same. Or set train.gradient_checkpointing = true, or a smaller data.max_length."
)
_HINTS = {
    "out_of_memory": "The machine ran out of memory: " + _MEMORY_HINT,
    "killed": "Somebody or something ended the process from outside. Continue with: ftui resume {id}",
    "died": "Nobody saw how it ended, as after a power cut. Continue with: ftui resume {id}",
    "silent": "The other machine writes nothing: look whether it, its network and its disk are well.",
    "failed": "The log says why; once it is mended, continue with: ftui resume {id}",
}


def last_words(paths: RunPaths, attempt: int | None, state: str) -> tuple[Row, ...]:
    """The end of the log of the last attempt, then a hint."""
    log = TextFile(paths.log(attempt)) if attempt is not None else None
    lines: Sequence[Row] = [row for _, row in log.before(log.end(), MOST_LINES)] if log else ()
    said = [row for row in lines if "".join(text for text, _ in row).strip()]
    return (*said, ((" → ", "warning"), (_hint(state, said, paths.id), "")))


def _hint(state: str, lines: Sequence[Row], run_id: str) -> str:
    text = "\n".join(part for row in lines for part, _ in row).lower()
    if state == "failed" and any(words in text for words in _NO_MEMORY):
        return "The GPU ran out of memory: " + _MEMORY_HINT
    return _HINTS.get(state, "").format(id=run_id)
