"""Training repeats the verdict of the data check, and refuses errors unless they are accepted."""

import json
from pathlib import Path

from training import events, ftui, new_run, train_here, write_project

LATE_SYSTEM = {
    "messages": [
        {"role": "user", "content": "Where is it?"},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "On its way."},
    ]
}
SHORT = ("--set", "train.max_steps=1", "--set", "eval.samples=0")


def add_lines(recipe: Path, *lines: str) -> Path:
    data = recipe.parent / "train.jsonl"
    data.write_text(data.read_text() + "".join(line + "\n" for line in lines))
    return data


def test_errors_are_refused_with_rule_number_place_and_way_out(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, rows=12)
    data = add_lines(recipe, *3 * [json.dumps(LATE_SYSTEM)])
    refused = ftui("train", "recipe.toml", folder=tmp_path)
    assert refused.returncode == 2
    said = refused.stderr
    assert "data check: errors in 3 of 15 rows: system turns that are not first (3)" in said
    assert f"{data}:13: misplaced_system" in said and "also train.jsonl:14, train.jsonl:15" in said
    for way in (f"ftui data check {data}", f"ftui data fix {data}", "--accept-data-errors"):
        assert way in said
    assert not list((tmp_path / "runs").iterdir())


def test_accepted_errors_are_trained_on_and_recorded(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, rows=12)
    add_lines(recipe, json.dumps(LATE_SYSTEM), "{torn", json.dumps({"messages": []}))
    ended = ftui("train", "recipe.toml", "--accept-data-errors", *SHORT, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "data check: errors in 1 of 13 rows" in ended.stderr
    assert "2 rows were left out because they cannot be used" in ended.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["accept_data_errors"] is True
    report = json.loads((run / "report" / "data.json").read_text())
    assert report["rows_read"] == 15 and report["unusable_rows"] == 2
    assert report["train_rows"] + report["val_rows"] == 13
    assert report["errors"] == {"misplaced_system": 1}
    assert "data check: errors in 1 of 13 rows" in (run / "log" / "0001.txt").read_text()


def test_clean_rows_are_said_to_be_clean(tmp_path: Path) -> None:
    paths = new_run(write_project(tmp_path, rows=12), "train.max_steps=1", "eval.samples=0")
    assert train_here(paths) == 0
    (event,) = events(paths, "data_check")
    assert event["verdict"] == "data check: no errors in 12 rows" and event["errors"] == {}
