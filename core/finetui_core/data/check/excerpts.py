"""A few words around a place in a text, for a report: never with a secret or personal data in it."""

from finetui_core.data.check.personal import personal_in
from finetui_core.data.check.secrets import Place, clear_places, secrets_in

LENGTH = 80
_REACH = 8200  # secrets are looked for this far around what is shown: the longest private key there is
_BEFORE = 24
_SHOWN = 4


def masked(text: str, place: Place) -> str:
    """What stands for a secret: its first characters, what it is, and how long it is."""
    what = text[place.start : place.end]
    shown = min(_SHOWN, len(what) // 3)
    return f"{what[:shown]}… ({place.kind}, {len(what)} characters)"


def excerpt(text: str, start: int) -> str:
    """At most `LENGTH` characters around `start`, a few of them before it; secrets and personal data masked."""
    first = max(0, start - _BEFORE)
    last = min(len(text), first + LENGTH)
    near = max(0, first - _REACH)
    window = text[near : last + _REACH]
    places = sorted(clear_places([*secrets_in(window), *personal_in(window)]), key=lambda place: place.start)
    parts: list[str] = []
    position, stop = first - near, last - near
    for place in places:
        if place.end <= position or place.start >= stop:
            continue
        parts += (window[position : max(position, place.start)], masked(window, place))
        position = place.end
    parts.append(window[position:stop])
    return "".join(parts)[:LENGTH]
