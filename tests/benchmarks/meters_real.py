"""What the meters conclude of real small training runs of which the truth is known.

    python tests/benchmarks/meters_real.py --work FOLDER [--seeds 2] [--page docs/meters.md]

A small base is trained once (minutes), then fine-tuned in 24 settings for each seed by the trainer's own functions:
healthy runs, few rows and many passes, wrong answers, a narrow task, learning rates far too high and far too low.
Truth comes from fresh rows and texts that no meter sees: a run overfits if its loss on them ends more than 5 % above
its least. What was measured is kept in FOLDER, so that another look takes seconds.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import meters_base as base
import numpy as np
import torch
from measuring import put_table
from transformers.utils.logging import disable_progress_bar

from finetui_core.runs.paths import RunPaths
from finetui_core.train.evaluation import ALONE
from finetui_core.train.meters import forgetting, overfitting
from finetui_core.train.meters.figures import Measured, RowLosses, StepLoss
from finetui_core.train.meters.judge import judge
from finetui_core.train.row_losses import row_losses
from finetui_core.train.setup import Session, build_session, start_processes
from finetui_core.train.step import train_step
from training import new_run

EVALUATIONS, VAL_ROWS, FRESH_ROWS, PROBE_TEXTS, FRESH_TEXTS, BATCH = 12, 60, 250, 32, 120, 8
OVERFITS, FORGETS = 0.05, forgetting.WATCH

RECIPE = """
[model]
name = "{model}"
[data]
train = "train.jsonl"
val = "val.jsonl"
max_length = 256
[train]
method = "{method}"
learning_rate = {rate}
lr_scheduler_type = "{schedule}"
num_train_epochs = {passes}
per_device_train_batch_size = 8
seed = {seed}
[eval]
samples = 0
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """`plant` names what is certain by its making: "diverges", "stands still" or nothing."""

    name: str
    method: str
    rate: float
    rows: int
    passes: int
    noise: float = 0.0
    narrow: bool = False
    schedule: str = "cosine"
    plant: str = ""


SETTINGS = (
    Setting("many rows, one pass", "full", 1e-3, 800, 1),
    Setting("400 rows, two passes", "full", 5e-4, 400, 2),
    Setting("gentle", "lora", 3e-4, 200, 3),
    Setting("160 rows, three passes", "full", 3e-4, 160, 3),
    Setting("100 rows, six passes", "lora", 2e-3, 100, 6),
    Setting("100 rows, six passes", "full", 1e-3, 100, 6),
    Setting("48 rows, twelve passes", "full", 3e-4, 48, 12),
    Setting("32 rows, 20 passes", "lora", 5e-3, 32, 20),
    Setting("32 rows, 20 passes", "full", 2e-3, 32, 20),
    Setting("16 rows, 40 passes", "lora", 1e-2, 16, 40, schedule="constant"),
    Setting("16 rows, 30 passes", "full", 1e-3, 16, 30),
    Setting("8 rows, 60 passes", "full", 1e-3, 8, 60, schedule="constant"),
    Setting("24 rows, 25 passes", "full", 2e-3, 24, 25, schedule="constant"),
    Setting("a third wrong, ten passes", "full", 1e-3, 64, 10, noise=0.3),
    Setting("half wrong, eight passes", "full", 2e-3, 80, 8, noise=0.5),
    Setting("half wrong, twelve passes", "lora", 1e-2, 48, 12, noise=0.5, schedule="constant"),
    Setting("a fifth wrong, two passes", "full", 5e-4, 400, 2, noise=0.2),
    Setting("labels alone, six passes", "full", 2e-3, 100, 6, narrow=True),
    Setting("labels alone, few rows", "lora", 1e-2, 32, 16, narrow=True, schedule="constant"),
    Setting("very gentle", "full", 3e-5, 200, 2),
    Setting("very gentle", "lora", 1e-4, 200, 2),
    Setting("rate far too low", "lora", 1e-7, 200, 2, plant="stands still"),
    Setting("rate far too high", "lora", 1.0, 200, 2, plant="diverges"),
    Setting("rate far too high", "full", 0.3, 200, 2, plant="diverges"),
)


