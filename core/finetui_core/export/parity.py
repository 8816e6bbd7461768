"""Whether what ships behaves as what was trained: the same prompts through the run and through the exported files.

The run is loaded as ftui evaluates it, its base with the adapter or its own weights; the exported files are loaded
afresh in a process of their own by plain transformers and peft.
"""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file

from finetui_core.errors import first_line
from finetui_core.export import causes
from finetui_core.export.adapter_file import CONFIG
from finetui_core.export.child import Request
from finetui_core.export.differences import differing, logits_apart, parting
from finetui_core.export.side import Read, Side
from finetui_core.export.source import Source, base_folder
from finetui_core.export.trained import Trained, trained_side
from finetui_core.export.weights import shards_of
from finetui_core.export.weights_cause import cause_of_logits
from finetui_core.files import private_folder, write_atomically
from finetui_core.recipe.remote_code import may_run_code
from finetui_core.runs.command import child_environment
from finetui_core.train.shortage import free_cached

PARITY = "parity.json"
TOLERANCE = {"float32": 1e-4, "float16": 0.06, "bfloat16": 0.5}
"""The largest difference of a logit, by the coarser of the type that was computed in and that of the files."""
_FLIPPED = 10
"""How many times the tolerance of the computation is allowed to weights that were merged in another order before they
were rounded: now and then one of them is rounded the other way."""


class Parity(msgspec.Struct, frozen=True):
    """What the check found. `differing` of `ids` token ids differ; `largest` is the largest difference of a logit,
    None where none could be compared. `cause` is "" where all agrees, `first` where the first difference is."""

    agrees: bool
    says: str
    prompts: int
    ids: int
    differing: int
    largest: float | None
    tolerance: float
    cause: str = ""
    first: str = ""
    notes: tuple[str, ...] = ()
    checkpoint: int = 0
    run: str = ""


Further = Callable[[Trained, Side], list[Read]]
"""How another reader of the exported files than transformers reads the prompts."""


def check(
    source: Source, folder: Path, told: Callable[[str], None], further: Further | None = None
) -> Parity:
    """Compare an exported adapter or model in `folder` with the run, and write parity.json there.

    Raises InputError where the run itself cannot be loaded.
    """
    told("asking the run")
    stored = None if (folder / CONFIG).is_file() else _stored(source)
    coarser = stored is not None and TOLERANCE[str(stored).removeprefix("torch.")] > TOLERANCE["float32"]
    trained = trained_side(source, stored if coarser and not source.is_full else None)
    gc.collect()  # the two sides are never in memory together
    free_cached()
    told("asking the exported files, loaded afresh")
    names = {trained.dtype, str(stored or torch.float32).removeprefix("torch.")}
    found = _compared(source, folder, trained, max(TOLERANCE[name] for name in names), further)
    write_parity(folder, found)
    return found


def write_parity(folder: Path, parity: Parity) -> None:
    content = msgspec.json.format(msgspec.json.encode(parity), indent=1) + b"\n"
    write_atomically(folder / PARITY, content)


def _stored(source: Source) -> torch.dtype:
    """The type of the whole model's files: that of the largest tensor of those that it is made of."""
    folder = source.checkpoint.path if source.is_full else base_folder(source)
    dtype, _ = max(shards_of(folder).tensors.values(), key=lambda one: prod(one[1]))
    return dtype if str(dtype).removeprefix("torch.") in TOLERANCE else torch.float32


def _compared(
    source: Source, folder: Path, trained: Trained, tolerance: float, further: Further | None
) -> Parity:
    with TemporaryDirectory(prefix="ftui-parity-") as place:
        shipped = _shipped(source, folder, trained, private_folder(Path(place)))
        if isinstance(shipped, str):
            return differs(source, trained, tolerance, causes.UNREADABLE, shipped)
        side, logits = shipped
        in_texts = texts_compared(source, trained, side, tolerance)
        if in_texts.agrees and further is not None:
            other = msgspec.structs.replace(side, reads=further(trained, side))
            in_texts = texts_compared(source, trained, other, tolerance)
        if not in_texts.agrees:
            return in_texts
        return _answers_compared(source, folder, trained, side, logits, in_texts)


