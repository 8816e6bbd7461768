"""Every action of the interface, declared once: bindings, key bar, palette, help and docs/keys.md follow it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from finetui_core.keymap import Actions, Keys, mark_of

if TYPE_CHECKING:
    from textual.binding import BindingType

_KEY_NAMES = {
    "left": "←",
    "right": "→",
    "down": "↓",
    "up": "↑",
    "escape": "esc",
    "pagedown": "page down",
    "pageup": "page up",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something the user can do.

    `id` is `scope.name`: the screen or widget that binds `scope` has the method `action_<name>`, or does `does`.
    The first of `keys` is the one shown; `label` is for the key bar, `help` a sentence for the help page. The key
    of a `fixed` action works over dialogs and text fields too, and cannot be changed.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    in_bar: bool = True
    does: str = ""
    fixed: bool = False

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.id.partition(".")[2]


ACTIONS = (
    Action("table.open", ("enter",), "open", "Open the chosen line."),
    Action("table.down", ("down", "j"), "down", "Go to the next line.", in_bar=False),
    Action("table.up", ("up", "k"), "up", "Go to the line before.", in_bar=False),
    Action("table.page_down", ("pagedown",), "page down", "Go down by a screenful.", in_bar=False),
    Action("table.page_up", ("pageup",), "page up", "Go up by a screenful.", in_bar=False),
    Action("table.first", ("g", "home"), "first", "Go to the first line.", in_bar=False),
    Action("table.last", ("G", "end"), "last", "Go to the last line.", in_bar=False),
    Action("runs.start", ("s",), "start", "Start a run: asks for its recipe.", does="app.start_run"),
    Action("runs.filter", ("slash",), "filter", "Show only the runs that fit what you type."),
    Action("runs.mark", ("space",), "mark", "Mark this run, or take the mark away, and go to the next."),
    Action("runs.compare", ("c",), "compare", "Open this run and the marked ones over each other."),
    Action("runs.delete", ("d",), "delete", "Move the run to the trash; asks first. A live run stays."),
    Action("runs.rename", ("R",), "rename", "Show another name for this run; its id stays."),
    Action("runs.tag", ("t",), "tag", "Add tags to the marked runs or this one, or take them away."),
    Action("runs.note", ("n",), "note", "Write a note on the marked runs or this one."),
    Action("runs.archive", ("a",), "archive", "Put the run into the archive; there, bring it back."),
    Action("runs.undo", ("u",), "undo", "Undo the last change made here."),
    Action("runs.elsewhere", ("A",), "archived", "Show the archive, then the trash, then the list."),
    Action("runs.sort_right", ("greater_than_sign",), "sort", "Sort by the next column."),
    Action("runs.sort_left", ("less_than_sign",), "sort", "Sort by the column before.", in_bar=False),
    Action("runs.reverse", ("o",), "order", "Turn the order of the list round."),
    Action("runs.unmark", ("M",), "unmark", "Take all marks away.", in_bar=False),
    Action("runs.reload", ("r",), "read again", "Read the folder of runs again now."),
    Action("runs.queue_up", ("K", "ctrl+up"), "sooner", "Move a run of the queue up.", in_bar=False),
    Action("runs.queue_down", ("J", "ctrl+down"), "later", "Move a run of the queue down.", in_bar=False),
    Action("runs.unqueue", ("D",), "unqueue", "Take the run out of the queue; it is kept.", in_bar=False),
    Action(
        "runs.queue_go", ("p",), "queue", "Pause the queue, or let it go on; what runs goes on.", in_bar=False
    ),
    Action("filter.keep", ("enter", "down"), "keep", "Keep the filter and go to the list."),
    Action("filter.clear", ("escape", "ctrl+g"), "clear", "Take the filter away and go to the list."),
    Action("path.complete", ("tab",), "complete", "Add what all files and folders that begin so share."),
    Action("ask.accept", ("enter",), "accept", "Take this text."),
    Action("ask.cancel", ("escape", "ctrl+g"), "cancel", "Change nothing."),
    Action("run.back", ("b", "escape", "backspace"), "back", "Go back to the list. The run goes on."),
    Action("run.checkpoint", ("c",), "checkpoint", "Ask the run to save a checkpoint after this step."),
    Action("run.pause", ("p",), "pause", "Ask the run to pause after this step; again, to go on."),
    Action("run.evaluate", ("e",), "evaluate", "Ask the run to measure the validation loss after this step."),
    Action("run.stop", ("s",), "stop", "Ask the run to save a checkpoint and end; asks you first."),
    Action("run.sample", ("a",), "sample", "Ask the run to answer the sample prompts after this step."),
    Action("run.abort", ("X",), "abort", "Ask the run to end without a checkpoint; asks you first."),
    Action("run.resume", ("C",), "continue", "Go on with a run that has ended, from its newest checkpoint."),
    Action(
        "run.export", ("E",), "export", "Write the trained model for other programs; asks for which.", False
    ),
    Action("run.charts", ("d",), "charts", "Show the charts and the last events.", in_bar=False),
    Action("run.log", ("o",), "log", "Show the log of the process.", in_bar=False),
    Action("run.events", ("v",), "events", "Show all events.", in_bar=False),
    Action("run.samples", ("t",), "samples", "Show the sample answers of two steps.", in_bar=False),
    Action("run.recipe", ("r",), "recipe", "Show the recipe, and how another run's differs.", in_bar=False),
    Action("run.machine", ("m",), "machine", "Show GPUs, processor, memory and disk.", in_bar=False),
    Action(
        "run.meters", ("M",), "meters", "Show the alarms, why and what to do, and all meters.", in_bar=False
    ),
    Action("run.numbers", ("i",), "numbers", "Show every number and what it means.", in_bar=False),
    Action("chart.left", ("left", "h"), "read", "Read the values further left: moves the crosshair."),
    Action("chart.right", ("right", "l"), "right", "Read the values further right.", in_bar=False),
    Action(
        "chart.far_left", ("H", "shift+left"), "far left", "Read further left by ten columns.", in_bar=False
    ),
    Action("chart.far_right", ("L", "shift+right"), "far right", "Read further right by ten columns.", False),
    Action("chart.first", ("g", "home"), "first", "Read the first values.", in_bar=False),
    Action("chart.newest", ("G", "end"), "newest", "Read the newest values: no crosshair.", in_bar=False),
    Action("chart.zoom_in", ("plus", "equals_sign"), "zoom", "Show half as much, around the crosshair."),
    Action("chart.zoom_out", ("minus",), "zoom out", "Show twice as much.", in_bar=False),
    Action("chart.whole", ("0",), "all", "Show all of the run.", in_bar=False),
    Action("chart.pan_left", ("comma",), "earlier", "Move the view to earlier steps.", in_bar=False),
    Action("chart.pan_right", ("full_stop",), "later", "Move the view to later steps.", in_bar=False),
    Action("chart.next", ("down", "j", "right_square_bracket"), "next", "Choose the next chart."),
    Action("chart.previous", ("up", "k", "left_square_bracket"), "before", "Choose the chart before.", False),
    Action("chart.maximise", ("z", "enter"), "one/all", "Show the chosen chart alone, and back."),
    Action("chart.axis", ("x",), "x axis", "Count the x axis in steps, epochs, tokens or time."),
    Action("chart.smoothing", ("w",), "smooth", "Average over more values, or over none."),
    Action("chart.logarithm", ("y",), "log y", "Make the y axis of the chosen chart logarithmic, and back."),
    Action("chart.full", ("f",), "full y", "Show lone extremes in their place instead of cutting them off."),
    Action("log.search", ("slash",), "search", "Look for a text; capitals matter once you type one."),
    Action("log.next_match", ("n",), "next", "Go to the next line that has it."),
    Action("log.previous_match", ("N",), "before", "Go to the line before that has it.", in_bar=False),
    Action("log.down", ("down", "j"), "down", "Go down a line.", in_bar=False),
    Action("log.up", ("up", "k"), "up", "Go up a line.", in_bar=False),
    Action("log.page_down", ("pagedown", "space"), "page down", "Go down a screenful.", in_bar=False),
    Action("log.page_up", ("pageup",), "page up", "Go up a screenful.", in_bar=False),
    Action("log.first", ("g", "home"), "start", "Go to the start."),
    Action("log.last", ("G", "end"), "end", "Go to the end and follow what comes."),
    Action(
        "log.earlier",
        ("left", "h"),
        "earlier",
        "Samples: an earlier step. Recipe: compare with an older run. Data: the row before.",
    ),
    Action(
        "log.later",
        ("right", "l"),
        "later",
        "Samples: a later step. Recipe: compare with a newer run. Data: the next row.",
    ),
    Action("log.other_earlier", ("H",), "left earlier", "Samples: an earlier step on the left side.", False),
    Action("log.other_later", ("L",), "left later", "Samples: a later step on the left side.", in_bar=False),
    Action("station.start", ("s",), "start", "Start a run: asks for its recipe.", does="app.start_run"),
    Action("data.filter", ("slash",), "filter", "Show only the rows that fit what you type."),
    Action("data.switch", ("tab",), "other list", "Go to the rows, or back to the findings."),
    Action(
        "data.panel", ("v",), "lengths", "Show findings, then lengths, then turns; enter on a bar filters."
    ),
    Action("data.fix", ("f",), "fix", "Show what mending this finding would do, then do it into a new file."),
    Action("data.drop", ("d",), "drop", "Show what dropping the rows of this finding would do, then do it."),
    Action("data.edit", ("e",), "edit", "Edit this row in your editor; the set goes into a new file."),
    Action(
        "data.fix_all", ("F",), "fix all", "Show what mending all that is safe to mend would do, then do it."
    ),
    Action("data.open_file", ("o",), "open", "Open another file: asks for its path."),
    Action(
        "data.recipe",
        ("R",),
        "recipe",
        "Choose a recipe to check the rows under, and to show their tokens by.",
    ),
    Action("data.again", ("r",), "again", "Read the file again and check it again."),
    Action("data.cancel", ("x",), "end", "End the search or the check that is under way."),
    Action("data.everything", ("escape", "backspace", "a"), "all rows", "Show all rows again."),
    Action("row.back", ("b", "escape", "backspace"), "back", "Go back to the list of rows."),
    Action(
        "row.next_row", ("right_square_bracket",), "next row", "Go to the next row of the list.", in_bar=False
    ),
    Action("row.row_before", ("left_square_bracket",), "row before", "Go to the row before.", in_bar=False),
    Action("row.tokens", ("x",), "tokens", "Show the row as the model reads it, and back."),
    Action("row.ids", ("i",), "ids", "Show the number of each token, and back."),
    Action("row.difference", ("d",), "difference", "Show the row beside the one that it repeats, and back."),
    Action("row.raw", ("w",), "as written", "Show the row as it is written in the file, and back."),
    Action("row.edit", ("e",), "edit", "Edit this row in your editor; the set goes into a new file."),
    Action("row.copy_row", ("c",), "copy row", "Copy the row as it is written in the file, secrets too."),
    Action("question.accept", ("enter",), "take", "Take the chosen answer, or the number, and go on."),
    Action("question.down", ("down", "j"), "down", "Choose the next answer.", in_bar=False),
    Action("question.up", ("up", "k"), "up", "Choose the answer before.", in_bar=False),
    Action("question.first", ("a",), "first", "Take the first answer.", False, "pick(0)"),
    Action("question.second", ("b",), "second", "Take the second answer.", False, "pick(1)"),
    Action("question.third", ("c",), "third", "Take the third answer.", False, "pick(2)"),
    Action("question.fourth", ("d",), "fourth", "Take the fourth answer.", False, "pick(3)"),
    Action("question.unknown", ("n",), "unknown", "Say that the answer is not known, and go on."),
    Action("question.before", ("h", "left", "backspace"), "back", "Go back to the question answered before."),
    Action("question.next", ("l", "right"), "on", "Go on to the next question; its answer stays.", False),
    Action("decide.reasons", ("v",), "why", "Show why, what would change it, and what to do next."),
    Action("decide.switch", ("tab",), "answers", "Go to all answers, or back to the question."),
    Action("decide.undo", ("u", "ctrl+z"), "undo", "Take the last answer back."),
    Action("decide.save", ("w", "ctrl+s"), "save", "Write the answers into their file, or a new one."),
    Action("decide.page", ("p",), "page", "Write the decision on one page of Markdown, with its sources."),
    Action("decide.open_file", ("o",), "open", "Open a file of answers: asks for its path."),
    Action("decide.rows", ("r",), "rows", "Propose answers from a data set: asks for its rows."),
    Action("decide.read", ("i",), "read", "Read the page here.", in_bar=False),
    Action("decide.save_as", ("W",), "save as", "Write the answers into a new file.", in_bar=False),
    Action("decide.anew", ("N",), "anew", "Start anew, with nothing answered.", in_bar=False),
    Action("decide.back", ("escape", "ctrl+g"), "question", "Go back to the question.", in_bar=False),
    Action("recipe.next_fault", ("f",), "fault", "Go to the next fault, in the form and in the text."),
    Action("recipe.apply", ("a",), "mend", "Do what is offered to mend this fault."),
    Action("recipe.switch", ("tab",), "text", "Go to the text, or to what stands in its place, and back."),
    Action("recipe.save", ("w", "ctrl+s"), "save", "Write the recipe into its file."),
    Action("recipe.start", ("s",), "start", "Start a run of this recipe; asks first, and saves it."),
    Action("recipe.preflight", ("v",), "fits?", "Show whether it fits, how long it takes and what it costs."),
    Action("recipe.device", ("D",), "device", "Ask whether it would fit another device: a name or a size."),
    Action(
        "recipe.trace", ("t",), "trace", "Measure the memory with the model's own code; again, to end that."
    ),
    Action("recipe.undo", ("u", "ctrl+z"), "undo", "Undo the last change, of the form or the text."),
    Action("recipe.unset", ("x", "delete"), "default", "Take the option out: its default holds again."),
    Action(
        "recipe.next_value", ("space",), "next value", "Take the next of a few values: turns a switch over."
    ),
    Action("recipe.find", ("slash",), "find", "Show only the options whose name or help has what you type."),
    Action("recipe.level", ("l",), "level", "Show the essential options, then the common ones, then all."),
    Action("recipe.difference", ("d",), "differs", "Show what differs from the defaults, a preset or a run."),
    Action("recipe.editor", ("e",), "editor", "Edit the text in your own editor, and come back."),
    Action("recipe.new", ("n",), "new", "Start a new recipe from a preset."),
    Action("recipe.open_file", ("o",), "open", "Open another recipe: asks for its path."),
    Action(
        "recipe.again", ("r",), "read again", "Read the file again; asks where changes would be lost.", False
    ),
    Action(
        "recipe.presets", ("p",), "presets", "Choose a preset, and show what differs from it.", in_bar=False
    ),
    Action(
        "recipe.more", ("plus", "equals_sign"), "more", "A step up: 1-2-5, or twice as much.", in_bar=False
    ),
    Action("recipe.less", ("minus",), "less", "A step down.", in_bar=False),
    Action("recipe.fault_before", ("F",), "fault before", "Go to the fault before.", in_bar=False),
    Action("recipe.redo", ("ctrl+r", "ctrl+y"), "redo", "Do again what was undone.", in_bar=False),
    Action(
        "recipe.earlier", ("left",), "compare", "Compare with the one before: defaults, presets, runs.", False
    ),
    Action("recipe.later", ("right",), "compare", "Compare with the next one.", in_bar=False),
    Action(
        "recipe.take", ("c",), "take", "Take the value of the other side at the chosen difference.", False
    ),
    Action(
        "recipe.about", ("i",), "more about", "Show all that is known of the chosen option.", in_bar=False
    ),
    Action("recipe.save_as", ("W",), "save as", "Write the recipe into a new file.", in_bar=False),
    Action(
        "recipe.back", ("escape", "b"), "back", "Go back to the form, all options and the text.", in_bar=False
    ),
    Action("text.form", ("tab", "escape"), "form", "Go back to the form.", does="screen.switch"),
    Action("text.next_fault", ("f8", "ctrl+n"), "fault", "Go to the next fault.", does="screen.next_fault"),
    Action(
        "text.fault_before", ("f7",), "fault before", "Go to the fault before.", False, "screen.fault_before"
    ),
    Action(
        "text.apply", ("f9", "ctrl+t"), "mend", "Do what is offered to mend this fault.", does="screen.apply"
    ),
    Action("text.save", ("ctrl+s", "f2"), "save", "Write the recipe into its file.", does="screen.save"),
    Action("text.undo", ("ctrl+z",), "undo", "Undo the last change.", does="screen.undo"),
    Action("text.redo", ("ctrl+y", "ctrl+r"), "redo", "Do again what was undone.", does="screen.redo"),
    Action("text.left", ("left",), "left", "Go a character to the left.", in_bar=False),
    Action("text.right", ("right",), "right", "Go a character to the right.", in_bar=False),
    Action("text.up", ("up",), "up", "Go up a line.", in_bar=False),
    Action("text.down", ("down",), "down", "Go down a line.", in_bar=False),
    Action("text.word_left", ("ctrl+left",), "word left", "Go to the word before.", in_bar=False),
    Action("text.word_right", ("ctrl+right",), "word right", "Go behind the next word.", in_bar=False),
    Action("text.start", ("home", "ctrl+a"), "line start", "Go to the start of the line.", in_bar=False),
    Action("text.end", ("end", "ctrl+e"), "line end", "Go to the end of the line.", in_bar=False),
    Action("text.page_up", ("pageup",), "page up", "Go up a screenful.", in_bar=False),
    Action("text.page_down", ("pagedown",), "page down", "Go down a screenful.", in_bar=False),
    Action("text.first", ("ctrl+home",), "first", "Go to the start of the text.", in_bar=False),
    Action("text.last", ("ctrl+end",), "last", "Go to the end of the text.", in_bar=False),
    Action("text.new_line", ("enter",), "new line", "Begin a new line.", in_bar=False),
    Action(
        "text.backspace", ("backspace", "ctrl+h"), "backspace", "Take out the character before.", in_bar=False
    ),
    Action(
        "text.delete", ("delete", "ctrl+d"), "delete", "Take out the character at the cursor.", in_bar=False
    ),
    Action("text.delete_line_end", ("ctrl+k",), "delete line end", "Take out the rest of the line.", False),
    Action(
        "comparisons.start",
        ("s",),
        "start",
        "Compare a run or a recipe: asks which, and shows the plan first.",
    ),
    Action("comparisons.stop", ("x",), "stop", "Stop this comparison; what is answered is kept. Asks first."),
    Action("comparisons.reload", ("r",), "read again", "Read the folder of runs again now.", in_bar=False),
    Action("comparison.answers", ("a",), "answers", "Read the answers of two arms side by side."),
    Action("comparison.rate", ("t",), "rate", "Say which answer is better without knowing whose it is."),
    Action(
        "comparison.start",
        ("s",),
        "go on",
        "Go on with this comparison, or make it anew; shows the plan first.",
    ),
    Action("comparison.stop", ("x",), "stop", "Stop it; what is answered is kept. Asks first."),
    Action(
        "comparison.reasons",
        ("v",),
        "reasons",
        "Show the reasons and what to do next alone, and back.",
    ),
    Action("comparison.page", ("p",), "report", "Show the page that can be handed on (report.md)."),
    Action("comparison.log", ("o",), "log", "Show the log of the process."),
    Action("comparison.text_down", ("d", "space"), "scroll", "Go down in the text below the table."),
    Action("comparison.text_up", ("u",), "up", "Go up in the text below the table.", in_bar=False),
    Action("comparison.back", ("b", "escape", "backspace"), "back", "Go back to the list of comparisons."),
    Action("answers.next_row", ("n",), "next", "Go to the next row."),
    Action("answers.row_before", ("p",), "before", "Go to the row before."),
    Action(
        "answers.which",
        ("f",),
        "which",
        "Show the rows that differ, where one arm is better, errors, or all.",
    ),
    Action("answers.order", ("o",), "order", "Sort by the difference of the scores, and back by row."),
    Action("answers.left_arm", ("left", "h"), "left arm", "Take the next arm for the first answer."),
    Action("answers.right_arm", ("right", "l"), "right arm", "Take the next arm for the second answer."),
    Action(
        "answers.prompt",
        ("w",),
        "prompt",
        "Show all that the first arm is asked, or the second, or the answers.",
    ),
    Action(
        "answers.marks", ("m",), "marks", "Mark what differs from each other, from the reference, or nothing."
    ),
    Action("answers.full", ("z",), "one/all", "Give the whole screen to the chosen row, and back."),
    Action("answers.text_down", ("d", "space"), "scroll", "Go down in the answers."),
    Action("answers.text_up", ("u",), "up", "Go up in the answers.", in_bar=False),
    Action("answers.back", ("b", "escape", "backspace"), "back", "Go back to the comparison."),
    Action("rating.first", ("a",), "A is better", "The first answer is better."),
    Action("rating.second", ("b",), "B is better", "The second answer is better."),
    Action("rating.tie", ("t",), "tie", "Both are equally good, or equally bad."),
    Action("rating.skip", ("s",), "skip", "Do not rate this row."),
    Action("rating.undo", ("z",), "again", "Rate the pair before again."),
    Action("rating.reference", ("w",), "reference", "Show the reference, and hide it."),
    Action("rating.outcome", ("r",), "outcome", "Show what the ratings say so far, and go on rating."),
    Action("rating.text_down", ("d", "space", "down", "j", "pagedown"), "scroll", "Go down in the answers."),
    Action("rating.text_up", ("u", "up", "k", "pageup"), "up", "Go up in the answers.", in_bar=False),
    Action("rating.back", ("escape", "backspace"), "back", "Go back; the ratings are kept."),
    Action("comparisons.chat", ("c",), "chat", "Talk to a model: to this run's, or asks which."),
    Action(
        "comparison.chat", ("c",), "chat", "Talk to the untrained and the tuned model of this comparison."
    ),
    Action(
        "comparison.export", ("E",), "export", "Write this run's model for other programs; asks for which."
    ),
    Action("saying.send", ("enter",), "ask", "Ask both sides what you have typed.", does="submit"),
    Action(
        "saying.stop",
        ("escape", "ctrl+g"),
        "keys",
        "Stop the answers; without any, leave the line: the keys are then for the conversation.",
        does="screen.stop_or_leave",
    ),
    Action("saying.new_line", ("ctrl+j",), "new line", "Begin a new line in the question, shown as ␊."),
    Action("saying.text_up", ("up", "pageup"), "scroll", "Go up in the conversation.", does="screen.text_up"),
    Action(
        "saying.text_down",
        ("down", "pagedown"),
        "down",
        "Go down in the conversation.",
        in_bar=False,
        does="screen.text_down",
    ),
    Action("chat.say", ("i", "enter", "tab"), "type", "Type a question."),
    Action("chat.edit", ("e",), "edit", "Edit the last answer of the chosen side in your editor."),
    Action(
        "chat.save", ("w", "ctrl+s"), "save", "Add the chosen side's conversation to a data file as a row."
    ),
    Action("chat.export", ("E",), "export", "Write this run's model for other programs; asks for which."),
    Action("chat.again", ("a",), "again", "Ask the last question again, with the next seed."),
    Action("chat.prompt", ("v",), "as read", "Show what the model reads, then its tokens and their ids."),
    Action("chat.temperature", ("t",), "temp", "Set the temperature: 0 takes the likeliest token."),
    Action(
        "chat.side", ("left", "right", "h"), "side", "Choose the other side (*), which is edited and saved."
    ),
    Action("chat.alone", ("z",), "one/both", "Show the chosen side alone, and both again."),
    Action("chat.new", ("n",), "new", "Begin a new conversation; asks where one is not saved."),
    Action("chat.back", ("b", "backspace"), "back", "Go back; the conversation stays until ftui ends."),
    Action("chat.top_p", ("p",), "top-p", "Set top-p: draw from the likeliest tokens of this share."),
    Action("chat.length", ("l",), "length", "Set the longest answer, in tokens."),
    Action("chat.seed", ("s",), "seed", "Set the seed, which is the same for both sides."),
    Action("chat.system", ("y",), "system", "Set the system prompt."),
    Action("chat.drop", ("D",), "drop", "Leave out the oldest question with its answers."),
    Action("chat.stop", ("escape", "x"), "stop", "Stop the answers that are being given; they stay."),
    Action("chat.restart", ("r",), "restart", "Start the process of the model again, where it has ended."),
    Action("chat.text_down", ("d", "space", "down", "j", "pagedown"), "scroll", "Go down.", in_bar=False),
    Action("chat.text_up", ("u", "up", "k", "pageup"), "up", "Go up.", in_bar=False),
    Action("chat.first", ("g", "home"), "start", "Go to the start of the conversation.", in_bar=False),
    Action("chat.last", ("G", "end"), "end", "Go to the end, and follow what comes.", in_bar=False),
    Action("comparing.accept", ("enter",), "begin", "Begin the comparison as it is planned."),
    Action("comparing.in_or_out", ("space",), "in/out", "Take this arm out, or in again."),
    Action("comparing.documents", ("f",), "folder", "Name a folder of documents to look answers up in."),
    Action("comparing.down", ("down", "j"), "down", "Go to the next arm.", in_bar=False),
    Action("comparing.up", ("up", "k"), "up", "Go to the arm before.", in_bar=False),
    Action("comparing.cancel", ("q", "escape"), "back", "Begin nothing."),
    Action("choose.accept", ("enter",), "choose", "Take the chosen answer."),
    Action("choose.down", ("down", "j", "tab"), "down", "Go to the next answer."),
    Action("choose.up", ("up", "k", "shift+tab"), "up", "Go to the answer before.", in_bar=False),
    Action("choose.cancel", ("q", "escape"), "back", "Change nothing."),
    Action("plan.accept", ("enter", "y"), "do it", "Go on: asks for the name of the new file."),
    Action("plan.close", ("q", "escape"), "do nothing", "Close this page and do nothing."),
    Action("confirm.yes", ("y",), "yes", "Do it."),
    Action("confirm.no", ("n", "escape"), "no", "Do nothing."),
    Action("help.close", ("q", "escape", "question_mark"), "close", "Close this page."),
    Action("help.down", ("down", "j"), "down", "Go down a line.", in_bar=False),
    Action("help.up", ("up", "k"), "up", "Go up a line.", in_bar=False),
    Action("help.page_down", ("pagedown", "space"), "more", "Go down a page."),
    Action("help.page_up", ("pageup",), "page up", "Go up a page.", in_bar=False),
    Action("told.close", ("q", "escape", "enter"), "close", "Close this page."),
    Action("told.copy", ("Y",), "copy", "Copy all that it says."),
    Action("palette.run", ("enter",), "do it", "Do what the chosen line says."),
    Action("palette.down", ("down", "tab"), "down", "Go to the next line.", in_bar=False),
    Action("palette.up", ("up", "shift+tab"), "up", "Go to the line before.", in_bar=False),
    Action("palette.close", ("ctrl+p", "escape"), "close", "Close the list and do nothing."),
    Action("studio.runs", ("1",), "Runs", "Go to the list of runs.", False, "station('runs')"),
    Action("studio.decide", ("2",), "Decide", "Go to the choice of method.", False, "station('decide')"),
    Action("studio.data", ("3",), "Data", "Go to the data.", False, "station('data')"),
    Action("studio.recipe", ("4",), "Recipe", "Go to the recipe.", False, "station('recipe')"),
    Action("studio.train", ("5",), "Train", "Go to the run opened last.", False, "station('train')"),
    Action("studio.compare", ("6",), "Compare", "Go to the comparison.", False, "station('compare')"),
    Action("studio.copy", ("Y",), "copy", "Copy the text of this screen.", in_bar=False),
    Action("studio.palette", ("colon", "ctrl+p"), "commands", "Find any action, station or theme by name."),
    Action("studio.help", ("question_mark",), "help", "Show what every key does here."),
    Action("studio.quit", ("q",), "quit", "Leave ftui. Runs go on without it."),
    Action("studio.leave", ("ctrl+q",), "quit", "Leave ftui from anywhere.", False, "quit", fixed=True),
)

SCOPES: Mapping[str, str] = {
    "table": "In a list",
    "runs": "The list of runs",
    "filter": "Typing a filter",
    "ask": "Typing a text",
    "path": "Typing a path",
    "run": "A run",
    "chart": "Charts",
    "log": "Log, events, samples, recipe, a row of a data set",
    "station": "Train, without a run",
    "data": "A data set",
    "row": "A row of a data set",
    "question": "A question of Decide",
    "decide": "Whether to fine-tune",
    "recipe": "A recipe",
    "text": "The text of a recipe",
    "comparisons": "The list of comparisons",
    "comparison": "A comparison",
    "answers": "Answers side by side",
    "rating": "Rating answers blind",
    "saying": "Talking to a model: typing a question",
    "chat": "Talking to a model",
    "comparing": "What a comparison would do",
    "plan": "What a command would do",
    "choose": "A question with a few answers",
    "confirm": "A question",
    "help": "The help page",
    "told": "What a command said",
    "palette": "The list of commands",
    "studio": "Everywhere",
}
"""What the scopes are called, in the order of docs/keys.md."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "Runs": ("table", "runs", "studio"),
    "Train": ("run", "chart", "studio"),
    "Train, text": ("log", "run", "studio"),
    "Data": ("table", "data", "studio"),
    "Data, a row": ("row", "log", "studio"),
    "Decide": ("question", "decide", "studio"),
    "Decide, answers and reasons": ("table", "decide", "studio"),
    "Recipe": ("table", "recipe", "studio"),
    "Recipe, text": ("text", "studio"),
    "Compare": ("table", "comparisons", "studio"),
    "Compare, one": ("table", "comparison", "studio"),
    "Compare, answers": ("table", "answers", "studio"),
    "Compare, rating": ("rating", "studio"),
    "Compare, chat": ("chat", "studio"),
    "Compare, typing": ("saying",),
    "Compare, plan": ("comparing",),
    "Filter": ("filter",),
    "Train, without a run": ("station", "studio"),
    "Text": ("ask", "path"),
    "Question": ("confirm",),
    "Answers": ("choose",),
    "Help": ("help",),
    "What a command said": ("told", "log"),
    "What a command would do": ("plan", "log"),
    "Commands": ("palette",),
}
"""Scopes whose keys work at the same time, so that no two of their actions may share a key."""


