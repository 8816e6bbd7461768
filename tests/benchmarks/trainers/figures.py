"""From the records of processes to figures: which may be compared, how they compare, and the tables that say so."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import Case
from systems import SYSTEMS

BASE = "ours"
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-3}
"""How far a loss may be from ours, relative to it. One bfloat16 logit is rounded by up to 4e-3."""
Record = dict[str, Any]
"""What one process did: see `run.record_of`."""


def read_records(path: Path) -> list[Record]:
    """The records of a results file; a last line that a broken run left unfinished is left out."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def place(case: dict[str, Any], number: int, system: str) -> str:
    """What a record is of: its case, round and system."""
    return json.dumps([case, number, system], sort_keys=True)


def counted(record: Record) -> list[dict[str, Any]]:
    """The steps after the warm-up."""
    return list(record["steps"][record["case"]["warmup"] :])


def tokens_per_second(record: Record, of: str = "seconds") -> float:
    """Tokens that are no padding, over the clock's seconds of the counted steps, or over the processor's ("cpu")."""
    steps = counted(record)
    return float(sum(one["tokens"] for one in steps) / sum(one[of] for one in steps))


def evaluated_per_second(record: Record) -> float:
    return float(record["evaluation"]["tokens"] / record["evaluation"]["seconds"])


def reason_not_comparable(record: Record, base: Record) -> str:
    """Why a process did not do the same work as ours did in the same round; "" where it did.

    Compared are, for every step, its tokens, those that carry loss and the loss, and the validation loss.
    """
    allowed = TOLERANCE[record["case"]["dtype"]]
    if len(record["steps"]) != len(base["steps"]):
        return f"it did {len(record['steps'])} steps, not {len(base['steps'])}"
    pairs = [
        (f"step {number}", one, other)
        for number, (one, other) in enumerate(zip(record["steps"], base["steps"], strict=True), 1)
    ]
    pairs.append(("the validation", record["evaluation"], base["evaluation"]))
    for where, one, other in pairs:
        for kind in ("tokens", "supervised"):
            if one[kind] != other[kind]:
                return f"{where} had {one[kind]} {_KINDS[kind]}, not {other[kind]}"
        difference = relative_difference(one["loss"], other["loss"])
        if not difference <= allowed:
            return f"the loss of {where} differs by {difference:.1e}, more than {allowed:.0e}"
    return ""


_KINDS = {"tokens": "tokens", "supervised": "tokens with loss"}


def relative_difference(loss: float, base: float) -> float:
    """|loss - base| / |base|; NaN where either is."""
    return abs(loss - base) / abs(base)


def largest_difference(record: Record, base: Record) -> float:
    """The largest relative difference of a step's loss from that of ours."""
    pairs = zip(record["steps"], base["steps"], strict=False)
    return max(relative_difference(one["loss"], other["loss"]) for one, other in pairs)


@dataclass(frozen=True)
class Row:
    """A system's medians over its rounds.

    `faster` and `evaluates_faster` are how many times as many tokens a second ours has, one for each round, and
    `cheaper` how many times as many a second of the processor; empty where the work was not the same, and `problem`
    says why. Where the system cannot keep the rows of a step together by design, they are there and `apart` is true.
    `loss_difference` is the largest in any round.
    """

    system: str
    seconds: float
    cpu: float
    rate: float
    peak_rss: float
    first_step: float
    evaluated: float
    faster: tuple[float, ...]
    cheaper: tuple[float, ...]
    evaluates_faster: tuple[float, ...]
    loss_difference: float | None
    apart: bool
    problem: str


def rows_of(records: Sequence[Record]) -> list[Row]:
    """A row for each system of one case, in the order of `SYSTEMS`."""
    base = {one["round"]: one for one in records if one["system"] == BASE and not one["problem"]}
    found = []
    for system in SYSTEMS:
        mine = [one for one in records if one["system"] == system]
        if mine:
            found.append(_row(system, mine, base))
    return found


def _row(system: str, records: Sequence[Record], base: dict[int, Record]) -> Row:
    done = [one for one in records if not one["problem"]]
    problems = [one["problem"] for one in records if one["problem"]]
    if not done:
        nothing: tuple[float, ...] = ()
        return Row(system, 0, 0, 0, 0, 0, 0, nothing, nothing, nothing, None, False, problems[0])
    pairs = [(one, base[one["round"]]) for one in done if one["round"] in base]
    is_same = SYSTEMS[system].same_rows
    if is_same:
        problems += [reason for one, other in pairs if (reason := reason_not_comparable(one, other))]
    compared = pairs if not problems else []
    steps = [step for one in done for step in counted(one)]
    return Row(
        system,
        statistics.median(step["seconds"] for step in steps),
        statistics.median(step["cpu"] for step in steps),
        statistics.median(map(tokens_per_second, done)),
        statistics.median(one["peak_rss"] for one in done),
        statistics.median(one["steps"][0]["seconds"] for one in done),
        statistics.median(map(evaluated_per_second, done)),
        tuple(tokens_per_second(other) / tokens_per_second(one) for one, other in compared),
        tuple(tokens_per_second(other, "cpu") / tokens_per_second(one, "cpu") for one, other in compared),
        tuple(evaluated_per_second(other) / evaluated_per_second(one) for one, other in compared),
        max((largest_difference(one, other) for one, other in pairs), default=None) if is_same else None,
        not is_same,
        problems[0] if problems else "",
    )