def _shipped(
    source: Source, folder: Path, trained: Trained, place: Path
) -> tuple[Side, dict[str, torch.Tensor]] | str:
    """The side of the exported files, or why they cannot be loaded."""
    is_adapter = (folder / CONFIG).is_file()
    request = Request(
        folder=str(folder),
        base=str(base_folder(source)) if is_adapter else None,
        dtype=trained.dtype,
        trusted=may_run_code(source.recipe.model),
        asked=trained.asked,
    )
    return ask_child(request, place)


def ask_child(request: Request, place: Path) -> tuple[Side, dict[str, torch.Tensor]] | str:
    """What a process of its own, which loads the files afresh, answers; or why it could not."""
    names = ("request.json", "answer.json", "logits.safetensors")
    asked, answer, logits = (place / name for name in names)
    write_atomically(asked, msgspec.json.encode(request), durable=False)
    command = [sys.executable, "-m", "finetui_core.export.child", *map(str, (asked, answer, logits))]
    environment = child_environment() | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"its process ended with code {ended.returncode}"
    return msgspec.json.decode(answer.read_bytes(), type=Side), load_file(logits)


def texts_compared(source: Source, trained: Trained, shipped: Side, tolerance: float) -> Parity:
    """Whether text and token ids of every prompt are the same; the first difference and its cause where not."""
    before = {read.name: read for read in trained.side.reads}
    after = {read.name: read for read in shipped.reads}
    differ, named, first = 0, [], ""
    for asked in trained.asked:
        one, other = before[asked.name], after[asked.name]
        count = differing(one.prompt_ids, other.prompt_ids) + differing(one.whole_ids, other.whole_ids)
        refused = bool(one.refused) != bool(other.refused)
        if count or refused or one.prompt_text != other.prompt_text:
            differ += count
            first = first or _where(asked.name, one, other, shipped, trained.side)
            named.append(causes.cause_in_texts(asked, one, other, trained.side, shipped))
    if named:
        return differs(source, trained, tolerance, causes.most_telling(named), first, differ)
    if trained.side.plain_ids != shipped.plain_ids:
        cause = causes.cause_in_plain_text(trained.side, shipped)
        return differs(source, trained, tolerance, cause, "a text without a template is read otherwise", 1)
    if trained.side.tokens != shipped.tokens:
        first = f"its tokenizer has {shipped.tokens:,} tokens, and the run's {trained.side.tokens:,}"
        return differs(source, trained, tolerance, causes.VOCABULARY, first)
    return agrees(source, trained, tolerance, None)


def _where(name: str, one: Read, other: Read, shipped: Side, trained: Side) -> str:
    if one.refused or other.refused:
        side, why = ("run", one.refused) if one.refused else ("export", other.refused)
        return f"the template of the {side} cannot show the prompt {name!r}: {first_line(ValueError(why))}"
    ids, others = one.prompt_ids, other.prompt_ids
    if ids == others:
        ids, others = one.whole_ids, other.whole_ids
    at = parting(ids, others)
    expected = trained.pieces.get(ids[at], "") if at < len(ids) else "the end"
    found = shipped.pieces.get(others[at], "") if at < len(others) else "the end"
    return f"of the prompt {name!r} token {at + 1} is {found!r}, and the run has {expected!r}"


