"""The files and folders that a recipe names."""

from pathlib import Path

import pytest

from finetui_core.errors import InputError, Problem
from finetui_core.recipe import load_recipe

SAMPLES = Path(__file__).parents[2] / "sample_data" / "recipes"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and a folder of recipes; the current folder is another one."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    (tmp_path / "tiny" / "tokenizer.json").write_text("{}")
    (tmp_path / "chat.jsonl").write_text("{}\n")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(home: Path, name: str = "../tiny", train: str = "../chat.jsonl", more: str = "") -> Path:
    recipe = home / "recipes" / "r.toml"
    recipe.write_text(f"[model]\nname = '{name}'\n[data]\ntrain = '{train}'\n{more}\n")
    return recipe


def only_problem(recipe: Path, *overrides: str) -> Problem:
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, overrides)
    (problem,) = caught.value.problems
    return problem


def test_relative_paths_start_at_the_recipe(home: Path) -> None:
    recipe = load_recipe(write(home))
    assert recipe.model.name == str(home / "tiny")
    assert recipe.data.train == str(home / "chat.jsonl")


def test_relative_paths_of_overrides_start_at_the_current_folder(home: Path) -> None:
    (home / "elsewhere" / "here.jsonl").write_text("{}\n")
    recipe = load_recipe(write(home), ["data.val=here.jsonl"])
    assert recipe.data.val == str(home / "elsewhere" / "here.jsonl")


def test_the_home_folder_is_expanded(home: Path) -> None:
    recipe = load_recipe(write(home, "~/tiny", "~/chat.jsonl"))
    assert (recipe.model.name, recipe.data.train) == (str(home / "tiny"), str(home / "chat.jsonl"))


def test_a_recipe_reached_through_a_linked_folder_finds_its_neighbours(home: Path) -> None:
    write(home)
    (home / "elsewhere" / "link").symlink_to(home / "recipes")
    assert load_recipe(Path("link/r.toml")).model.name == str(home / "tiny")


def test_a_linked_file_keeps_its_own_name(home: Path) -> None:
    (home / "blob").write_text("{}\n")
    (home / "linked.jsonl").symlink_to(home / "blob")
    assert load_recipe(write(home, train="../linked.jsonl")).data.train == str(home / "linked.jsonl")


@pytest.mark.parametrize("name", ["gpt2", "owner/model", "Owner-1/Model_2.5-7B"])
def test_a_hub_id_stays_as_it_is(name: str, home: Path) -> None:
    assert load_recipe(write(home, name)).model.name == name


@pytest.mark.parametrize("train", ["hub:owner/data", "hub:owner/data#test", "hub:data"])
def test_hub_data_stays_as_it_is(train: str, home: Path) -> None:
    assert load_recipe(write(home, train=train)).data.train == train


def test_remote_code_of_a_pinned_commit_is_allowed(home: Path) -> None:
    path = write(home, "owner/model")
    commit = "0123456789abcdef0123456789abcdef01234567"
    recipe = load_recipe(path, ["model.trust_remote_code=true", f'model.revision="{commit}"'])
    assert recipe.model.trust_remote_code


def test_a_folder_has_no_revision(home: Path) -> None:
    problem = only_problem(write(home), "model.revision=main")
    assert problem.what == "model.revision means nothing for model.name, which is a folder"


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("../tinny", 'there is no folder "../tinny"',
         "it was looked for at {home}/tinny; did you mean {home}/tiny?"),
        ("../gone/tiny", 'there is no folder "../gone/tiny"',
         "it was looked for at {home}/gone/tiny; its folder {home}/gone does not exist either"),
        ("my model", '"my model" is neither a folder nor a hub id',
         "it was looked for at {home}/recipes/my model; check the path"),
        ("../chat.jsonl", '"../chat.jsonl" is a file',
         "give the folder that holds config.json and the weights"),
        ("../elsewhere", '"../elsewhere" has no config.json', "give a model folder in Hugging Face format"),
        ("../adapter", '"../adapter" holds an adapter, not a model', "give the folder of its base model"),
        ("../mute", '"../mute" is a model without a tokenizer',
         "copy the tokenizer's files into it, such as tokenizer.json and tokenizer_config.json"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used(name: str, what: str, hint: str, home: Path) -> None:
    for folder, file in (("adapter", "adapter_config.json"), ("mute", "config.json")):
        (home / folder).mkdir()
        (home / folder / file).write_text("{}")
    recipe = write(home, name)
    assert only_problem(recipe) == Problem(f"model.name: {what}", f"{recipe}:2:8", hint.format(home=home))


@pytest.mark.parametrize(
    ("train", "what", "hint"),
    [
        ("../chats.jsonl", 'data.train: there is no file "../chats.jsonl"',
         "it was looked for at {home}/chats.jsonl; did you mean {home}/chat.jsonl?"),
        ("..", 'data.train: ".." is a folder, not a file', "give the path of one file"),
        ("here.jsonl", 'data.train: there is no file "here.jsonl"',
         "it was looked for at {home}/recipes/here.jsonl: a path in a recipe starts at the recipe's folder"),
        ("hub:", '"hub:" is not the name of a hub data set', "write hub:owner/name, or hub:owner/name#split"),
    ],
)  # fmt: skip
def test_data_that_is_not_there(train: str, what: str, hint: str, home: Path) -> None:
    (home / "elsewhere" / "here.jsonl").write_text("{}\n")
    recipe = write(home, train=train)
    assert only_problem(recipe) == Problem(what, f"{recipe}:4:9", hint.format(home=home))


@pytest.mark.parametrize("value", ['"a\\u0000b"', f'"{"x" * 5000}"', '"~nobody-has-this-name/x"'])
def test_a_path_that_no_system_takes_is_bad_input(value: str, home: Path) -> None:
    recipe = write(home, more=f"val = {value}")
    problem = only_problem(recipe)
    assert problem.where == f"{recipe}:5:7"
    assert problem.what.isprintable() and problem.hint.isprintable()


@pytest.mark.parametrize("option", ["model.chat_template", "eval.forgetting_probe"])
def test_other_files_must_exist_too(option: str, home: Path) -> None:
    problem = only_problem(write(home), f"{option}=nothing.txt")
    assert problem.what == f'{option}: there is no file "nothing.txt"'
    assert problem.where == f"--set {option}=nothing.txt"


def test_qlora_takes_nf4_when_quantize_is_left_out(home: Path) -> None:
    assert load_recipe(write(home), ["train.method=qlora"]).model.quantize == "nf4"
    assert load_recipe(write(home), ["train.method=qlora", "model.quantize=int8"]).model.quantize == "int8"


@pytest.mark.parametrize("sample", ["quickstart", "lora", "qlora", "full"])
def test_the_sample_recipes_are_sound(sample: str) -> None:
    recipe = load_recipe(SAMPLES / f"{sample}.toml")
    assert recipe.train.method == {"quickstart": "lora"}.get(sample, sample)
