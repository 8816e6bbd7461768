"""`ftui recipe …` as a user meets it: exit code, words, JSON, and what lies on disk afterwards."""

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli import recipe_set
from finetui_core.cli.main import main
from finetui_core.recipe import Recipe, recipe_json
from finetui_core.recipe.presets import preset_names
from finetui_core.recipe.table import option_table
from finetui_core.runs.paths import create_run

HEAD = '[model]\nname = "owner/model"\n[data]\ntrain = "chat.jsonl"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chat.jsonl").write_text("{}\n" * 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FTUI_RUNS", raising=False)
    return tmp_path


def recipe(*words: str) -> int:
    return main(["recipe", *words])


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = recipe(*words, "--json")
    return code, json.loads(capsys.readouterr().out)


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def write(text: str | bytes, name: str = "r.toml") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


BAD_INPUT = {
    "a syntax error": (HEAD + "[train]\nseed = \n", "r.toml:6:8", "not valid TOML"),
    "a duplicate key": (HEAD + "[train]\nseed = 1\nseed = 2\n", "r.toml:7:9", "Cannot overwrite a value"),
    "tabs and CRLF": (HEAD.replace("\n", "\r\n") + "[train]\r\n\tsead = 1\r\n", "r.toml:6:2", 'did you mean "seed"?'),
    "a byte order mark": ("\ufeff" + HEAD + "[train]\nsead = 1\n", "r.toml:6:1", "sead"),
    "10 MB": ("# " + "x" * 10_000_000, "r.toml", "too large for a recipe"),
    "not UTF-8": (HEAD.encode() + b"# \xff\n", "r.toml:5", "not UTF-8"),
    "another case": (HEAD + "[train]\nSEED = 1\n", "r.toml:6:1", 'did you mean "seed"? Case and hyphens count'),
    "a hyphen": (HEAD + "[train]\nlearning-rate = 1e-4\n", "r.toml:6:1", 'did you mean "learning_rate"?'),
    "a table's case": (HEAD + "[Train]\nseed = 1\n", "r.toml:5:2", 'did you mean "train"?'),
    "a look-alike": (
        HEAD + '[train]\n"sеed" = 1\n',
        "r.toml:6:1",
        'write "seed" in plain letters: "е" is CYRILLIC SMALL LETTER IE (U+0435)',
    ),
    "a look-alike without quotes": (HEAD + "[train]\nsеed = 1\n", "r.toml:6:2", "CYRILLIC SMALL LETTER IE"),
    "a letter that is not seen": (HEAD + '[train]\n"se\u200bed" = 1\n', "r.toml:6:1", "ZERO WIDTH SPACE (U+200B)"),
    "a look-alike as a value": (HEAD + '[train]\nmethod = "lоra"\n', "r.toml:6:10", 'write "lora" in plain letters'),
    "nan": (HEAD + "[train]\nlearning_rate = nan\n", "r.toml:6:17", "not nan"),
    "inf": (HEAD + "[train]\nwarmup_steps = inf\n", "r.toml:6:16", "not inf"),
    "a number as a string": (HEAD + '[train]\nlearning_rate = "1e-4"\n', "r.toml:6:17", "remove the quotes"),
    "a negative value": (HEAD + "[lora]\nr = -8\n", "r.toml:6:5", "from 1 to 4096, not -8"),
    "an enormous value": (HEAD + f"[lora]\nr = 1{'0' * 80}\n", "r.toml:6:5", "more than 60 digits"),
    "an endless value": (HEAD + f"[lora]\nr = 1{'0' * 9000}\n", "r.toml", "too long to read"),
    "deep nesting": (HEAD + f"x = {'[' * 9000}{']' * 9000}\n", "r.toml", "nested too deeply"),
    "a contradiction": (
        HEAD + 'val = "chat.jsonl"\nval_fraction = 0.1\n', "r.toml:6:16", "both say where validation rows come from",
    ),
    "qlora in full precision": (
        '[model]\nname = "owner/model"\nquantize = "none"\n[data]\ntrain = "chat.jsonl"\n[train]\nmethod = "qlora"\n',
        "r.toml:3:12", "contradicts",
    ),
    "thousands of unknown names": (
        HEAD + "".join(f"x{number} = 1\n" for number in range(20_000)), "r.toml", "20,000 names are unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "where", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_told_in_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, where: str, words: str
) -> None:
    write(text)
    code, answer = as_json(capsys, "check", "r.toml")
    assert (code, answer["ok"]) == (2, False)
    assert any(
        one["where"] == where and words in f"{one['what']} {one['hint']}" for one in answer["problems"]
    ), answer["problems"][:3]
    assert recipe("check", "r.toml") == 2
    shown = capsys.readouterr()
    assert words in shown.out
    assert "Traceback" not in shown.out + shown.err


def test_all_faults_come_at_once_with_the_text_at_fault(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(HEAD + '[train]\n\tsead = 1  # x\nmethod = "loro"\n')
    code, answer = as_json(capsys, "check", "r.toml", "--set", "lora.rank=3")
    assert code == 2
    assert [(one["line"], one["column"], one["text"]) for one in answer["problems"]] == [
        (6, 2, "\tsead = 1  # x"),
        (7, 10, 'method = "loro"'),
        (None, None, None),
    ]
    recipe("check", "r.toml")
    assert '     sead = 1  # x\n     ^\n    did you mean "seed"?\n' in capsys.readouterr().out


def test_advice_is_a_note_and_never_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(HEAD + '[train]\nlearning_rate = 2e-5\n[lora]\ntarget_modules = ["q_proj", "v_proj"]\n')
    code, answer = as_json(capsys, "check", "r.toml")
    heeded = [one["option"] for one in answer["advice"] if one["heed"]]
    assert (code, answer["problems"]) == (0, [])
    assert heeded == ["train.learning_rate", "train.per_device_train_batch_size", "lora.target_modules"]
    assert all(one["source"] for one in answer["advice"])
    assert recipe("check", "r.toml") == 0
    assert "note: train.learning_rate: adapters want about ten times" in capsys.readouterr().out
    code, answer = as_json(capsys, "check", "r.toml", "--set", "train.method=full")
    assert [one["option"] for one in answer["advice"] if one["heed"]] == ["train.per_device_train_batch_size"]
    assert "1e-5 to 5e-5" in json.dumps(answer["advice"])


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_makes_a_recipe_without_a_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], preset: str
) -> None:
    Path("recipes").mkdir()
    words = ("new", "recipes/a.toml", "--preset", preset, "--model", "owner/m", "--train", "chat.jsonl")
    assert recipe(*words) == 0
    text = Path("recipes/a.toml").read_text()
    assert 'train = "../chat.jsonl"' in text
    assert text.startswith("# ")
    code, answer = as_json(capsys, "check", "recipes/a.toml")
    assert (code, answer["problems"]) == (0, [])
    assert recipe(*words) == 2
    assert Path("recipes/a.toml").read_text() == text
    assert names("recipes") == ["a.toml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--preset", "lara"), 'did you mean "lora"?'),
        (("--model", "./nothing"), "there is no folder"),
        (("--train", "chat.json"), "there is no file"),
    ],
)
def test_a_recipe_that_cannot_be_made_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert recipe("new", "a.toml", *words) == 2
    assert said in capsys.readouterr().err
    assert names(".") == ["chat.jsonl"]
    assert recipe("new", "nowhere/a.toml") == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_show_tells_where_each_value_comes_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(HEAD + "[eval]\nsample_max_new_tokens = 5\n")
    code, answer = as_json(capsys, "show", "r.toml", "--level", "essential", "--set", "lora.r=8")
    by_option = {one["option"]: one for one in answer}
    assert code == 0
    assert {by_option[name]["origin"] for name in ("data.train", "eval.sample_max_new_tokens")} == {"given"}
    assert by_option["lora.r"]["why"] == "--set lora.r=8"
    assert (by_option["train.num_train_epochs"]["value"], by_option["train.num_train_epochs"]["origin"]) == (
        3,
        "run",
    )
    assert by_option["train.method"]["origin"] == "default"
    assert "save.steps" not in by_option
    code, answer = as_json(capsys, "show", "r.toml", "--level", "all")
    assert [one["option"] for one in answer] == [option.dotted for option in option_table()]
    recipe("show", "r.toml")
    assert 'train = "' in capsys.readouterr().out


