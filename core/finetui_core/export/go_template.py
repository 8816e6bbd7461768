r"""The part of Go's template language that a Modelfile of ours uses, carried out.

Written from the documentation of `text/template` (https://pkg.go.dev/text/template): actions in `{{ }}` with `{{-`
and `-}}`, `if`, `else if`, `else`, `range $i, $m := …`, variables, fields, and the functions and, or, not, eq, ne,
lt, le, gt, ge, len, index and slice. What is not known here is refused, never guessed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_ACTION = re.compile(r"(\{\{-[ \t\r\n]|\{\{)(.*?)([ \t\r\n]-\}\}|\}\})", re.DOTALL)
_SPACES = " \t\r\n"
"""What the marks of trimming cut; other white space stays."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<number>-?\d+)|(?P<variable>\$\w*)|(?P<field>\.\w*)"""
    r"|(?P<sign>:=|[(),=|])|(?P<word>\w+))"
)
_MOST_PARTS = 10_000


class GoTemplateError(Exception):
    """The template is none of this part of the language, or asks for what is not there."""


@dataclass(slots=True)
class _Block:
    """The body of an `if` or `range`, or the whole template; `branches` are the conditions and bodies of an `if`."""

    kind: str
    branches: list[tuple[list[str], list[Any]]] = field(default_factory=list)


def render_go(template: str, values: Mapping[str, Any]) -> str:
    """The text that the template makes of `values`. Raises GoTemplateError."""
    return "".join(_carry_out(_parsed(template), values, {"$": values}))


def _parsed(template: str) -> list[Any]:
    """Texts, actions (lists of tokens) and blocks, in order."""
    root: list[Any] = []
    open_blocks: list[_Block] = []
    body = root
    for part in _parts(template):
        if isinstance(part, str):
            body.append(part)
            continue
        first = part[0] if part else ""
        if first in ("if", "range"):
            block = _Block(first, [(part[1:], [])])
            body.append(block)
            open_blocks.append(block)
        elif first == "else" and open_blocks:
            if open_blocks[-1].kind == "range" or part[1:2] not in ([], ["if"]):
                raise GoTemplateError(f"this form of else is not known here: {' '.join(part)}")
            open_blocks[-1].branches.append((part[2:], []))
        elif first == "end" and open_blocks and len(part) == 1:
            open_blocks.pop()
        else:
            body.append(part)
            continue
        body = open_blocks[-1].branches[-1][1] if open_blocks else root
    if open_blocks:
        raise GoTemplateError(f"a block of {open_blocks[-1].kind} has no end")
    return root


def _parts(template: str) -> Iterator[str | list[str]]:
    """Literal texts, and the tokens of each action."""
    at, trim = 0, False
    for number, found in enumerate(_ACTION.finditer(template)):
        if number > _MOST_PARTS:
            raise GoTemplateError("the template has too many actions")
        text = template[at : found.start()]
        text = text.lstrip(_SPACES) if trim else text
        yield text.rstrip(_SPACES) if found[1] != "{{" else text
        yield _tokens(found[2])
        at, trim = found.end(), found[3] != "}}"
    rest = template[at:]
    yield rest.lstrip(_SPACES) if trim else rest


def _tokens(action: str) -> list[str]:
    tokens: list[str] = []
    at, action = 0, action.strip()
    while at < len(action):
        found = _TOKEN.match(action, at)
        if found is None:
            raise GoTemplateError(f"not understood: {action[at:]!r}")
        glued = found["field"] and not found[0][0].isspace() and tokens[-1:] != ["("]
        tokens.append(f"~{found['field']}" if glued and tokens else found[0].strip())
        at = found.end()
    return tokens


def _carry_out(body: Sequence[Any], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
    scope = dict(variables)
    for part in body:
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            if part[1:2] == [":="]:
                scope[part[0]] = _value(part[2:], dot, scope)
            else:
                yield _shown(_value(part, dot, scope))
        elif part.kind == "range":
            yield from _ranged(part, dot, scope)
        else:
            for condition, inner in part.branches:
                if not condition or _is_true(_value(condition, dot, scope)):
                    yield from _carry_out(inner, dot, scope)
                    break


def _ranged(block: _Block, dot: Any, scope: dict[str, Any]) -> Iterator[str]:
    (head, body), names = block.branches[0], []
    if ":=" in head:
        at = head.index(":=")
        names, head = [one for one in head[:at] if one != ","], head[at + 1 :]
    if len(names) not in (0, 2):
        raise GoTemplateError("range takes no variable or two of them here")
    for index, element in enumerate(_value(head, dot, scope)):
        inner = scope | (dict(zip(names, (index, element), strict=True)) if names else {})
        yield from _carry_out(body, element, inner)


def _value(tokens: Sequence[str], dot: Any, scope: Mapping[str, Any]) -> Any:
    operands, rest = _operands(list(tokens), dot, scope)
    if rest:
        raise GoTemplateError(f"too much: {' '.join(rest)}")
    if not operands:
        raise GoTemplateError("an action is empty")
    name = operands[0]
    if isinstance(name, _Word):
        return _called(str(name), operands[1:])
    if len(operands) > 1:
        raise GoTemplateError("a value takes no arguments")
    return name


class _Word(str):
    """The name of a function."""

    __slots__ = ()


def _operands(tokens: list[str], dot: Any, scope: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The values up to a closing bracket, and the tokens from it on."""
    values: list[Any] = []
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        if token == "(":
            end = _closing(tokens)
            values.append(_value(tokens[:end], dot, scope))
            tokens = tokens[end + 1 :]
        elif token.startswith("~"):
            values[-1] = _field_of(values[-1], token[2:])
        elif token.startswith('"'):
            values.append(_unquoted(token))
        elif token.startswith("$"):
            if token not in scope:
                raise GoTemplateError(f"there is no variable {token}")
            values.append(scope[token])
        elif token.startswith("."):
            values.append(_field_of(dot, token[1:]) if len(token) > 1 else dot)
        elif token.lstrip("-").isdecimal():
            values.append(int(token))
        elif token.isidentifier():
            values.append(_Word(token))
        else:
            raise GoTemplateError(f"not understood: {token}")
    return values, tokens


def _closing(tokens: Sequence[str]) -> int:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth < 0:
            return at
    raise GoTemplateError("a bracket is not closed")


def _unquoted(token: str) -> str:
    """Go's escapes that JSON has too; others are refused."""
    try:
        text: str = json.loads(token)
    except ValueError as error:
        raise GoTemplateError(f"this text is not understood: {token}") from error
    return text


def _field_of(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping) or name not in value:
        raise GoTemplateError(f"there is no field {name}")
    return value[name]


def _called(name: str, given: Sequence[Any]) -> Any:
    try:
        return _FUNCTIONS[name](*given)
    except KeyError as error:
        raise GoTemplateError(f"the function {name} is not known here") from error
    except (TypeError, IndexError, ValueError) as error:
        raise GoTemplateError(f"{name} cannot take these values") from error


def _any_equal(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("eq needs two values")
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((one for one in values if not _is_true(one)), values[-1])


def _or(*values: Any) -> Any:
    return next((one for one in values if _is_true(one)), values[-1])


_FUNCTIONS: dict[str, Any] = {
    "and": _and,
    "or": _or,
    "not": lambda one: not _is_true(one),
    "eq": _any_equal,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "len": len,
    "index": lambda whole, at: whole[at],
    "slice": lambda whole, start=0, end=None: whole[start:end],
}


def _is_true(value: Any) -> bool:
    """False for nothing, zero, and what is empty."""
    return bool(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise GoTemplateError("only texts and numbers are shown")
