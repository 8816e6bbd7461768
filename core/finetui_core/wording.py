"""Numbers in words, the same on every screen and in every command."""

import math

NOTHING = "–"


def number(value: object) -> float | None:
    """`value` if it is a number: what comes from files may be anything."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def loss(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else f"{known:.4f}" if abs(known) < 1e4 else f"{known:.3g}"


def perplexity(eval_loss: object) -> str:
    """exp(loss), where that is a number worth reading."""
    known = number(eval_loss)
    return NOTHING if known is None or known > 20 else f"{math.exp(known):,.2f}"


def count(value: object) -> str:
    known = number(value)
    return NOTHING if known is None else f"{known:,.0f}"


def ordinal(value: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st …"""
    tens, ones = divmod(value % 100, 10)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(ones, "th") if tens != 1 else "th"
    return f"{value:,}{ending}"


def percent(share: object) -> str:
    known = number(share)
    return NOTHING if known is None else f"{known * 100:.0f} %"


def size(number_of_bytes: object) -> str:
    known = number(number_of_bytes)
    if known is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if known < 1024:
            return f"{known:.{0 if known >= 10 or unit == 'B' else 1}f} {unit}"
        known /= 1024
    return f"{known:.1f} GiB"


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def age(seconds: float | None) -> str:
    """A duration by its largest unit."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
