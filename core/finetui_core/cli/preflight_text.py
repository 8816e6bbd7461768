"""A preflight report as text of at most 80 columns: the verdict, then what it rests on."""

import textwrap
from collections.abc import Iterator

from finetui_core.cli.say import table
from finetui_core.preflight.cost import money
from finetui_core.preflight.figures import Duration, HostedPrice, Kind, Knob, Memory, Phase, Report
from finetui_core.preflight.settings import settings
from finetui_core.preflight.verdict import ERROR
from finetui_core.wording import size

WIDTH = 80
PHASES: tuple[Phase, ...] = ("load", "train", "evaluate", "save", "merge")
KINDS: tuple[Kind, ...] = ("weights", "adapter", "gradients", "optimizer", "activations", "logits")
_FITS = {"fits": "fits", "tight": "tight", "does_not_fit": "does not fit"}
_STAGES = {
    "formula": "a closed formula",
    "trace": "a trace of the real model and its longest batch",
    "probe": "true steps on this machine",
}


def report_lines(report: Report) -> Iterator[str]:
    """All lines of a report."""
    if report.verdict is not None:
        yield from wrapped(report.verdict.says)
    if report.memory is not None:
        yield ""
        yield from memory_lines(report.memory)
    if report.knobs:
        yield ""
        yield "What lowers it, the cheapest first:"
        for number, knob in enumerate(report.knobs, 1):
            yield from _knob_lines(number, knob)
    yield from _fact_lines(report)
    for note in report.notes:
        yield from wrapped(f"note: {note}")


def memory_lines(memory: Memory) -> Iterator[str]:
    """The peaks of tensors by phase and kind."""
    phases = [phase for phase in PHASES if phase in memory.peaks]
    rows = [
        [
            kind,
            *(size(memory.peaks[phase][kind]) if memory.peaks[phase].get(kind) else "" for phase in phases),
        ]
        for kind in KINDS
        if any(memory.peaks[phase].get(kind) for phase in phases)
    ]
    rows.append(["in all", *(size(sum(memory.peaks[phase].values())) for phase in phases)])
    yield from table(["at the peak", *phases], rows)
    error, took = ERROR[memory.stage], memory.seconds
    asked = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.1f} ms"
    yield from wrapped(f"Tensors by {_STAGES[memory.stage]}, within {error:.0%}; in {asked}.")


def _knob_lines(number: int, knob: Knob) -> Iterator[str]:
    says = f"{knob.name}: {size(knob.peak)}, {size(knob.gain)} less; {_FITS[knob.fit]}"
    yield from textwrap.wrap(says, WIDTH, initial_indent=f"{number:3}  ", subsequent_indent=" " * 5)
    yield from wrapped(f"costs {knob.costs}", 5)
    together = settings(knob.changes).replace("--set ", "--set\N{NO-BREAK SPACE}")
    for line in wrapped(together, 5):
        yield line.replace("\N{NO-BREAK SPACE}", " ")


def _fact_lines(report: Report) -> Iterator[str]:
    facts: list[tuple[str, str]] = []
    if report.host_memory is not None and report.device.kind == "cuda":
        facts.append(("host", f"{size(report.host_memory)} of the machine's own memory while loading"))
    if report.disk is not None:
        facts.append(("disk", report.disk.says))
    if report.duration is not None:
        facts += [("time", report.duration.says), ("steps", _steps(report.duration))]
    if report.cost is not None:
        facts.append(("cost", report.cost.says))
        hosted = [one for one in report.cost.hosted if one.open or "guide" in one.service]
        if hosted:
            facts.append(("hosted", "; ".join(_hosted(one) for one in hosted)))
    if facts:
        yield ""
    for name, says in facts:
        yield from textwrap.wrap(says, WIDTH, initial_indent=f"{name:7}", subsequent_indent=" " * 7)


def _hosted(one: HostedPrice) -> str:
    state = f"as of {one.as_of}" if one.open else f"history of {one.as_of}, closed"
    return f"{one.service}, {one.model}: {money(one.price)} USD ({state})"


def _steps(one: Duration) -> str:
    speed = one.tokens_per_second
    return (
        f"{one.total_steps:,} ({one.steps_per_epoch:,} an epoch of {one.tokens_per_epoch:,} tokens), "
        f"{one.evaluations} evaluations, {one.checkpoints} checkpoints; {speed.low:,.0f} to {speed.high:,.0f} "
        "tokens a second"
    )


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Lines of at most 80 columns."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False
    )
