"""`ftui decide` as a user runs it."""

import io
import json

import pytest
from test_decide import SITUATIONS

from finetui_core.cli.main import main
from finetui_core.decide.answers import answers_toml
from finetui_core.decide.questions import shipped


@pytest.fixture
def answers_file(tmp_path):
    def write(name: str, **changed):
        situation = next(one for one in SITUATIONS if one["id"] == name)
        path = tmp_path / f"{name}.toml"
        path.write_text(answers_toml({**situation["answers"], **changed}, shipped()))
        return path

    return write


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one["id"] for one in SITUATIONS])
def test_prints_the_verdict_as_json(answers_file, capsys, situation):
    assert main(["decide", str(answers_file(situation["id"])), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == situation["verdict"]
    assert all(one["source"] for one in told["contributions"])


def test_says_what_would_change_the_verdict_and_what_to_do(answers_file, capsys):
    assert main(["decide", str(answers_file("N1")), "--explain"]) == 0
    said = capsys.readouterr().out
    assert "Not yet: training would fit, but 38 more labelled examples are needed" in said
    assert "fine-tuning with questions and answers kept apart for testing and with 38 more" in said
    assert "ftui data split" in said
    assert "OpenAI, Optimizing LLM accuracy" in said


def test_every_fault_of_an_answers_file_is_told_with_its_place(answers_file, capsys):
    path = answers_file("P1")
    text = (
        path.read_text().replace('citations = "no"', 'citations = "maybe"').replace("style = 0", "stile = 0")
    )
    path.write_text(text + 'labelled = "many"\n')
    assert main(["decide", str(path)]) == 2
    said = capsys.readouterr().err
    lines = text.split("\n")
    assert (
        f"{path}:{lines.index('citations = ' + chr(34) + 'maybe' + chr(34)) + 1}:13: citations cannot be"
        in said
    )
    assert 'no question is called "stile"' in said
    assert "style is missing" in said
    assert 'no question is called "labelled"' in said
    assert "Traceback" not in said


@pytest.mark.parametrize("value", ["-1", "1.5", "nan", "true", "99999999999999999999", '"12"', "[3]"])
def test_a_count_that_is_none_is_refused(answers_file, capsys, value):
    path = answers_file("P1")
    path.write_text(path.read_text().replace("labelled_examples = 0", f"labelled_examples = {value}"))
    assert main(["decide", str(path)]) == 2
    assert "labelled_examples cannot be" in capsys.readouterr().err


def test_nobody_to_ask_is_said(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["decide"]) == 2
    assert "there is nobody to ask" in capsys.readouterr().err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_asks_only_what_can_change_the_verdict(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", _Terminal("3\n3\n1\n5000\n1\n" + "?\n" * 20))
    saved, page = tmp_path / "answers.toml", tmp_path / "page.md"
    assert main(["decide", "--save", str(saved), "--page", str(page)]) == 0
    told = capsys.readouterr()
    assert "prompt first" in told.out.split("\n")[0]
    assert "nothing fails" in told.out
    assert told.err.count("I do not know") < 19
    assert 'failure_kind = "none"' in saved.read_text()
    assert page.read_text().startswith("# Should this be fine-tuned?")


def test_a_slip_is_asked_again(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", _Terminal("9\nnine\n1\n" + "?\n" * 30))
    assert main(["decide", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("That is none of them") == 2
    assert json.loads(told.out)["answers"]["prompt_tried"] == "none"


def test_the_end_of_input_leaves(monkeypatch):
    monkeypatch.setattr("sys.stdin", _Terminal("1\n"))
    assert main(["decide"]) == 130


def test_proposes_answers_from_rows(tmp_path, capsys, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    turns = [
        [("system", "Be brief. " * 40), ("user", str(number)), ("assistant", "ab"[number % 2])]
        for number in range(60)
    ]
    chats = [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in turns]
    rows.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    monkeypatch.setattr("sys.stdin", _Terminal("3\n3\n1\n\n" + "?\n" * 30))
    assert main(["decide", "--data", str(rows), "--json"]) == 0
    told = capsys.readouterr()
    assert "60 rows, of which 60 differ" in told.err
    assert json.loads(told.out)["answers"]["labelled_examples"] == 60


def test_the_file_stands_where_the_data_says_otherwise(answers_file, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    assert main(["decide", str(answers_file("N1")), "--data", str(rows), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["answers"]["labelled_examples"] == 12
    assert "note: labelled_examples is 12 in the file, and the data says 1" in told.err


def test_nothing_is_written_over(answers_file, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("mine")
    assert main(["decide", str(answers_file("P1")), "--page", str(page)]) == 2
    assert page.read_text() == "mine"
