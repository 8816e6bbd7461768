"""All comparisons under a folder of runs: those of runs, and those that were made before there was a run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetui.compare_folder import (
    UNDER_WAY,
    Liveness,
    Outcome,
    State,
    judged,
    read_whole,
    stamp_of,
)
from finetui.compare_words import (
    STATES,
    detectable_words,
    excluded_words,
    progress_words,
    verdict_words,
)
from finetui.text import wrapped
from finetui.widgets.plot import Row, Span
from finetui.widgets.table import Column, Record
from finetui_core import wording
from finetui_core.evaluate.figures import ComparisonPaths, Plan, Verdict, Working
from finetui_core.evaluate.in_words import metric_name
from finetui_core.runs.paths import RunPaths, run_ids
from finetui_core.runs.records import Identity, read_small

BEFORE_RUNS = ".compare"
"""The folder inside the folder of runs for comparisons without a run."""
COLUMNS = (
    Column("of", 14, most=32),
    Column("verdict", 28, most=44),
    Column("rows", 6, right=True),
    Column("metric", 11, most=14),
    Column("arms", 4, right=True),
    Column("age", 6, right=True),
    Column("model", 12, most=24, above=110),
)


@dataclass(frozen=True, slots=True)
class Glance:
    """What a line of the list says of the comparison in `folder`; `run` is None of one before a run."""

    folder: Path
    run: Path | None
    name: str
    state: State
    plan: Plan | None
    verdict: Verdict | None
    working: Working | None

    @property
    def created(self) -> float:
        return self.plan.created if self.plan else self.working.t if self.working else 0.0

    def words(self) -> Span:
        """The verdict, or else how far it is, and a style."""
        if self.state in UNDER_WAY:
            return f"… {progress_words(self.working)}", STATES[self.state][1]
        if self.state == "done" and self.verdict is not None:
            return verdict_words(self.verdict)
        return STATES[self.state]


class ComparisonList:
    """Reads again only what has changed. `refresh` may be called from any one thread at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, Watched] = {}

    def refresh(self) -> tuple[Glance, ...]:
        """The comparisons, the newest first. Raises InputError where the folder of runs cannot be read."""
        folders = {compare_folder(self.root / name): self.root / name for name in run_ids(self.root)}
        found: dict[Path, Path | None] = {
            folder: run for folder, run in folders.items() if holds_comparison(folder)
        }
        found |= dict.fromkeys(filter(holds_comparison, _folders(self.root / BEFORE_RUNS)))
        self._known = {folder: self._known.get(folder) or Watched(folder, found[folder]) for folder in found}
        glances = [watched.look() for watched in self._known.values()]
        return tuple(sorted(glances, key=lambda one: (one.created, str(one.folder)), reverse=True))


class Watched:
    """One comparison, whose files are read again when they have changed."""

    def __init__(self, folder: Path, run: Path | None) -> None:
        self._paths, self._run = ComparisonPaths(folder), run
        self._stamps: tuple[object, ...] = ()
        self._plan: Plan | None = None
        self._outcome: Outcome | None = None
        self._working: Working | None = None
        self._liveness = Liveness()

    def look(self) -> Glance:
        """What is known of it now."""
        paths = self._paths
        stamps = tuple(stamp_of(path) for path in (paths.plan, paths.working, paths.result))
        if stamps != self._stamps:
            self._stamps = stamps
            self._plan = read_whole(paths.plan, Plan)
            self._working = read_small(paths.working, Working)
            outcome = read_whole(paths.result, Outcome)
            if outcome and self._plan and outcome.plan.created < self._plan.created:
                outcome = None  # of an earlier plan
            self._outcome = outcome
        state = judged(self._plan, self._working, self._outcome, self._liveness)
        verdict = self._outcome.verdict if self._outcome else None
        name = name_of(paths.root, self._run, self._plan)
        return Glance(paths.root, self._run, name, state, self._plan, verdict, self._working)


def compare_folder(run: Path) -> Path:
    return RunPaths(run).report / "compare"


def run_of(folder: Path) -> Path | None:
    """The run that a comparison belongs to, by where its folder lies."""
    return folder.parents[1] if folder.name == "compare" and folder.parent.name == "report" else None


def holds_comparison(folder: Path) -> bool:
    paths = ComparisonPaths(folder)
    return any(stamp_of(path) for path in (paths.plan, paths.working, paths.result))


def name_of(folder: Path, run: Path | None, plan: Plan | None) -> str:
    """The name of the run, or of the recipe that has none yet."""
    if run is None:
        return Path(plan.source).name if plan and plan.source else folder.name
    from finetui_core.runs.labels import read_labels

    paths = RunPaths(run)
    identity = read_small(paths.identity, Identity)
    return read_labels(paths).name or (identity.name if identity else "") or run.name


def _folders(folder: Path) -> Sequence[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return ()


def record(one: Glance, now: float) -> Record:
    words, style = one.words()
    plan = one.plan
    return Record(
        str(one.folder),
        (
            (one.name, ""),
            (words, style),
            (f"{plan.rows:,}" if plan else wording.NOTHING, ""),
            (metric_name(plan.metric) if plan else wording.NOTHING, "muted"),
            (str(len(plan.arms)) if plan else wording.NOTHING, "muted"),
            (wording.age(now - one.created) if one.created else wording.NOTHING, "muted"),
            (plan.model if plan else "", "muted"),
        ),
    )


def about(one: Glance, width: int) -> list[Row]:
    """What the line has no room for."""
    said: list[Span] = []
    if one.verdict is not None:
        said.append((one.verdict.says, "strong"))
    elif one.working is not None and one.working.message:
        said.append((one.working.message, STATES[one.state][1]))
    if one.plan is not None:
        said += [(f"{detectable_words(one.plan)}; {excluded_words(one.plan)}.", "muted")]
    said.append((str(one.folder), "muted"))
    return [((" ", ""), (line, style)) for text, style in said for line in wrapped(text, max(8, width - 2))]


def nothing(subject: Path | None) -> tuple[Row, ...]:
    """What stands in the place of an empty list."""
    ready = f" {subject.name} is proposed." if subject else ""
    text = (
        "Here the model as it is, with examples, with documents, and tuned answer the same held-out rows; the "
        "scores tell with their uncertainty which one is better, and you can read or rate the answers side by side. "
        f"Press s to choose a run or a recipe.{ready} Without a run, the arms that need no training set the bar "
        "that a tuned model has to beat."
    )
    return (
        (("  ", ""), (text, "")),
        (),
        (("  ", ""), ("From a shell:", "muted")),
        (("    ", ""), ("ftui compare RUN", "strong")),
        (("        ", ""), ("the tuned model against the others", "")),
        (("    ", ""), ("ftui compare RECIPE", "strong")),
        (("        ", ""), ("before a run: what has to be beaten", "")),
    )
