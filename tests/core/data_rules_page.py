"""docs/data-rules.md, from the rules and from what was measured on the labelled rows and pairs.

`PYTHONPATH=core python tests/core/data_rules_page.py > docs/data-rules.md`
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from labelled_rows import Labelled, labelled_rows
from test_data_check_measured import Measured, measured

from finetui_core.data.check.catalogue import RULES, SEVERITIES
from finetui_core.data.check.scan import scan

_INTRODUCTION = """\
# What the data check looks for

<!-- Made from the rules and the labelled rows by tests/core/data_rules_page.py; change them there. -->

`ftui data check FILE` looks at every row and names what it finds. An **error** keeps a run from starting; a
**warning** is worth a look; **info** is a fact about the set, and right in many sets.

Precision is the share of what a rule finds that is a fault, recall the share of the faults that it finds, both on
{rows} labelled rows and {pairs} labelled pairs and sets that were written for this project: faults planted into
sound texts of {languages} languages, and texts that look like faults and are none. The rules were worked on with
these rows in sight, so expect less on yours. A dash stands where a rule needs a model's tokenizer and template to
say anything, or only counts.
"""

_LIMITS = """\
## What it does not find

- **Secrets**: only keys in a form that their vendor gave them, private keys, and passwords in addresses. A password
  in plain words is not found. A key in a report is cut to its first four characters, its kind and its length.
- **Personal data**: e-mail addresses, card numbers and bank account numbers with right check digits, and public
  addresses of IP version 4. Telephone numbers are left out, since their forms are those of any other number; names
  and postal addresses need a model. Shared boxes (`info@`), examples and the vendors' test numbers are left out.
- **Refusals**: the stock phrases of `finetui_core/data/check/refusals.txt`, where a sentence begins with one among
  the first 200 characters of an answer. Refusals in other words are not found.
- **Damaged encoding**: UTF-8 that was read as Latin-1 or Windows-1252. A text that shows such damage to explain it
  is named too.
- **Languages**: answers in another script than the question. English and French are one script.
"""


def found_in(rows: list[Labelled]) -> list[set[str]]:
    """The rules that `ftui data check` finds in each row, read from a file as a user's are."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_bytes(b"".join(row.line + b"\n" for row in rows))
        found = scan(str(file), format="messages", workers=1).found
    rules: list[set[str]] = [set() for _ in rows]
    for rule, numbers in found.items():
        for number in numbers:
            rules[number].add(rule)
    return rules


def rows_measured() -> dict[str, Measured]:
    """Precision, recall and the number of positives of each rule of one row."""
    rows = labelled_rows()
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for row, found in zip(rows, found_in(rows), strict=True):
        right.update(found & row.rules)
        wrong.update(found - row.rules)
        missed.update(row.rules - found)
    return {
        rule: (
            right[rule] / max(1, right[rule] + wrong[rule]),
            right[rule] / max(1, right[rule] + missed[rule]),
            right[rule] + missed[rule],
        )
        for rule in right | wrong | missed
    }


def data_rules_page() -> str:
    """The Markdown text of the page."""
    rows, pairs = rows_measured(), measured()
    parts = [
        _INTRODUCTION.format(
            rows=len(labelled_rows()),
            pairs=sum(positives for _, _, positives in pairs.values()),
            languages=20,
        )
    ]
    for severity in SEVERITIES:
        lines = [
            f"| `{rule.name}` | {_cell(rule.explains)} | {_cell(rule.costs)} | {rule.fix or '–'} |"
            f" {_figures({**pairs, **rows}.get(rule.name))} |"
            for rule in RULES.values()
            if rule.severity == severity
        ]
        heading = (
            "| rule | what it finds | what it costs | mend | precision | recall | positives |\n"
            + "|---" * 7
            + "|"
        )
        parts.append("\n".join((f"## {severity.capitalize()}\n", heading, *lines)) + "\n")
    return "\n".join([*parts, _LIMITS])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _figures(measured: Measured | None) -> str:
    if measured is None:
        return "– | – | –"
    precision, recall, positives = measured
    return f"{precision:.2f} | {recall:.2f} | {positives}"


if __name__ == "__main__":
    sys.stdout.write(data_rules_page())
