"""A few words around a place in a text, for a report: never with a secret or personal data in it."""

import re

from finetui_core.data.check.personal import personal_in
from finetui_core.data.check.secrets import Place, secrets_in

LENGTH = 80
_REACH = 8200  # secrets are looked for this far around what is shown: the longest private key there is
_BEFORE = 24
_SHOWN = 4


def excerpt(text: str, start: int) -> str:
    """At most `LENGTH` characters around `start`, a few of them before it; secrets and personal data masked."""
    first = max(0, start - _BEFORE)
    last = min(len(text), first + LENGTH)
    near = max(0, first - _REACH)
    window = text[near : last + _REACH]
    parts: list[str] = []
    position, stop = first - near, last - near
    for place in _hidden_in(window):
        if position < place.end and place.start < stop:
            parts += (window[position : max(position, place.start)], _masked(window, place))
            position = place.end
    parts.append(window[position:stop])
    return "".join(parts)[:LENGTH]


def _hidden_in(text: str) -> list[Place]:
    """What must not be shown, in the order of the text; a key that is glued to other words once more is hidden
    there too."""
    kinds = {text[place.start : place.end]: place.kind for place in [*secrets_in(text), *personal_in(text)]}
    places = [
        Place(kind, *found.span())
        for key, kind in kinds.items()
        for found in re.finditer(re.escape(key), text)
    ]
    return sorted(places, key=lambda place: place.start)


def _masked(text: str, place: Place) -> str:
    """What stands for a secret: its first characters, what it is, and how long it is."""
    what = text[place.start : place.end]
    return f"{what[: min(_SHOWN, len(what) // 3)]}… ({place.kind}, {len(what)} characters)"
