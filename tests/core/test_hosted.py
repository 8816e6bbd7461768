"""Hosted jobs as a user meets them: commands against a provider on this machine, and what lies on disk afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli import hosted_start
from finetui_core.cli.main import main
from finetui_core.hosted.client import connect
from finetui_core.hosted.place import place_at
from finetui_core.runs.paths import RunPaths

__all__ = ["folder", "server", "time"]
from hosted_runs import Time, folder, no_key_below, server, time
from hosted_server import KEY, KEY_VARIABLE, Provider, always, error, once, send


def rows(path: Path, number: int = 12) -> Path:
    turns = [
        [{"role": "user", "content": f"question {at}"}, {"role": "assistant", "content": f"answer {at}"}]
        for at in range(number)
    ]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    return path


def hosted(server: Provider, action: str, *words: str) -> int:
    return main(["hosted", action, *words, "--base-url", server.url, "--key-env", KEY_VARIABLE])


def start(server: Provider, *words: str) -> int:
    return hosted(server, "start", "train.jsonl", "--model", "gpt-4o-mini-2024-07-18", "--yes", *words)


@pytest.fixture
def unfollowed(monkeypatch: pytest.MonkeyPatch) -> list[RunPaths]:
    """Commands end where the process would be started that follows the job."""
    made: list[RunPaths] = []

    def note(paths: RunPaths, *, detach: bool, as_json: bool) -> int:
        made.append(paths)
        return 0

    monkeypatch.setattr(hosted_start, "follow_run", note)
    return made


# Starting


def test_a_start_sends_the_rows_makes_the_job_and_a_run(
    server: Provider,
    time: Time,
    unfollowed: list[RunPaths],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    rows(tmp_path / "train.jsonl")
    rows(tmp_path / "val.jsonl", 10)
    code = start(
        server, "--val", "val.jsonl", "--epochs", "3", "--batch-size", "2", "--price", "5", "--seed", "4"
    )
    said = capsys.readouterr().err
    assert code == 0, said
    assert (
        "12 rows" in said
        and "in 3 epochs" in said
        and "at 5 USD for a million (the price that you gave)" in said
    )
    body = server.bodies[0]
    assert body["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 2}},
    }
    assert (body["training_file"], body["validation_file"], body["seed"]) == ("file-1", "file-2", 4)
    sent = [json.loads(line) for line in server.contents["file-1"].splitlines()]
    assert len(sent) == 12 and sent[3]["messages"][0] == {"role": "user", "content": "question 3"}
    (run,) = unfollowed
    record = json.loads(run.hosted.read_bytes())
    assert record["job"] == "ftjob-1" and record["key_variable"] == KEY_VARIABLE and record["price"] == 5
    assert json.loads(run.resolved_recipe.read_bytes())["data"]["train"] == str(tmp_path / "train.jsonl")
    assert run.root.stat().st_mode & 0o777 == 0o700 and run.hosted.stat().st_mode & 0o777 == 0o600
    no_key_below(tmp_path)


def test_a_file_that_is_there_is_not_sent_again(
    server: Provider,
    time: Time,
    unfollowed: list[RunPaths],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    rows(tmp_path / "train.jsonl")
    assert start(server) == 0 and start(server) == 0
    assert len(server.files) == 1 and len(server.jobs) == 2
    assert "is there already: file-1" in capsys.readouterr().err


def _cut(handler: Any) -> None:
    handler.close_connection = True


def _lose(handler: Any) -> bool:
    """Do what is asked, and lose the answer."""
    handler.wfile, kept = _Nowhere(), handler.wfile
    {"/v1/files": handler._upload, "/v1/fine_tuning/jobs": handler._create}[handler.path]()
    handler.wfile = kept
    handler.close_connection = True
    return True


class _Nowhere:
    def write(self, content: bytes) -> int:
        return len(content)

    def flush(self) -> None: ...


@pytest.mark.parametrize("answer", [_cut, _lose])
def test_a_lost_line_neither_sends_nor_makes_anything_twice(
    server: Provider,
    time: Time,
    unfollowed: list[RunPaths],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    answer: Any,
) -> None:
    rows(tmp_path / "train.jsonl")
    server.troubles += [once(answer, "/files", "POST"), once(answer, "/fine_tuning/jobs", "POST")]
    assert start(server) == 0
    assert len(server.files) == 1 and len(server.jobs) == 1 and len(unfollowed) == 1
    said = capsys.readouterr().err
    assert said.count("the connection to 127.0.0.1 was lost: Server disconnected") == 2
    assert said.count("again in 2 s") == 2
    assert time.slept == [0.0, 2.0, 2.0]


FAULTS: dict[str, tuple[Any, int, str]] = {
    "wrong key": (lambda h: send(h, error(f"Incorrect API key: {KEY}"), 401), 2, "refuses the key in HOSTED_TEST"),
    "may not": (lambda h: send(h, error("no access"), 403), 2, "may not do this (403: no access)"),
    "quota": (lambda h: send(h, error("You exceeded", "insufficient_quota"), 429), 1, "quota is used up (429: You"),
    "refused": (lambda h: send(h, error("model not available"), 400), 1, "refuses this (400: model not available)"),
    "busy": (lambda h: send(h, error("slow down"), 429, Retry_After="77"), 1, "come back later (429: slow down)"),
    "in trouble": (lambda h: send(h, b"upstream", 502), 1, "is in trouble (502)"),
    "a web page": (lambda h: send(h, b"<!doctype html>"), 1, "a web page: the address may lack /v1"),
    "no JSON": (lambda h: send(h, b"{'id'"), 1, "is not what this API gives"),
    "another shape": (lambda h: send(h, {"data": [{"id": 7}]}), 1, "Expected `str`, got `int`"),
    "nested": (lambda h: send(h, b"[" * 100_000), 1, "is not what this API gives"),
    "elsewhere": (lambda h: send(h, b"", 307, Location="https://example.org/"), 1, "leads elsewhere (307)"),
    "too long": (lambda h: send(h, b" " * 16_000_001), 1, "longer than 16 MB"),
    "packed": (lambda h: send(h, b"x", Content_Encoding="gzip"), 1, "compressed"),
    "no HTTP": (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), 1, "the connection to 127.0.0.1 was lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_provider_does_instead_is_one_sentence_and_leaves_nothing(
    server: Provider, time: Time, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    answer, code, words = FAULTS[name]
    rows(tmp_path / "train.jsonl")
    server.troubles.append(always(answer))
    assert start(server) == code
    said = capsys.readouterr().err
    assert words in said and KEY not in said and "Traceback" not in said
    *_, sentence, way_out = said.splitlines()
    assert words in sentence and way_out.startswith("    ")
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]
    assert set(time.slept[1:]) <= ({77.0} if name == "busy" else {2.0, 4.0, 8.0, 16.0, 32.0})
    assert len(server.asked) == (
        1 if name in ("wrong key", "may not", "quota", "refused", "elsewhere") else 6
    )


def test_a_provider_that_is_not_there(
    server: Provider, time: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hosted", "list", "--base-url", "http://127.0.0.1:1/v1", "--key-env", KEY_VARIABLE]) == 1
    said = capsys.readouterr().err
    assert "127.0.0.1 cannot be reached" in said and "Look at the network and at --base-url" in said


def test_a_provider_that_drips_is_given_up(
    server: Provider, monkeypatch: pytest.MonkeyPatch, time: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not server.let_go.wait(0.02):
                handler.wfile.write(b" ")
        except OSError:
            pass

    place = place_at(server.url, KEY_VARIABLE)
    monkeypatch.setattr("finetui_core.cli.hosted_list.connect", lambda place: connect(place, 0.2))
    server.troubles.append(always(drip))
    assert hosted(server, "list") == 1
    assert f"{place.host} did not answer within 0.2 seconds" in capsys.readouterr().err


def test_whether_the_job_was_made_is_told_where_it_cannot_be_known(
    server: Provider,
    time: Time,
    unfollowed: list[RunPaths],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    rows(tmp_path / "train.jsonl")
    server.troubles.append(always(lambda h: send(h, b"", 500), "/fine_tuning/jobs"))
    assert start(server) == 1
    assert "whether the job was made is not known: see ftui hosted list" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_nothing_is_sent_without_consent_and_no_faulty_row(
    server: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows(tmp_path / "train.jsonl")
    assert hosted(server, "start", "train.jsonl", "--model", "gpt-4o-mini") == 2
    assert "nobody agreed to the cost" in capsys.readouterr().err
    rows(tmp_path / "train.jsonl", 3)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "robot", "content": "x"}]}\n')
    assert start(server) == 2
    said = capsys.readouterr().err
    assert 'train.jsonl:4: unknown role "robot"' in said and "the file has 4 rows" in said
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key-env", "NOT_SET_ANYWHERE"], "the variable NOT_SET_ANYWHERE is not set"),
        (["--key-env", KEY], "this is not the name of a variable"),
        (["--base-url", "http://example.org/v1"], "in the clear"),
        (["--base-url", f"https://me:{KEY}@example.org/v1"], "more than a host and a path"),
        (["--base-url", "ftp://example.org"], "no address of an API"),
    ],
)
def test_a_place_that_cannot_be_asked(
    server: Provider, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["hosted", "list", "--key-env", KEY_VARIABLE, *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown and KEY not in shown


def test_the_price_of_the_table_is_dated_and_closings_are_told(tmp_path: Path) -> None:
    from datetime import date

    from finetui_core.hosted.prices import closings_of, cost_before, price_of, warning_of

    price = price_of("api.openai.com", "gpt-4o-mini-2024-07-18", None, date(2026, 11, 30))
    assert price is not None and price.dollars == 3.0 and price.stale
    assert price_of("api.openai.com", "gpt-4o-audio", None, date(2026, 11, 30)) is None
    assert price_of("example.org", "gpt-4o-mini", None, date(2026, 11, 30)) is None
    assert "1,000 to 4,000: 0.003 to 0.012 USD, probably 0.006" in cost_before((1000, 2000, 4000), 1, price)
    assert "name it with --price" in cost_before((1, 2, 3), None, None)
    days = [str(row["day"]) for row in closings_of("api.openai.com", "gpt-4.1-nano-2025-04-14")]
    assert "2026-10-23" in days and "2027-01-14" not in days and "2027-01-06" in days
    (last,) = [row for row in closings_of("api.openai.com", "gpt-4o") if "models" in row]
    assert "on 2027-01-14" in warning_of(last, date(2026, 11, 30)) and "https://" in warning_of(
        last, date(2026, 11, 30)
    )


def test_jobs_are_listed_and_cancelled(
    server: Provider, time: Time, folder: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    server.job(model="gpt-4.1-\x1b[2Jmini", status="failed")
    assert hosted(server, "list") == 0
    out = capsys.readouterr().out
    assert "ftjob-2" in out and "\x1b" not in out and folder.id in out
    assert hosted(server, "list", "--json") == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [(one["id"], one["run"]) for one in jobs] == [("ftjob-2", None), ("ftjob-1", folder.id)]
    assert main(["hosted", "cancel", folder.id]) == 0  # the run knows where its job is
    assert server.jobs["ftjob-1"]["status"] == "cancelled"
    assert hosted(server, "cancel", "ftjob-2") == 1
    assert "refuses this (400: Job has already completed" in capsys.readouterr().err
    assert hosted(server, "cancel", "ftjob-99") == 1
    assert "does not know it (404: Could not find fine tune: ftjob-99)" in capsys.readouterr().err


def test_watching_starts_a_process_that_outlives_the_command(
    server: Provider, time: Time, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The whole way: supervisor, follower, dashboard's records, and a proof that no file holds the key."""
    job = server.job()
    server.train(job, 10, 10)
    server.succeed(job, 2_000_000)
    words = [
        "hosted",
        "watch",
        "ftjob-1",
        "--base-url",
        server.url,
        "--key-env",
        KEY_VARIABLE,
        "--price",
        "3",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "finetui_core.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["state"], summary["step"], summary["method"]) == ("finished", 10, "hosted")
    run = RunPaths(tmp_path / "runs" / summary["id"])
    assert "2,000,000 tokens were trained: 6.00 USD" in run.events.read_text()
    assert not list((run.root / "system").iterdir())
    no_key_below(run.root)
    assert KEY not in done.stdout + done.stderr
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_modules_of_the_screens_do_not_need_the_package() -> None:
    script = "import sys; sys.modules['openai'] = None"
    script += "; import finetui_core.cli.hosted_start, finetui_core.hosted.follower"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0
