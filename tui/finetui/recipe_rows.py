"""The recipe of a run as it was carried out, and how it differs from that of another run."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from finetui.text import pad
from finetui.widgets.plot import Row
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import content_of

NONE = "(not set)"
MOST_OPTIONS = 1000
"""Options that are shown of a recipe, which has about a hundred."""
_WIDEST_NAME = 48


def read_recipe(paths: RunPaths) -> dict[str, str]:
    """Option → value of recipe.resolved.json, in its order; empty where it cannot be read."""
    try:
        content = msgspec.json.decode(content_of(paths.resolved_recipe))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    options = dict(islice(_flat(content, ""), MOST_OPTIONS + 1))
    if len(options) > MOST_OPTIONS:
        options.popitem()
        options["…"] = f"only the first {MOST_OPTIONS:,} options are shown"
    return options


def _flat(table: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", _written(value)


def _written(value: object) -> str:
    return NONE if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def differences(own: Mapping[str, str], other: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(option, own value, other value) of all options that differ."""
    names = [*own, *(name for name in other if name not in own)]
    return [
        (name, own.get(name, NONE), other.get(name, NONE))
        for name in names
        if own.get(name) != other.get(name)
    ]


def recipe_rows(
    own: Mapping[str, str], other: tuple[str, Mapping[str, str]] | None, width: int
) -> tuple[Row, ...]:
    """The differences from `other` (its name, its recipe), then every option."""
    if not own:
        return (((" this run has no recipe that can be read", "muted"),),)
    name_width = min(max(len(name) for name in own), _WIDEST_NAME)
    rows: list[Row] = []
    if other is not None:
        rows += [*_difference_rows(own, *other, name_width, width), ()]
    rows.append(((" all options, as carried out", "strong"),))
    rows += [((f"   {pad(name, name_width)}  ", "muted"), (value, "")) for name, value in own.items()]
    return tuple(rows)


def _difference_rows(
    own: Mapping[str, str], other_name: str, other: Mapping[str, str], name_width: int, width: int
) -> Iterator[Row]:
    found = differences(own, other)
    if not found:
        yield (" no difference from ", "strong"), (other_name, "accent")
        return
    half = max(10, (width - name_width - 8) // 2)
    yield (" differs from ", "strong"), (other_name, "accent")
    yield (
        (f"   {'':{name_width}}  ", ""),
        (pad("this run", half), "muted"),
        (" │ ", "axis"),
        ("that one", "muted"),
    )
    for name, value, others in found:
        yield (
            (f" ≠ {pad(name, name_width)}  ", "muted"),
            (pad(_end_of(value, half), half), "train"),
            (" │ ", "axis"),
            (_end_of(others, half), "validation"),
        )


def _end_of(text: str, width: int) -> str:
    """Paths differ at their ends."""
    return text if len(text) <= width or "/" not in text else f"…{text[1 - width :]}"
