"""Reading another trainer's config, YAML or JSON, as values with the place of each.

Nothing in the file is ever built into an object: only plain values come out, an alias is followed a bounded
number of times, and whatever else YAML can say is refused at its line and column.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.document import nearest_file
from finetui_core.recipe.positions import KeyPath, Place
from finetui_core.recipe.wording import printable, quote

LARGEST_CONFIG = 200_000  # bytes; a config has a few thousand
LARGEST_DATASET_INFO = 2_000_000  # LLaMA-Factory keeps one list for all data sets
_MOST_VALUES = 50_000  # once aliases are followed
_DEEPEST = 20

_PLAIN = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Config:
    """The values of a file and where each is written: the key of a mapping, the element of a list."""

    name: str
    folder: Path
    values: dict[str, Any]
    places: dict[KeyPath, Place]

    def line(self, path: KeyPath) -> int:
        """The line of a value, or of the nearest one that holds it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))[0]

    def where(self, path: KeyPath) -> str:
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return f"{self.name}:{line}:{column}"


def read_config(path: Path, largest: int = LARGEST_CONFIG) -> Config:
    """The config in a file; raises InputError with the place of what is wrong with it."""
    name = printable(path)
    try:
        if path.is_dir():
            raise InputError(Problem("this is a folder, not a file", name, "give the path of one config"))
        if not path.exists():
            raise InputError(Problem("there is no such file", name, nearest_file(path)))
        if not path.is_file():
            raise InputError(
                Problem("this is not a regular file", name, "give the path of a YAML or JSON file")
            )
        if path.stat().st_size > largest:
            raise InputError(
                Problem("this file is too large for a config", name, f"the most is {largest // 1000} kB")
            )
        raw = path.read_bytes()
    except OSError as fault:
        what = f"the file cannot be read: {fault.strerror}"
        raise InputError(Problem(what, name, "check its permissions")) from fault
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        raise InputError(
            Problem("the file is not UTF-8 text", f"{name}:{line}", "save it as UTF-8")
        ) from fault
    return parse_config(text, name, path.parent)


def parse_config(text: str, name: str, folder: Path) -> Config:
    """The config in a text; `folder` is where the file lies."""
    try:
        import yaml
    except ImportError as fault:
        hint = "install the trainer: pip install 'finetui[train]'"
        raise InputError(Problem("reading YAML needs the package PyYAML", name, hint)) from fault
    if text.lstrip()[:1] == "{":
        text = text.replace("\t", " ")  # JSON allows tabs between its values, YAML does not
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = f"not valid YAML: {printable(fault.problem or fault.context or 'it cannot be read')}"
        raise InputError(
            Problem(what, where, "check the indentation, and quote text that has : or #")
        ) from fault
    except yaml.reader.ReaderError as fault:
        line = text.count("\n", 0, fault.position) + 1
        column = fault.position - (text.rfind("\n", 0, fault.position) + 1) + 1
        what = "a character that YAML does not allow"
        raise InputError(Problem(what, f"{name}:{line}:{column}", "remove it")) from fault
    except (RecursionError, ValueError) as fault:
        raise InputError(
            Problem("a value is nested too deeply", name, "a config has a few levels")
        ) from fault
    if root is None:
        raise InputError(Problem("the file is empty", name, "give a trainer's config"))
    if not isinstance(root, yaml.MappingNode):
        where = f"{name}:{root.start_mark.line + 1}:{root.start_mark.column + 1}"
        raise InputError(Problem("a config is a list of key: value", where, "give a trainer's config"))
    reading = _Reading(name, {}, [0])
    values = reading.mapping(root, (), 0)
    return Config(name, folder, values, reading.places)


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    places: dict[KeyPath, Place]
    count: list[int]

    def refuse(self, node: Any, what: str, hint: str) -> InputError:
        mark = node.start_mark
        return InputError(Problem(what, f"{self.name}:{mark.line + 1}:{mark.column + 1}", hint))

    def value(self, node: Any, path: KeyPath, depth: int) -> Any:
        self.count[0] += 1
        if self.count[0] > _MOST_VALUES:
            raise self.refuse(node, "aliases make this file too large", "write the values out")
        if depth > _DEEPEST:
            raise self.refuse(node, "a value is nested too deeply", "a config has a few levels")
        kind = type(node).__name__
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if kind == "MappingNode" and node.tag == f"{_PLAIN}map":
            return self.mapping(node, path, depth)
        if kind == "SequenceNode" and node.tag == f"{_PLAIN}seq":
            return [self.value(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        if kind == "ScalarNode":
            return self.scalar(node)
        raise self.refuse(node, f"{quote(node.tag)} is not a plain value", "remove the tag")

    def mapping(self, node: Any, path: KeyPath, depth: int) -> dict[str, Any]:
        """Own keys win over merged ones (`<<`); a key written twice is refused."""
        own: dict[str, Any] = {}
        merged: list[Any] = []
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_PLAIN}merge":
                merged.append(value_node)
                continue
            if type(key_node).__name__ != "ScalarNode":
                raise self.refuse(key_node, "a key must be a word", "write key: value")
            key = _text(key_node.value)
            if key in seen:
                what = f"{quote(key)} is written twice, first in line {seen[key]}"
                raise self.refuse(key_node, what, "remove one of the two: trainers silently take the last")
            seen[key] = key_node.start_mark.line + 1
            self.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            own[key] = self.value(value_node, (*path, key), depth + 1)
        for source in merged:
            for key, value in self.merged(source, path, depth + 1).items():
                own.setdefault(key, value)
        return own

    def merged(self, node: Any, path: KeyPath, depth: int) -> dict[str, Any]:
        self.count[0] += 1
        if self.count[0] > _MOST_VALUES or depth > _DEEPEST:
            raise self.refuse(node, "aliases make this file too large", "write the values out")
        kind = type(node).__name__
        if kind == "MappingNode":
            inner = _Reading(self.name, {}, self.count)
            values = inner.mapping(node, path, depth)
            for place, found in inner.places.items():
                self.places.setdefault(place, found)
            return values
        if kind == "SequenceNode":
            values = {}
            for item in node.value:
                for key, value in self.merged(item, path, depth + 1).items():
                    values.setdefault(key, value)
            return values
        raise self.refuse(node, "<< must name a mapping", "write << : *name of a mapping")

    def scalar(self, node: Any) -> Any:
        """A plain value. Numbers that YAML 1.1 takes as text, such as 1e-5, are read where one is wanted."""
        tag, written = node.tag.removeprefix(_PLAIN), node.value
        if tag == "null":
            return None
        if tag == "bool":
            return written.lower() in ("yes", "true", "on")
        if tag == "int":
            plain = written.replace("_", "")
            return int(plain) if _INT.fullmatch(plain) else _text(written)
        if tag == "float":
            try:
                return float(written.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
            except ValueError:
                return _text(written)
        if tag in ("str", "timestamp"):
            return _text(written)
        raise self.refuse(node, f"{quote(node.tag)} is not a plain value", "remove the tag")


def _text(written: str) -> str:
    """JSON writes a character beyond the first 65,536 as two halves; a half alone is replaced."""
    if not _SURROGATE.search(written):
        return written
    return written.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
