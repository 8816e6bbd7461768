"""docs/settings.md, written from the settings: `python -m finetui_core.settings_page > docs/settings.md`."""

import sys

from finetui_core.settings import MEANINGS, Settings
from finetui_core.themes import COLOURS, DEFAULT, DEFAULT_LIGHT
from finetui_core.toml_file import shown

_INTRODUCTION = """\
# The settings

<!-- Made from the settings by `python -m finetui_core.settings_page`; change them there. -->

One TOML file, `~/.config/ftui/settings.toml` (or `$XDG_CONFIG_HOME/ftui/settings.toml`). It need not exist, and it
need not name what stays at its default. It is read when the studio opens.

```
ftui settings path     # where the file and your themes are
ftui settings show     # what holds now, and what of it is the default
ftui settings check    # every fault, with file, line and column; exit code 3 where there is one
```

A fault never keeps ftui from starting: what is wrong is passed over, told in a notice, and its default holds.
All three take `--json`.
"""

_KEYS = """\
## Keys

An action has an id, such as `run.pause`; [keys.md](keys.md) lists all ids with their keys, and `?` shows those of the
screen you are at. A key is a character or a name: `ctrl+x`, `f5`, `space`, `pageup`, `shift+tab`. What you give
takes the place of all keys that the action had.

```toml
[keys]
"run.pause" = "P"                 # one key
"table.down" = ["down", "f6"]     # or several, of which the first is shown

[keys.run]                        # the same in a table of its own
stop = "f9"
```

To exchange two keys, give both actions their new ones in the same file. A change is refused, and the default stays,
where it would take a key from another action of the same screen, where most terminals cannot tell the key from
another (`ctrl+m` from enter), and where it would leave no key to quit with. `ctrl+q` always quits.
"""

_THEMES = f"""\
## Your own themes

A theme is a TOML file in `~/.config/ftui/themes` (or `$XDG_CONFIG_HOME/ftui/themes`); its name is that of the file
without `.toml`. It builds on a theme that comes with ftui and gives the colours that differ:

```toml
# ~/.config/ftui/themes/mine.toml
base = "{DEFAULT_LIGHT}"  # without it "{DEFAULT}", or "{DEFAULT_LIGHT}" where dark = false
dark = false         # whether the background is dark; without it, as in the base

[colours]
accent = "#005fd7"   # always as "#rrggbb"
train = "#005fd7"
```

Choose it in the palette (`:`, then a part of its name) or with `theme = "mine"`. While it is shown, each change that
you save is seen at once; one with a fault leaves the screen as it is and is told. A theme of yours hides one of the
same name that comes with ftui.
"""


def settings_page() -> str:
    """The Markdown text of the page."""
    defaults = Settings()
    rows = [
        f"| `{name}` | {kind} | `{shown(getattr(defaults, name))}` | {meaning} |"
        for name, (kind, meaning) in MEANINGS.items()
    ]
    settings = "\n".join(
        ("| setting | what it may be | default | what it does |", "|---|---|---|---|", *rows)
    )
    colours = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in COLOURS.items())
    example = "\n".join(
        ("```toml", f'theme = "{DEFAULT_LIGHT}"', "refresh_seconds = 2", "mouse = false", "```")
    )
    return "\n".join(
        (
            _INTRODUCTION,
            f"{settings}\n\n{example}\n",
            _KEYS,
            _THEMES,
            f"| colour | of what |\n|---|---|\n{colours}\n",
        )
    )


if __name__ == "__main__":
    sys.stdout.write(settings_page())
