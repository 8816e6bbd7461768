"""Values and names from a user's file, as they are shown in a message."""

import json


def show(value: object) -> str:
    """A value in one short line, with characters that would disturb a terminal written as escapes."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 10**60:
            return "a number of more than 60 digits"
        case int() | float():
            return str(value)
        case str():
            return f"the text {quote(value)}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"the date or time {value}"


def quote(text: str) -> str:
    """Text in double quotes, at most 60 characters of it, printable throughout."""
    shortened = text if len(text) <= 60 else f"{text[:59]}…"
    return printable(json.dumps(shortened, ensure_ascii=False))


def printable(text: object) -> str:
    """Text in which characters that would disturb a terminal are written as escapes."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in str(text)
    )
