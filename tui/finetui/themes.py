"""From a theme file to what Textual knows: its colours become variables that styles.tcss names."""

from textual.theme import Theme as TextualTheme

from finetui_core.themes import Theme


def textual_theme(theme: Theme) -> TextualTheme:
    """Each colour is a variable of its own name; Textual's widgets get those that mean the same to them."""
    colours = theme.colours
    return TextualTheme(
        name=theme.name,
        dark=theme.dark,
        primary=colours["accent"],
        secondary=colours["muted"],
        accent=colours["accent"],
        success=colours["good"],
        warning=colours["warning"],
        error=colours["bad"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=colours["panel"],
        panel=colours["panel"],
        variables={f"colour-{name}": colour for name, colour in colours.items()},
    )
