"""Finding the option that an unknown name was meant to be."""

import difflib
import unicodedata
from collections.abc import Iterable

from finetui_core.recipe.table import any_of, options_by_path, table_names

_NAMES_ELSEWHERE = {
    "alpha": "lora.lora_alpha",
    "base_model": "model.name",
    "batch_size": "train.per_device_train_batch_size",
    "cutoff_len": "data.max_length",
    "dataset": "data.train",
    "dropout": "lora.lora_dropout",
    "epochs": "train.num_train_epochs",
    "eval_batch_size": "eval.per_device_eval_batch_size",
    "eval_on_start": "eval.on_start",
    "eval_steps": "eval.steps",
    "gpus": "launch.nproc_per_node",
    "grad_accum": "train.gradient_accumulation_steps",
    "load_in_4bit": "model.quantize",
    "load_in_8bit": "model.quantize",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "lr": "train.learning_rate",
    "lr_scheduler": "train.lr_scheduler_type",
    "max_seq_length": "data.max_length",
    "micro_batch_size": "train.per_device_train_batch_size",
    "model_name_or_path": "model.name",
    "num_epochs": "train.num_train_epochs",
    "rank": "lora.r",
    "sample_packing": "data.packing",
    "save_steps": "save.steps",
    "save_total_limit": "save.total_limit",
    "sequence_len": "data.max_length",
    "torch_dtype": "model.dtype",
    "train_file": "data.train",
    "training_file": "data.train",
    "val_set_size": "data.val_fraction",
    "validation_file": "data.val",
    "warmup_ratio": "train.warmup_steps",
}
"""Names of the same options in other tools, to the name here."""


_LOOKS_LIKE = str.maketrans("аеорсухіјѕһԁԛԝкмтνοαρικυχτ", "aeopcyxijshdqwkmtvoapikuxt")
"""Cyrillic and Greek letters, to the Latin ones that they look like."""


def folded(name: str) -> str:
    """The name in small Latin letters as it looks to a reader, with "_" between its words."""
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_LOOKS_LIKE)
    return "".join("_" if one in "- " else one for one in plain if unicodedata.category(one) != "Cf")


def odd_letter(text: str) -> str:
    """The first character outside ASCII in words: `"е" is CYRILLIC SMALL LETTER IE (U+0435)`; "" for none."""
    for one in text:
        if not one.isascii():
            shown = f'"{one}"' if one.isprintable() else "a character that is not seen"
            return f"{shown} is {unicodedata.name(one, 'a character without a name')} (U+{ord(one):04X})"
    return ""


def suggest_spelling(name: str, known: Iterable[str]) -> str:
    """A hint for a name that differs from a known one by case, hyphens or look-alikes alone; "" for others."""
    meant = _spelled(name, known)
    if meant is None:
        return ""
    if odd := odd_letter(name):
        return f'write "{meant}" in plain letters: {odd}'
    return f'did you mean "{meant}"? Case and hyphens count'


def suggest_option(table: str, name: str) -> str:
    """A hint for a name that `table` ("" for none) does not have."""
    own = [key for home, key in options_by_path() if home == table]
    if name not in own and (hint := suggest_spelling(name, own)):
        return hint
    tables_with_it = tuple(home for home, key in options_by_path() if key == name)
    if tables_with_it:
        homes = " or ".join(f"[{home}]" for home in tables_with_it)
        return f'"{name}" belongs to {homes}'
    meant = meant_option(table, name)
    if meant is None:
        return (
            f"[{table}] has {', '.join(own)}" if own else "every option belongs to a table, such as [train]"
        )
    home, key = meant
    if name in _NAMES_ELSEWHERE:
        return f'here it is called "{key}", in [{home}]'
    return f'did you mean "{key}"?' if home == table else f'did you mean "{key}" in [{home}]?'


def meant_option(table: str, name: str) -> tuple[str, str] | None:
    """The option that an unknown name in `table` ("" for none) most likely means; None where none is near."""
    own = [key for home, key in options_by_path() if home == table]
    if (spelled := _spelled(name, own)) is not None:
        return table, spelled
    homes = [home for home, key in options_by_path() if key == name]
    if homes:
        return (homes[0], name) if len(homes) == 1 else None
    if name in _NAMES_ELSEWHERE:
        home, _, key = _NAMES_ELSEWHERE[name].partition(".")
        return home, key
    if close := difflib.get_close_matches(name, own, n=1):
        return table, close[0]
    everywhere = {key: home for home, key in options_by_path()}
    if close := difflib.get_close_matches(name, everywhere, n=1):
        return everywhere[close[0]], close[0]
    return None


def suggest_table(name: str) -> str:
    """A hint for a table that does not exist."""
    if hint := suggest_spelling(name, table_names()):
        return hint
    if (meant := meant_table(name)) is not None:
        return f"did you mean [{meant}]?"
    return f"the tables are {', '.join(f'[{table}]' for table in table_names())}"


def meant_table(name: str) -> str | None:
    """The table that an unknown one most likely means; None where none is near."""
    close = difflib.get_close_matches(name, table_names(), n=1)
    return _spelled(name, table_names()) or (close[0] if close else None)


def _spelled(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs by case, hyphens or look-alikes alone."""
    return next((one for one in known if folded(one) == folded(name)), None)


def suggest_choice(given: str, choices: tuple[str, ...]) -> str:
    """A hint for a word that is not among the choices, "" where none is near."""
    if odd_letter(given) and (hint := suggest_spelling(given, choices)):
        return hint
    close = difflib.get_close_matches(given.lower(), choices, n=1)
    return f"did you mean {any_of((close[0],))}?" if close else ""


def suggest_word(given: str, words: tuple[str, ...]) -> str:
    """A hint that names the nearest of some words, or all of them."""
    return suggest_choice(given, words) or f"there are {', '.join(words)}"
