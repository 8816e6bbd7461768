"""Each command ends with the next one, as it can be typed."""

import shlex
import shutil
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from finetui_core.cli.onward import after_exporting, after_talking, after_training
from finetui_core.runs.paths import RunPaths

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for source, name in (("support_chat_messy", "my rows"), ("support_chat_val", "held_out")):
        lines = (SAMPLES / f"{source}.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(lines[:60]))
    shutil.copytree(SAMPLES / "tiny-llama", tmp_path / "tiny-llama")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FTUI_RUNS", raising=False)
    return tmp_path


def test_what_is_next_can_be_typed_from_the_rows_to_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mend = ["data", "fix", "my rows.jsonl", "--val", "held_out.jsonl", "--mask", "--drop", "tool_mismatch"]
    assert main([*mend, "-o", "good rows.jsonl"]) == 0
    steps = []
    for _ in range(4):
        said = capsys.readouterr().err.rstrip().rpartition("Next: ftui ")[2]
        steps.append(said)
        words = [{"MODEL": "./tiny-llama"}.get(word, word) for word in shlex.split(said)]
        if words[0] == "train":
            break
        assert main([*words, *(["--quick"] if words[0] == "preflight" else [])]) == 0, said
    assert steps == [
        "data check 'good rows.jsonl' --val held_out.jsonl",
        "recipe new my.toml --model MODEL --train 'good rows.jsonl' --val held_out.jsonl",
        "recipe check my.toml",
        "preflight my.toml",
    ]
    assert capsys.readouterr().err.rstrip().endswith("Next: ftui train my.toml")


def test_json_holds_no_such_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fix", "my rows.jsonl", "--plan", "--json"]) == 0
    assert "Next:" not in "".join(capsys.readouterr())


def test_rows_of_a_recipe_lead_to_preflight(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["--model", "tiny-llama", "--train", "held_out.jsonl"]
    assert main(["recipe", "new", "my.toml", *rows]) == 0
    assert main(["data", "check", "--recipe", "my.toml", "--fast"]) == 0
    assert capsys.readouterr().err.rstrip().endswith("Next: ftui preflight my.toml")


def test_a_recipe_that_does_not_fit_is_to_be_changed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["--model", "tiny-llama", "--train", "held_out.jsonl"]
    assert main(["recipe", "new", "my.toml", *rows]) == 0
    assert main(["preflight", "my.toml", "--quick", "--on", "0.1GB"]) != 0
    assert "Next: ftui recipe set my.toml OPTION=VALUE" in capsys.readouterr().err


def test_a_run_is_named_so_that_it_is_found(folder: Path) -> None:
    assert after_training(RunPaths(folder / "runs/one")).startswith("Next: ftui compare one ")
    elsewhere = after_talking(RunPaths(folder / "my runs/one"), None)
    assert f"ftui export '{folder}/my runs/one'" in elsewhere


@pytest.mark.parametrize(
    ("target", "agrees", "wanted"),
    [
        ("ollama", True, "ollama run desk"),
        ("gguf", True, "llama-cli -m /there/model.gguf"),
        ("merged", None, "ftui export one --check /there"),
        ("merged", False, "ship nothing"),
    ],
)
def test_an_export_says_how_it_is_used_or_checked(
    folder: Path, target: str, agrees: bool | None, wanted: str
) -> None:
    said = after_exporting(RunPaths(folder / "runs/one"), target, "/there", "desk", "base", agrees)
    assert wanted in said
