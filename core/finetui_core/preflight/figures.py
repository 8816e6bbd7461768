"""The plain values that every stage, command and screen of preflight shares. Bytes and seconds throughout."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from finetui_core.recipe.options import Recipe

Phase = Literal["load", "train", "evaluate", "save", "merge"]
Kind = Literal["weights", "adapter", "gradients", "optimizer", "activations", "logits"]
Stage = Literal["formula", "trace", "probe"]
Fit = Literal["fits", "tight", "does_not_fit"]


class Device(msgspec.Struct, frozen=True):
    """What a run may be put on: one GPU, or the processor with its memory.

    `tflops` is the dense bfloat16 peak in 10^12 operations per second, `bandwidth` in bytes per second, `watts` the
    board's limit; None where they are not known. `used` bytes of `memory` are taken by others now.
    """

    name: str
    kind: Literal["cuda", "cpu"]
    memory: int
    used: int = 0
    tflops: float | None = None
    bandwidth: float | None = None
    watts: float | None = None
    source: str = ""


class Shape(msgspec.Struct, frozen=True):
    """What a model's config.json says of its size. `source` is where it was read: a path, or the shipped table."""

    model_type: str
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    gated: bool
    context_length: int | None
    source: str = ""
    config: Mapping[str, Any] = {}


class RowLengths(msgspec.Struct, frozen=True):
    """Token lengths of the training rows: counted where they are `exact`, else estimated from some of them.

    An estimated `longest` is on the safe side; `deviation` is the standard deviation, None where it is not known.
    """

    rows: int
    mean: float
    longest: int
    supervised_share: float
    exact: bool
    val_rows: int = 0
    deviation: float | None = None


class Workload(msgspec.Struct, frozen=True):
    """One run, as far as memory and time depend on it; `recipe` has every default filled in.

    `tokens_per_pass` are those of the longest forward pass, `supervised_per_pass` those of them that carry loss.
    """

    recipe: Recipe
    shape: Shape
    device_kind: Literal["cuda", "cpu"]
    tokens_per_pass: int
    longest_row: int
    supervised_per_pass: int
    lengths: RowLengths | None = None


class Memory(msgspec.Struct, frozen=True):
    """Bytes that tensors take at the peak of each phase, by kind, as one stage found them."""

    stage: Stage
    peaks: Mapping[Phase, Mapping[Kind, int]]
    seconds: float
    note: str = ""

    @property
    def highest(self) -> tuple[Phase, int]:
        return max(
            ((phase, sum(kinds.values())) for phase, kinds in self.peaks.items()), key=lambda one: one[1]
        )


class OutOfMemory(msgspec.Struct, frozen=True):
    """The phase in which a probe found no more memory, and the bytes it asked for at last, where they are known."""

    phase: Phase
    asked: int | None
    says: str


class Probed(msgspec.Struct, frozen=True):
    """What true steps at the longest batch, one evaluation pass and one save took on the machine itself.

    What was not reached, for want of memory or of validation rows, is None or empty. `tokens` are those of each of
    the `step_seconds`; the first step also pays for what happens once, and is left out of `tokens_per_second`.
    `device_used` is what the GPU shows as used after the steps, the driver's share and other processes included.
    `save_failed` says why no checkpoint could be written.
    """

    memory: Memory
    device: str
    device_used: int | None
    load_seconds: float | None
    tokens: tuple[int, ...]
    step_seconds: tuple[float, ...]
    tokens_per_second: float | None
    evaluation_seconds_per_row: float | None
    save_seconds: float | None
    save_bytes: int | None
    save_failed: str
    out_of_memory: OutOfMemory | None


class Verdict(msgspec.Struct, frozen=True):
    """`low` to `high` is what the device will show as used: tensors, the allocator's gaps and the driver's share."""

    fit: Fit
    phase: Phase
    low: int
    high: int
    room: int
    says: str


class Change(msgspec.Struct, frozen=True):
    """An option of a recipe and its new value."""

    table: str
    key: str
    value: Any


class Knob(msgspec.Struct, frozen=True):
    """Changes to a recipe that lower its peak; `peak` is the predicted one with them. Ordered by what they cost."""

    name: str
    changes: tuple[Change, ...]
    costs: str
    peak: int
    gain: int
    fit: Fit


class Disk(msgspec.Struct, frozen=True):
    """Bytes that a run writes below its folder, and what is free there now."""

    checkpoint: int
    checkpoints_at_once: int
    rows_cache: int
    export: int
    needed: int
    free: int
    file_system: str
    enough: bool
    says: str


class Span(msgspec.Struct, frozen=True):
    """A range, and the value in it that is most likely."""

    low: float
    middle: float
    high: float


class Duration(msgspec.Struct, frozen=True):
    """`basis` says where the throughput is from: "table", "history", "probe" or "run"."""

    seconds: Span
    tokens_per_second: Span
    tokens_per_epoch: int
    steps_per_epoch: int
    total_steps: int
    checkpoints: int
    evaluations: int
    basis: str
    says: str


class Cost(msgspec.Struct, frozen=True):
    """Money in `currency` and energy in kWh; `hosted` is what the same tokens cost at the priced services."""

    currency: str
    gpu_hour_price: float | None
    price: Span | None
    energy: Span | None
    hosted: tuple["HostedPrice", ...] = ()
    says: str = ""


class HostedPrice(msgspec.Struct, frozen=True):
    """The price of training as many tokens at a service, from the dated table."""

    service: str
    model: str
    price: float
    as_of: str
    open: bool
    source: str


class Report(msgspec.Struct, frozen=True):
    """All that preflight says of a recipe on a device. None where it cannot be known; `notes` say why.

    `lengths` are those of the rows as a trace has counted them.
    """

    recipe: str
    device: Device
    memory: Memory | None
    verdict: Verdict | None
    knobs: tuple[Knob, ...]
    host_memory: int | None
    disk: Disk | None
    duration: Duration | None
    cost: Cost | None
    notes: tuple[str, ...] = ()
    lengths: RowLengths | None = None