def test_the_schema_describes_every_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recipe("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    for option in option_table():
        table = schema["properties"][option.table]
        definition = schema["$defs"][table["$ref"].rsplit("/", 1)[1]]
        about = definition["properties"][option.name]
        assert option.help in about["description"]
        assert option.source in about["description"]
        assert ("default" in about) != option.required
        assert (option.name in definition.get("required", [])) == option.required


def test_diff_of_recipes_presets_and_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(HEAD + "[train]\nseed = 7\n")
    write(HEAD + "[lora]\nr = 8\n", "b.toml")
    code, answer = as_json(capsys, "diff", "r.toml", "b.toml")
    assert (code, answer["differences"]) == (
        0,
        [
            {"option": "train.seed", "a": 7, "a_given": True, "b": 42, "b_given": False},
            {"option": "lora.r", "a": 16, "a_given": False, "b": 8, "b_given": True},
        ],
    )
    code, answer = as_json(capsys, "diff", "lora", "full")
    assert "train.method" in [one["option"] for one in answer["differences"]]
    assert "model.name" not in [one["option"] for one in answer["differences"]]
    assert recipe("diff", "r.toml", "--last") == 2
    values = {
        "model": {"name": "owner/model"},
        "data": {"train": str(folder / "chat.jsonl")},
        "train": {"seed": 9},
    }
    run = create_run(
        folder / "runs", "x", HEAD + "[train]\nseed = 9\n", recipe_json(Recipe.model_validate(values)), {}
    )
    capsys.readouterr()
    for other in ("--last", run.id, str(run.root)):
        assert recipe("diff", "r.toml", other) == 0
        assert "train.seed  7       9" in capsys.readouterr().out
    run.resolved_recipe.write_text("{")
    assert recipe("diff", "r.toml", run.id) == 2
    assert recipe("diff", "r.toml") == 2


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_set_changes_the_options_and_no_other_byte(
    folder: Path, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    text = mark + HEAD.replace("\n", "\r\n") + "[train]\r\n\tseed\t= 7 # lucky\r\n\t# end"
    path = write(text)
    path.chmod(0o640)
    code, answer = as_json(capsys, "set", "r.toml", "train.seed=8")
    assert (code, answer["changed"]) == (0, [{"option": "train.seed", "before": 7, "after": 8}])
    assert path.read_bytes() == text.replace("= 7", "= 8").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert recipe("set", "r.toml", "train.seed=7") == 0
    assert path.read_bytes() == text.encode()
    assert recipe("set", "r.toml", "lora.r=8", "train.learning_rate=2e-5", "--unset", "train.seed") == 0
    assert "[train]\r\n\t# lucky\r\n\tlearning_rate = 2e-5\r\n\t# end" in path.read_bytes().decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train.seed=-1",), "r.toml:6:8: train.seed must be a whole number"),
        (("train.learning_rate=nan",), "not nan"),
        (("train.sead=1", "lora=1"), 'did you mean "seed"?'),
        (("--unset", "data.train"), "data.train is missing"),
        (("--unset", "data.trains"), "data.trains: unknown option"),
        (("data.train=nothing.jsonl",), "there is no file"),
        ((), "nothing to change"),
    ],
)
def test_set_refuses_what_would_be_a_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    path = write(HEAD + "[train]\nseed = 7\n")
    assert recipe("set", "r.toml", *words) == 2
    assert said in capsys.readouterr().err
    assert path.read_text() == HEAD + "[train]\nseed = 7\n"


