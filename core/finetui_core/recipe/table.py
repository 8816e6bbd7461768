"""The options as a flat table, read off the pydantic models: for forms, checks, help and the reference."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from finetui_core.recipe.options import Level, Recipe

Kind = Literal["text", "whole number", "number", "switch", "choice", "names"]

_KIND_OF_JSON_TYPE: dict[str, Kind] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "switch",
    "array": "names",
}


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option, as a form, a check or a reader needs it.

    `minimum` and `maximum` are the limits of a number; `above_minimum` and `below_maximum` say that the
    limit itself is outside. `kind` "names" is a list of text, with `choices` the words allowed in its place.
    """

    table: str
    name: str
    kind: Kind
    default: Any
    required: bool
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    above_minimum: bool
    below_maximum: bool
    help: str
    source: str
    level: Level

    @property
    def path(self) -> tuple[str, str]:
        return self.table, self.name

    @property
    def dotted(self) -> str:
        return f"{self.table}.{self.name}"

    @property
    def type(self) -> str:
        """What a value must be, in words: "a whole number from 1 to 4096"."""
        words = any_of(self.choices)
        if self.kind == "choice":
            return words
        if self.kind == "names":
            return f"{words} or a list of text" if words else "a list of text"
        if self.kind == "switch":
            return "true or false"
        if self.kind == "text":
            return "text"
        return f"a {self.kind}{self._range}"

    @property
    def _range(self) -> str:
        low, high = f"{self.minimum:.10g}", f"{self.maximum:.10g}" if self.maximum is not None else ""
        if self.above_minimum or self.below_maximum or not high:
            start = f" above {low}" if self.above_minimum else f" of at least {low}"
            end = f" and {'below' if self.below_maximum else 'at most'} {high}" if high else ""
            return start + end
        return f" from {low} to {high}"


@cache
def option_table() -> tuple[OptionInfo, ...]:
    """Every option, in the order of declaration."""
    definitions = json_schema()["$defs"]
    return tuple(
        _option(table, name, definition["properties"][name], name in definition.get("required", ()))
        for table, field in Recipe.model_fields.items()
        for definition in [definitions[cast(type, field.annotation).__name__]]
        for name in definition["properties"]
    )


@cache
def options_by_path() -> dict[tuple[str, str], OptionInfo]:
    """The option table by (table, name)."""
    return {option.path: option for option in option_table()}


def table_names() -> tuple[str, ...]:
    """The names of the recipe's tables, in the order of declaration."""
    return tuple(Recipe.model_fields)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def editor_schema() -> dict[str, Any]:
    """The schema with all that an editor can show in the text beside a value: range, default and source."""
    schema = json_schema()
    for table, field in Recipe.model_fields.items():
        properties = schema["$defs"][cast(type, field.annotation).__name__]["properties"]
        for name, about in properties.items():
            option = options_by_path()[table, name]
            default = "decided by the run" if option.default is None else json.dumps(option.default)
            parts = [option.help, f"Value: {option.type}."]
            parts += [] if option.required else [f"Default: {default}."]
            parts += [f"Source: {option.source}."] if option.source else []
            about["description"] = " ".join(parts)
    return {**schema, "title": "A recipe of ftui"}


def any_of(words: tuple[str, ...]) -> str:
    """Quoted words joined for reading: `"a", "b" or "c"`."""
    quoted = [f'"{word}"' for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _option(table: str, name: str, schema: dict[str, Any], required: bool) -> OptionInfo:
    forms = [form for form in schema.get("anyOf", [schema]) if form.get("type") != "null"]
    limits = forms[-1]
    choices = tuple(
        word for form in forms for word in form.get("enum", [form["const"]] if "const" in form else [])
    )
    kind = _KIND_OF_JSON_TYPE[limits["type"]]
    return OptionInfo(
        table=table,
        name=name,
        kind="choice" if choices and kind == "text" else kind,
        default=schema.get("default"),
        required=required,
        choices=choices,
        minimum=limits.get("minimum", limits.get("exclusiveMinimum")),
        maximum=limits.get("maximum", limits.get("exclusiveMaximum")),
        above_minimum="exclusiveMinimum" in limits,
        below_maximum="exclusiveMaximum" in limits,
        help=schema["description"],
        source=schema["source"],
        level=schema["level"],
    )
