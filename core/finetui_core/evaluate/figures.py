"""The plain values of a comparison, and the files they are kept in.

A comparison is a folder, written by one process and read by any: see `ComparisonPaths`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from finetui_core.evaluate.metrics import Task
from finetui_core.evaluate.statistics import Comparison, Interval, Judgement

ArmName = str
"""zero_shot, few_shot, retrieved, documents, tuned, tuned_retrieved, tuned_documents, or endpoint."""
Ended = Literal["end", "length", "error"]
Weights = Literal["base", "tuned", "endpoint"]
Phase = Literal["planning", "loading", "answering", "judging", "done", "stopped", "failed"]


class TestRow(msgspec.Struct, frozen=True):
    """A held-out row: what is asked, and the answer that its writer gave.

    `index` counts the kept rows from 0; `source` is `file:line`. `prompt` are the messages before the last answer as
    chat templates read them, `group` what rows of one origin share ("" where nothing is known).
    """

    index: int
    source: str
    prompt: tuple[Mapping[str, Any], ...]
    reference: str
    group: str = ""
    tools: tuple[Mapping[str, Any], ...] | None = None


class Arm(msgspec.Struct, frozen=True):
    """One way to answer. `cost` ranks arms by what an answer costs to have: a lower one is preferred where equal."""

    name: ArmName
    says: str
    weights: Weights
    cost: int


class Prompt(msgspec.Struct, frozen=True):
    """What one arm is asked for one row. `used` names the shots or passages that were put in (`file:line`)."""

    index: int
    messages: tuple[Mapping[str, Any], ...]
    used: tuple[str, ...] = ()


class Decoding(msgspec.Struct, frozen=True):
    """How answers are made, the same for every arm: the likeliest token each time, at most so many."""

    max_new_tokens: int = 256


class Answer(msgspec.Struct, frozen=True):
    """What an arm answered to one row, a line of `answers/<arm>.jsonl`.

    `nll` is the summed negative log-likelihood in nats of the `reference_tokens` of the reference after the arm's
    prompt, None where the arm gives none (an endpoint). `ended` is "length" where the longest answer was reached and
    "error" where there is no answer; `error` says why.
    """

    index: int
    text: str
    ended: Ended
    prompt_tokens: int
    new_tokens: int
    seconds: float
    nll: float | None = None
    reference_tokens: int = 0
    reference_bytes: int = 0
    error: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What is compared, on which rows and how, as it stands before anything is answered.

    `excluded` counts rows that were left out, by reason. `detectable` is the smallest gain in `metric` that so many
    rows show in four of five cases; None where they can show none. `notes` are sentences for the reader.
    `fingerprints` say of each arm what it is asked, and by which weights: answers belong to one of them.
    """

    created: float
    source: str
    model: str
    test_file: str
    rows: int
    excluded: Mapping[str, int]
    task: Task
    metric: str
    metrics: tuple[str, ...]
    arms: tuple[Arm, ...]
    max_new_tokens: int
    shots: int
    detectable: float | None
    notes: tuple[str, ...] = ()
    fingerprints: Mapping[ArmName, str] = {}


class Score(msgspec.Struct, frozen=True):
    """The mean of a metric over rows with its interval."""

    mean: float
    interval: Interval


class ArmResult(msgspec.Struct, frozen=True):
    """What an arm reached. `against_base` is None for the first arm, `seconds` and `tokens` are sums over rows.

    `stopped` is the share of answers that ended by themselves.
    """

    arm: Arm
    rows: int
    errors: int
    scores: Mapping[str, Score]
    perplexity: float | None
    bits_per_byte: float | None
    stopped: float
    seconds: float
    tokens: int
    against_base: Comparison | None


class Verdict(msgspec.Struct, frozen=True):
    """The arm to take, how it stands against the base without help, and the reasons in sentences."""

    arm: ArmName
    judgement: Judgement
    says: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]


class Judged(msgspec.Struct, frozen=True):
    """How often a judge preferred the answer of `arm` to that of `against`, row by row.

    `share` is the interval of wins among the rows with a winner, `p` the sign test's; `errors` are rows not judged.
    """

    arm: ArmName
    against: ArmName
    wins: int
    ties: int
    losses: int
    errors: int
    share: Interval
    p: float


class Result(msgspec.Struct, frozen=True):
    """`row_scores` holds per arm and metric a score for each row in order of `TestRow.index`.

    Its "nll" are nats per token of the reference, where an arm gives them for every row: there less is better.
    """

    plan: Plan
    arms: tuple[ArmResult, ...]
    verdict: Verdict
    row_scores: Mapping[ArmName, Mapping[str, tuple[float, ...]]]
    judged: tuple[Judged, ...] = ()


class Working(msgspec.Struct, frozen=True):
    """What the comparing process does: it is written often, and stands still where the process is gone."""

    pid: int
    t: float
    phase: Phase
    arm: ArmName = ""
    done: int = 0
    rows: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonPaths:
    """The files of one comparison. It is `report/compare` of a run, or a folder of its own before there is a run."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def rows(self) -> Path:
        """A line for each TestRow."""
        return self.root / "rows.jsonl"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def page(self) -> Path:
        return self.root / "report.md"

    @property
    def working(self) -> Path:
        return self.root / "working.json"

    @property
    def ratings(self) -> Path:
        """A line for each blind rating."""
        return self.root / "ratings.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    def prompts(self, arm: ArmName) -> Path:
        """A line for each Prompt."""
        return self.root / "prompts" / f"{arm}.jsonl"

    def answers(self, arm: ArmName) -> Path:
        """A line for each Answer, in the order in which they were given."""
        return self.root / "answers" / f"{arm}.jsonl"
