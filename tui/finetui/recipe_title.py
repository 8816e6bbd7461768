"""The line above a recipe, what stands there without one, and why some keys do nothing now."""

from finetui.actions import actions_of, key_name
from finetui.recipe_draft import Draft
from finetui.recipe_seen import Seen
from finetui.widgets.plot import Row, Span
from finetui_core.keymap import Keys
from finetui_core.recipe.mends import Mend
from finetui_core.recipe.options import Level

NO_RECIPE: tuple[Row, ...] = (
    ((" No recipe is open. A recipe is one TOML file that says what a run is.", "strong"),),
    (),
    (("   n  ", "strong"), ("starts a new one from a preset: lora, qlora, full or quick", "")),
    (("   o  ", "strong"), ("opens one; tab completes its path", "")),
)
NO_DRAFT = "no recipe is open: n starts one, o opens one"


_ONWARD = {"preflight": "does it fit", "start": "starts a run"}


def title_row(
    draft: Draft, seen: Seen, level: Level, words: str, on_disk: str, against: str, keys: Keys | None = None
) -> Row:
    """The file, whether it is saved, how many faults there are, what is shown of it, and what comes next.

    `keys` are the user's own.
    """
    spans: list[Span] = [(f" {draft.name}", "strong")]
    if draft.opened is None:
        spans.append(("   new", "accent"))
    if draft.unsaved:
        spans.append(("   not saved", "warning"))
    if on_disk:
        spans.append((f"   {on_disk}", "warning"))
    if seen.syntax is not None:
        place = f"{seen.syntax.line + 1}:{seen.syntax.column + 1}"
        spans.append((f"   no TOML at {place}: the form is as it was before", "bad"))
    elif seen.faults:
        spans.append((f"   {len(seen.faults)} fault{'' if len(seen.faults) == 1 else 's'}", "bad"))
    else:
        spans.append(("   no fault", "good"))
    spans.append((f"   with {words}" if words else f"   {level} options", "muted"))
    if against:
        spans.append((f"   beside {against}   ←/→ others", "accent"))
    elif not seen.faults and seen.syntax is None and not words:
        named = {action.name: key_name(action.keys[0]) for action in actions_of("recipe", keys=keys)}
        for name, does in _ONWARD.items():
            spans += [(f"   {named[name]}", "strong"), (f" {does}", "muted")]
    return tuple(spans)


def unavailable(draft: Draft | None, seen: Seen | None, key: str | None, mend: Mend | None) -> dict[str, str]:
    """The reason for each action, by id, that cannot be done now."""
    names = (
        *("edit", "next_value", "unset", "next_fault", "apply", "save", "save_as", "start", "undo", "redo"),
        *(
            "switch",
            "preflight",
            "device",
            "trace",
            "find",
            "level",
            "difference",
            "presets",
            "editor",
            "again",
        ),
    )
    if draft is None or seen is None:
        return {f"recipe.{name}": NO_DRAFT for name in names}
    reasons: dict[str, str] = {}
    if seen.syntax is not None:
        why = (
            f"the text is no TOML at {seen.syntax.line + 1}:{seen.syntax.column + 1}: mend it there, or undo"
        )
        reasons = {
            f"recipe.{name}": why for name in ("edit", "next_value", "unset", "difference", "start", "trace")
        }
    elif seen.faults:
        reasons["recipe.start"] = reasons["recipe.trace"] = "the recipe has faults: f goes to them"
    if not seen.faults:
        reasons["recipe.next_fault"] = "there is no fault"
    if mend is None:
        reasons["recipe.apply"] = "nothing is offered here"
    if draft.opened is None:
        reasons["recipe.again"] = "it is in no file yet"
    return reasons
