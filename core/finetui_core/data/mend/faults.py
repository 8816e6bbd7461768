"""What the check finds in one row by itself, and the same texts without it."""

from collections.abc import Callable
from typing import Any

from finetui_core.data.check.encoding import repair_mojibake, strip_hidden
from finetui_core.data.check.findings import Hit
from finetui_core.data.check.personal import personal_in
from finetui_core.data.check.rows import look, rejected_hits
from finetui_core.data.check.secrets import Place, clear_places, secrets_in
from finetui_core.data.conversation import Row
from finetui_core.data.formats import Rejected, convert


def faults_of(
    value: dict[str, Any] | None, layout: str, source: str, raw: bytes | None = None
) -> tuple[Row | None, list[Hit]]:
    """The row, None where it cannot be trained on, and all that is wrong with it by itself.

    `raw` is the JSON that `value` was read from, where it is at hand: it rules out most faults at once.
    """
    if value is None:
        return None, [Hit("unreadable_row")]
    row = convert(layout, value, source)
    if isinstance(row, Rejected):
        return None, rejected_hits(value, row)
    return row, look(row, raw)[0]


def without_secrets(text: str) -> str:
    """The text with a placeholder in the place of each secret, such as `[GitHub token]`."""
    return _replaced(text, secrets_in(text))


def without_personal_data(text: str) -> str:
    return _replaced(text, personal_in(text))


def masked(text: str) -> str:
    """The text as it may be shown."""
    return _replaced(text, list(clear_places([*secrets_in(text), *personal_in(text)])))


def _replaced(text: str, places: list[Place]) -> str:
    for place in sorted(places, key=lambda place: -place.start):
        text = f"{text[: place.start]}[{place.kind}]{text[place.end :]}"
    return text


TEXT_MENDS: dict[str, Callable[[str], str]] = {
    "mojibake": repair_mojibake,
    "terminal_control": strip_hidden,
    "invisible_characters": strip_hidden,
    "secret": without_secrets,
    "personal_data": without_personal_data,
}
"""How a text is rid of what a rule finds in it. Control and invisible characters go together."""
