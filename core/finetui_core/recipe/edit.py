"""Changing one option in the text of a recipe: what is not changed keeps every byte.

A change replaces, inserts or takes out the characters of one `key = value` and touches no others, so comments,
order, blanks, tabs, line ends and a byte order mark stay. To undo a change, keep the text from before it.
"""

import json
import re
from typing import Any

from finetui_core.errors import InputError, Problem
from finetui_core.recipe.document import parse_toml
from finetui_core.recipe.positions import KeyPath, Pair, Positions, find_positions

_BOM = "\ufeff"
_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'" r"|#[^\r\n]*",
    re.DOTALL,
)
_NAME = re.compile(r"[ \t]*([A-Za-z0-9_-]+|\"(?:\\.|[^\"\\])*\"|'[^']*')")
_AFTER_INLINE = re.compile(r"[ \t]*,[ \t]*")
_BEFORE_INLINE = re.compile(r"[ \t]*,[ \t\r\n]*$")


def set_value(text: str, table: str, key: str, value: Any) -> str:
    """The text in which the option has this value; comments inside the old value move above its line.

    An option that is not there yet follows the last one of its table; a table that is not there comes last.
    Raises InputError where the text is not TOML, or is written so that the option cannot be put in.
    """
    return _edited(text, table, key, value, takes_out=False)


def unset(text: str, table: str, key: str) -> str:
    """The text without the option; the comment behind it stays. Raises InputError as `set_value` does."""
    return _edited(text, table, key, None, takes_out=True)


def rename(text: str, table: str, key: str, new_table: str, new_key: str) -> str:
    """The text in which an option is written under another name, in its place or in another table.

    In the same table nothing but the name changes; moved to another one, the option follows the last of that. A
    `table` of "" stands for what is outside of every table. Raises InputError as `set_value` does, and where the
    new name is written already.
    """
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    expected = parse_toml(text, "the recipe")
    home = expected.get(table) if table else expected
    target = expected.get(new_table, {})
    if not isinstance(home, dict) or key not in home or not isinstance(target, dict) or new_key in target:
        raise _impossible(table, key)
    value = home.pop(key)
    expected.setdefault(new_table, target)[new_key] = value
    if table == new_table:
        edited = _renamed(text, find_positions(text), (table, key), new_key)
    else:
        edited = set_value(text, new_table, new_key, value)
        edited = _without(edited, find_positions(edited), table, key)
    _prove(edited, expected, table, key)
    return mark + edited


def rename_table(text: str, table: str, new_table: str) -> str:
    """The text in which a table has another name; nothing else changes. Raises InputError as `rename` does."""
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    expected = parse_toml(text, "the recipe")
    if table not in expected or new_table in expected:
        raise _impossible(table, "")
    expected[new_table] = expected.pop(table)
    positions = find_positions(text)
    headers = [text.rindex("[", 0, end) + 1 for path, end in positions.headers.items() if path[0] == table]
    first_header = min(positions.headers.values(), default=len(text))
    inline = (table,) in positions.pairs
    pairs = [
        pair.key
        for path, pair in positions.pairs.items()
        if path[0] == table and pair.key < first_header and (len(path) == 1 or not inline)
    ]
    edited = text
    for start in sorted({*headers, *pairs}, reverse=True):
        edited = _with_name(edited, start, new_table)
    _prove(edited, expected, table, "")
    return mark + edited


def toml_value(value: Any) -> str:
    """A value as TOML on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value)).replace("e+", "e")
        case int():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(toml_value, value))}]"
        case dict():
            inner = ", ".join(f"{toml_value(name)} = {toml_value(part)}" for name, part in value.items())
            return f"{{{inner}}}"
        case _:
            return str(value.isoformat())


def _edited(text: str, table: str, key: str, value: Any, *, takes_out: bool) -> str:
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    expected = parse_toml(text, "the recipe")
    home = expected.get(table, {})
    if not isinstance(home, dict):
        raise _impossible(table, key)
    if takes_out:
        if key not in home:
            return mark + text
        del home[key]
    else:
        if key in home and _same(home[key], value):
            return mark + text
        expected.setdefault(table, home)[key] = value
    positions = find_positions(text)
    if takes_out:
        edited = _without(text, positions, table, key)
    elif (pair := positions.pairs.get((table, key))) is not None:
        edited = _lift_comments(text, pair, toml_value(value))
    else:
        edited = _with_new(text, positions, table, key, toml_value(value))
    _prove(edited, expected, table, key)
    return mark + edited


def _prove(edited: str, expected: dict[str, Any], table: str, key: str) -> None:
    """Raise InputError unless the edited text has the expected values; a table that lost all may be gone."""
    try:
        found = parse_toml(edited, "the recipe")
    except InputError as error:
        raise _impossible(table, key) from error
    if table not in found and expected.get(table) == {}:
        del expected[table]
    if not _same(found, expected):
        raise _impossible(table, key)


def _impossible(table: str, key: str) -> InputError:
    what = f"{'.'.join(filter(None, (table, key)))} cannot be changed where it is written in this recipe"
    return InputError(Problem(what, "", f"write [{table}] on a line of its own, and its options below"))


def _same(one: Any, other: Any) -> bool:
    """Equal in value and type; nan is equal to nan, and 1 is not 1.0 or true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(part, other[name]) for name, part in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _line_end(text: str, offset: int) -> int:
    """The offset behind the line break that follows, or the end of the text."""
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1


