"""How a screen is left."""

from typing import TypeVar

from textual.screen import Screen

Result = TypeVar("Result")


def close(screen: Screen[Result], result: Result | None = None) -> None:
    """Leave the screen with a result, unless it has been left: of keys that come together, two may reach it."""
    if screen.is_active:
        screen.dismiss(result)
