"""What is said of the chosen option: its fault and mend, what it is now and why, type, help, advice, source."""

from collections.abc import Iterator

from finetui.actions import key_name
from finetui.recipe_form import BY_THE_RUN, value_words
from finetui.recipe_seen import Fault, Seen, table_of
from finetui.widgets.lines import wrapped_row
from finetui.widgets.plot import Row
from finetui_core.recipe.edit import toml_value
from finetui_core.recipe.mends import Mend
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.shown import Shown
from finetui_core.recipe.table import OptionInfo, options_by_path

APPLY_KEY = "a"


def detail_rows(seen: Seen, key: str | None, fault: Fault | None, mend: Mend | None, width: int) -> list[Row]:
    """Wrapped rows, what matters most first."""
    rows = list(_rows(seen, key, fault, mend))
    return [line for row in rows for line in wrapped_row(row, max(20, width - 1))]


def _rows(seen: Seen, key: str | None, fault: Fault | None, mend: Mend | None) -> Iterator[Row]:
    option = options_by_path().get((table_of(key), key.partition(".")[2])) if key else None
    if option is not None:
        yield _heading(seen, option)
    elif key:
        yield (" ", ""), (key, "strong")
    if fault is not None:
        yield from _fault_rows(fault, mend)
    if option is not None:
        yield from _option_rows(seen, option)
    elif key and key.startswith("[") and table_of(key) in Recipe.model_fields:
        about = Recipe.model_fields[table_of(key)].annotation
        yield ((" ", ""), (f"{about.__doc__ if about else ''}", ""))


def _heading(seen: Seen, option: OptionInfo) -> Row:
    value, origin = value_words(seen, option)
    lines = seen.where.get(option.dotted)
    place = f"written at line {lines[0] + 1}" if origin == "written" and lines else origin
    stale = "   as it was before the text stopped being TOML" if seen.syntax else ""
    return (
        (f" {option.dotted}", "strong"),
        ("  =  ", "muted"),
        (f"{value[:60] or '-'}   ", "accent"),
        (f"{place}{stale}", "muted"),
    )


def _fault_rows(fault: Fault, mend: Mend | None) -> Iterator[Row]:
    yield ((" ! ", "bad"), (f"{fault.line + 1}:{fault.column + 1}: {fault.problem.what}", "bad"))
    if mend is not None:
        yield ((f" {key_name(APPLY_KEY)}: ", "strong"), (mend.says, "accent"))
    if fault.problem.hint:
        yield (("   ", ""), (fault.problem.hint, ""))


def _option_rows(seen: Seen, option: OptionInfo) -> Iterator[Row]:
    shown = seen.shown.get(option.dotted)
    advice = seen.advice.get(option.dotted)
    if advice is not None and advice.heed:
        yield ((" ▲ ", "warning"), (f"{advice.says} ({advice.source})", "warning"))
    yield ((" ", ""), (option.help, ""))
    yield ((" ", ""), (f"{option.type}; default: {_default(option, shown)}", "muted"))
    if advice is not None and not advice.heed:
        yield ((" advice: ", "muted"), (f"{advice.says} ({advice.source})", ""))
    if option.source:
        yield ((" source: ", "muted"), (option.source, "muted"))


def _default(option: OptionInfo, shown: Shown | None) -> str:
    if option.required:
        return "none, it has to be given"
    if option.default is not None:
        return toml_value(option.default)
    if shown is None or shown.origin != "run":
        return "left out" if option.kind == "text" else BY_THE_RUN
    value = "" if shown.value is None else f" {toml_value(shown.value)}"
    return f"{BY_THE_RUN}{value}: {shown.why}"
