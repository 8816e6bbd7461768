"""The plain commands, which print fuzzed strings to a terminal one after the other in one process."""

import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from finetui_core.runs.records import End
from fuzz_strings import numbers_in
from fuzz_watching import SLOW
from harmless import assert_plain
from hostile import bytes_of, text_in_json
from run_folders import START, add_lines, write_json, write_run
from terminal import run_on_terminal

DO_ALL = """
import json, sys
from finetui_core.cli.main import main
for arguments in json.load(open(sys.argv[1])):
    code = main(arguments)
    assert code in (0, 1, 2, 3), (code, arguments)
print("all " + "done"); sys.stdout.flush()
"""
LINE = 200
"""Strings in a line."""


def commands(folder: Path, texts: Sequence[str]) -> set[int]:
    """The numbers of the strings seen. Raises AssertionError where a control byte comes, or a command breaks."""
    given = iter(texts)
    root = folder / "runs"
    run = write_run(root, end=End(START + 60, 1, reason=text_in_json(next(given))))
    names = {key: text_in_json(" ".join(islice(given, 3))) for key in ("name", "model", "method")}
    write_json(run.identity, {"schema": 1, "id": run.id, "created": START, **names})
    write_json(
        run.root / "labels.json", {"tags": [], "note": text_in_json(next(given, "")), "name": names["name"]}
    )
    recipe = folder / "recipe.toml"
    quoted = [json.dumps(text_in_json(text), ensure_ascii=False) for text in islice(given, len(texts) // 50)]
    recipe.write_text("[train]\n" + "".join(f"{one} = {one}\n" for one in quoted).replace("\x7f", "\\u007f"))
    raw = folder / "raw.toml"
    raw.write_bytes(b"[model]\nname = '" + bytes_of(next(given, "")) + b"'\n")
    rest = list(given)
    share = len(rest) // 3
    alarms = ({"type": "alarm", "message": text_in_json(text)} for text in rest[:share])
    add_lines(run.events, *alarms)
    lines = [text_in_json(" ".join(rest[share:][at : at + LINE])) for at in range(0, len(rest) - share, LINE)]
    rows = folder / "rows.jsonl"
    roles = ("user", "assistant")
    messages = ([{"role": role, "content": line} for role in roles] for line in lines)
    rows.write_text("".join(json.dumps({"messages": each}) + "\n" for each in messages))
    at, path = str(run.root), str(rows)
    asked = [["runs", "--runs", str(root)], ["status", at], ["watch", at], ["watch", at, "--plain"]]
    asked += [["status", at, "--json"], ["runs", "--runs", str(root), "--json"], ["data", "check", path]]
    asked += [["data", "show", path, str(row)] for row in range(len(lines))]
    asked += [
        ["recipe", "check", str(recipe)],
        ["recipe", "show", str(recipe)],
        ["recipe", "check", str(raw)],
    ]
    asked += [
        ["recipe", "diff", str(recipe), str(raw)],
        ["settings", "check"],
        ["queue", "--runs", str(root)],
    ]
    listed = folder / "commands.json"
    listed.write_text(json.dumps(asked))
    with run_on_terminal(["-c", DO_ALL, str(listed)], rows=60, columns=400) as terminal:
        code = terminal.wait_for_end(20 * SLOW)
        output = bytes(terminal.output)
    text = output.decode()
    assert code == 0 and "all done" in text, text[-2000:]
    assert "ftui failed" not in text, text[text.index("ftui failed") - 200 :][:600]
    loose = re.search(r".{60}(?:\x1b(?!\[K)|\r(?!\n|\x1b\[K))", text)
    assert loose is None, repr(loose)
    assert_plain(re.sub(r"\r\x1b\[K|\r\n", "", text), "a command")
    return numbers_in(output)
