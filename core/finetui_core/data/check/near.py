"""Rows that are almost the same as another row of their file, and labels that disagree between such rows."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from importlib.util import find_spec

from finetui_core.data.check.differences import KINDS, Kind, kind_of_difference
from finetui_core.data.check.examples import Examples, finding
from finetui_core.data.check.findings import Example, Found
from finetui_core.data.check.groups import Read, Scanned, repeated
from finetui_core.data.check.keys import answer, json_text, prompt
from finetui_core.data.conversation import Conversation, Row, TextDocument
from finetui_core.errors import Problem

RULES = ("near_duplicate", "inconsistent_label", "near_leakage")
"""What cannot be found without numpy."""

_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class NearPair:
    """A row and an earlier one that it is almost the same as; rows that are linked by pairs are a group."""

    row: int
    other: int
    similarity: float
    kind: Kind


def unavailable() -> str:
    """Why near-duplicates cannot be looked for here; "" where they can."""
    return "" if find_spec("numpy") else "near-duplicates need numpy: pip install 'finetui[train]'"


def near_text(row: Row) -> str:
    """What of a row is compared: texts and calls, but not the system prompt and the tools, which many rows share."""
    if isinstance(row, TextDocument):
        return row.text
    parts = []
    for message in row.messages:
        if message.role != "system":
            parts.append(message.content)
            if message.tool_calls:
                parts.append(json_text(message.tool_calls))
    return "\n".join(parts)


def near_pairs(scan: Scanned, rows: Iterable[Row | Problem], read: Read) -> list[NearPair]:
    """Pairs of rows with a similarity of 0.6 or more, exact duplicates aside; the most similar first.

    `rows` are all rows of the file in order; whoever gives them counts them and can end it by raising. Each row but
    the first of a group is in one pair at least. Takes 256 bytes a row; read again are only rows that seem alike.
    """
    from finetui_core.data.check import minhash

    numbers: array[int] = array("I")
    sketches = minhash.sketch(near_text(row) for row in _first_of_each(scan, rows, numbers))

    def text_of(place: int) -> str:
        row = read(numbers[place])
        return "" if isinstance(row, Problem) else near_text(row)

    return [
        NearPair(
            numbers[pair.second],
            numbers[pair.first],
            pair.similarity,
            kind_of_difference(text_of(pair.first), text_of(pair.second)),
        )
        for pair in minhash.similar_pairs(sketches, text_of)
    ]


def near_found(
    scan: Scanned, pairs: Sequence[NearPair], read: Read, labels: Set[str] = frozenset(), file: int = 0
) -> list[Found]:
    """What the pairs of `near_pairs` mean for the report. `labels` are those of `groups.label_set`."""
    near, disagreeing = Examples(), Examples()
    kinds: Counter[Kind] = Counter()
    wrong = 0
    for pair in pairs:
        if labels and _labels_disagree(scan, pair, read, labels):
            wrong += 1
            disagreeing.add((-pair.similarity, pair.row), _example(scan, pair, file))
        else:
            kinds[pair.kind] += 1
            near.add((_RANKS[pair.kind], -pair.similarity, pair.row), _example(scan, pair, file))
    results = [
        finding("near_duplicate", kinds.total(), scan.rows, kinds_note(kinds), near),
        finding("inconsistent_label", wrong, scan.rows, "", disagreeing),
    ]
    return [found for found in results if found]


def kinds_note(kinds: Counter[Kind]) -> str:
    return "; ".join(f"{kinds[kind]:,}: {what}" for kind, what in KINDS.items() if kinds[kind])


def _example(scan: Scanned, pair: NearPair, file: int) -> Example:
    excerpt = f"{KINDS[pair.kind]}; {100 * pair.similarity:.0f}% alike"
    return Example(file, pair.row, scan.line_of(pair.row), "", excerpt, pair.other, file)


def _first_of_each(scan: Scanned, rows: Iterable[Row | Problem], numbers: "array[int]") -> Iterable[Row]:
    """The rows that are not exact duplicates of an earlier one; their numbers are put into `numbers`."""
    duplicates = set()
    for group in repeated(scan.row_keys):
        duplicates.update(group[1:])
    for number, row in enumerate(rows):
        if not isinstance(row, Problem) and number not in duplicates:
            numbers.append(number)
            yield row


def _labels_disagree(scan: Scanned, pair: NearPair, read: Read, labels: Set[str]) -> bool:
    """Whether both answers are labels and not the same, while the prompts differ in more than names and digits.

    One and the same prompt is left to `contradiction`.
    """
    row, other = read(pair.row), read(pair.other)
    if not isinstance(row, Conversation) or not isinstance(other, Conversation):
        return False
    given = [(answer(chat) or "").strip() for chat in (row, other)]
    if given[0] == given[1] or not all(label in labels for label in given):
        return False
    prompts = ["\n".join(turn.content for turn in prompt(chat)) for chat in (row, other)]
    same = scan.prompt_keys[pair.row] == scan.prompt_keys[pair.other]
    return not same and kind_of_difference(*prompts) in ("same", "words")