@dataclass(frozen=True, slots=True)
class Course:
    """What was measured of a run, and the truth: losses on fresh rows and fresh texts at each evaluation."""

    setting: Setting
    history: list[Measured]
    steps: list[StepLoss]
    total_steps: int
    fresh_rows: list[float]
    fresh_texts: list[float]

    @property
    def overfits(self) -> bool:
        return self.fresh_rows[-1] > (1 + OVERFITS) * min(self.fresh_rows)


class Texts:
    """Token ids of texts, every token supervised."""

    def __init__(self, ids: Sequence[Sequence[int]]) -> None:
        self._ids = [np.array(one, dtype=np.int32) for one in ids]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._ids[index], np.ones(len(self._ids[index]), dtype=bool)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="where the base and what was measured are kept"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--base-steps", type=int, default=450)
    parser.add_argument("--page", help="put the figures between their marks in this page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    model = base.make_base(options.work / "base", options.base_steps)
    courses = [
        _course(options.work, model, setting, seed, number)
        for seed in options.seeds
        for number, setting in enumerate(SETTINGS)
    ]
    table = "\n".join(figures(courses))
    print("\n".join(lines_of(courses)))
    print(table)
    if options.page:
        put_table(options.page, "real runs", table)


def _course(work: Path, model: Path, setting: Setting, seed: int, number: int) -> Course:
    kept = work / f"run-{seed}-{number:02}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_as_json(measure(model, setting, seed))))
        print(f"seed {seed}: {setting.method}, {setting.name}", file=sys.stderr, flush=True)
    return _from_json(setting, json.loads(kept.read_text()))


def measure(model: Path, setting: Setting, seed: int) -> Course:
    """Train once, measuring at equal distances and before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_rows(folder, setting, seed)
        (folder / "recipe.toml").write_text(
            RECIPE.format(
                model=model,
                method=setting.method,
                rate=setting.rate,
                schedule=setting.schedule,
                passes=setting.passes,
                seed=seed,
            )
        )
        paths = new_run(folder / "recipe.toml")
        session = _session(paths)
        own = Texts(json.loads((model / "own_text.json").read_text()))
        tokenize = session.tokenizer
        probe, fresh = (
            Texts([tokenize(text)["input_ids"] for text in base.general_texts(kind, number)])
            for kind, number in ((1, PROBE_TEXTS), (2, FRESH_TEXTS))
        )
        total = session.schedule.total_steps
        course = Course(setting, [], [], total, [], [])
        for step in range(total + 1):
            if step:
                result = train_step(session, step)
                course.steps.append(StepLoss(step, result.loss, result.grad_norm))
            if step in {round(total * part / EVALUATIONS) for part in range(EVALUATIONS + 1)}:
                _evaluate(session, course, step, own, probe, fresh)
            if step and not result.is_finite:
                break
        return course


def _session(paths: RunPaths) -> Session:
    from finetui_core.recipe.options import Recipe

    recipe = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
    accelerator, _ = start_processes(recipe)
    return build_session(paths, recipe, accelerator, ALONE, None, lambda phase: None)[0]


def _write_rows(folder: Path, setting: Setting, seed: int) -> None:
    """Rows to train on, to validate on, and behind those the fresh ones; no question twice."""
    seen: set[str] = set()
    rows = (
        chat
        for chat in base.chats(seed, noise=setting.noise, narrow=setting.narrow)
        if chat[0]["content"] not in seen and not seen.add(chat[0]["content"])  # type: ignore[func-returns-value]
    )
    for name, number in (("train", setting.rows), ("val", VAL_ROWS + FRESH_ROWS)):
        lines = [json.dumps({"messages": chat}) + "\n" for chat in islice(rows, number)]
        (folder / f"{name}.jsonl").write_text("".join(lines))


def _evaluate(session: Session, course: Course, step: int, own: Texts, probe: Texts, fresh: Texts) -> None:
    def losses(rows: Any, numbers: range) -> RowLosses:
        return row_losses(session.model, rows, numbers, session.layout, session.device)

    val = session.data.val
    since = [one.loss for one in course.steps if not course.history or one.step > course.history[-1].step]
    course.history.append(
        Measured(
            step,
            session.schedule.epoch_after(step),
            losses(val, range(VAL_ROWS)),
            losses(probe, range(len(probe))),
            losses(own, range(len(own))),
            train_loss=float(np.mean(since)) if since else None,
        )
    )
    course.fresh_rows.append(losses(val, range(VAL_ROWS, len(val))).mean)
    course.fresh_texts.append(losses(fresh, range(len(fresh))).mean)


def figures(courses: Sequence[Course]) -> Iterator[str]:
    """The table of the page."""
    judged = [one for one in courses if one.setting.plant != "diverges"]
    truth = [one.overfits for one in judged]
    yield f"{len(courses)} runs; {len(judged)} without those made to diverge, {sum(truth)} of them overfit:"
    yield ""
    yield "| rule | precision | recall | delay in evaluations |"
    yield "|---|---|---|---|"
    for name, rule in (
        ("two evaluations above the best by paired differences", alarmed),
        ("the same, more than 5 % (act)", acted),
        ("patience of three", patience),
    ):
        told = [rule(one) for one in judged]
        delays = [
            _delay(one, at) for one, at in zip(judged, told, strict=True) if at is not None and one.overfits
        ]
        delay = f"{np.median(delays):.0f}" if delays else "–"
        yield f"| {name} | {_ratios(truth, [at is not None for at in told])} | {delay} |"
    yield ""
    best = [_regret(one, best=True) for one in judged]
    last = [_regret(one, best=False) for one in judged]
    yield (
        f"Loss on fresh rows above its least: {np.mean(best):.1%} at the best checkpoint (at most {max(best):.1%}), "
        f"{np.mean(last):.1%} at the last one (at most {max(last):.1%})."
    )
    yield ""
    yield "| forgetting, at each evaluation | precision | recall |"
    yield "|---|---|---|"
    for name, texts in (
        ("general text", ("probe",)),
        ("own text", ("own_text",)),
        ("both", ("probe", "own_text")),
    ):
        points = [pair for one in courses for pair in _forgetting(one, texts)]
        yield f"| {name} ({len(points)} points) | {_ratios([t for t, _ in points], [a for _, a in points])} |"
    mild = [pair for one in courses for pair in _forgetting(one, ("probe", "own_text"), mild=True)]
    yield f"| both, true rise below 0.15 nats ({len(mild)}) | {_ratios([t for t, _ in mild], [a for _, a in mild])} |"
    yield ""
    yield "| rule | precision | recall |"
    yield "|---|---|---|"
    for name, kind, plant in (
        ("diverging", "diverging", "diverges"),
        ("not learning", "not_learning", "stands still"),
    ):
        made = [one.setting.plant == plant for one in courses]
        yield f"| {name} | {_ratios(made, [kind in kinds(one) for one in courses])} |"


def lines_of(courses: Sequence[Course]) -> Iterator[str]:
    """A line for each run."""
    for one in courses:
        setting, end = one.setting, one.fresh_rows[-1] / min(one.fresh_rows) - 1
        forgot = one.fresh_texts[-1] - one.fresh_texts[0]
        yield (
            f"{setting.method:5}{setting.name:28}{setting.rate:<8.0e}fresh {one.fresh_rows[0]:6.2f} least "
            f"{min(one.fresh_rows):6.3f} end {end:+8.1%} forgot {forgot:+.3f} alarm {alarmed(one)!s:5}"
            f"act {acted(one)!s:5}patience {patience(one)!s:5}{' '.join(sorted(kinds(one)))}"
        )


def alarmed(one: Course) -> int | None:
    """The number of the evaluation at which overfitting is told first."""
    found = overfitting.findings(one.history)
    return next((at for at, alarm in enumerate(found) if alarm and alarm.kind == "overfitting"), None)


def acted(one: Course) -> int | None:
    found = overfitting.findings(one.history)
    return next(
        (
            at
            for at, alarm in enumerate(found)
            if alarm and (alarm.kind, alarm.severity) == ("overfitting", "act")
        ),
        None,
    )


def patience(one: Course) -> int | None:
    """Where early stopping with a patience of three would stop."""
    means = _means(one)
    best = 0
    for at, mean in enumerate(means):
        best = at if mean < means[best] else best
        if at - best >= 3:
            return at
    return None


def kinds(one: Course) -> set[str]:
    """All that was told in the course of a run, as the trainer asks for it."""
    told: set[str] = set()
    for number in range(1, len(one.steps) + 1):
        told |= {alarm.kind for alarm in judge((), one.steps[:number], one.total_steps)}
    for number, now in enumerate(one.history, 1):
        done = [step for step in one.steps if step.step <= now.step]
        told |= {alarm.kind for alarm in judge(one.history[:number], done, one.total_steps)}
    if any(not math.isfinite(step.loss) for step in one.steps):
        told.add("diverging")  # the loop's own alarm
    return told


def _means(one: Course) -> list[float]:
    return [now.val.mean for now in one.history if now.val is not None]


def _delay(one: Course, at: int) -> int:
    """Evaluations from the first at which the fresh rows' loss lies 5 % above its least so far."""
    least = np.minimum.accumulate(one.fresh_rows)
    harmed = next(
        i for i, (now, low) in enumerate(zip(one.fresh_rows, least, strict=True)) if now > 1.05 * low
    )
    return at - harmed


def _regret(one: Course, *, best: bool) -> float:
    means = _means(one)
    at = min(range(1, len(means)), key=means.__getitem__) if best else -1
    return one.fresh_rows[at] / min(one.fresh_rows[1:]) - 1


def _forgetting(one: Course, texts: Sequence[str], *, mild: bool = False) -> Iterator[tuple[bool, bool]]:
    """(it forgets, it is told) at each evaluation."""
    rest = {name: None for name in ("probe", "own_text") if name not in texts}
    history = [Measured(**({name: getattr(m, name) for name in m.__slots__} | rest)) for m in one.history]
    for alarm, loss in list(zip(forgetting.findings(history), one.fresh_texts, strict=True))[1:]:
        rise = loss - one.fresh_texts[0]
        if math.isfinite(rise) and not (mild and rise >= forgetting.ACT):
            yield rise >= FORGETS, alarm is not None


def _ratios(truth: Sequence[bool], told: Sequence[bool]) -> str:
    hits = sum(t and a for t, a in zip(truth, told, strict=True))
    precision = f"{hits / sum(told):.2f} ({hits} of {sum(told)})" if any(told) else "–"
    recall = f"{hits / sum(truth):.2f} ({hits} of {sum(truth)})" if any(truth) else "–"
    return f"{precision} | {recall}"


def _as_json(one: Course) -> dict[str, Any]:
    def listed(losses: RowLosses | None) -> Any:
        return losses and [losses.sums.tolist(), losses.tokens.tolist()]

    history = [
        [m.step, m.epoch, listed(m.val), listed(m.probe), listed(m.own_text), m.train_loss]
        for m in one.history
    ]
    steps = [list(asdict(step).values()) for step in one.steps]
    return {
        "history": history,
        "steps": steps,
        "total": one.total_steps,
        "rows": one.fresh_rows,
        "texts": one.fresh_texts,
    }


def _from_json(setting: Setting, kept: dict[str, Any]) -> Course:
    history = []
    for step, epoch, *texts, train_loss in kept["history"]:
        val, probe, own = (RowLosses(np.array(sums), np.array(tokens)) for sums, tokens in texts)
        history.append(Measured(step, epoch, val, probe, own, train_loss=train_loss))
    steps = [StepLoss(*one) for one in kept["steps"]]
    return Course(setting, history, steps, kept["total"], kept["rows"], kept["texts"])


if __name__ == "__main__":
    main()
