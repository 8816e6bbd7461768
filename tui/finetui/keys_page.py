"""docs/keys.md, written from the actions: `python -m finetui.keys_page > docs/keys.md`."""

import sys

from finetui.actions import SCOPES, actions_of, key_name

_INTRODUCTION = """\
# The keys

<!-- Made from the actions by `python -m finetui.keys_page`; change them there. -->

`?` shows the keys of the screen you are at, `:` finds any action by a part of its name. Keys are changed in
`settings.toml`, by the id of the action; `ftui settings path` says where that file is and `ftui settings check`
finds every fault in it.

```toml
[keys]
"run.pause" = "P"                 # one key
"table.down" = ["down", "f6"]     # or several, of which the first is shown
```

A key is a character or a name: `ctrl+x`, `f5`, `space`, `pageup`, `shift+tab`. A change that would take a key away
from another action of the same screen is refused and the default stays, and so is one that would leave no key to
quit with; `ctrl+q` always quits.
"""


def keys_page() -> str:
    """The Markdown text of the page."""
    parts = [_INTRODUCTION]
    for scope, title in SCOPES.items():
        lines = [
            f"| {' '.join(_code(key) for key in action.keys)} | {action.help} | `{action.id}` |"
            for action in actions_of(scope)
        ]
        if lines:
            heading = "| key | what it does | id |\n|---|---|---|"
            parts.append("\n".join((f"## {title}\n", heading, *lines)) + "\n")
    return "\n".join(parts)


def _code(key: str) -> str:
    return f"`{key_name(key)}`".replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(keys_page())