def _answers_compared(
    source: Source,
    folder: Path,
    trained: Trained,
    shipped: Side,
    logits: Mapping[str, torch.Tensor],
    so_far: Parity,
) -> Parity:
    before, tolerance = trained.side, so_far.tolerance
    if cause := causes.cause_in_weights(before, shipped):
        first = (
            f"{len(shipped.missing)} tensors, such as {shipped.missing[0]}"
            if shipped.missing
            else (f"{shipped.rows} tokens, and the run has {before.rows}")
        )
        return differs(source, trained, tolerance, cause, first)
    expected = trained.rounded or trained.logits
    allowed = _FLIPPED * TOLERANCE[trained.dtype] if trained.rounded else tolerance
    apart, where = logits_apart(expected, logits)
    if not apart <= allowed:
        cause = cause_of_logits(source, folder, trained, logits, allowed)
        first = f"logits of the prompt {where!r} differ by up to {apart:.2g}"
        return differs(source, trained, allowed, cause, first, largest=apart)
    largest, where = logits_apart(trained.logits, logits)
    if not largest <= tolerance:
        first = f"logits of the prompt {where!r} differ by up to {largest:.2g}"
        return differs(source, trained, tolerance, causes.ROUNDING, first, largest=largest)
    if missing := sorted({*_own_end(trained)} - {*shipped.ends}):
        first = f"{before.pieces.get(missing[0], missing[0])!r} is not among them"
        return differs(source, trained, tolerance, causes.NOT_STOPPING, first, largest=largest)
    notes = []
    for name, answer in before.greedy.items():
        found = _until_end(shipped.greedy.get(name, []), before.ends)
        if found == answer:
            continue
        at = parting(answer, found)
        if at < len(before.gaps[name]) and before.gaps[name][at] <= 2 * tolerance:
            notes.append(
                f"The answer to {name!r} parts at token {at + 1}, where two tokens are equally likely."
            )
            continue
        first = f"the greedy answer to {name!r} is another one from token {at + 1} on"
        return differs(source, trained, tolerance, causes.OTHER_WEIGHTS, first, largest=largest)
    return agrees(source, trained, tolerance, largest, notes)


def _own_end(trained: Trained) -> Iterator[int]:
    """The token by which answers end in the trained template: the last special one of a whole conversation."""
    for one in trained.side.reads:
        for token in reversed(one.whole_ids):
            if token in trained.side.ends:
                yield token
                break


def _until_end(ids: list[int], ends: list[int]) -> list[int]:
    return ids[: next((at for at, token in enumerate(ids) if token in ends), len(ids))]


def _ids(trained: Trained) -> int:
    return sum(len(read.prompt_ids) + len(read.whole_ids) for read in trained.side.reads)


def agrees(
    source: Source,
    trained: Trained,
    tolerance: float,
    largest: float | None,
    notes: list[str] | None = None,
    limit: str = "",
) -> Parity:
    """`limit` says where it does not hold, which the prompts do not show."""
    ids, count = _ids(trained), len(trained.asked)
    refused = [read.name for read in trained.side.reads if read.refused]
    if refused:
        said = f"The trained template refuses, and so does the exported one: {', '.join(refused)}."
        notes = [*(notes or []), said]
    logits = "" if largest is None else f", largest logit difference {largest:.1g} (at most {tolerance:g})"
    found = f"{count} prompts, 0 of {ids:,} token ids differ{logits}"
    says = f"What ships behaves as what was trained{limit}: {found}."
    return _parity(source, True, says, trained, tolerance, largest=largest, notes=tuple(notes or ()))


def differs(
    source: Source,
    trained: Trained,
    tolerance: float,
    cause: str,
    first: str,
    differing: int = 0,
    largest: float | None = None,
) -> Parity:
    says = f"What ships differs from what was trained: {cause} ({first})."
    return _parity(
        source,
        False,
        says,
        trained,
        tolerance,
        cause=cause,
        first=first,
        differing=differing,
        largest=largest,
    )


def _parity(
    source: Source, well: bool, says: str, trained: Trained, tolerance: float, **found: Any
) -> Parity:
    return Parity(
        agrees=well,
        says=says,
        prompts=len(trained.asked),
        ids=_ids(trained),
        tolerance=tolerance,
        checkpoint=source.checkpoint.step,
        run=source.run.id,
        **{"differing": 0, "largest": None, **found},
    )
