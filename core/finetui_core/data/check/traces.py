"""The few bytes of a text that a fault could begin with, so that sound texts cost next to nothing."""

_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZkpxyz_-/.@<&0123456789")
_CONTROLS = frozenset([*range(0x20), 0x7F]) - frozenset(b"\t\n\r")
_DROPPED = bytes(code for code in range(256) if code not in _KEPT | _CONTROLS)
_CLASSES = bytes(0 if code in _CONTROLS else 0x30 if 0x30 <= code <= 0x39 else code for code in range(256))


def traces_of(utf8: bytes) -> str:
    """Capitals, the rarer small letters and signs of `utf8` in their order; each digit as 0, each control as NUL.

    What is left of a word stands without a gap in what is left of a text that holds it: where it does not, the text
    does not hold the word. A tenth is left, in which many words are looked for in the time of one search.
    """
    return utf8.translate(_CLASSES, _DROPPED).decode("ascii")


def digits_of(utf8: bytes) -> str:
    """`utf8` with 0 for each digit: shows which forms its numbers have."""
    return utf8.translate(_CLASSES).decode("latin-1")
