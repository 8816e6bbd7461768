"""The model card: what the model is, from which data, how good it was measured to be, and what is not known."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from finetui_core import __version__
from finetui_core.errors import InputError
from finetui_core.evaluate.figures import ComparisonPaths, Result
from finetui_core.evaluate.statistics import Interval
from finetui_core.export.source import Source
from finetui_core.recipe.options import Recipe
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import content_of
from finetui_core.secrets import redact
from finetui_core.text import visible
from finetui_core.wording import loss, perplexity

CARD = "README.md"
Record = Mapping[str, Any]
_NOT_STATED = "not stated"
_LICENCE = re.compile(r"^license:\s*[\"']?([A-Za-z0-9][A-Za-z0-9.+_ -]{0,60})", re.MULTILINE)
_MOST_RESULT = 64 << 20
_TOLD = {
    "train": (
        "method", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
        "gradient_accumulation_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "seed",
    ),
    "lora": ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "modules_to_save"),
    "data": ("train_on", "max_length", "packing", "replay"),
}  # fmt: skip
"""Options of the recipe that a card tells, by table; paths are not among them."""


def card_of(source: Source, target: str, notes: Sequence[str], parity: str = "") -> str:
    """README.md of an export; `parity` is the sentence of its check. It holds no secret and no path."""
    licence, evaluations = base_licence(source), _evaluations(source)
    lines = [
        *_front_matter(source, target, licence),
        f"# {_plain(source.run.id)}",
        "",
        f"{_base_name(source)} fine-tuned ({source.recipe.train.method}) with ftui {__version__}, as of step "
        f"{source.checkpoint.step}.",
        "",
        parity or "The export was not checked against the run.",
        *_section("Data", _data(source)),
        *_section("Recipe", _recipe(source.recipe)),
        *_section("How good it is", _results(source, evaluations)),
        *_section("What it may have forgotten", _forgetting(source, evaluations)),
        *_section("Limits", [*(f"- {note}" for note in notes), *_LIMITS]),
        *_section(
            "Licences", [f"- of the base model: {licence or _NOT_STATED}", f"- of the data: {_NOT_STATED}"]
        ),
    ]
    return redact("\n".join(visible(line) for line in lines) + "\n")


_LIMITS = (
    "- It was measured on the rows above and on nothing else: neither for safety nor for bias.",
    "- It answers in the form of its training rows; other questions may be answered worse than by the base.",
)


def base_licence(source: Source) -> str:
    """As the base's own card states it, or ""."""
    try:
        text = content_of(Path(source.base) / CARD).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENCE.search(head)
    return found[1].strip() if found else ""


def _front_matter(source: Source, target: str, licence: str) -> Iterator[str]:
    name = _base_name(source)
    yield "---"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        yield f"base_model: {name}"
    yield f"library_name: {'peft' if target in ('adapter', 'hub') and not source.is_full else 'transformers'}"
    yield "pipeline_tag: text-generation"
    yield f"tags: [{'lora, ' if not source.is_full else ''}ftui]"
    if licence:
        yield f"license: {licence}"
    yield "---"
    yield ""


def _base_name(source: Source) -> str:
    """A hub model's name, a folder's last part: where it lies is nobody's business."""
    name = _identity(source).get("model") or source.base
    return _plain(Path(name).name if Path(name).is_absolute() or Path(name).exists() else name)


def _identity(source: Source) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(content_of(source.run.identity))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _data(source: Source) -> list[str]:
    data, facts = source.recipe.data, source.checkpoint.facts
    lines = [f"- training: {_plain(Path(data.train).name)}, sha256 {facts.get('data_sha256') or _NOT_STATED}"]
    if facts.get("rows"):
        lines[0] += f", {facts['rows']:,} rows"
    if data.val:
        lines.append(
            f"- validation: {_plain(Path(data.val).name)}, sha256 {facts.get('val_sha256') or _NOT_STATED}"
        )
    else:
        lines.append(
            f"- validation: {data.val_fraction:.0%} of the training file"
            if data.val_fraction
            else "- validation: none"
        )
    return lines


def _recipe(recipe: Recipe) -> list[str]:
    lines = ["| option | value |", "|---|---|"]
    for table, names in _TOLD.items():
        if table == "lora" and recipe.train.method == "full":
            continue
        for name in names:
            value = getattr(getattr(recipe, table), name, None)
            if value not in (None, (), [], ""):
                shown = ", ".join(value) if isinstance(value, list | tuple) else str(value)
                lines.append(f"| {table}.{name} | {_plain(shown)} |")
    return lines


def _results(source: Source, evaluations: Sequence[Record]) -> list[str]:
    lines = []
    record = _at(evaluations, source.checkpoint.step)
    if record.get("eval_loss") is not None:
        lines.append(
            f"Validation loss {loss(record['eval_loss'])} (perplexity {perplexity(record['eval_loss'])}) over "
            f"{record.get('rows', 0):,} rows at step {source.checkpoint.step}."
        )
    try:
        path = ComparisonPaths(source.run.report / "compare").result
        result = msgspec.json.decode(content_of(path, _MOST_RESULT), type=Result)
    except (OSError, ValueError):
        return [*lines, "", "It was not compared with the untrained model (ftui compare)."]
    return [*lines, "", *_comparison(result)]


def _comparison(result: Result) -> Iterator[str]:
    plan = result.plan
    yield f"{plan.metric} over {plan.rows:,} held-out rows, with 95 % intervals:"
    yield ""
    yield f"| way | {plan.metric} | interval | against the untrained model |"
    yield "|---|---|---|---|"
    for arm in result.arms:
        score, gain = arm.scores.get(plan.metric), arm.against_base
        if score is not None:
            against = "" if gain is None else f"{gain.gain:+.3f} ({_span(gain.interval, '+.3f')})"
            yield f"| {arm.arm.name} | {score.mean:.3f} | {_span(score.interval, '.3f')} | {against} |"
    yield ""
    yield _plain(result.verdict.says)


def _span(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} to {interval.high:{form}}"


def _forgetting(source: Source, evaluations: Sequence[Record]) -> list[str]:
    before, after = (
        _at(evaluations, 0).get("probe_loss"),
        _at(evaluations, source.checkpoint.step).get("probe_loss"),
    )
    if before is None or after is None:
        return ["Not measured: the recipe names no text for it (eval.forgetting_probe)."]
    return [
        f"On general text the loss went from {loss(before)} to {loss(after)} nats ({after - before:+.4f})."
    ]


def _evaluations(source: Source) -> Sequence[Record]:
    try:
        view = RunView(source.run)
        view.refresh()
    except (InputError, OSError):
        return ()
    return view.evaluations


def _at(evaluations: Sequence[Record], step: int) -> Record:
    return next((one for one in reversed(evaluations) if one.get("step") == step), {})


def _plain(text: str) -> str:
    """Without what Markdown would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text) if re.search(r"[`*\[\]<>|#\\]", text) else text