def test_faults_are_mended_one_after_the_other(folder: Path) -> None:
    path = write(HEAD + "[train]\nseed = -7\nmax_steps = 0\n")
    assert recipe("set", "r.toml", "train.seed=7") == 0
    assert recipe("set", "r.toml", "--unset", "train.max_steps") == 0
    assert path.read_text() == HEAD + "[train]\nseed = 7\n"


def test_a_link_stays_a_link(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("kept").mkdir()
    target = write(HEAD, "kept/target.toml")
    Path("r.toml").symlink_to("kept/target.toml")
    assert recipe("set", "r.toml", "train.seed=8") == 0
    assert Path("r.toml").is_symlink()
    assert target.read_text() == HEAD + "\n[train]\nseed = 8\n"
    target.unlink()
    capsys.readouterr()
    assert recipe("check", "r.toml") == 2
    assert "this link leads to no file" in capsys.readouterr().out


def test_a_read_only_recipe_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(HEAD)
    path.chmod(0o444)
    assert recipe("set", "r.toml", "train.seed=8") == 2
    assert "read-only" in capsys.readouterr().err
    assert path.read_text() == HEAD


def test_what_another_program_writes_meanwhile_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(HEAD)
    monkeypatch.setattr(
        recipe_set, "_refuse_new_faults", lambda *words: path.write_text(HEAD + "# by another\n")
    )
    assert recipe("set", "r.toml", "train.seed=8") == 2
    assert "another program has changed the file meanwhile" in capsys.readouterr().err
    assert path.read_text() == HEAD + "# by another\n"


@pytest.mark.parametrize("words", [("set", "r.toml", "train.seed=8"), ("new", "n.toml")])
def test_a_full_disk_damages_nothing(folder: Path, words: tuple[str, ...]) -> None:
    """The limit on the size of a file stands for a disk that is full in the middle of writing."""
    path = write(HEAD)
    done = subprocess.run(
        [sys.executable, "-m", "finetui_core.cli.main", "recipe", *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert path.read_text() == HEAD
    assert names(".") == ["chat.jsonl", "r.toml"]
