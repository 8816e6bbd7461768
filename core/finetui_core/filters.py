"""The one grammar by which every list is filtered.

    word            a text of the item holds it; case does not matter
    "two words"     the same for a text with spaces or with characters that mean something here
    state:running   this one text holds it; several may be given: state:running,paused
    loss<0.5        a number compares so: <  <=  >  >=  =  !=; with a unit: 10k, 1M, 90s, 5min, 2h, 3d
    -term           the term does not fit

Terms are separated by spaces, and all of them must fit.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from finetui_core.errors import InputError, Problem

Item = TypeVar("Item")
Predicate = Callable[[Item], bool]

_TERM = re.compile(r'(?:[^\s"]|"[^"]*")+')
_FIELD = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?P<sign>:|<=|>=|!=|<|>|=)(?P<value>.*)", re.DOTALL)
_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z]*)")
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Fields(Generic[Item]):
    """What can be asked of an item: `words` are for plain words, `texts` and `numbers` for named fields.

    A number that is not known is None, and no comparison fits it. `exact` names the texts that are compared
    whole; the others only have to hold what is asked. `aliases` maps further names to fields.
    """

    words: Callable[[Item], Iterable[str]]
    texts: Mapping[str, Callable[[Item], Iterable[str]]]
    numbers: Mapping[str, Callable[[Item], float | None]]
    exact: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        return (*self.texts, *self.numbers)


def compile_filter(text: str, fields: Fields[Item]) -> Predicate[Item]:
    """What decides whether an item fits `text`; an empty filter fits all.

    Raises InputError with every faulty term: an unknown field, a value that is no number, an open quote.
    """
    if text.count('"') % 2:
        raise InputError(
            Problem("a quote is not closed", f"filter, column {text.rindex(chr(34)) + 1}", 'add a "')
        )
    terms: list[Predicate[Item]] = []
    problems: list[Problem] = []
    for found in _TERM.finditer(text):
        try:
            terms.append(_term(found[0], fields))
        except _Fault as fault:
            problems.append(Problem(fault.what, f"filter, column {found.start() + 1}", fault.hint))
    if problems:
        raise InputError(problems)
    return lambda item: all(fits(item) for fits in terms)


class _Fault(Exception):
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def _term(written: str, fields: Fields[Item]) -> Predicate[Item]:
    if written.startswith("-") and len(written) > 1:
        fits = _term(written[1:], fields)
        return lambda item: not fits(item)
    named = _FIELD.fullmatch(written)
    if named is None:
        return _word(written.replace('"', ""), fields)
    name = _known(named["name"], fields)
    if name in fields.numbers:
        return _comparison(fields.numbers[name], named["sign"], named["value"].replace('"', ""), name)
    if named["sign"] not in (":", "="):
        raise _Fault(f"{name} is a text and has no {named['sign']}", f"write {name}:…")
    return _text(fields.texts[name], named["value"], name, whole=name in fields.exact)


def _word(word: str, fields: Fields[Item]) -> Predicate[Item]:
    wanted = word.casefold()
    return lambda item: any(wanted in text.casefold() for text in fields.words(item))


def _known(name: str, fields: Fields[Item]) -> str:
    lowered = name.lower()
    lowered = fields.aliases.get(lowered, lowered)
    if lowered in fields.names():
        return lowered
    from difflib import get_close_matches

    near = get_close_matches(lowered, [*fields.names(), *fields.aliases], 1)
    guess = f"did you mean {near[0]}? " if near else ""
    known = ", ".join(fields.names())
    raise _Fault(f"there is no field {name}", f"{guess}there are: {known}; or quote it to find it as a word")


def _text(texts: Callable[[Item], Iterable[str]], value: str, name: str, *, whole: bool) -> Predicate[Item]:
    parts = re.findall(r'(?:[^,"]|"[^"]*")+', value)
    wanted = [part.replace('"', "").casefold() for part in parts]
    if not wanted:
        raise _Fault(f"a word is missing after {name}:", f"write {name}:WORD")
    if whole:
        return lambda item: any(text.casefold() in wanted for text in texts(item))
    return lambda item: any(part in text.casefold() for text in texts(item) for part in wanted)


def _comparison(
    number: Callable[[Item], float | None], sign: str, written: str, name: str
) -> Predicate[Item]:
    parsed = _NUMBER.fullmatch(written)
    if sign == ":":
        raise _Fault(f"{name} is a number", f"compare it, as in {name}<1")
    if not written:
        raise _Fault(f"a number is missing after {name}{sign}", f"write {name}{sign}1")
    if parsed is None or parsed["unit"] not in _UNITS:
        raise _Fault(f"{written} is no number", f"units are {', '.join(filter(None, _UNITS))}")
    limit = float(parsed["number"]) * _UNITS[parsed["unit"]]
    compare = _SIGNS[sign]

    def fits(item: Item) -> bool:
        value = number(item)
        return value is not None and compare(value, limit)

    return fits
