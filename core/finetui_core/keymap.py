"""The user's keys: which action each key means, with nothing shadowed and a way out that cannot be lost."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from finetui_core.toml_file import Fault, nearest, shown

Keys = Mapping[str, tuple[str, ...]]
"""Action id → its keys, as Textual names them ("question_mark", "ctrl+x", "G")."""

_NAMED = frozenset(
    (
        *("up", "down", "left", "right", "home", "end", "pageup", "pagedown"),
        *("insert", "delete", "backspace", "enter", "tab", "escape", "space"),
        *(f"f{number}" for number in range(1, 13)),
    )
)
_SHORTER = {"solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at",
            "hyphen_minus": "minus", "plus_sign": "plus", "low_line": "underscore"}  # fmt: skip
_SAME_BYTE = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+h": "backspace",
    "ctrl+j": "enter",
    "ctrl+[": "escape",
}
_HINT = 'a key is a character, or a name such as "ctrl+x", "f5", "space", "pageup", "shift+tab"'


@dataclass(frozen=True, slots=True)
class Actions:
    """What can be given a key: the keys that each action has by itself, and what the rules need to know.

    `places` are sets of scopes (the part of an id before the dot) whose keys work at the same time. The keys of
    the `fixed` actions belong to them everywhere. The action `leaves` quits the program.
    """

    defaults: Keys = field(default_factory=dict)
    places: tuple[frozenset[str], ...] = ()
    fixed: frozenset[str] = frozenset()
    leaves: str = ""


def read_keymap(table: Any, actions: Actions) -> tuple[Keys, list[Fault]]:
    """The changes to the default keys that a [keys] table asks for, less those that break a rule.

    Ids may be written `"run.pause" = "p"` or, in a table [keys.run], `pause = ["p", "f5"]`.
    """
    if not isinstance(table, dict):
        return {}, [Fault(("keys",), f"keys must be a table, not {shown(table)}", "write [keys]")]
    wanted: dict[str, tuple[str, ...]] = {}
    paths: dict[str, tuple[str | int, ...]] = {}
    faults: list[Fault] = []
    for path, value in _flat(("keys",), table):
        action = ".".join(str(part) for part in path[1:])
        keys, fault = _keys_of(path, action, value, actions)
        if fault:
            faults.append(fault)
        else:
            wanted[action], paths[action] = keys, path
    while clash := _first_clash(wanted, actions):
        action, key, other = clash
        del wanted[action]
        faults.append(Fault(paths[action], *_clash_words(key, other, actions)))
    return wanted, faults


def _flat(
    path: tuple[str | int, ...], table: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat((*path, name), value)
        else:
            yield (*path, name), value


def _keys_of(
    path: tuple[str | int, ...], action: str, value: Any, actions: Actions
) -> tuple[tuple[str, ...], Fault | None]:
    if actions.defaults and action not in actions.defaults:
        what = f"no action is called {shown(action)}"
        return (), Fault(path, what, nearest_action(action, actions), at_key=True)
    if action in actions.fixed:
        hint = "it is the way out that always works"
        return (), Fault(path, f"the key of {action} cannot be changed", hint, at_key=True)
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        return (), Fault(path, f"{action} needs a key or a list of keys, not {shown(value)}", _HINT)
    if not given:
        if action == actions.leaves:
            return (), Fault(path, "quitting cannot be left without a key", "give it a key")
        return (), Fault(path, f"{action} needs at least one key", "give it a key that you do not use")
    keys = []
    for written in given:
        key = key_of(written)
        if key is None:
            return (), Fault(path, f"{shown(written)} is not a key", _HINT)
        if key in _SAME_BYTE:
            what = f"{shown(written)} cannot be told from {_SAME_BYTE[key]} in most terminals"
            return (), Fault(path, what, "choose another key")
        keys.append(key)
    return tuple(dict.fromkeys(keys)), None


def key_of(written: str) -> str | None:
    """The name of a key as Textual spells it, from how a person writes it: "?" → "question_mark"."""
    *modifiers, key = ("plus" if written == "+" else written).split("+")
    if any(modifier not in ("ctrl", "shift", "alt") for modifier in modifiers):
        return None
    named = key if len(key) != 1 or key.isalnum() else _character_name(key)
    known = (len(key) == 1 and key.isalnum()) or named in _NAMED or named in _marks()
    return "+".join([*modifiers, named]) if known else None


def _character_name(character: str) -> str:
    name = unicodedata.name(character, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name)


def mark_of(name: str) -> str | None:
    """The punctuation mark that Textual calls `name`: "question_mark" → "?"."""
    return _marks().get(name)


@cache
def _marks() -> dict[str, str]:
    marks = (chr(code) for code in range(0x21, 0x7F))
    return {_character_name(mark): mark for mark in marks if not mark.isalnum()}


def nearest_action(action: str, actions: Actions) -> str:
    """The ids most like `action`, or where they are all listed."""
    same_name = [known for known in actions.defaults if known.partition(".")[2] == action.partition(".")[2]]
    if same_name:
        return f'did you mean "{same_name[0]}"?'
    hint = nearest(action, actions.defaults)
    return (
        hint if hint.startswith("did you mean") else "docs/keys.md lists them, and so does ? on each screen"
    )


def _first_clash(wanted: Keys, actions: Actions) -> tuple[str, str, str] | None:
    """(the action whose wish must go, the key, the action that has it) where a wish takes a key away."""
    keys = {**actions.defaults, **wanted}
    fixed = {key: action for action in actions.fixed for key in actions.defaults[action]}
    for action in reversed(list(wanted)):
        for key in wanted[action]:
            if key in fixed:
                return action, key, fixed[key]
            for other in keys:
                if other != action and key in keys[other] and _together(action, other, actions):
                    return action, key, other
    return None


def _together(one: str, other: str, actions: Actions) -> bool:
    scopes = {one.partition(".")[0], other.partition(".")[0]}
    return any(scopes <= place for place in actions.places)


def _clash_words(key: str, other: str, actions: Actions) -> tuple[str, str]:
    if other in actions.fixed or other == actions.leaves:
        return f'"{key}" is the key that quits, which must not be lost', "choose another key"
    return f'"{key}" already means {other}', f"choose another key, or give {other} another one too"
