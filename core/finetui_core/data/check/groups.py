"""What the rows of one file are to each other: repeats, contradictions, system prompts, lengths, scripts.

Only the eight-byte keys and the sizes that a scan kept are looked at; a row is read again where its text is needed.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import combinations
from typing import Protocol

from finetui_core.data.check.contradictions import REASONS, Reason, contradiction
from finetui_core.data.check.examples import KEPT, Examples, finding
from finetui_core.data.check.findings import Example, Found
from finetui_core.data.check.keys import UNREADABLE, answer, normalised, prompt
from finetui_core.data.conversation import Conversation, Row
from finetui_core.errors import Problem

_AT_ONCE = 250_000  # keys that are grouped at once; bounds the memory to some 30 MB
_ROWS_READ = 20_000  # read again to look for contradictions
_ANSWERS = 12  # of one prompt that are compared with each other
_SAMPLE = 2_000  # answers looked at to learn whether they are labels
_LABELS, _LABEL_LENGTH = 50, 40
_FEWEST_FOR_LENGTHS, _UNUSUAL, _LEAST_SPREAD = 30, 4.5, 0.1

Read = Callable[[int], Row | Problem]


class Scanned(Protocol):
    """What is needed of a scan. `systems` counts rows by system prompt, "" for rows without one."""

    @property
    def rows(self) -> int: ...
    @property
    def sizes(self) -> "array[int]": ...
    @property
    def turns(self) -> "array[int]": ...
    @property
    def row_keys(self) -> "array[int]": ...
    @property
    def prompt_keys(self) -> "array[int]": ...
    @property
    def systems(self) -> Mapping[str, int]: ...
    @property
    def scripts(self) -> Mapping[str, int]: ...
    def line_of(self, row: int) -> int: ...


def group_found(scan: Scanned, read: Read, file: int = 0) -> list[Found]:
    """What the rules about rows of one file find, near-duplicates aside. `file` is its place in the report."""
    results = [
        _exact_duplicates(scan, file),
        *_same_prompts(scan, read, file),
        _system_prompts(scan),
        _lengths(scan, file),
        _scripts(scan),
    ]
    return [one for one in results if one is not None]


def repeated(keys: Sequence[int]) -> Iterator[list[int]]:
    """The rows of each key that occurs more than once, ascending; memory for a part of the keys at a time."""
    parts = -(-len(keys) // _AT_ONCE)
    rows = [array("I") for _ in range(parts)]
    for row, key in enumerate(keys):
        if key != UNREADABLE:
            rows[key % parts].append(row)
    while rows:
        first: dict[int, int] = {}
        groups: dict[int, list[int]] = {}
        for row in rows.pop(0):
            earlier = first.setdefault(keys[row], row)
            if earlier != row:
                groups.setdefault(earlier, [earlier]).append(row)
        yield from groups.values()


def label_set(scan: Scanned, read: Read) -> Set[str]:
    """The labels, if the answers of this set are a few short values again and again; else nothing."""
    step = max(1, scan.rows // _SAMPLE)
    texts: list[str] = []
    for row in range(0, scan.rows, step):
        found = read(row) if scan.turns[row] else None
        if isinstance(found, Conversation):
            texts.append((answer(found) or "").strip())
    labels = Counter(text for text in texts if 0 < len(text) <= _LABEL_LENGTH)
    many = len(texts) >= 50 and labels.total() >= 0.95 * len(texts)
    if not many or len(labels) > _LABELS or len(labels) * 5 > len(texts):
        return frozenset()
    return frozenset(label for label, count in labels.items() if count > 1)


def _exact_duplicates(scan: Scanned, file: int) -> Found | None:
    count, examples = 0, Examples()
    for rows in repeated(scan.row_keys):
        count += len(rows) - 1
        for row in rows[1:KEPT]:
            examples.add((row,), Example(file, row, scan.line_of(row), other=rows[0], other_file=file))
    return finding("exact_duplicate", count, scan.rows, "", examples)


def _same_prompts(scan: Scanned, read: Read, file: int) -> list[Found | None]:
    """Prompts with several answers, and those among them whose answers contradict each other."""
    labels = label_set(scan, read)
    prompts = repeated_rows = rows_read = skipped = 0
    repeats, contradicting = Examples(), Examples()
    reasons: Counter[Reason] = Counter()
    contradictory = 0
    for group in repeated(scan.prompt_keys):
        rows = _one_of_each(scan, (row for row in group if scan.turns[row]))
        if len(rows) < 2:
            continue
        prompts += 1
        repeated_rows += len(rows)
        repeats.add((rows[1],), Example(file, rows[1], scan.line_of(rows[1]), other=rows[0], other_file=file))
        if rows_read >= _ROWS_READ:
            skipped += 1
            continue
        rows_read += min(len(rows), _ANSWERS)
        rank = _contradictions(read, rows[:_ANSWERS], labels)
        contradictory += len({row for _, first, second in rank for row in (first, second)})
        for reason, first, second in rank:
            reasons[reason] += 1
            contradicting.add(
                (REASONS.index(reason), second),
                Example(file, second, scan.line_of(second), "", reason, first, file),
            )
    note = ", ".join(f"{reasons[reason]:,} by {reason}" for reason in REASONS if reasons[reason])
    if skipped:
        note += f"; {skipped:,} more prompts were not looked at"
    return [
        finding(
            "repeated_prompt",
            repeated_rows,
            scan.rows,
            f"{prompts:,} {'prompt' if prompts == 1 else 'prompts'}",
            repeats,
        ),
        finding("contradiction", contradictory, scan.rows, note, contradicting),
    ]


def _one_of_each(scan: Scanned, rows: Iterable[int]) -> list[int]:
    """The first row of each that is not an exact duplicate."""
    return list({scan.row_keys[row]: row for row in reversed(list(rows))}.values())[::-1]


def _contradictions(read: Read, rows: Sequence[int], labels: Set[str]) -> list[tuple[Reason, int, int]]:
    """Each distinct answer is compared with every other."""
    answers: dict[str, tuple[int, str]] = {}
    for row in rows:
        found = read(row)
        text = answer(found) if isinstance(found, Conversation) else None
        if text is not None and isinstance(found, Conversation):
            turns = prompt(found)
            answers.setdefault(text.strip(), (row, turns[-1].content if turns else ""))
    pairs = []
    for (first, (row, asked)), (second, (other, _)) in combinations(answers.items(), 2):
        reason = contradiction(asked, first, second, labels)
        if reason:
            pairs.append((reason, row, other))
    return pairs


def _system_prompts(scan: Scanned) -> Found | None:
    """Rows that have another system prompt than most, or none where others have one."""
    chats = sum(1 for turns in scan.turns if turns)
    missing = scan.systems.get("", 0)
    prompts = Counter({text: rows for text, rows in scan.systems.items() if text})
    having = chats - missing
    if having <= 0 or (not missing and len(prompts) < 2):
        return None
    most = prompts.most_common(1)[0][1] if prompts else 0
    mixed = missing > 0
    rare = not mixed and most >= 0.8 * chats
    variants = _variants(prompts)
    if not (mixed or rare or variants):
        return None
    note = (
        f"{_percent(missing, chats)} of the rows have none, {_percent(most, chats)} the most frequent one"
        f"{f', {_percent(having - most, chats)} another' if having > most else ''}"
    )
    if variants:
        note += f"; {variants:,} of the frequent ones differ in case, spaces or punctuation only"
    return finding(
        "mixed_system_prompts", min(missing or chats, having) if mixed else chats - most, chats, note
    )


def _variants(prompts: Iterable[str]) -> int:
    """How many are another one but for case, spaces and punctuation."""
    seen = [normalised(text) for text in prompts]
    return len(seen) - len(set(seen))


def _lengths(scan: Scanned, file: int) -> Found | None:
    """Rows whose size is far from the median, by the logarithm and the median absolute deviation."""
    sizes = Counter(size for size, key in zip(scan.sizes, scan.row_keys, strict=True) if key and size)
    if sizes.total() < _FEWEST_FOR_LENGTHS:
        return None
    middle = _median({math.log(size): rows for size, rows in sizes.items()})
    deviations: Counter[float] = Counter()
    for size, rows in sizes.items():
        deviations[abs(math.log(size) - middle)] += rows
    spread = max(1.4826 * _median(deviations), _LEAST_SPREAD)
    least, most = math.exp(middle - _UNUSUAL * spread), math.exp(middle + _UNUSUAL * spread)
    short = sum(rows for size, rows in sizes.items() if size < least)
    long = sum(rows for size, rows in sizes.items() if size > most)
    if not short and not long:
        return None
    examples = Examples()
    for row, size in enumerate(scan.sizes):
        if scan.row_keys[row] and size and not least <= size <= most:
            away = abs(math.log(size) - middle) / spread
            examples.add((-away, row), Example(file, row, scan.line_of(row), "", f"{size:,} bytes"))
    note = f"{long:,} long, {short:,} short; the median is {math.exp(middle):,.0f} bytes"
    return finding("length_outlier", short + long, scan.rows, note, examples)


def _median(counts: Mapping[float, int]) -> float:
    half, passed = sum(counts.values()) / 2, 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= half:
            return value
    return 0.0


def _scripts(scan: Scanned) -> Found | None:
    ranked = sorted(
        ((script, rows) for script, rows in scan.scripts.items() if script), key=lambda item: -item[1]
    )
    total = sum(rows for _, rows in ranked)
    if len(ranked) < 2 or not total:
        return None
    note = ", ".join(f"{_percent(rows, total)} {script}" for script, rows in ranked[:6])
    return finding("language_mix", total - ranked[0][1], total, note)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 1 or not part else f"{share:.2g}%"