# Markdown

HEADS = (
    "system",
    "s a step",
    "processor s a step",
    "tokens/s",
    "ftui is faster by",
    "by processor time",
    "peak MB",
    "first step after s",
    "evaluation tokens/s",
    "ftui evaluates faster by",
    "loss apart by",
)


def tables(records: Iterable[Record]) -> str:
    """For each command that was run, and each case of it, a table; with dates, versions and the machine.

    Of a process that was run again, as one that failed is when its command goes on, the last record counts.
    """
    by_run: dict[str, dict[str, Record]] = {}
    for record in records:
        own = by_run.setdefault(json.dumps([record["command"], record["run"]]), {})
        own[place(record["case"], record["round"], record["system"])] = record
    return "\n\n".join(_section(list(own.values())) for own in by_run.values())


def _section(records: Sequence[Record]) -> str:
    first = records[0]
    versions = {name: value for one in records for name, value in one["versions"].items()}
    machine = first["machine"]
    dates, loads = [one["date"] for one in records], [one["load"] for one in records]
    parts = [
        f"`{first['command']}`",
        f"{_range(dates)}; {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{first['threads']} threads; load before a process {min(loads):.1f} to {max(loads):.1f} "
        f"(median {statistics.median(loads):.1f}). {_versions(records, versions)}.",
    ]
    by_case: dict[str, list[Record]] = {}
    for record in records:
        by_case.setdefault(json.dumps(record["case"], sort_keys=True), []).append(record)
    if len(by_case) > 1:
        parts.append(_summary(list(by_case.values())))
    parts += [_table(own) for own in by_case.values()]
    return "\n\n".join(parts)


def _range(dates: Sequence[str]) -> str:
    return min(dates) if min(dates) == max(dates) else f"{min(dates)} to {max(dates)}"


def _summary(cases: Sequence[Sequence[Record]]) -> str:
    """How many times as fast ours is in each case; and its memory, as a share of the least that another needs."""
    shown = [one for one in SYSTEMS if one != BASE and any(r["system"] == one for own in cases for r in own)]
    lines = [
        f"| ftui is faster by | {' | '.join(SYSTEMS[one].title for one in shown)} | memory |",
        f"|{'---|' * (len(shown) + 2)}",
    ]
    for own in cases:
        rows = {row.system: row for row in rows_of(own)}
        times = [
            f"{statistics.median(rows[one].faster):.2f}" if one in rows and rows[one].faster else "–"
            for one in shown
        ]
        others = [row.peak_rss for row in rows.values() if row.system != BASE and row.peak_rss]
        memory = f"{rows[BASE].peak_rss / min(others):.2f}" if BASE in rows and others else "–"
        lines.append(f"| {Case(**own[0]['case']).title} | {' | '.join(times)} | {memory} |")
    return "\n".join(lines)


def _versions(records: Sequence[Record], versions: dict[str, str]) -> str:
    """The versions that all share, then what a system has of its own."""
    differing = {
        name
        for name in versions
        if len({one["versions"][name] for one in records if name in one["versions"]}) > 1
    }
    said = [f"{name} {value}" for name, value in versions.items() if name not in differing]
    states = list(dict.fromkeys(one["code"] for one in records if one["system"] == BASE and one.get("code")))
    if states:
        said.append(f"core/finetui_core at {', '.join(states)}")
    for system in SYSTEMS:
        own = next((one["versions"] for one in records if one["system"] == system and one["versions"]), {})
        apart = [f"{name} {own[name]}" for name in sorted(differing) if name in own]
        if apart:
            said.append(f"{SYSTEMS[system].title} with {', '.join(apart)}")
    return "; ".join(said)


def _table(records: Sequence[Record]) -> str:
    case = Case(**records[0]["case"])
    rounds = len({one["round"] for one in records})
    lines = [
        f"**{case.title}**, {case.steps} steps after {case.warmup} of warm-up, {rounds} round{'s'[: rounds > 1]}",
        "",
        f"| {' | '.join(HEADS)} |",
        f"|{'---|' * len(HEADS)}",
    ]
    notes = []
    for row in rows_of(records):
        lines.append(f"| {' | '.join(_cells(row))} |")
        if row.problem:
            notes.append(f"{SYSTEMS[row.system].title}: not comparable: {row.problem}.")
        elif row.apart:
            notes.append(f"{SYSTEMS[row.system].title}: {SYSTEMS[row.system].note}.")
    return "\n".join([*lines, *(["", *(f"- {note}" for note in notes)] if notes else [])])


def _cells(row: Row) -> tuple[str, ...]:
    title = SYSTEMS[row.system].title
    if not row.rate:
        return (title, *("–" for _ in HEADS[1:]))
    is_base = row.system == BASE
    return (
        title,
        f"{row.seconds:.2f}",
        f"{row.cpu:.2f}",
        f"{row.rate:,.0f}",
        "" if is_base else _times(row.faster),
        "" if is_base else _times(row.cheaper),
        f"{row.peak_rss / 1e6:,.0f}",
        f"{row.first_step:.1f}",
        f"{row.evaluated:,.0f}",
        "" if is_base else _times(row.evaluates_faster),
        "" if is_base else "other rows" if row.loss_difference is None else f"{row.loss_difference:.0e}",
    )


def _times(ratios: Sequence[float]) -> str:
    if not ratios:
        return "–"
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):.2f}{spread}"
