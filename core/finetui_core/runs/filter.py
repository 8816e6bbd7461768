"""Choosing and ordering the runs of a list: the fields of a run for `finetui_core.filters`, and its columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from finetui_core.errors import InputError, Problem
from finetui_core.filters import Fields, Predicate, compile_filter
from finetui_core.runs.summary import RunSummary

_Key = Callable[[RunSummary], float | str | None]


def run_fields(now: float) -> Fields[RunSummary]:
    """What a filter can ask of a run; ages are seconds before `now`, in unix seconds."""
    return Fields(
        words=lambda run: (run.name, run.id, run.model, *run.tags),
        texts={
            "name": lambda run: (run.name,),
            "id": lambda run: (run.id,),
            "state": lambda run: (run.state, run.state.replace("_", " ")),
            "model": lambda run: (run.model,),
            "method": lambda run: (run.method,),
            "kind": lambda run: (run.kind,),
            "tag": lambda run: run.tags,
            "note": lambda run: (run.note,),
        },
        numbers={
            "step": lambda run: run.step,
            "loss": lambda run: run.loss,
            "val": lambda run: run.eval_loss,
            "best": lambda run: run.best_eval_loss,
            "age": lambda run: now - run.created,
        },
        exact=frozenset({"tag"}),
        aliases={
            "tags": "tag",
            "eval_loss": "val",
            "val_loss": "val",
            "best_eval_loss": "best",
            "steps": "step",
        },
    )


def run_filter(text: str, now: float) -> Predicate[RunSummary]:
    """What decides whether a run fits the filter `text`. Raises InputError with every faulty term."""
    return compile_filter(text, run_fields(now))


SORT_KEYS: Mapping[str, _Key] = {
    "age": lambda run: -run.created,
    "name": lambda run: run.name.casefold(),
    "state": lambda run: f"{run.state} {run.queue_number or 0:06}",
    "step": lambda run: run.step,
    "loss": lambda run: run.loss,
    "val": lambda run: run.eval_loss,
    "best": lambda run: run.best_eval_loss,
    "model": lambda run: run.model.casefold() or None,
    "tags": lambda run: " ".join(run.tags).casefold() or None,
    "note": lambda run: run.note.casefold() or None,
}
"""Column → what it is sorted by; "age" has the youngest first."""
DEFAULT_SORT = "age"


def sort_runs(runs: Iterable[RunSummary], column: str, *, reverse: bool = False) -> Sequence[RunSummary]:
    """The runs by a column, ascending; those without a value come last either way.

    Equal ones keep their order. Raises InputError where there is no such column.
    """
    key = SORT_KEYS.get(column)
    if key is None:
        hint = f"there are: {', '.join(SORT_KEYS)}"
        raise InputError(Problem(f"runs cannot be sorted by {column}", hint=hint))
    known: list[tuple[float | str, RunSummary]] = []
    unknown: list[RunSummary] = []
    for run in runs:
        value = key(run)
        if value is None:
            unknown.append(run)
        else:
            known.append((value, run))
    known.sort(key=lambda pair: pair[0], reverse=reverse)  # type: ignore[arg-type,return-value]
    return [run for _, run in known] + unknown
