"""A line about one run, as lists show it."""

import msgspec


class RunSummary(msgspec.Struct, frozen=True):
    """A line about one run. Times are unix seconds of its host, `updated` the newest that it recorded.

    `name` is the one to show and `label` the one that people gave it; `recent_losses` are those of the last
    steps (None where not finite). `kind` is "ftui" or that of another trainer's files. A run in the
    queue has its place there in `queued_at`, the lowest being next, and in a list its number in `queue_number`.
    """

    id: str
    name: str
    path: str
    model: str
    method: str
    created: float
    state: str
    reason: str
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    best_eval_loss: float | None
    updated: float
    best_step: int | None = None
    kind: str = "ftui"
    label: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    recent_losses: tuple[float | None, ...] = ()
    queued_at: float | None = None
    queue_number: int | None = None
