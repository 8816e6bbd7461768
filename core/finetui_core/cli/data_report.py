"""The report of a data check as text: what was found, what it costs, where, and the command that mends it."""

import re
from collections.abc import Iterator

from finetui_core.cli.say import data
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.check.findings import Example, Found
from finetui_core.data.check.report import FileFacts, Report
from finetui_core.data.mend.choice import fix_command
from finetui_core.wording import count, size

_SHOWN = 3  # examples of each rule
_MARKS = {"error": "✗ error", "warning": "! warning", "info": "· info"}
_TURN = re.compile(r"\$\.messages\[(\d+)\](?:\.content)?")


def print_report(report: Report) -> None:
    """Print it on stdout; texts of the data are made harmless on the way."""
    for line in report_lines(report):
        data(line)


def report_lines(report: Report) -> Iterator[str]:
    for file in report.files:
        yield _file(file)
    for note in report.notes:
        yield f"note: {note}"
    for one in report.found:
        yield ""
        yield from _finding(one, report)
    if report.recipe is not None:
        yield ""
        yield f"Under the recipe: {report.recipe['sentence']}"
    if report.size is not None:
        yield ""
        yield f"Size: {' '.join(said.text for said in report.size.sentences)}"
    yield ""
    yield report.sentence


def _file(file: FileFacts) -> str:
    repeated = file.readable - file.distinct_rows
    parts = [f"{count(file.rows)} rows", f"layout {file.format}", size(file.bytes)]
    if repeated:
        parts.append(f"{count(file.distinct_rows)} different ones")
    if file.role == "val":
        parts.append("for validation")
    return f"{file.path}: {', '.join(parts)}"


def _finding(one: Found, report: Report) -> Iterator[str]:
    rule = RULES[one.rule]
    rows = f"{count(one.count)} of {count(one.of)} rows, {_share(one)}"
    yield f"{_MARKS[one.severity]}: {rule.title} ({rule.name}): {rows}"
    yield f"    {rule.explains}"
    yield f"    If it stays: {rule.costs}"
    if one.note:
        yield f"    Here: {one.note}."
    for example in one.examples[:_SHOWN]:
        yield f"    {_example(example, report)}"
    if one.count > _SHOWN and one.examples:
        yield f"    … and {count(one.count - min(_SHOWN, len(one.examples)))} more"
    train = _first(report, "train") or report.files[0].path
    if command := fix_command(one.rule, train, _first(report, "val")):
        yield f"    Mend: {command}"


def _first(report: Report, role: str) -> str:
    return next((file.path for file in report.files if file.role == role), "")


def _share(one: Found) -> str:
    share = 100 * one.share
    return "all" if one.count == one.of else f"{share:.0f} %" if share >= 1 else f"{share:.2g} %"


def _example(example: Example, report: Report) -> str:
    where = f"line {count(example.line)}"
    if len(report.files) > 1:
        where = f"{report.files[example.file].path}, {where}"
    turn = _TURN.fullmatch(example.path)
    place = (
        f", turn {int(turn[1]) + 1}" if turn else f", {example.path}" if example.path not in ("", "$") else ""
    )
    excerpt = " ".join(example.excerpt.split())
    other = f", as row {count(example.other + 1)}" if example.other is not None else ""
    if example.other is not None and example.other_file not in (None, example.file):
        other += f" of {report.files[example.other_file or 0].path}"
    return f"{where}{place}{other}{f': {excerpt}' if excerpt else ''}"
