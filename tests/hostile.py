"""More than two hundred texts that try to take a terminal over, and run directories that hold them in every place.

Text `number` starts with `begin(number)` and ends with `end(number)`, plain words that a reader must still
be able to see. Escape sequences carry a number above 9000, which no program of ours ever writes.
"""

import json
import os
from pathlib import Path
from typing import Any

from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End
from run_folders import START, add_lines, write_json, write_run

ESC, BEL, ST, C1_ST = "\x1b", "\x07", "\x1b\\", "\x9c"
MARK = 9000

CSI_ENDS = (
    "2J",
    "H",
    "A",
    "J",
    "K",
    "L",
    "M",
    "P",
    "S",
    "T",
    "m",
    "n",
    "c",
    "r",
    "s",
    "u",
    "t",
    "q",
    "b",
    "@",
)
CSI_MODES = ("?{}h", "?1049;{}l", "?1000;{}h", "?25;{}l", "?2026;{}h", ">{}u", "={}c", "!{}p", "?{}$p")
OSC_CODES = (
    "0;",
    "2;",
    "4;1;",
    "7;file://",
    "8;;https://",
    "9;",
    "10;",
    "52;c;",
    "777;notify;",
    "1337;File=",
)
STRINGS = ("P", "P$q", "P+q", "Ptmux;" + ESC, "Pq#0", "_", "^", "X")
ESCAPES = ("c", "7", "8", "#8", "(0", "D", "E", "M", "N", "O", "=", ">", "Z", "%G", " F", "l")
CONTROLS = tuple(chr(code) for code in (*range(0x20), 0x7F) if code not in (0x0A, 0x1B))
C1 = tuple(
    chr(code) for code in (0x84, 0x85, 0x88, 0x8D, 0x8E, 0x8F, 0x90, 0x98, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E)
)
HIDDEN = tuple(
    chr(code)
    for code in (
        *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C, 0x200B, 0x200C, 0x2060, 0xFEFF,
        0xAD, 0x180E, 0x2028, 0x2029, 0x115F, 0x3164, 0xFE0F, 0xE0041, 0xE0101, 0xFFFD, 0xFFFF,
    )
)  # fmt: skip
MARKUP = (
    "[INST]", "[/INST]", "<s>[/INST]", "[@click=app.quit]x[/]", "[@click=app.quit]", "[/]", "[/", "[", "[[]]",
    "[link=file:///etc/passwd]x[/link]", "[link=https://example.org]", "[red]x", "[bold]x[/red]", "[$primary]x",
    "[50%]", "[run-3]", "\\[red]", "\\\\[/x]", "[on red]", "[blink]x[/blink]", ":bomb:", "{0}{x}%s%n${x}",
)  # fmt: skip
LONG = (
    "e" + "\u0301" * 3000, "a" + "\u20dd" * 2000, "\u0e33" * 500, "\u1112" + "\u1161" * 800, "漢字" * 400,
    "👩‍👩‍👧‍👦" * 60, "🇩🇪" * 90, "👍🏽" * 90, "ﷺ" * 200, "\U0001f3f4\U000e0067\U000e007f", "x" * 20_000,
    "a b " * 4000, "\n" * 500, "line\n" * 200, "\r" * 300, "\b" * 200, "\t" * 200, "ａ" * 300, "ｱﾞ" * 200,
    "\ud800", "\udfff\ud800", "\udc80\udcff", "\ue000\U0010fffd", "\U0001fffe",
    "../../../../etc/passwd", "-rf --help", "$(reboot)`reboot`;reboot|", "'\"\\\"'", "NaN", "null",
)  # fmt: skip


def begin(number: int) -> str:
    return f"aa{number:03d}"


def end(number: int) -> str:
    return f"zz{number:03d}"


def _evil(number: int) -> list[str]:
    """All candidates in a fixed order; `number` marks the sequences."""
    mark = MARK + number
    introducers = (f"{ESC}[", "\x9b")
    sequences = [f"{ESC}[{mark}{final}" for final in CSI_ENDS]
    sequences += [f"{introducers[1]}{mark}{final}" for final in CSI_ENDS[:6]]
    sequences += [introducers[number % 2] + mode.format(mark) for mode in CSI_MODES]
    for code in OSC_CODES:
        sequences += [f"{ESC}]{code}{mark}{BEL}", f"{ESC}]{code}{mark}{ST}"]
    sequences += [f"\x9d{code}{mark}{C1_ST}" for code in OSC_CODES[:4]]
    sequences += [f"{ESC}{start}{mark}{ST}" for start in STRINGS]
    sequences += [
        f"\x90{mark}{C1_ST}",
        f"\x9f{mark}{C1_ST}",
        f"{ESC}]0;{mark}",
        f"{ESC}[{mark}",
        ESC,
        ESC * 3,
    ]
    sequences += [f"{ESC}{final}" for final in ESCAPES]
    return [*MARKUP, *LONG, *sequences, *HIDDEN, *CONTROLS, *C1]


TEXTS = tuple(f"{begin(n)}{_evil(n)[n]}{end(n)}" for n in range(len(_evil(0))))


def text_in_json(text: str) -> str:
    """`text` with what JSON cannot hold replaced: lone surrogates."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def bytes_of(text: str) -> bytes:
    """`text` as a careless program writes it: lone surrogates become broken UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def as_argument(text: str) -> str:
    """`text` as Python gets it from a command line, which cannot hold NUL."""
    return os.fsdecode(bytes_of(text).replace(b"\0", b"0"))


