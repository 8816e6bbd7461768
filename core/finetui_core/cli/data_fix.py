"""`ftui data fix FILE -o NEW`: mends by rule, into a new file with a manifest."""

import argparse
from pathlib import Path
from typing import Any

from finetui_core.cli.onward import after_mending
from finetui_core.cli.say import data, data_json, talk
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.mend.apply import apply
from finetui_core.data.mend.choice import KEEP, choose
from finetui_core.data.mend.manifest import manifest_path, undo_path
from finetui_core.data.mend.plan import Plan, RuleCount, plan
from finetui_core.data.mend.preview import Preview
from finetui_core.errors import InputError, Problem
from finetui_core.wording import size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the data set; it is never changed")
    parser.add_argument("-o", "--output", type=Path, metavar="NEW", help="the mended file, as JSONL")
    parser.add_argument("--plan", action="store_true", help="show what would be done, and write nothing")
    parser.add_argument(
        "--only",
        type=_rules,
        default=(),
        metavar="RULES",
        help="mend these rules alone (a,b,c), not every safe one",
    )
    parser.add_argument(
        "--drop", type=_rules, default=(), metavar="RULES", help="drop the rows of these rules (a,b,c)"
    )
    parser.add_argument(
        "--keep", choices=KEEP, default="first", help="which of several equal rows stays (default: first)"
    )
    parser.add_argument(
        "--val",
        default="",
        metavar="FILE",
        help="the other side: rows are dropped whose prompt stands in it too",
    )
    parser.add_argument(
        "--mask",
        action="store_true",
        help="write a placeholder in place of secrets; without it their rows are dropped",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    choice = choose(options.only, options.drop, keep=options.keep, val=options.val, mask=options.mask)
    if options.output is None and not options.plan:
        raise InputError(
            Problem("where shall the mended file go?", "", "Add -o NEW, or --plan to look first.")
        )
    planned = plan(options.file, choice)
    if not options.plan:
        apply(planned, options.output)
    if options.json:
        data_json(_as_json(planned, None if options.plan else options.output))
    elif options.plan:
        _show(planned)
    else:
        _tell(planned, options.output)
    if not options.json and (planned.changed or planned.dropped or not options.plan):
        talk(after_mending(None if options.plan else options.output, options.val))
    return 0


def _rules(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _show(planned: Plan) -> None:
    for count in planned.counts.values():
        if not (count.changed or count.dropped or count.left):
            continue
        data(f"{RULES[count.rule].title} ({count.rule}): {_words(count)}")
        for shown in count.shown:
            for line in _example(shown):
                data(line)
        if count.changed + count.dropped > len(count.shown):
            data("    …")
    data(_sum(planned, "would be"))


def _example(shown: Preview) -> list[str]:
    before = f"    line {shown.line}: {_one_line(shown.before)}"
    if shown.other is not None:
        return [f"{before}  → dropped: repeats row {shown.other}"]
    if not shown.after:
        return [f"{before}  → dropped"]
    return [before, f"      → {_one_line(shown.after)}"]


def _one_line(text: str) -> str:
    return text.replace("\n", "⏎")


def _words(count: RuleCount) -> str:
    parts = [
        f"{count.changed:,} rows changed" if count.changed else "",
        f"{count.dropped:,} rows dropped" if count.dropped else "",
        f"{count.left:,} rows left, since no mend is safe" if count.left else "",
    ]
    return ", ".join(part for part in parts if part)


def _sum(planned: Plan, verb: str) -> str:
    if not planned.changed and not planned.dropped:
        return f"Nothing of the {planned.rows:,} rows needs mending."
    changed, dropped = f"{planned.changed:,} {verb} changed", f"{planned.dropped:,} dropped"
    return f"Of {planned.rows:,} rows {changed} and {dropped}: {planned.rows - planned.dropped:,} are left."


def _tell(planned: Plan, output: Path) -> None:
    for count in planned.counts.values():
        if count.changed or count.dropped or count.left:
            talk(f"{count.rule}: {_words(count)}")
    talk(_sum(planned, "were"))
    manifest, undo = manifest_path(output), undo_path(output)
    talk(f"Written: {output}, and {manifest.name}, which says what was done to which row.")
    talk(
        f"To undo: ftui data undo {manifest}   ({undo.name} holds what was taken out, {size(undo.stat().st_size)}; "
        "secrets too: delete it once you are sure)"
    )


def _as_json(planned: Plan, output: Path | None) -> dict[str, Any]:
    return {
        "schema": 1,
        "source": planned.source,
        "sha256": planned.sha256,
        "format": planned.layout,
        "rows": planned.rows,
        "changed": planned.changed,
        "dropped": planned.dropped,
        "left": planned.rows - planned.dropped,
        "rules": [
            {
                "rule": count.rule,
                "mend": count.mend,
                "changed": count.changed,
                "dropped": count.dropped,
                "not_mended": count.left,
                "examples": [
                    {
                        "row": shown.row,
                        "line": shown.line,
                        "before": shown.before,
                        "after": shown.after or None,
                        "other": shown.other,
                    }
                    for shown in count.shown
                ],
            }
            for count in planned.counts.values()
        ],
        "result": str(output) if output else None,
        "manifest": str(manifest_path(output)) if output else None,
    }
