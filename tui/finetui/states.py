"""The states of a run as the screens show them: a glyph, a word and a style."""

from collections.abc import Mapping

STATES: Mapping[str, tuple[str, str, str]] = {
    "queued": ("…", "queued", "muted"),
    "starting": ("○", "starting", "accent"),
    "running": ("●", "running", "good"),
    "paused": ("‖", "paused", "warning"),
    "stalled": ("◌", "stalled", "warning"),
    "restarting": ("↻", "restarting", "warning"),
    "silent": ("?", "silent", "warning"),
    "finished": ("✓", "finished", "good"),
    "stopped": ("■", "stopped", "muted"),
    "failed": ("✗", "failed", "bad"),
    "killed": ("✗", "killed", "bad"),
    "out_of_memory": ("✗", "out of memory", "bad"),
    "died": ("†", "died", "bad"),
}
"""State → glyph, word, style."""

LIVE = frozenset({"starting", "running", "paused", "stalled", "restarting", "silent"})


def state_words(state: str) -> tuple[str, str]:
    """Glyph and word of `state`, and their style."""
    glyph, word, style = STATES.get(state, ("?", state, "warning"))
    return f"{glyph} {word}", style
