"""What such an API answers, as far as it is used here; everything else in an answer is ignored.

Field names are those of OpenAI's API of fine-tuning and files, as the package `openai` 3.57 states them.
"""

from typing import Any, Generic, TypeVar

import msgspec

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""The states of a job in which nothing more happens; the others are validating_files, queued, running and paused."""

Kind = TypeVar("Kind")
Setting = int | float | str | None
"""A hyperparameter: a number, or "auto" until the provider has chosen."""


class Hyperparameters(msgspec.Struct, frozen=True):
    n_epochs: Setting = None
    batch_size: Setting = None
    learning_rate_multiplier: Setting = None


class Supervised(msgspec.Struct, frozen=True):
    hyperparameters: Hyperparameters | None = None


class Method(msgspec.Struct, frozen=True):
    type: str = "supervised"
    supervised: Supervised | None = None


class JobError(msgspec.Struct, frozen=True):
    code: str | None = None
    message: str | None = None
    param: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A fine-tuning job. Times are unix seconds; `trained_tokens` are those that are billed, None until it ends."""

    id: str
    status: str
    model: str = ""
    created_at: float = 0
    finished_at: float | None = None
    estimated_finish: float | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    training_file: str = ""
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    error: JobError | None = None
    seed: int | None = None
    metadata: dict[str, str] | None = None

    @property
    def settings(self) -> Hyperparameters:
        """The hyperparameters: those of the method count, since the others are the older place for them."""
        newer = self.method.supervised if self.method else None
        found = (newer.hyperparameters if newer else None) or Hyperparameters()
        older = self.hyperparameters or Hyperparameters()
        return Hyperparameters(
            *(
                getattr(found, name) if getattr(found, name) is not None else getattr(older, name)
                for name in Hyperparameters.__struct_fields__
            )
        )

    @property
    def trouble(self) -> str:
        """Why it failed, in the provider's words; "" where it says nothing."""
        error = self.error
        if error is None or not (error.message or error.code):
            return ""
        about = f" ({error.param})" if error.param else ""
        return f"{error.message or error.code}{about}"


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a job; `data` are the metrics of a step where `type` is "metrics"."""

    id: str
    created_at: float = 0
    level: str = "info"
    message: str = ""
    type: str | None = None
    data: Any = None


class Checkpoint(msgspec.Struct, frozen=True):
    """A model that can be asked, as it was after a step."""

    id: str
    step_number: int
    fine_tuned_model_checkpoint: str = ""
    created_at: float = 0
    metrics: dict[str, Any] | None = None


class File(msgspec.Struct, frozen=True):
    id: str
    bytes: int = 0
    filename: str = ""
    purpose: str = ""
    created_at: float = 0
    status: str | None = None


class Page(msgspec.Struct, Generic[Kind], frozen=True):
    """A part of a list; the next one begins after the id of the last entry."""

    data: list[Kind]
    has_more: bool = False
