"""Any number of texts that try to take a terminal or the interface over, made from a seed; each carries its number.

A text ends with a word of its own, `word_of(number)`, which nothing hides: where that word stands, the rest of the
text has been shown before it. Its pieces are those of `hostile`, mutated, cut, nested into each other and crossed.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostile import C1, CONTROLS, ESC, HIDDEN, MARK, MARKUP, ST, TEXTS, begin, end

WORD = re.compile(rb"zq([0-9a-f]+)qz")
LONGEST, MANIFOLD = 24, 16
"""Characters of one piece, and how many times as long one in a hundred is."""
POOL, RENEWED, AT_ONCE = 4096, 512, 8192
"""Pieces at hand, and how many of them are made anew for so many texts."""
PIECES = (1, 1, 1, 2, 2, 3)
ACTIONS = (
    *("app.quit", "app.bell", "app.help", "app.palette", "app.station('data')", "app.start_run", "app.copy"),
    *("screen.back", "screen.dismiss", "screen.delete", "open", "copy_to_clipboard('x')", "app.exit"),
)
_CLICKS = (
    "[@click={}]x[/]",
    "[@click={}()]x",
    "[b @click={}]x[/b]",
    "[@click='{}']x[/]",
    '[@click="{}"]',
    "[@mouse.down={}]x",
    "[@click={}][link=https://example.org]x[/link][/]",
)
_LINKS = (
    "[link={}]x[/link]",
    "[link='{}']x[/]",
    '[link="{}"]',
    f"{ESC}]8;;{{}}{ST}x{ESC}]8;;{ST}",
    f"{ESC}]8;id=9001;{{}}\x07x",
)
_TARGETS = ("file:///etc/passwd", "https://example.org/9001", "javascript:alert(9001)", "x-man-page://9001")
_STARTS = {f"{ESC}[": "\x9b", f"{ESC}]": "\x9d", f"{ESC}P": "\x90", ST: "\x9c", f"{ESC}_": "\x9f"}
_NUMBER = re.compile(r"9\d{3}")


def word_of(number: int) -> str:
    return f"zq{number:x}qz"


def numbers_in(output: bytes | bytearray) -> set[int]:
    """The numbers of the texts whose words stand in what a terminal received."""
    return {int(found, 16) for found in WORD.findall(output)}


def _first_pieces() -> list[str]:
    pieces = list(MARKUP)
    for number, text in enumerate(TEXTS):
        inner = text[len(begin(number)) : -len(end(number))]
        pieces += [inner[at : at + LONGEST] for at in range(0, min(len(inner), 2 * LONGEST), LONGEST)]
    pieces += [click.format(action) for click in _CLICKS for action in ACTIONS]
    pieces += [link.format(target) for link in _LINKS for target in _TARGETS]
    return pieces


FIRST = tuple(_first_pieces())


def _cut(chance: random.Random, one: str, other: str) -> str:
    return one[: chance.randint(1, max(1, len(one)))]


def _tail(chance: random.Random, one: str, other: str) -> str:
    return one[chance.randrange(max(1, len(one))) :]


def _nested(chance: random.Random, one: str, other: str) -> str:
    at = chance.randint(0, len(one))
    return one[:at] + other + one[at:]


def _crossed(chance: random.Random, one: str, other: str) -> str:
    return one[: chance.randint(0, len(one))] + other[chance.randint(0, len(other)) :]


def _introduced(chance: random.Random, one: str, other: str) -> str:
    """ESC and a letter for the single C1 character, or the other way round."""
    for long, short in _STARTS.items():
        one = one.replace(long, short) if long in one else one.replace(short, long)
    return one


def _passed_through(chance: random.Random, one: str, other: str) -> str:
    """As tmux passes it on to the terminal outside of it."""
    return f"{ESC}Ptmux;{one.replace(ESC, ESC + ESC)}{ST}"


def _numbered(chance: random.Random, one: str, other: str) -> str:
    return _NUMBER.sub(lambda _: str(chance.randint(MARK + 1, MARK + 999)), one)


def _struck(chance: random.Random, one: str, other: str) -> str:
    """A control, hidden or any character at all somewhere inside."""
    kinds = (CONTROLS, C1, HIDDEN, (chr(chance.randrange(0x11_0000)), ESC, "\n", "[", "]", "\\", "\x7f"))
    return _nested(chance, one, chance.choice(chance.choice(kinds)))


def _flooded(chance: random.Random, one: str, other: str) -> str:
    mark = chance.choice("\u0301\u0489\u20dd\u0e33\u1161\u200d\ufe0f\u202e\u2066🏽")
    return _nested(chance, one, mark * chance.choice((1, 2, 5, 12)))


def _repeated(chance: random.Random, one: str, other: str) -> str:
    return one[:12] * chance.randint(2, 5)


def _clicked(chance: random.Random, one: str, other: str) -> str:
    return chance.choice(_CLICKS).format(chance.choice(ACTIONS)).replace("]x", f"]{one[:20]}", 1)


CHANGES: tuple[Callable[[random.Random, str, str], str], ...] = (
    *(_cut, _cut, _tail, _nested, _crossed, _introduced, _passed_through),
    *(_numbered, _struck, _struck, _flooded, _repeated, _clicked),
)


def _piece(chance: random.Random, pool: Sequence[str]) -> str:
    """A piece of the first ones changed, sometimes one that was changed before."""
    one = chance.choice(FIRST if chance.random() < 0.6 else pool)
    made = chance.choice(CHANGES)(chance, one, chance.choice(FIRST))[:LONGEST]
    return made * MANIFOLD if chance.random() < 0.01 else made


@dataclass
class Strings:
    """The texts of one seed. `number` is that of the next one."""

    seed: int
    number: int = 1
    _chance: random.Random = field(init=False)
    _pool: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._pool = [*FIRST]
        while len(self._pool) < POOL:
            self._pool.append(_piece(self._chance, self._pool))

    def take(self, count: int) -> list[str]:
        """The next texts."""
        texts: list[str] = []
        while len(texts) < count:
            for at in self._chance.sample(range(POOL), RENEWED):
                self._pool[at] = _piece(self._chance, self._pool)
            texts += self._some(min(AT_ONCE, count - len(texts)))
        return texts

    def _some(self, count: int) -> list[str]:
        chance = self._chance
        sizes = chance.choices(PIECES, k=count)
        pieces = iter(chance.choices(self._pool, k=sum(sizes)))
        first, self.number = self.number, self.number + count
        return [
            f"{''.join([next(pieces) for _ in range(size)])} {word_of(first + at)}"
            for at, size in enumerate(sizes)
        ]