def as_file_name(text: str) -> str:
    """`text` as far as a Linux file name can hold it."""
    name = bytes_of(text).replace(b"/", b"|").replace(b"\0", b"0")
    return os.fsdecode(name[:150])


def hostile_run(root: Path, number: int, *, over: bool = True, others: bool = False) -> RunPaths:
    """A run that holds text `number` wherever a run, data set, model or file name or other text may stand.

    With `others`, its events, its log and its samples hold all the other texts as well.
    """
    text = text_in_json(TEXTS[number])
    made = write_run(root, f"run{number:03d}", end=End(START + 60, 1, reason=text) if over else None)
    paths = RunPaths(made.root.rename(made.root.parent / as_file_name(f"{made.id[:16]}{TEXTS[number]}")))
    identity = {
        "schema": 1, "id": text, "name": text, "created": START, "model": text, "method": text,
        "versions": {text: text}, "argv": [text], "data_sha256": text, "recipe_sha256": text,
    }  # fmt: skip
    write_json(paths.identity, identity)
    write_json(paths.root / "labels.json", {"name": "", "tags": [text], "note": text})
    write_json(paths.resolved_recipe, {"model": {"name": text}, "data": {"train": text}, text: text})
    toml_text = json.dumps(text)
    paths.recipe.write_text(f"# {text!r}\n[model]\nname = {toml_text}\n[data]\ntrain = {toml_text}\n")
    told = (*TEXTS, TEXTS[number]) if others else (TEXTS[number],)
    paths.log(1).write_bytes(b"\n".join(bytes_of(each) for each in told) + b"\n")
    add_lines(paths.events, *hostile_events(text), *({"type": "alarm", "message": each} for each in told))
    samples = [{"prompt": each, "reference": each, "answer": each} for each in told]
    add_lines(paths.samples / "step-000050.jsonl", *samples)
    add_lines(paths.samples / "step-000055.jsonl", samples[-1])
    odd_sample = paths.samples / f"{as_file_name(TEXTS[number])}.jsonl"
    add_lines(odd_sample, {"prompt": text, "reference": [text], "answer": {text: text}})
    (paths.checkpoints / as_file_name(TEXTS[number])).mkdir()
    for pointer in (paths.best, paths.latest):
        pointer.write_bytes(bytes_of(TEXTS[number]))
    gpu = {"index": 0, "uuid": text, "name": text, "utilization": 0.5, "memory_used": 1, "memory_total": 2}
    add_lines(paths.system(1), {"t": START + 1, "cpu": text, "gpus": [gpu, {"name": text}], "gpu_note": text})
    return paths


def hostile_rows(folder: Path, number: int) -> Path:
    """A data set named after text `number`, with it wherever a row may hold text, and with each other text once."""
    text = text_in_json(TEXTS[number])
    turns = [{"role": role, "content": text} for role in ("system", "user", "assistant")]
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": {text: text}}}
    tools = [{"type": "function", "function": {"name": text, "description": text, "parameters": {}}}]
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    rows: list[Any] = [
        {"messages": turns, text: text},
        {"messages": turns},
        {"messages": [*turns[:2], called, {"role": "tool", "content": text}, turns[2]], "tools": tools},
        {"messages": [{"role": text, "content": text}]},
        {"messages": text},
        text,
    ]
    rows += [
        {
            "messages": [
                {"role": "user", "content": text_in_json(each)},
                {"role": "assistant", "content": "Yes."},
            ]
        }
        for each in TEXTS
    ]
    path = folder / f"{as_file_name(TEXTS[number])[:120]}.jsonl"
    lines = [json.dumps(row, ensure_ascii=bool(place % 2)).encode() for place, row in enumerate(rows)]
    path.write_bytes(b"\n".join([*lines, bytes_of(TEXTS[number]).replace(b"\n", b" ")]))
    return path


def hostile_events(text: str) -> list[dict[str, Any]]:
    """Every type of event with `text` wherever it holds text, and in fields that ought to be numbers."""
    problem = {"what": text, "where": text, "hint": text}
    return [
        {"type": "phase", "phase": text},
        {"type": text, text: text},
        {"type": "ready", "total_steps": 60, "train_rows": text, "matched_modules": {text: 1}, "defaults": [
            {"option": text, "value": text, "why": text}], "layout": {"packed": False, "note": text},
            "data_report": {"format": text, "rejected": [problem]}},
        {"type": "evaluation", "step": 55, "eval_loss": 1.5, "best": text, "rows": text},
        {"type": "evaluation", "step": 56, "eval_loss": text},
        {"type": "checkpoint", "step": 55, "path": text, "reason": text, "bytes": text},
        {"type": "checkpoint_skipped", "path": text, "reason": text},
        {"type": "checkpoint_failed", "step": text, "error": text},
        {"type": "samples", "step": 50, "path": text},
        {"type": "control", "id": text, "command": text, "status": text, "note": text},
        {"type": "alarm", "kind": text, "message": text, "step": text},
        {"type": "alarm", "kind": text, "severity": text, "message": text, "step": 55, "go_back_to": text,
         "remedy": text},
        {"type": "alarm", "kind": [text], "severity": 1, "message": {}, "step": 56, "go_back_to": 1e308,
         "remedy": [text]},
        {"type": "alarm_over", "kind": [text], "step": 56},
        {"type": "evaluation", "step": 57, "probe_loss": 1, "probe_rise": text, "own_text_rise": -1e308,
         "probe_kl": [], "own_text_kl": text, "overlap_train": text, "overlap_val": 1e308},
        {"type": "resumed", "step": 1, "checkpoint": text},
        {"type": "error", "kind": "crash", "problems": [problem]},
    ]  # fmt: skip
