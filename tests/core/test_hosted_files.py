"""Files to and from a hosted platform: rows with its limits checked, and a finished job as a recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.data.chat_limits import check_chat_file
from finetui_core.recipe.load import load_recipe
from tiny_models import save_model
from training import events, new_run, train_here

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "r"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*odd: dict[str, Any], name: str = "chat.jsonl", good: int = 10) -> None:
    lines = [{"messages": [USER, ANSWER]}] * good + list(odd)
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))


FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "role": ({"messages": [{"role": "robot", "content": "x"}, ANSWER]}, 'unknown role "robot"'),
    "no answer": ({"messages": [USER]}, "no assistant turn"),
    "last turn": ({"messages": [USER, ANSWER, USER]}, "the last turn is of user"),
    "weight": ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, "other than 0 and 1 (at $.messages[1].weight)"),
    "weight is true": ({"messages": [USER, {**ANSWER, "weight": True}]}, "a weight other than 0 and 1"),
    "weight of user": ({"messages": [{**USER, "weight": 1}, ANSWER]}, "a weight on a turn of user"),
    "no weight": ({"messages": [USER, {**ANSWER, "weight": 0}]}, "every answer has weight 0"),
    "tool name": (
        {"messages": [USER, ANSWER], "tools": [{"type": "function", "function": {"name": "a b"}}]},
        "a tool's name is not allowed (at $.tools[0].function.name)",
    ),
    "no tool": ({"messages": [USER, CALLING, RESULT, ANSWER]}, 'the call of "look_up", which is no tool of the row'),
    "no result": ({"messages": [USER, CALLING, USER, ANSWER], "tools": [TOOL]}, "has no result (at $.messages[2])"),
    "no call": ({"messages": [USER, RESULT, ANSWER], "tools": [TOOL]}, "the result of no call (at $.messages[1])"),
    "switch": ({"messages": [USER, ANSWER], "parallel_tool_calls": "no"}, "parallel_tool_calls must be true"),
    "long": ({"messages": [{"role": "user", "content": "word " * 60_000}, ANSWER]}, "the row has about 75,0"),
}  # fmt: skip


def test_every_fault_is_named_at_once_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    write(*(row for row, _ in FAULTY.values()))
    assert main(["data", "export", "chat.jsonl", "--to", "openai", "--out", "new.jsonl"]) == 2
    said = capsys.readouterr().err
    for at, (_, words) in enumerate(FAULTY.values()):
        assert any(
            line.startswith(f"chat.jsonl:{11 + at}: ") and words in line for line in said.splitlines()
        ), words
    assert not Path("new.jsonl").exists()


def test_a_small_file_and_a_broken_line_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write(good=8)
    with Path("chat.jsonl").open("a") as file:
        file.write('{"messages": [\n')
    assert main(["data", "export", "chat.jsonl", "--to", "openai"]) == 2
    shown = capsys.readouterr()
    assert "chat.jsonl:9" in shown.err and "the file has 9 rows" in shown.err and shown.out == ""


def test_a_file_that_is_too_large_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    monkeypatch.setattr("finetui_core.data.chat_limits.OPENAI_MAX_BYTES", 100)
    assert main(["data", "export", "chat.jsonl", "--to", "openai"]) == 2
    assert "the file would have 0 MB" in capsys.readouterr().err


def test_weights_and_tools_are_carried_over_and_other_keys_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = {"messages": [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}], "id": 7}
    second = {"messages": [USER, CALLING, RESULT, ANSWER], "tools": [TOOL], "parallel_tool_calls": False}
    write(first, second)
    assert main(["data", "export", "chat.jsonl", "--to", "openai", "--out", "new.jsonl", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["learned_turns"], facts["left_out"]) == (12, 13, {"id": 1})
    made = [json.loads(line) for line in Path("new.jsonl").read_text().splitlines()]
    assert made[10] == {"messages": first["messages"]} and made[11] == second
    assert facts["bytes"] == Path("new.jsonl").stat().st_size
    assert main(["data", "export", "chat.jsonl", "--to", "openai", "--out", "new.jsonl"]) == 2  # it is there


TEXT = st.text(min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=10, max_size=14))
def test_what_was_exported_has_no_fault_and_exports_to_itself(pairs: list[tuple[str, str]]) -> None:
    rows = [{"instruction": question, "output": answer} for question, answer in pairs]
    for name in ("alpaca.jsonl", "one.jsonl", "two.jsonl"):
        Path(name).unlink(missing_ok=True)
    Path("alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "export", "alpaca.jsonl", "--to", "openai", "--out", "one.jsonl"]) == 0
    assert main(["data", "export", "one.jsonl", "--to", "openai", "--out", "two.jsonl"]) == 0
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    found = check_chat_file("one.jsonl")
    assert found.rows == len(pairs) and found.tokens[0] <= found.tokens[1] <= found.tokens[2]


# From a finished job

JOB: dict[str, Any] = {
    "object": "fine_tuning.job",
    "id": "ftjob-abc",
    "model": "gpt-4o-mini-2024-07-18",
    "status": "succeeded",
    "trained_tokens": 360,
    "training_file": "file-1",
    "validation_file": None,
    "seed": 42,
    "hyperparameters": {"n_epochs": 3, "batch_size": 12, "learning_rate_multiplier": 1.8},
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 12}}},
}


def take(*words: str, **fields: Any) -> int:
    Path("job.json").write_text(json.dumps({**JOB, **fields}))
    return main(["hosted", "import", "job.json", "--data", "chat.jsonl", *words])


def test_a_job_becomes_a_recipe_that_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    write()
    assert take("--model", "owner/open", "--out", "recipe.toml") == 0
    recipe = load_recipe(Path("recipe.toml"))
    assert recipe.model.name == "owner/open" and recipe.data.train == str(Path("chat.jsonl").absolute())
    assert recipe.train.num_train_epochs == 3 and recipe.train.seed == 42 and recipe.data.val_fraction == 0
    sizes = recipe.train.per_device_train_batch_size, recipe.train.gradient_accumulation_steps
    assert sizes[0] * sizes[1] == 12 and sizes[0] <= 8 and recipe.train.learning_rate is None
    text = Path("recipe.toml").read_text()
    assert "learning_rate_multiplier was 1.8" in text and "does not publish" in text
    assert take("--out", "recipe.toml") == 2  # never written over


def test_the_recipe_of_a_job_trains_an_open_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(good=12)
    save_model(here / "open", "llama")
    assert take("--model", "open", "--val", "chat.jsonl", "--out", "recipe.toml", trained_tokens=None) == 0
    run = new_run(here / "recipe.toml")
    assert train_here(run) == 0
    steps = [json.loads(line) for line in run.metrics(1).read_text().splitlines()]
    assert len(steps) == 3  # one for each epoch: a batch of the job holds all rows
    assert events(run, "evaluation")[-1]["eval_loss"] > 0


@pytest.mark.parametrize("batch", [1, 7, 64, 100, 256])
def test_the_batch_is_the_same(batch: int) -> None:
    write()
    assert (
        take(
            "--model",
            "owner/open",
            "--out",
            f"{batch}.toml",
            method=None,
            hyperparameters={"batch_size": batch},
        )
        == 0
    )
    train = load_recipe(Path(f"{batch}.toml")).train
    assert train.per_device_train_batch_size * train.gradient_accumulation_steps == batch


def test_what_cannot_be_carried_over_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        {
            "messages": [
                USER,
                {**ANSWER, "weight": 0},
                USER,
                ANSWER,
                USER,
                {**ANSWER, "weight": 0},
                USER,
                ANSWER,
            ]
        }
    )
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert take(method=None, hyperparameters=auto, status="cancelled", validation_file="file-2") == 0
    shown = capsys.readouterr()
    assert "num_train_epochs" in shown.out and "n_epochs was auto" in shown.out
    for words in (
        "has not succeeded (cancelled)",
        "had a validation file",
        "2 answers in",
        'model.name is "owner/name"',
    ):
        assert words in shown.err
    assert take(trained_tokens=30_000_000) == 0
    assert "is it the file of the job?" in capsys.readouterr().err


def test_weights_that_leave_only_the_last_answer_become_an_option() -> None:
    write({"messages": [USER, {**ANSWER, "weight": 0}, USER, ANSWER]})
    assert take("--model", "owner/open", "--out", "last.toml") == 0
    assert load_recipe(Path("last.toml")).data.train_on == "last"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "this is no job"),
        ("{", "this is no job"),
        ('{"id": "x"}', "this is no job"),
        (json.dumps({**JOB, "method": {"type": "reinforcement"}}), 'by the method "reinforcement"'),
    ],
)
def test_what_is_no_job_is_refused(capsys: pytest.CaptureFixture[str], content: str, words: str) -> None:
    write()
    Path("job.json").write_text(content)
    assert main(["hosted", "import", "job.json", "--data", "chat.jsonl", "--out", "r.toml"]) == 2
    assert words in capsys.readouterr().err and not Path("r.toml").exists()


def test_prices_need_neither_key_nor_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["hosted", "prices"]) == 0
    out = capsys.readouterr().out
    assert "2027-01-06" in out and "https://developers.openai.com/api/docs/deprecations" in out
    assert main(["hosted", "prices", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert all(row["source"] and row["as_of"] for row in facts["training"] + facts["closing"])
