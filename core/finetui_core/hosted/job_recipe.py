"""A finished hosted job told as a recipe for an open model and the same data.

A provider's settings are carried over where they mean the same here, and named in comments where they do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomlkit

from finetui_core.data.chat_limits import ChatFile, check_chat_file
from finetui_core.data.mend.source import is_json_lines, source_rows
from finetui_core.errors import InputError, Problem
from finetui_core.hosted.shapes import Job
from finetui_core.recipe.load import parse_recipe
from finetui_core.recipe.wording import printable
from finetui_core.runs.records import content_of

PLACEHOLDER = "owner/name"
_MOST_ROWS_AT_ONCE = 8
_OTHER_FILE = 2.0
"""So many times more or fewer tokens than the estimate's ends allow: then the file is hardly that of the job."""


@dataclass(frozen=True, slots=True)
class JobRecipe:
    """The recipe's text, and what a person should look at."""

    text: str
    notes: tuple[str, ...]


def read_job(path: Path) -> Job:
    """The job in a file as the API gives it. Raises InputError where it is none, or not one that trains on chats."""
    try:
        content = content_of(path)
    except OSError as error:
        raise InputError(Problem(f"the file cannot be read: {error.strerror}", str(path))) from error
    try:
        job = msgspec.json.decode(content, type=Job)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "It is what GET /fine_tuning/jobs/ID answers; ftui hosted list --json has each job as well."
        raise InputError(Problem(f"this is no job: {error}", str(path), hint)) from error
    if job.method is not None and job.method.type != "supervised":
        hint = "Only training on given answers can be carried over."
        raise InputError(Problem(f'the job trained by the method "{job.method.type[:40]}"', str(path), hint))
    return job


def job_recipe(job: Job, train: str, val: str | None, model: str | None, folder: Path) -> JobRecipe:
    """The recipe, checked as any is; `folder` is where it will lie. Raises InputError for faulty rows or options."""
    found = check_chat_file(train, most_tokens=2**53)
    weights = _weights(train)
    lines = [
        f"# Made from the hosted job {printable(job.id)} ({printable(job.status)}),",
        f"# which trained {printable(job.model)}.",
        "# The weights of a hosted model cannot be had: this trains an open model on the same data.",
        "",
        "[model]",
        _line("name", model or PLACEHOLDER, "" if model else "put an open model here: a hub id, or a folder"),
        "",
        "[data]",
        _line("train", train),
        *_validation(job, val),
    ]
    if weights.only_last:
        lines.append(
            _line("train_on", "last", "the weights of the turns say that only the last answer is learned")
        )
    lines += ["", "[train]", 'method = "lora"', *_settings(job)]
    text = "\n".join(lines) + "\n"
    parse_recipe(text, "the new recipe", folder)
    return JobRecipe(text, tuple(_notes(job, found, weights, train, val, model)))


def _settings(job: Job) -> Iterator[str]:
    settings = job.settings
    if isinstance(settings.n_epochs, int | float):
        yield _line("num_train_epochs", settings.n_epochs, "n_epochs of the job")
    else:
        yield f"# num_train_epochs            # n_epochs was {_shown(settings.n_epochs)}: ftui chooses by the rows"
    batch = settings.batch_size
    if isinstance(batch, int) and batch >= 1:
        rows = max(one for one in range(1, min(batch, _MOST_ROWS_AT_ONCE) + 1) if batch % one == 0)
        yield _line(
            "per_device_train_batch_size",
            rows,
            f"batch_size of the job was {batch}: this times the next line",
        )
        yield _line("gradient_accumulation_steps", batch // rows)
    else:
        yield f"# per_device_train_batch_size # batch_size was {_shown(batch)}: ftui's default holds"
    rate = _shown(settings.learning_rate_multiplier)
    yield f"# learning_rate               # learning_rate_multiplier was {rate}. It multiplies a rate that the"
    yield "#                             # provider does not publish, so it has no value here: ftui chooses by the"
    yield "#                             # size of the model, and `ftui sweep` tries others"
    if job.seed is not None and 0 <= job.seed < 2**32:
        yield _line("seed", job.seed, "seed of the job; the order of rows is another one all the same")


def _validation(job: Job, val: str | None) -> Iterator[str]:
    if val is not None:
        yield _line("val", val)
    elif job.validation_file is not None:
        yield f"# val                         # the job had {printable(job.validation_file)}: name it with --val"
    else:
        yield "val_fraction = 0.0            # the job had none; left out, ftui keeps some of the training rows"


def _notes(
    job: Job, found: ChatFile, weights: "_Weights", train: str, val: str | None, model: str | None
) -> Iterator[str]:
    if job.status != "succeeded":
        state = printable(job.status)
        yield f"The job has not succeeded ({state}): its settings may be those that were asked for, not used."
    if model is None:
        yield f'model.name is "{PLACEHOLDER}": put an open model there, or name one with --model.'
    if job.validation_file is not None and val is None:
        yield "The job had a validation file, and none is named: add it with --val."
    if weights.unlearned and not weights.only_last:
        yield (
            f"{weights.unlearned:,} answers in {train} have weight 0, and no option here leaves out single turns: "
            "they would be learned. Remove them, or divide those rows."
        )
    for problem in found.problems:
        yield f"{problem.where}: {problem.what}"
    epochs = job.settings.n_epochs
    if job.trained_tokens and isinstance(epochs, int | float) and epochs > 0:
        few, _, many = found.tokens
        once = job.trained_tokens / epochs
        if not few / _OTHER_FILE <= once <= many * _OTHER_FILE:
            yield (
                f"The job trained {job.trained_tokens:,} tokens, {once:,.0f} an epoch, and {train} has {few:,} to "
                f"{many:,}: is it the file of the job?"
            )


@dataclass(slots=True)
class _Weights:
    unlearned: int = 0
    only_last: bool = False


def _weights(source: str) -> _Weights:
    """How many answers are not learned, and whether these are all but the last one of every row."""
    found = _Weights()
    pattern_holds = True
    for item in source_rows(source, json_lines=is_json_lines(source)):
        turns = (item.value or {}).get("messages")
        answers = (
            [one for one in turns if isinstance(one, dict) and one.get("role") == "assistant"]
            if isinstance(turns, list)
            else []
        )
        learned = [one.get("weight", 1) != 0 for one in answers]
        found.unlearned += learned.count(False)
        if learned and learned != [False] * (len(learned) - 1) + [True]:
            pattern_holds = False
    found.only_last = bool(found.unlearned) and pattern_holds
    return found


def _line(name: str, value: Any, comment: str = "") -> str:
    written = f"{name} = {tomlkit.item(value).as_string()}"
    return f"{written:<29} # {comment}" if comment else written


def _shown(value: Any) -> str:
    return "not told" if value is None else printable(value)