def keymap_rules() -> Actions:
    """What the settings file may change, for `finetui_core.keymap`."""
    return Actions(
        defaults={action.id: action.keys for action in ACTIONS},
        places=tuple(frozenset(scopes) for scopes in PLACES.values()),
        fixed=frozenset(action.id for action in ACTIONS if action.fixed),
        leaves="studio.quit",
    )


def actions_of(*scopes: str, keys: Keys | None = None) -> list[Action]:
    """The actions of `scopes`, in the order of the scopes, with the user's `keys` in place of their own."""
    return [
        replace(action, keys=keys[action.id]) if keys and action.id in keys else action
        for scope in scopes
        for action in ACTIONS
        if action.scope == scope
    ]


def bindings(*scopes: str) -> "list[BindingType]":
    """Textual's bindings for `scopes`; `Binding.id` is the action's id."""
    from textual.binding import Binding

    return [
        Binding(
            key=",".join(a.keys),
            action=a.does or a.name,
            description=a.label,
            show=a.in_bar,
            tooltip=a.help,
            id=a.id,
            priority=a.fixed,
        )
        for a in actions_of(*scopes)
    ]


def key_name(key: str) -> str:
    """How `key` is written for people."""
    *modifiers, last = key.split("+")
    return "+".join([*modifiers, _KEY_NAMES.get(last) or mark_of(last) or last])


def keys_of(action: Action) -> str:
    """All keys of an action as they are written for people: "j/↓"."""
    return "/".join(key_name(key) for key in action.keys)
