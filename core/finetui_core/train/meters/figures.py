"""The plain values between what is measured at an evaluation and what is concluded from it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["overfitting", "memorisation", "forgetting", "not_learning", "diverging", "plateau"]
Severity = Literal["watch", "act"]


@dataclass(frozen=True, slots=True)
class RowLosses:
    """The loss of each row, always the same ones in the same order: nats summed over `tokens` supervised tokens."""

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]

    @property
    def per_token(self) -> NDArray[np.float64]:
        """Nats per supervised token of each row."""
        return self.sums / self.tokens

    @property
    def mean(self) -> float:
        """Nats per supervised token over all rows, as the validation loss counts."""
        return float(self.sums.sum() / self.tokens.sum())


@dataclass(frozen=True, slots=True)
class Overlaps:
    """For rows of training and of validation, the share of the answer's token sequences that it gives by heart.

    Each is the 6-gram overlap of a greedy continuation of the first half of the answer with the second, 0 to 1.
    """

    train: NDArray[np.float64]
    val: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation. `probe` is general text, `own_text` what the base itself wrote before training.

    `probe_kl` and `own_text_kl` are the mean divergence of the base's predictions from the model's on each document,
    nats per token. None where it is not measured. `train_loss` is the mean since the evaluation before.
    """

    step: int
    epoch: float
    val: RowLosses | None = None
    probe: RowLosses | None = None
    own_text: RowLosses | None = None
    probe_kl: NDArray[np.float64] | None = None
    own_text_kl: NDArray[np.float64] | None = None
    train_loss: float | None = None
    overlaps: Overlaps | None = None


@dataclass(frozen=True, slots=True)
class StepLoss:
    """One optimizer step as the meters need it."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """A conclusion in one sentence with its evidence. `go_back_to` is the step of the best evaluation, if one is
    better than the present; `remedy` says what to change."""

    kind: Kind
    severity: Severity
    step: int
    message: str
    go_back_to: int | None
    remedy: str