def _indent(text: str, offset: int) -> str:
    before = text[_line_start(text, offset) : offset]
    return before if not before.strip(" \t") else ""


def _lift_comments(text: str, pair: Pair, written: str) -> str:
    """Put `written` where the value was, and the comments that stood inside it above its line."""
    return _lifted(text, pair) + text[_line_start(text, pair.key) : pair.value] + written + text[pair.end :]


def _lifted(text: str, pair: Pair) -> str:
    """The text before the line of a pair, and the comments from inside its value, on lines of their own."""
    inside = _STRING_OR_COMMENT.findall(text, pair.value, pair.end)
    lines = [f"{_indent(text, pair.key)}{comment}{_newline(text)}" for comment in inside if comment[0] == "#"]
    return text[: _line_start(text, pair.key)] + "".join(lines)


def _renamed(text: str, positions: Positions, path: KeyPath, new_key: str) -> str:
    pair = positions.pairs.get(path)
    if pair is None:
        raise _impossible(*map(str, path))
    line, column = positions.keys[path]
    start = sum(map(len, text.split("\n")[: line - 1])) + line - 1 + column - 1
    return _with_name(text, start, new_key)


def _with_name(text: str, offset: int, name: str) -> str:
    """Another name in the place of the one that is written at `offset`, blanks before it kept."""
    written = _NAME.match(text, offset)
    if written is None:
        return text
    return text[: written.start(1)] + name + text[written.end(1) :]


def _without(text: str, positions: Positions, table: str, key: str) -> str:
    pair = positions.pairs.get((table, key) if table else (key,))
    if pair is None:
        raise _impossible(table, key)
    if (table,) in positions.pairs:
        return _without_inline(text, pair)
    end = _line_end(text, pair.end)
    behind = text[pair.end : end].lstrip(" \t")
    start = _line_start(text, pair.key)
    kept = text[start : pair.key] + behind if behind.startswith("#") else ""
    return _lifted(text, pair) + kept + text[end:]


def _without_inline(text: str, pair: Pair) -> str:
    """Take a pair out of `{a = 1, b = 2}`, with the comma behind it or, for the last one, before it."""
    line = _line_start(text, pair.key)
    before, after = text[line : pair.key], text[pair.end :]
    if comma := _AFTER_INLINE.match(after):
        after = after[comma.end() :]
    elif comma := _BEFORE_INLINE.search(before):
        before = before[: comma.start()]
    return _lifted(text, pair) + before + after


def _with_new(text: str, positions: Positions, table: str, key: str, written: str) -> str:
    own = [pair for path, pair in positions.pairs.items() if len(path) == 2 and path[0] == table]
    last = max(own, key=lambda pair: pair.end, default=None)
    if (inline := positions.pairs.get((table,))) is not None:
        return _with_new_inline(text, inline, positions, table, f"{key} = {written}")
    if (header := positions.headers.get((table,))) is not None:
        indent = _indent(text, last.key if last else header)
        return _with_line(text, last.end if last else header, f"{indent}{key} = {written}")
    if last is not None and last.key < min(positions.headers.values(), default=len(text)):
        return _with_line(text, last.end, f"{_indent(text, last.key)}{table}.{key} = {written}")
    newline = _newline(text)
    gap = newline if text.endswith("\n") or not text else newline * 2
    return f"{text}{gap if text else ''}[{table}]{newline}{key} = {written}{newline}"


def _with_line(text: str, offset: int, line: str) -> str:
    """Put a line below the one at `offset`; a text without a last line break stays without one."""
    end = _line_end(text, offset)
    if text[:end].endswith("\n"):
        return text[:end] + line + _newline(text) + text[end:]
    return text + _newline(text) + line


def _with_new_inline(text: str, inline: Pair, positions: Positions, table: str, pair: str) -> str:
    ends = [one.end for path, one in positions.pairs.items() if len(path) > 1 and path[0] == table]
    if ends:
        return f"{text[: max(ends)]}, {pair}{text[max(ends) :]}"
    return f"{text[: inline.value + 1]}{pair}{text[inline.value + 1 :]}"
