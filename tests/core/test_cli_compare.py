"""`ftui compare` as a user runs it: before training, after it, stopped and gone on with, and wrongly asked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.figures import ComparisonPaths, Working
from finetui_core.evaluate.kept_answers import read_plan
from finetui_core.runs.records import read_small
from training import ANSWERS, QUESTIONS, new_run, train_here, write_project

ROWS = 40
UNTRAINED = ["zero_shot", "few_shot", "retrieved"]


def held_out(folder: Path, rows: int, name: str = "val.jsonl") -> Path:
    """Questions like those of training, but others, with the same four answers."""
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"{QUESTIONS[number % 4]} I ask for the {number}th time"},
                {"role": "assistant", "content": ANSWERS[number % 4]},
            ]
        }
        for number in range(rows)
    ]
    path = folder / name
    path.write_text("\n".join(json.dumps(one) for one in lines) + "\n")
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and one run of it that has learned a little."""
    folder = tmp_path_factory.mktemp("compared")
    recipe = write_project(folder)
    held_out(folder, ROWS)
    recipe.write_text(recipe.read_text().replace("val_fraction = 0.2", 'val = "val.jsonl"'))
    assert train_here(new_run(recipe, "train.num_train_epochs=6")) == 0
    return folder


@pytest.fixture
def ftui(project, capsys, monkeypatch):
    """Runs a command in the project; gives its exit code and what it wrote."""
    monkeypatch.chdir(project)
    monkeypatch.delenv("FTUI_RUNS", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["compare", *arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_the_bar_before_training_and_what_the_run_makes_of_it(ftui, project, tmp_path):
    code, out, err = ftui("recipe.toml", "--max-new-tokens", "8", "--json")
    assert code == 0, err
    before = json.loads(out)
    assert [one["arm"]["name"] for one in before["arms"]] == UNTRAINED
    assert before["plan"]["rows"] == ROWS
    assert Path(before["folder"]).parent == project / "runs" / ".compare"
    assert "loading model" in err
    assert "40 rows can show gains above" in err
    assert any("The bar to beat" in one for one in before["verdict"]["next_steps"])

    page = tmp_path / "page.md"
    code, out, err = ftui("latest", "--max-new-tokens", "8", "--json", "--page", str(page))
    assert code == 0, err
    after = json.loads(out)
    assert [one["arm"]["name"] for one in after["arms"]] == [*UNTRAINED, "tuned", "tuned_retrieved"]
    for name in UNTRAINED:
        assert f"{name}: 40 of 40 rows are answered already" in err
    assert after["arms"][:3] == [
        {**one, "against_base": other["against_base"]}
        for one, other in zip(before["arms"], after["arms"], strict=False)
    ]
    zero_shot, tuned = after["arms"][0], after["arms"][3]
    assert tuned["perplexity"] < zero_shot["perplexity"]
    assert tuned["rows"] == ROWS
    assert Path(after["folder"]).parent.name == "report"
    assert page.read_text().startswith("# Is the tuned model better?")
    assert any("the tuned model" in one and "likelier" in one for one in after["verdict"]["reasons"])

    code, out, err = ftui("latest", "--max-new-tokens", "8")
    assert code == 0
    assert "loading" not in err
    assert after["verdict"]["says"] in out
    assert max(len(line) for line in out.splitlines() if line.startswith(("zero_shot", "→", "tuned"))) <= 80
    assert [line for line in out.splitlines() if line.startswith("tuned_retrieved")]

    code, _, err = ftui("latest", "--max-new-tokens", "8", "--page", str(page))
    assert code == 2
    assert "there is a file of this name already" in err


def test_the_plan_says_what_can_be_shown_and_writes_nothing(ftui, project):
    there = sorted((project / "runs").rglob("*"))
    documents = project / "documents"
    documents.mkdir(exist_ok=True)
    (documents / "hours.md").write_text("# Hours\n\nWe open at nine.\n")
    (documents / "photo.png").write_bytes(b"\x89PNG\0")
    code, out, err = ftui("latest", "--plan", "--json", "--documents", "documents", "--max-rows", "24")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["rows"] == 24
    assert plan["excluded"] == {"not drawn": 16}
    assert plan["task"] == "labels"
    assert plan["detectable"] is None
    assert [one["name"] for one in plan["arms"]] == [
        *UNTRAINED,
        "documents",
        "tuned",
        "tuned_retrieved",
        "tuned_documents",
    ]
    assert any("1 passages from 1 documents; left out: 1 of another kind" in one for one in plan["notes"])
    code, out, _ = ftui("latest", "--plan", "--arms", "tuned", "--max-rows", "24")
    assert "24 rows can only show gains above 30 points" in out
    assert "few_shot" not in out
    assert sorted((project / "runs").rglob("*")) == there


def test_it_goes_on_where_a_signal_ended_it(ftui, project):
    """A closed terminal does not end it; SIGTERM does, and keeps what is answered."""
    runs = project / "runs_of_stopped"
    asked = ["many.toml", "--arms", "few_shot", "--max-new-tokens", "100", "--runs", str(runs)]
    held_out(project, 96, "many.jsonl")
    recipe = project / "recipe.toml"
    many = project / "many.toml"
    many.write_text(recipe.read_text().replace("val.jsonl", "many.jsonl"))
    with subprocess.Popen(
        [sys.executable, "-m", "finetui_core.cli.main", "compare", *asked, "--max-rows", "0"],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("zero_shot: ") and "of 96 rows" in line:
                break
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(240) == 130
    (folder,) = (runs / ".compare").iterdir()
    paths = ComparisonPaths(folder)
    working = read_small(paths.working, Working)
    assert working is not None
    assert (working.phase, working.pid) == ("stopped", process.pid)
    before = read_answers(paths.answers("zero_shot"))
    assert before
    assert not paths.result.exists()
    code, _, err = ftui(*asked, "--max-rows", "0")
    assert code == 0, err
    assert f"zero_shot: {len(before)} of 96 rows are answered already" in err
    after = read_answers(paths.answers("zero_shot"))
    assert {index: after[index] for index in before} == before
    assert len(after) == len(read_answers(paths.answers("few_shot"))) == 96
    assert read_plan(paths).rows == 96


def test_a_metric_of_the_users_own_decides_and_may_fail(ftui, project):
    (project / "mine.py").write_text(
        "def length(answer, reference): return min(1, len(answer) / 99)\n"
        "def picky(answer, reference):\n    return 1.0 if answer == reference else float('nan')\n"
    )
    asked = ["recipe.toml", "--arms", "few_shot", "--max-new-tokens", "8"]
    code, out, _ = ftui(*asked, "--metric", "mine:length", "--json")
    assert code == 0
    assert json.loads(out)["plan"]["metric"] == "mine:length"
    code, out, err = ftui(*asked, "--metric", "mine:picky")
    assert (code, out) == (2, "")
    assert "mine:picky returns nan, which is no finite number" in err
    assert "val.jsonl:" in err
    assert "the answers are kept" in err
    code, _, err = ftui(*asked)
    assert code == 0
    assert "loading" not in err


@pytest.fixture
def server():
    """An endpoint that answers 4 rows and then does not, and judges A whatever it reads."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            judges = "answer_a" in request["messages"][-1]["content"]
            asked.append("judge" if judges else "answer")
            good = judges or asked.count("answer") <= 4
            body = json.dumps({"choices": [{"message": {"content": "A"}}]}).encode()
            self.send_response(200 if good else 404)
            self.end_headers()
            self.wfile.write(body if good else b"<html>no such page</html>")

        def log_message(self, *arguments): ...

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/v1", asked
    http.shutdown()
    thread.join()
    http.server_close()


def test_an_endpoint_that_fails_is_left_out_and_one_that_judges_is_heard(ftui, server):
    url, asked = server
    options = ["recipe.toml", "--max-new-tokens", "8", "--json", "--endpoint", url, "--endpoint-model", "m"]
    code, out, err = ftui(*options, "--arms", "endpoint")
    assert code == 1
    told = json.loads(out)
    assert [one["arm"]["name"] for one in told["arms"]] == ["zero_shot"]
    assert "endpoint is left out, 36 of 40 rows have no answer: the endpoint answered with 404" in err
    assert asked == ["answer"] * 9
    code, out, err = ftui(*options, "--arms", "few_shot", "--judge")
    assert code == 0, err
    (judged,) = json.loads(out)["judged"]
    assert (judged["arm"], judged["against"], judged["ties"], judged["errors"]) == (
        "few_shot",
        "zero_shot",
        40,
        0,
    )
    heard = len(asked)
    code, _, _ = ftui(*options, "--arms", "few_shot", "--judge")
    assert code == 0
    assert len(asked) == heard


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-run"], "no run fits 'no-such-run'"),
        (["absent.toml"], "absent.toml"),
        (["recipe.toml", "--arms", "tuned,guess"], "tuned needs a trained run"),
        (["recipe.toml", "--arms", "tuned,guess"], "there is no way to answer named 'guess'"),
        (["recipe.toml", "--arms", "documents"], "documents needs documents"),
        (["recipe.toml", "--arms", "endpoint"], "endpoint needs an address"),
        (["recipe.toml", "--checkpoint", "4"], "a recipe has no checkpoints"),
        (["latest", "--checkpoint", "999"], "there is no checkpoint '999'"),
        (["latest", "--metric", "bleu"], "there is no metric named 'bleu'"),
        (["latest", "--metric", "nowhere_at_all:score"], "cannot be imported: ModuleNotFoundError"),
        (["latest", "--documents", "absent"], "there is no such folder of documents"),
        (["latest", "--documents", "pictures"], "no document in the folder can be read"),
        (["latest", "--judge"], "--judge needs an endpoint"),
        (["latest", "--shots", "0", "--max-rows", "1"], "--shots 0 cannot be"),
        (["latest", "--shots", "0", "--max-rows", "1"], "--max-rows 1 cannot be"),
        (["latest", "--endpoint", "nonsense"], "this is no address of an endpoint"),
        (["latest", "--endpoint", "http://127.0.0.1/v1"], "the endpoint's model is not named"),
        (["none_apart.toml"], "the recipe keeps no rows apart to compare on"),
        (["one_row.toml"], "only one held-out row can be asked"),
        (["leaking.toml"], "held-out rows ask what a training row asks"),
        (["no_answers.toml"], "none of the 3 held-out rows"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(ftui, project, arguments, words):
    recipe = (project / "recipe.toml").read_text()
    (project / "pictures").mkdir(exist_ok=True)
    (project / "pictures" / "photo.jpg").write_bytes(b"\xff\xd8\0")
    held_out(project, 1, "one.jsonl")
    empty = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}] * 3
    (project / "empty.jsonl").write_text("\n".join(json.dumps(one) for one in empty) + "\n")
    for name, line in {
        "none_apart": "val_fraction = 0.0",
        "one_row": 'val = "one.jsonl"',
        "leaking": 'val = "train.jsonl"',
        "no_answers": 'val = "empty.jsonl"',
    }.items():
        (project / f"{name}.toml").write_text(recipe.replace('val = "val.jsonl"', line))
    code, out, err = ftui(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert "\n    " in err, "there is a way out"


def test_a_run_without_a_checkpoint_and_a_damaged_one(ftui, project, tmp_path):
    (trained,) = [path for path in (project / "runs").iterdir() if (path / "run.json").is_file()]
    runs = tmp_path / "runs"
    bare, damaged = runs / "20260101T000000-bare-aaaaaa", runs / "20260101T000000-bad-bbbbbb"
    for copy in (bare, damaged):
        shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("compare"))
    shutil.rmtree(bare / "checkpoints")
    for weights in damaged.rglob("*.safetensors"):
        weights.write_bytes(b"torn")
    code, _, err = ftui("bare", "--runs", str(runs))
    assert code == 2
    assert "the run has no checkpoint to use" in err
    code, _, err = ftui("bad", "--runs", str(runs))
    assert code == 2
    assert "damaged" in err


def test_changed_training_data_is_noticed(ftui, project, tmp_path):
    train = project / "train.jsonl"
    before = train.read_bytes()
    try:
        train.write_bytes(before + before.splitlines(keepends=True)[0])
        code, out, _ = ftui("latest", "--plan")
    finally:
        train.write_bytes(before)
    assert code == 0
    assert "the training file has changed since this run was trained" in out
