"""What a user reads when a recipe is wrong: each fault, its place and the way out."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.recipe import Recipe, load_recipe, parse_recipe

HEAD = '[model]\nname = "owner/model"\n[data]\ntrain = "chat.jsonl"\n'
"""A sound start of four lines; what a case adds begins at line 5, inside [data]."""


def problems_of(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    recipe = folder / "r.toml"
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, overrides)
    found = [(problem.where, problem.what, problem.hint) for problem in caught.value.problems]
    return [tuple(part.replace(f"{folder}/", "") for part in problem) for problem in found]  # type: ignore[misc]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chat.jsonl").write_text("{}\n")
    return tmp_path


METHODS = '"lora", "qlora" or "full"'
ONE_FAULT = {
    "misspelt key": (
        HEAD + "[train]\nlearnin_rate = 1e-4",
        "r.toml:6:1", 'unknown option "learnin_rate" in [train]', 'did you mean "learning_rate"?',
    ),
    "key of another table": (
        HEAD + "learning_rate = 1e-4",
        "r.toml:5:1", 'unknown option "learning_rate" in [data]', '"learning_rate" belongs to [train]',
    ),
    "key of two other tables": (
        HEAD + "steps = 5",
        "r.toml:5:1", 'unknown option "steps" in [data]', '"steps" belongs to [eval] or [save]',
    ),
    "another tool's name": (
        HEAD + "[lora]\n  rank = 8",
        "r.toml:6:3", 'unknown option "rank" in [lora]', 'here it is called "r", in [lora]',
    ),
    "misspelt key of another table": (
        HEAD + "[save]\nnum_train_epoch = 1",
        "r.toml:6:1", 'unknown option "num_train_epoch" in [save]',
        'did you mean "num_train_epochs" in [train]?',
    ),
    "a name like none": (
        HEAD + "[launch]\nzzz = 1",
        "r.toml:6:1", 'unknown option "zzz" in [launch]',
        "[launch] has nproc_per_node, nnodes, rdzv_endpoint, max_restarts, sharding",
    ),
    "misspelt table": (
        HEAD + "[trayn]\nseed = 1",
        "r.toml:5:2", "unknown table [trayn]", "did you mean [train]?",
    ),
    "a table like none": (
        HEAD + '["my table"]\nseed = 1',
        "r.toml:5:2", 'unknown table "my table"',
        "the tables are [model], [data], [train], [lora], [eval], [save], [launch], [cost]",
    ),
    "key before any table": (
        "seed = 1\n" + HEAD,
        "r.toml:1:1", '"seed" stands outside every table', '"seed" belongs to [train]',
    ),
    "table written as a value": (
        "train = 3\n" + HEAD,
        "r.toml:1:9", "train must be a table, not 3",
        "write [train] on a line of its own, and its options below",
    ),
    "number in quotes": (
        HEAD + '[train]\nlearning_rate = "3e-4"',
        "r.toml:6:17", 'train.learning_rate must be a number above 0 and at most 1, not the text "3e-4"',
        "remove the quotes: learning_rate = 3e-4",
    ),
    "fraction for a whole number": (
        HEAD + "[train]\nseed = 7.0",
        "r.toml:6:8", "train.seed must be a whole number from 0 to 4294967295, not 7.0",
        "write it without a fraction: seed = 7",
    ),
    "switch for a whole number": (
        HEAD + "[lora]\nr = true",
        "r.toml:6:5", "lora.r must be a whole number from 1 to 4096, not true",
        "The rank of the adapters: their capacity; 16 holds tens of millions of learned tokens.",
    ),
    "text for a switch": (
        HEAD + '[lora]\nuse_dora = "yes"',
        "r.toml:6:12", 'lora.use_dora must be true or false, not the text "yes"', "write use_dora = true",
    ),
    "hosts without a place to meet": (
        HEAD + "[launch]\nnnodes = 2",
        "r.toml:6:10", "launch.nnodes = 2, but launch.rdzv_endpoint does not say where the hosts meet",
        "write the address of the host that starts the run and a free port: "
        'rdzv_endpoint = "10.0.0.1:29400"',
    ),
    "a place to meet for one host": (
        HEAD + '[launch]\nrdzv_endpoint = "10.0.0.1:29400"',
        "r.toml:6:17", "launch.rdzv_endpoint is for several hosts, but launch.nnodes is 1",
        "write nnodes = 2, or leave rdzv_endpoint out",
    ),
    "an endpoint without a port": (
        HEAD + '[launch]\nnnodes = 2\nrdzv_endpoint = "10.0.0.1:70000"',
        "r.toml:7:17", "launch.rdzv_endpoint must be host:port, not 10.0.0.1:70000",
        "write the address of the host that starts the run and a free port, as 10.0.0.1:29400",
    ),
    "a probe of full training that has no start": (
        HEAD + '[eval]\non_start = false\nforgetting_probe = "chat.jsonl"\n[train]\nmethod = "full"',
        "r.toml:6:12", 'eval.forgetting_probe with train.method = "full" is compared with the model at the start, '
        "which eval.on_start = false does not measure",
        "write on_start = true, or leave forgetting_probe out",
    ),
    "number for text": (
        HEAD + "[eval]\nforgetting_probe = 4",
        "r.toml:6:20", "eval.forgetting_probe must be text, not 4", "text goes in quotes",
    ),
    "date for text": (
        HEAD + "[eval]\nforgetting_probe = 2020-01-01",
        "r.toml:6:20", "eval.forgetting_probe must be text, not the date or time 2020-01-01",
        "A plain text file of general text: the rise of its loss shows what the model forgets.",
    ),
    "empty text": (
        HEAD + 'val = ""',
        "r.toml:5:7", "data.val must not be empty",
        "leave it out, or fill it in. "
        "The validation rows, in the same forms; without it, a share of the training rows.",
    ),
    "not a choice": (
        HEAD + '[train]\nmethod = "LoRA"',
        "r.toml:6:10", f'train.method must be {METHODS}, not the text "LoRA"', 'did you mean "lora"?',
    ),
    "control characters are made visible": (
        HEAD + '[train]\nmethod = "\\u001b[2J\\u009b"',
        "r.toml:6:10", f'train.method must be {METHODS}, not the text "\\u001b[2J\\u009b"',
        "Train adapters (lora), adapters on a quantized base (qlora), or every weight (full).",
    ),
    "one name for a list": (
        HEAD + '[lora]\ntarget_modules = "q_proj"',
        "r.toml:6:18",
        'lora.target_modules must be "all-linear" or a list of text, not the text "q_proj"',
        'for one name write ["q_proj"]',
    ),
    "empty list": (
        HEAD + "[lora]\ntarget_modules = []",
        "r.toml:6:18", "lora.target_modules must not be empty",
        "leave it out, or fill it in. "
        "The modules that get an adapter: all-linear (all but the head) or a list of names.",
    ),
    "wrong element of a list": (
        HEAD + '[lora]\ntarget_modules = [\n  "q_proj",\n  3,\n]',
        "r.toml:8:3", "lora.target_modules, element 2, must be text, not 3",
        "The modules that get an adapter: all-linear (all but the head) or a list of names.",
    ),
    "below the range": (
        HEAD + "[save]\ntotal_limit = 0",
        "r.toml:6:15", "save.total_limit must be a whole number of at least 1, not 0",
        "The number of checkpoints kept; the newest and, with keep_best, the best are always among them.",
    ),
    "above the range": (
        HEAD + "val_fraction = 0.6",
        "r.toml:5:16", "data.val_fraction must be a number from 0 to 0.5, not 0.6",
        "The share of training rows kept for validation when val is not given; 0 keeps none.",
    ),
    "infinite": (
        HEAD + "[train]\nwarmup_steps = inf",
        "r.toml:6:16", "train.warmup_steps must be a number of at least 0, not inf",
        "Steps during which the learning rate rises; a number below 1 is a share of all steps.",
    ),
    "in an inline table": (
        "lora = { use_dora = false, r = 0 }\n" + HEAD,
        "r.toml:1:32", "lora.r must be a whole number from 1 to 4096, not 0",
        "The rank of the adapters: their capacity; 16 holds tens of millions of learned tokens.",
    ),
    "required option missing": (
        '[model]\ndtype = "auto"\n[data]\ntrain = "chat.jsonl"',
        "r.toml:1:2", "model.name is missing",
        'write name = "..." under [model]. '
        "The base model: a folder in Hugging Face format, or a hub id such as owner/name.",
    ),
    "required table missing": (
        '[model]\nname = "owner/model"',
        "r.toml", "data.train is missing",
        'write train = "..." under [data]. The training rows: a JSONL, JSON, CSV, Parquet or Arrow file, '
        "or a hub data set written hub:owner/name or hub:owner/name#split.",
    ),
    "no steps": (
        HEAD + "[train]\nmax_steps = 0",
        "r.toml:6:13", "train.max_steps must be -1 (no limit) or at least 1, not 0",
        "leave it out for a run without a limit",
    ),
    "half a warm-up step": (
        HEAD + "[train]\nwarmup_steps = 1.5",
        "r.toml:6:16", "train.warmup_steps must be a share below 1 or a whole number of steps, not 1.5",
        "write 0.05 for 5 % of all steps, or 10 for ten steps",
    ),
    "warm-up longer than the run": (
        HEAD + "[train]\nmax_steps = 10\nwarmup_steps = 20",
        "r.toml:7:16", "train.warmup_steps = 20 is more than train.max_steps = 10: the peak is never reached",
        "warm up for fewer steps, for example 0.05 of them",
    ),
    "quantized full training": (
        '[train]\nmethod = "full"\n[model]\nname = "a/b"\nquantize = "int8"\n[data]\ntrain = "chat.jsonl"',
        "r.toml:5:12", 'model.quantize = "int8" contradicts train.method = "full", which trains every weight',
        'leave quantize out, or write method = "qlora"',
    ),
    "quantized lora": (
        'model.name = "owner/model"\nmodel.quantize = "nf4"\n[data]\ntrain = "chat.jsonl"',
        "r.toml:2:18", 'model.quantize = "nf4" contradicts train.method = "lora"',
        'write method = "qlora" for adapters on a quantized model',
    ),
    "qlora without quantization": (
        'model = {name = "a/b", quantize = "none"}\ntrain.method = "qlora"\ndata.train = "chat.jsonl"',
        "r.toml:1:35", 'model.quantize = "none" contradicts train.method = "qlora"',
        'write quantize = "nf4", or method = "lora"',
    ),
    "two sources of validation rows": (
        HEAD + 'val = "chat.jsonl"\nval_fraction = 0.1',
        "r.toml:6:16", "data.val_fraction and data.val both say where validation rows come from",
        "keep one of the two",
    ),
    "patience without validation rows": (
        HEAD + "val_fraction = 0\n[eval]\nearly_stopping_patience = 2",
        "r.toml:7:27", "eval.early_stopping_patience needs validation rows; data.val_fraction = 0 keeps none",
        "give data.val or a data.val_fraction above 0, or leave the patience out",
    ),
    "a module named twice": (
        HEAD + '[lora]\ntarget_modules = ["a", "b"]\nmodules_to_save = ["b"]',
        "r.toml:7:19", "lora.modules_to_save and lora.target_modules both name b",
        "a module gets an adapter or is trained in full: name it once",
    ),
    "turns in plain text": (
        HEAD + 'format = "text"\ntrain_on = "last"',
        "r.toml:6:12", 'data.train_on = "last" contradicts data.format = "text", which has no turns',
        'leave train_on out, or write "all"',
    ),
    "flash attention in float32": (
        'data.train = "chat.jsonl"\n'
        '[model]\nname = "a/b"\ndtype = "float32"\nattn_implementation = "flash_attention_2"',
        "r.toml:5:23",
        'model.attn_implementation = "flash_attention_2" does not compute in model.dtype = "float32"',
        'write dtype = "bfloat16", or attn_implementation = "sdpa"',
    ),
    "remote code of any version": (
        '[model]\nname = "a/b"\ntrust_remote_code = true\nrevision = "main"\n[data]\ntrain = "chat.jsonl"',
        "r.toml:3:21",
        "model.trust_remote_code = true needs model.revision to be a full commit hash of 40 digits",
        "read the code at one commit and name that commit, so that what runs here cannot change",
    ),
    "broken TOML": (
        HEAD + "[train]\nseed = = 4",
        "r.toml:6:8", "not valid TOML: Invalid value", "the line reads: seed = = 4",
    ),
    "text without quotes": (
        "[model]\nname = ./tiny",
        "r.toml:2:8", "not valid TOML: Invalid value", "text goes in quotes: name = ./tiny",
    ),
    "Python's words": (
        "[lora]\nuse_dora = True",
        "r.toml:2:12", "not valid TOML: Invalid value",
        "TOML writes true and false in small letters: use_dora = True",
    ),
    "null": (
        "[data]\nval = null",
        "r.toml:2:7", "not valid TOML: Invalid value", "TOML has no empty value: leave val out",
    ),
    "YAML": (
        "model: tiny",
        "r.toml:1:6", "not valid TOML: Expected '=' after a key in a key/value pair",
        'TOML writes key = value, not "key: value": model: tiny',
    ),
    "a key twice": (
        HEAD + "[train]\nseed = 1\nseed = 2",
        "r.toml:7:9", "not valid TOML: Cannot overwrite a value", "the line reads: seed = 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_FAULT)
def test_a_fault_is_named_with_its_place_and_the_way_out(case: str, folder: Path) -> None:
    text, *expected = ONE_FAULT[case]
    assert problems_of(folder, text) == [tuple(expected)]


def test_every_fault_is_reported_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = (
        HEAD + 'val = 3\n[train]\nmethod = "qlra"\nmax_steps = 0\nsed = 1\n[tuning]\nx = 1\n[lora]\nr = 0\n'
    )
    places = [where for where, _, _ in problems_of(folder, text, ("lora.r=-1", "train.lr=3", "seed=1"))]
    assert places == [
        "r.toml:5:7", "r.toml:7:10", "r.toml:8:13", "r.toml:9:1", "r.toml:10:2",
        "--set lora.r=-1", "--set train.lr=3", "--set seed=1",
    ]  # fmt: skip


def test_a_contradiction_is_not_invented_from_a_faulty_option(folder: Path) -> None:
    text = (
        '[model]\nname = "a/b"\nquantize = "nf4"\n[train]\nmethod = "lorra"\n[data]\ntrain = "chat.jsonl"\n'
    )
    assert [where for where, _, _ in problems_of(folder, text)] == ["r.toml:5:10"]


@pytest.mark.parametrize(
    ("override", "what", "hint"),
    [
        ("train.lr=3", 'unknown option "lr" in [train]', 'here it is called "learning_rate", in [train]'),
        ("trayn.seed=3", 'unknown table "trayn"', "did you mean [train]?"),
        ("seed=3", '"seed=3" is not of the form table.key=value', '"seed" belongs to [train]'),
        ("train.seed", '"train.seed" is not of the form table.key=value', "for example --set train.seed=7"),
        ("train.seed=-3", "train.seed must be a whole number from 0 to 4294967295, not -3",
         "Seeds the order of rows, the split, the adapters' start and dropout."),
        ("train.method=full-ft", f'train.method must be {METHODS}, not the text "full-ft"',
         'did you mean "full"?'),
        ("model.quantize=nf4", 'model.quantize = "nf4" contradicts train.method = "lora"',
         'write method = "qlora" for adapters on a quantized model'),
    ],
)  # fmt: skip
def test_a_faulty_override_is_named_as_it_was_written(
    override: str, what: str, hint: str, folder: Path
) -> None:
    assert problems_of(folder, HEAD, (override,)) == [(f"--set {override}", what, hint)]


def test_an_override_mends_a_fault_of_the_file(folder: Path) -> None:
    (folder / "r.toml").write_text(HEAD + "[train]\nseed = -1\n")
    assert load_recipe(folder / "r.toml", ["train.seed=9"]).train.seed == 9


def test_a_missing_file_names_the_nearest(folder: Path) -> None:
    (folder / "quickstart.toml").write_text(HEAD)
    with pytest.raises(InputError, match=r"there is no such file\n    did you mean .*/quickstart\.toml\?"):
        load_recipe(folder / "quikstart.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "r.toml: the file is empty"),
        (b" \n\n", "r.toml: the file is empty"),
        (b"[model]\nname = '\xff'\n", "r.toml:2: the file is not UTF-8 text"),
        (b"\x00\x01\x02", "r.toml:1:1: not valid TOML"),
        (b"x = 1\n" * 200_000, "r.toml: this file is too large for a recipe"),
        (b"x = " + b"[" * 5000, "r.toml: a value is nested too deeply"),
        (b"x = " + b"9" * 5000, "r.toml: a value is nested too deeply or is a number too long"),
        (b"x = " + b"[" * 390 + b"]" * 390, 'r.toml:1:1: "x" stands outside every table'),
    ],
)
def test_a_file_that_is_no_recipe_is_bad_input(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_recipe(tmp_path / "r.toml")
    assert words in str(caught.value)


def test_a_folder_is_not_a_recipe_and_its_recipes_are_named(folder: Path) -> None:
    (folder / "lora.toml").write_text(HEAD)
    with pytest.raises(InputError, match=r"this is a folder, not a file\n    TOML files in it: lora\.toml"):
        load_recipe(folder)


LINES = st.sampled_from(
    [
        "[model]", "[data]", "[train]", "[lora]", "[[eval]]", "[save.x]", "[odd]", 'name = "a/b"', "name = 3",
        'train = "chat.jsonl"', 'train = "hub:x"', "val = []", "seed = 1",
        "seed = -0x" + "f" * 99, "r = {}", "warmup_steps = 0x" + "f" * 6000, "warmup_steps = 1e999",
        'target_modules = [["a"], 1]', "steps.x = 1", "target_modules = []", "x = 1 2", '"" = 1',
        '"\\u0000" = {a = [1]}', "max_steps = 07:32:00", "method =",
        "learning_rate = nan", "modules_to_save = [1979-05-27, '']", 'method = "qlora"', 'quantize = "nf4"',
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=12), st.lists(LINES.map(lambda line: f"train.{line}"), max_size=2))
def test_whatever_is_written_gives_a_recipe_or_problems_at_real_places(
    lines: list[str], overrides: list[str]
) -> None:
    try:
        parse_recipe("\n".join(lines), "r.toml", Path("nowhere"), overrides)
    except InputError as error:
        for problem in error.problems:
            assert str(problem).replace("\n", "").isprintable()
            _, line, column = re.fullmatch(r"(--set .*|r\.toml)(?::(\d+):(\d+))?", problem.where).groups()  # type: ignore[union-attr]
            assert line is None or int(column) <= len(lines[int(line) - 1]) + 1


def test_a_byte_order_mark_is_accepted(folder: Path) -> None:
    (folder / "r.toml").write_text("\N{ZERO WIDTH NO-BREAK SPACE}" + HEAD, encoding="utf-8")
    assert isinstance(load_recipe(folder / "r.toml"), Recipe)
