"""A recipe as a form: a heading for each table, and a line for each option."""

from collections.abc import Iterator, Sequence
from typing import Any

from finetui.recipe_seen import Fault, Seen
from finetui.widgets.plot import Span
from finetui.widgets.table import Column, Record
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.options import Level
from finetui_core.recipe.shown import Shown
from finetui_core.recipe.table import OptionInfo, option_table, table_names

LEVELS: tuple[Level, ...] = ("essential", "common", "all")
FORM_COLUMNS = (Column("", 2), Column("option", 29), Column("value", 16, most=60), Column("", 10, above=66))
FAULTY, HEEDED, OTHER = "!", "▲", "•"
"""Marks: a fault, a value outside what is advised, a value that is not the default."""
BY_THE_RUN, NONE = "by the run", "none"


def form_records(seen: Seen, level: Level, words: str = "") -> list[Record]:
    """The options of a level, those that are written or at fault, and with `words` all that fit them."""
    wanted = words.lower().split()
    records: list[Record] = []
    tables = [*table_names(), *(table for table in _strange_tables(seen) if not wanted)]
    for table in tables:
        own = list(_records_of(seen, table, level, wanted))
        fault = seen.fault_of(f"[{table}]")
        if own or (fault is not None and not wanted):
            mark, style = (FAULTY, "bad") if fault else ("", "accent")
            side = "unknown" if table not in table_names() else ""
            heading = ((mark, "bad"), (f"[{table}]", _dimmed(seen, style)), ("", ""), (side, "bad"))
            records += [Record(f"[{table}]", heading), *own]
    return records


def _records_of(seen: Seen, table: str, level: Level, wanted: Sequence[str]) -> Iterator[Record]:
    depth = LEVELS.index(level)
    for option in option_table():
        if option.table != table:
            continue
        shown, fault = seen.shown.get(option.dotted), seen.fault_of(option.dotted)
        if wanted:
            chosen = all(word in f"{option.dotted} {option.help}".lower() for word in wanted)
        else:
            is_given = shown is not None and shown.origin == "given"
            chosen = LEVELS.index(option.level) <= depth or is_given or fault is not None
        if chosen:
            yield _record(seen, option, shown, fault)
    if not wanted:
        yield from _strange_options(seen, table)


def _record(seen: Seen, option: OptionInfo, shown: Shown | None, fault: Fault | None) -> Record:
    value, origin = value_words(seen, option)
    heeded = option.dotted in seen.advice and seen.advice[option.dotted].heed
    mark: Span = ("", "")
    if fault is not None:
        mark = (FAULTY, "bad")
    elif heeded:
        mark = (HEEDED, "warning")
    elif shown is not None and differs(shown):
        mark = (OTHER, "accent")
    strong = "strong" if origin == "written" else "muted"
    style = "bad" if fault is not None else strong
    return Record(
        option.dotted,
        (mark, (f"  {option.name}", _dimmed(seen, "")), (value, _dimmed(seen, style)), (origin, "muted")),
    )


def value_words(seen: Seen, option: OptionInfo) -> tuple[str, str]:
    """The value as it is shown, and where it comes from: written, default, or by the run."""
    shown = seen.shown.get(option.dotted)
    if shown is None:
        return "", ""
    if shown.origin == "given":
        return written_value(seen, option.table, option.name), "written"
    if shown.origin == "run":
        return BY_THE_RUN if shown.value is None else toml_value(shown.value), BY_THE_RUN
    required = "required" if option.required else NONE
    return required if option.required or shown.value is None else toml_value(shown.value), "default"


def written_value(seen: Seen, table: str, name: str) -> str:
    """A value as TOML reads it in the text, right or wrong."""
    own = seen.checked.values.get(table) if seen.checked is not None else None
    return toml_value(own[name]) if isinstance(own, dict) and name in own else ""


def differs(shown: Shown) -> bool:
    """Whether a written value is another than the default."""
    option = shown.option
    return shown.origin == "given" and not option.required and shown.value != option.default


def _strange_options(seen: Seen, table: str) -> Iterator[Record]:
    """What is written in a table and is no option."""
    known = {option.name for option in option_table() if option.table == table}
    own: Any = seen.checked.values.get(table) if seen.checked is not None else None
    for name in own if isinstance(own, dict) else ():
        if name not in known:
            value = (written_value(seen, table, name), _dimmed(seen, "bad"))
            yield Record(
                f"{table}.{name}", ((FAULTY, "bad"), (f"  {name}", "bad"), value, ("unknown", "bad"))
            )


def _strange_tables(seen: Seen) -> list[str]:
    values = seen.checked.values if seen.checked is not None else {}
    return [name for name in values if name not in table_names()]


def _dimmed(seen: Seen, style: str) -> str:
    """What is no longer what the text says is grey."""
    return style if seen.syntax is None else "muted"
