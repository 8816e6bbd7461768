"""Training repeats the verdict of the data check, and refuses errors unless they are accepted."""

import json
from pathlib import Path

from finetui_core.cli.train import make_run
from training import events, ftui, new_run, real_ftui, train_here, write_project

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
    refused = real_ftui("train", "recipe.toml", folder=tmp_path)
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


def test_a_secret_in_a_row_is_refused_and_not_repeated(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, rows=12)
    secret = "ghp_" + "9kQ2mZ7xWv4Rt6Yb1Nc8Lp3Hs5Jd0Fg2uAeX"
    row = {"messages": [{"role": "user", "content": secret}, {"role": "assistant", "content": "Thanks."}]}
    data = add_lines(recipe, json.dumps(row))
    paths = new_run(recipe)
    assert train_here(paths) == 2
    (error,) = events(paths, "error")
    assert [problem["where"] for problem in error["problems"]] == ["", f"{data}:13"]
    assert error["problems"][1]["what"].startswith("secret: ")
    assert secret not in json.dumps(error) and secret not in (paths.root / "events.jsonl").read_text()


def test_a_row_that_the_template_refuses_can_be_left_out(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, rows=12)
    strict = tmp_path / "strict.jinja"
    strict.write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m.role + ':' + m.content + eos_token }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    system = {"messages": [{"role": "system", "content": "Be brief."}, *LATE_SYSTEM["messages"][::2]]}
    data = add_lines(recipe, json.dumps(system))
    template = f'model.chat_template="{strict}"'
    refused = new_run(recipe, template)
    assert train_here(refused) == 2
    problems = events(refused, "error")[0]["problems"]
    assert problems[0]["what"] == "the chat template cannot show 1 rows" and "--accept" in problems[0]["hint"]
    assert problems[1]["where"] == f"{data}:13" and "no system role" in problems[1]["what"]
    accepted = make_run(
        recipe, [template, "train.max_steps=1", "eval.samples=0"], None, tmp_path, accept_data_errors=True
    )
    assert train_here(accepted) == 0
    (event,) = events(accepted, "data_check")
    assert event["errors"] == {"template_error": 1} and event["unusable_rows"] == 1
    assert "1 rows cannot be used and are left out" in event["verdict"]
