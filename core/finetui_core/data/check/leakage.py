"""Validation rows that are also trained on, word for word or nearly; and training rows that hold a test's text."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from finetui_core.data.check.differences import KINDS, Kind, kind_of_difference
from finetui_core.data.check.examples import Examples, finding
from finetui_core.data.check.findings import Example, Found
from finetui_core.data.check.groups import Read, Scanned
from finetui_core.data.check.keys import UNREADABLE
from finetui_core.data.check.near import near_text
from finetui_core.data.conversation import Row
from finetui_core.errors import Problem


def leaked(train: Scanned, val: Scanned) -> dict[int, int]:
    """Validation rows whose prompt is trained on, each with the first training row that has it.

    Case, spaces and the punctuation of sentences do not matter (`keys.prompt_key`). A document counts as its own
    prompt. Memory: one number for each row of the validation file.
    """
    rows: dict[int, list[int]] = {}
    for row, key in enumerate(val.prompt_keys):
        if key != UNREADABLE:
            rows.setdefault(key, []).append(row)
    found: dict[int, int] = {}
    for other, key in enumerate(train.prompt_keys):
        if key in rows:
            found.update(dict.fromkeys(rows.pop(key), other))
    return found


def leakage_found(train: Scanned, val: Scanned, files: tuple[int, int] = (0, 1)) -> list[Found]:
    """Rule `leakage`, from the keys alone. `files` are the places of both in the report."""
    pairs = leaked(train, val)
    examples = Examples()
    for row, other in pairs.items():
        examples.add((row,), Example(files[1], row, val.line_of(row), "", "", other, files[0]))
    found = finding("leakage", len(pairs), val.rows, "", examples)
    return [found] if found else []


def near_leakage_found(
    train: Scanned,
    val: Scanned,
    train_rows: Iterable[Row | Problem],
    val_rows: Iterable[Row | Problem],
    read_train: Read,
    read_val: Read,
    files: tuple[int, int] = (0, 1),
) -> list[Found]:
    """Rule `near_leakage`: validation rows almost the same as a training row. Needs numpy.

    The rows of each file come in order, as in `near.near_pairs`. Rows that `leakage` names are left out. Rows that
    differ in names and digits only are counted in the note, not as leaked: they may be of one template.
    """
    from finetui_core.data.check import minhash

    exact = leaked(train, val)
    ours: array[int] = array("I")
    theirs: array[int] = array("I")
    first = minhash.sketch(near_text(row) for row in _readable(train_rows, ours))
    second = minhash.sketch(near_text(row) for row in _readable(val_rows, theirs, exact))
    begin = len(first)
    if not begin or not len(second):
        return []

    def text_of(place: int) -> str:
        row = read_train(ours[place]) if place < begin else read_val(theirs[place - begin])
        return "" if isinstance(row, Problem) else near_text(row)

    kinds: Counter[Kind] = Counter()
    examples = Examples()
    for pair in minhash.similar_pairs(minhash.joined(first, second), text_of, begin=begin):
        kind = kind_of_difference(text_of(pair.first), text_of(pair.second))
        kinds[kind] += 1
        if kind in ("same", "words"):
            row = theirs[pair.second - begin]
            excerpt = f"{KINDS[kind]}; {100 * pair.similarity:.0f}% alike"
            examples.add(
                (-pair.similarity, row),
                Example(files[1], row, val.line_of(row), "", excerpt, ours[pair.first], files[0]),
            )
    templates = kinds["digits"] + kinds["names"]
    note = f"{templates:,} more differ from a training row in names or digits only" if templates else ""
    found = finding("near_leakage", kinds["same"] + kinds["words"], val.rows, note, examples)
    return [found] if found else []


def _readable(
    rows: Iterable[Row | Problem], numbers: "array[int]", left_out: Iterable[int] = ()
) -> Iterator[Row]:
    left_out = frozenset(left_out)
    for number, row in enumerate(rows):
        if not isinstance(row, Problem) and number not in left_out:
            numbers.append(number)
            yield row
