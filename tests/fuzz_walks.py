"""The screens of the studio, each filled with fuzzed strings and paged through by keys on a pseudo-terminal."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from compare_folders import drawn, write_comparison
from finetui_core.evaluate.figures import Answer, ArmName, Prompt, TestRow
from finetui_core.runs.records import End
from fuzz_strings import numbers_in
from fuzz_watching import Watched, watched
from hostile import bytes_of, hostile_events, text_in_json
from run_folders import START, add_lines, write_json, write_run

Texts = Sequence[str]
BACK = "escape"
PER_ROW = 80
"""Lines of texts in a row of data."""
PASTE = "\x1b[200~", "\x1b[201~"
NOT_PASTED = dict.fromkeys(map(ord, "\x1b\r\n\x03\x11"))
"""What a terminal takes out of a paste, or sends as a key."""


def packed(texts: Texts, size: int) -> list[str]:
    """So many texts in a line each; those that would break lines are lines of their own, so that pages stay full."""
    whole = [text for text in texts if "\n" not in text and "\r" not in text]
    broken = [text for text in texts if "\n" in text or "\r" in text]
    return [" ".join(whole[at : at + size]) for at in range(0, len(whole), size)] + broken


def in_json(texts: Texts, size: int) -> list[str]:
    return [text_in_json(text) for text in packed(texts, size)]


def toml_text(text: str) -> str:
    """As a TOML string; JSON's escapes are TOML's, but for characters that need two of them."""
    return json.dumps(text_in_json(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def open_run(watching: Watched, panel: str) -> None:
    watching.wait_for("1 run,")
    watching.press("enter", shows="[5 Train]")
    watching.wait_for("step 60/120")
    show(watching, panel)


def show(watching: Watched, panel: str) -> None:
    watching.press(panel, shows=f"[{panel} ")


def numbers(texts: Sequence[str]) -> set[int]:
    return numbers_in("\n".join(texts).encode("utf-8", "surrogatepass"))


def read(watching: Watched, texts: Sequence[str], first: str = "g") -> None:
    """A pager with these texts from its start to its end, and clicks on what stands there then."""
    until = numbers(texts)
    if first and not until <= watching.seen:
        watching.turn(first)
    watching.page(until=until)
    watching.click()


# One run.


def log(folder: Path, texts: Texts) -> set[int]:
    run = write_run(folder)
    run.log(1).write_bytes(b"\n".join(bytes_of(line) for line in packed(texts, 60)) + b"\n")
    with watched(["--runs", str(folder)]) as watching:
        open_run(watching, "o")
        read(watching, texts)
    return watching.seen


def events(folder: Path, texts: Texts) -> set[int]:
    run = write_run(folder)
    add_lines(run.events, *({"type": "alarm", "message": line} for line in in_json(texts, 60)))
    with watched(["--runs", str(folder)]) as watching:
        open_run(watching, "v")
        read(watching, texts)
    return watching.seen


def samples(folder: Path, texts: Texts) -> set[int]:
    run = write_run(folder)
    lines = in_json(texts, 60)
    files = [lines[at : at + 120] for at in range(0, len(lines), 120)]
    for step, part in enumerate(files, 1):
        own = [part[at : at + 3] for at in range(0, len(part), 3)]
        records = [dict(zip(("prompt", "reference", "answer"), three, strict=False)) for three in own]
        add_lines(run.sample_file(step), *records)
    with watched(["--runs", str(folder)]) as watching:
        open_run(watching, "t")
        for part in reversed(files):
            read(watching, part)
            watching.press("h")
    return watching.seen


def dashboard(folder: Path, texts: Texts) -> set[int]:
    """Every type of event, the alarms that stand, the machine, the recipe, and the last words of a failed run."""
    given = iter(texts)
    run = write_run(folder, end=End(START + 60, 1, reason=text_in_json(next(given))))
    names = {key: text_in_json(" ".join(islice(given, 3))) for key in ("name", "model", "method")}
    write_json(run.identity, {"schema": 1, "id": run.id, "created": START, **names})
    gpus = [{"index": 0, "name": text_in_json(next(given, "")), "utilization": 0.5} for _ in range(8)]
    add_lines(run.system(1), {"t": START, "gpus": gpus, "gpu_note": text_in_json(" ".join(islice(given, 6)))})
    for text in islice(given, 40):
        add_lines(run.events, *(one for one in hostile_events(text_in_json(text)) if one["type"] != "ready"))
    rest = list(given)
    share = len(rest) // 3
    alarms = ({"kind": text_in_json(one), "message": text_in_json(one)} for one in rest[:share])
    add_lines(run.events, *({"type": "alarm", "severity": "act", "step": 55, **one} for one in alarms))
    options = in_json(rest[share : 2 * share], 12)
    write_json(run.resolved_recipe, {"model": {f"option{at}": line for at, line in enumerate(options[:900])}})
    run.log(1).write_bytes(b"\n".join(bytes_of(text) for text in rest[2 * share :]))
    with watched(["--runs", str(folder)]) as watching:
        watching.wait_for("1 run,")
        watching.press("enter", shows="[5 Train]")
        watching.wait_for("why, and the last words")
        watching.click()
        parts = {"M": rest[:share], "r": options[:900], "o": rest[2 * share :]}
        for panel in "vMrmio":
            show(watching, panel)
            read(watching, parts.get(panel, ()))
    return watching.seen


# The list of runs, and what it asks.


def runs(folder: Path, texts: Texts) -> set[int]:
    given = iter(texts)
    number = 0
    while name := next(given, ""):
        number += 1
        made = write_run(
            folder, f"r{number}", steps=1, end=End(START, 1, reason=text_in_json(next(given, "")))
        )
        model, note = next(given, ""), " ".join(islice(given, 8))
        write_json(
            made.identity,
            {"schema": 1, "id": made.id, "created": START, "model": text_in_json(model), "name": ""},
        )
        tags = [text_in_json(one)[:40] for one in islice(given, 2)]
        write_json(
            made.root / "labels.json",
            {"name": text_in_json(name), "tags": tags, "note": text_in_json(note)},
        )
    with watched(["--runs", str(folder)]) as watching:
        watching.wait_for(f"{number} run")
        watching.page()
        watching.click(of_list=True)
        watching.press("g")
        for _ in range(number):
            watching.turn("down", 0.5)
    return watching.seen


def questions(folder: Path, texts: Texts) -> set[int]:
    """What is typed: pasted into the filter, into a name, a tag, a note, the start of a run and the palette."""
    write_run(folder)
    with watched(["--runs", str(folder)]) as watching:
        watching.wait_for("1 run,")
        lines = packed([text_in_json(text).translate(NOT_PASTED) for text in texts], 2)
        for key, line in zip("/Rtns:" * len(texts), lines, strict=False):
            watching.press(key)
            watching.turn(line.join(PASTE))
            watching.poke("enter", BACK, BACK)
            if key == "/":
                watching.poke("/", "\x15", "enter")
    return watching.seen


def themes(folder: Path, texts: Texts) -> set[int]:
    """The palette with their names, and a notice with the faults of some."""
    home = folder / "ftui" / "themes"
    home.mkdir(parents=True)
    given = iter(texts)
    names = []
    while text := next(given, ""):
        name = b" ".join([bytes_of(text), *map(bytes_of, islice(given, 3))])
        name = name.replace(b"/", b"|").replace(b"\0", b"0")[:240].decode("utf-8", "ignore").strip(".")
        faults = "".join(f"{toml_text(one)} = 1\n" for one in islice(given, 4))
        (home / f"{len(names)}{name}.toml").write_text(faults)
        names.append(name)
    root = str(folder / "runs")
    with watched(["--runs", root], XDG_CONFIG_HOME=str(folder)) as watching:
        watching.wait_for("There are no runs")
        watching.press(":")
        watching.turn("theme")
        for _ in range(len(names) // 10 + 2):
            watching.turn("\x1b[B" * 10)
        watching.press(BACK)
        for at in range(0, len(names), max(1, len(names) // 12)):
            watching.press(":")
            watching.poke(f"theme {at}")
            watching.turn("enter")
    return watching.seen


# Data.


def conversation(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]}


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def rows(folder: Path, texts: Texts) -> set[int]:
    """The list of rows and of findings."""
    own = [conversation(text_in_json(one), "Yes.") for one in texts]
    path = write_rows(folder / "rows.jsonl", own)
    with watched([str(path)]) as watching:
        watching.wait_for(f"{len(own):,} rows")
        watching.page(until=numbers(texts))
        watching.click(of_list=True)
    return watching.seen


def row(folder: Path, texts: Texts) -> set[int]:
    """Rows in full, as turns; the last one as it is written too."""
    lines = in_json(texts, 60)
    parts = [lines[at : at + PER_ROW] for at in range(0, len(lines), PER_ROW)]
    own = [conversation("a short one, so that the layout is known", "Yes.")]
    own += [conversation("\n".join(part), "Yes.") for part in parts]
    path = write_rows(folder / "rows.jsonl", own)
    with watched([str(path)]) as watching:
        watching.wait_for(f"{len(own):,} rows")
        watching.press("enter", shows="[conversation]")
        for number, part in enumerate(parts, 2):
            watching.press("]", shows=f"{number:,} of {len(own):,}")
            read(watching, part)
        watching.press("w", shows="[w as written]")
        watching.click()
    return watching.seen


# A recipe.


def recipe_text(folder: Path, texts: Texts) -> set[int]:
    lines = packed([text_in_json(text) for text in texts], 2)
    path = folder / "recipe.toml"
    path.write_text("[model]\n" + "".join(f"# {line}\n" for line in lines))
    with watched([str(path)]) as watching:
        watching.wait_for("recipe.toml")
        watching.wait_for("[model]")
        watching.press("tab")
        watching.palette = False
        read(watching, texts, first="pagedown")
    return watching.seen


def recipe_form(folder: Path, texts: Texts) -> set[int]:
    """Names and values that are no options, with their faults."""
    given = iter(texts)
    path = folder / "recipe.toml"
    content = [f"[model]\nname = {toml_text(next(given))}\n[data]\ntrain = {toml_text(next(given))}\n"]
    content.append(f"[lora]\ntarget_modules = [{', '.join(map(toml_text, islice(given, 20)))}]\n[train]\n")
    for text in given:
        content.append(f"{toml_text(text)} = {toml_text(next(given, ''))}\n")
    path.write_text("".join(content))
    with watched([str(path)]) as watching:
        watching.wait_for("recipe.toml")
        watching.settle(0.5)
        watching.page()
        watching.turn("g")
        for _ in range(min(100, len(texts) // 2)):
            watching.turn("f", 0.5)
    return watching.seen


# Decide.


def decide(folder: Path, texts: Texts) -> set[int]:
    """A file of answers with names and values that are none: all its faults are told."""
    path = folder / "answers.toml"
    path.write_text("".join(f"{toml_text(one)} = 1\n" for one in texts))
    with watched(["--runs", str(folder / "runs")]) as watching:
        watching.wait_for("There are no runs")
        watching.press("2", shows="[2 Decide]")
        watching.press("o")
        watching.press("\x15", str(path))
        watching.press("enter", shows="cannot be opened")
        watching.palette = False
        read(watching, texts)
        watching.press(BACK)
    return watching.seen


# Comparisons.


def compare_list(folder: Path, texts: Texts) -> set[int]:
    given = iter(texts)
    number = 0
    while source := next(given, ""):
        number += 1
        facts = {"source": text_in_json(source), "model": text_in_json(next(given, "")), "created": START}
        write_comparison(folder / ".compare" / f"c{number}", {"zero_shot": [True], "tuned": [True]}, **facts)
    with watched(["--runs", str(folder)]) as watching:
        watching.wait_for("There are no runs")
        watching.press("6", shows="[6 Compare]")
        watching.page()
        watching.click(of_list=True)
        watching.press("g")
        for _ in range(number):
            watching.turn("down", 0.5)
    return watching.seen


def comparison(folder: Path, texts: Texts) -> set[int]:
    """One comparison: its page, its log, and the answers of two arms with all that was asked."""
    share = len(texts) // 6
    page, said = packed(texts[:share], 60), packed(texts[share : 2 * share], 60)
    own = in_json(texts[2 * share :], 30)
    per = 12
    fours = [own[at : at + 4 * per] for at in range(0, len(own), 4 * per)]
    asked, first, second, prompts = [], [], [], []
    for index, four in enumerate([["short"] * 4, *fours]):
        parts = ["\n".join(four[at::4]) or "-" for at in range(4)]
        asked.append(TestRow(index, f"val.jsonl:{index}", ({"role": "user", "content": parts[0]},), parts[1]))
        first.append(Answer(index, parts[2], "end", 1, 1, 0.1))
        second.append(Answer(index, parts[3], "end", 1, 1, 0.1))
        prompts.append(Prompt(index, ({"role": "user", "content": parts[0]},), ()))
    right: dict[ArmName, list[bool]] = {name: drawn(0.5, len(asked), 1) for name in ("zero_shot", "tuned")}
    answers = {"zero_shot": first, "tuned": second}
    made = write_comparison(folder / ".compare" / "c1", right, rows_asked=asked, answers=answers)
    made.page.write_bytes(b"\n".join(map(bytes_of, page)))
    made.log.write_bytes(b"\n".join(map(bytes_of, said)))
    with watched(["--runs", str(folder)]) as watching:
        watching.wait_for("There are no runs")
        watching.press("6", shows="[6 Compare]")
        watching.press("enter", shows="zero-shot")
        for key in "po":
            watching.press(key)
            watching.page("u", until=numbers(page if key == "p" else said))
            watching.page("d", until=numbers(page if key == "p" else said))
        watching.click()
        watching.press("b")
        watching.press("a", shows="against")
        watching.press("m", "m", shows="unmarked")
        watching.press("z")
        for four in fours:
            watching.turn("n")
            watching.page("d", until=numbers(four))
        watching.click()
    return watching.seen
