"""A job told into a run directory: what a provider does, and every way in which it may not."""

from itertools import pairwise
from typing import Any

import pytest

from finetui_core.cli.main import main
from finetui_core.hosted.client import connect
from finetui_core.hosted.following import Follower, follow
from finetui_core.hosted.place import place_at
from finetui_core.hosted.record import HostedJob
from finetui_core.runs.mailbox import send as ask_run
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.tail import read_records
from finetui_core.runs.writer import RunWriter

__all__ = ["folder", "server", "time"]
from hosted_runs import Time, folder, no_key_below, server, time
from hosted_server import KEY, KEY_VARIABLE, Provider, always, error, once, send


class Beats:
    phase = ""

    def update(
        self, step: int | None = None, phase: str | None = None, total_steps: int | None = None
    ) -> None:
        self.phase = phase or self.phase


def follower(server: Provider, paths: RunPaths, time: Time, attempt: int = 1, **fields: Any) -> Follower:
    record = HostedJob("ftjob-1", server.url, KEY_VARIABLE, "gpt-4o-mini", 3.0, "a table")
    client = connect(place_at(server.url, KEY_VARIABLE), 5.0)
    return Follower(paths, record, client, RunWriter(paths, attempt), Beats(), time.clock(), **fields)


def followed(made: Follower) -> int:
    code = follow(made)
    made.writer.close()  # type: ignore[attr-defined]
    no_key_below(made.paths.root)
    return code


def events(paths: RunPaths, kind: str) -> list[dict[str, Any]]:
    return [one for one in read_records(paths.events) if one["type"] == kind]


def test_a_job_becomes_steps_evaluations_and_an_end(server: Provider, time: Time, folder: RunPaths) -> None:
    job = server.jobs["ftjob-1"]
    job["status"] = "queued"

    def progress() -> None:
        done = len(server.events["ftjob-1"])
        if time.now < 1005 + 8 * done:
            return
        job["status"] = "running"
        if done < 20:
            server.train(job, 5, 20)
        else:
            server.checkpoints["ftjob-1"] = [
                {"id": "c2", "step_number": 20, "fine_tuned_model_checkpoint": "ft:x:ckpt-step-20"},
                {"id": "c1", "step_number": 10, "fine_tuned_model_checkpoint": "ft:x:ckpt-step-10"},
            ]
            server.succeed(job)

    time.on_sleep = progress
    server.page = 3
    assert followed(follower(server, folder, time)) == 0
    view = RunView(folder)
    view.refresh()
    assert list(view.columns.column("step")) == list(range(1, 21))
    assert view.columns.column("loss")[3] == pytest.approx(0.75)
    assert [one["step"] for one in view.evaluations] == [5, 10, 15, 20]
    assert view.evaluations[-1]["eval_loss"] == pytest.approx(3.4 / 20) and view.evaluations[-1]["whole_set"]
    assert [one["model"] for one in events(folder, "hosted_checkpoint")] == [
        "ft:x:ckpt-step-10",
        "ft:x:ckpt-step-20",
    ]
    said = [one["message"] for one in events(folder, "hosted")]
    assert said[-1] == "1,000,000 tokens were trained: 3.00 USD at 3 USD for a million (a table)."
    (finished,) = events(folder, "finished")
    assert finished["reason"] == "completed" and "ft:gpt-4o-mini" in finished["note"]
    assert view.summary()["total_steps"] == 20
    phases = [one["phase"] for one in events(folder, "phase")]
    assert phases == ["queued at the provider", "training at the provider"]


def test_what_happened_is_told_in_its_order(server: Provider, time: Time, folder: RunPaths) -> None:
    job = server.jobs["ftjob-1"]
    server.happen(job, "The job has started")
    server.train(job, 5, 10)
    server.happen(job, "Half of it is done")
    server.train(job, 5, 10)
    server.succeed(job)
    assert followed(follower(server, folder, time)) == 0
    told = [one.get("message", one["type"]) for one in read_records(folder.events)]
    wanted = ["The job has started", "ready", "evaluation", "Half of it is done", "evaluation"]
    assert [one for one in told if one in wanted] == wanted


def test_looks_grow_apart_while_nothing_happens(server: Provider, time: Time, folder: RunPaths) -> None:
    looks: list[float] = []

    def look(job: dict[str, Any]) -> None:
        looks.append(time.now)
        if time.now > 1400:
            server.succeed(job)

    server.on_retrieve = look
    assert followed(follower(server, folder, time)) == 0
    gaps = [after - before for before, after in pairwise(looks)]
    assert gaps[0] < 4 and max(gaps) <= 30.5 and gaps == sorted(gaps) and len(looks) < 30


def test_a_failed_job_says_why_and_is_not_resumed(
    server: Provider, time: Time, folder: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    job = server.jobs["ftjob-1"]
    job |= {
        "status": "failed",
        "error": {"code": "invalid_training_file", "message": "line 3: bad\x1b[2J role"},
    }
    job["error"]["param"] = "training_file"
    assert followed(follower(server, folder, time)) == 1
    (finished,) = events(folder, "finished")
    assert finished["note"] == "line 3: bad\x1b[2J role (training_file)"
    assert main(["resume", str(folder.root)]) == 2
    said = capsys.readouterr().err
    assert "is over" in said and "ftui hosted start" in said and "\x1b" not in said


def test_another_client_cancels_the_job(server: Provider, time: Time, folder: RunPaths) -> None:
    def cancel() -> None:
        server.jobs["ftjob-1"]["status"] = "cancelled"

    time.on_sleep = cancel
    assert followed(follower(server, folder, time)) == 0
    assert events(folder, "finished")[0]["reason"] == "cancelled"


@pytest.mark.parametrize("command", ["stop", "abort"])
def test_a_stop_cancels_the_job_and_other_commands_are_refused(
    server: Provider, time: Time, folder: RunPaths, command: str
) -> None:
    ask_run(folder, "checkpoint")
    asked = ask_run(folder, command)
    server.troubles.append(once(lambda h: send(h, b"", 500), "/cancel"))
    assert followed(follower(server, folder, time)) == 0
    assert server.jobs["ftjob-1"]["status"] == "cancelled"
    answers = [(one["command"], one["status"]) for one in events(folder, "control")]
    assert answers == [("checkpoint", "refused"), (command, "acknowledged"), (command, "done")]
    assert (folder.control_done / f"{asked}.json").exists()


def test_a_stop_that_reaches_nobody_says_that_the_job_goes_on(
    server: Provider, time: Time, folder: RunPaths
) -> None:
    ask_run(folder, "stop")
    server.troubles.append(always(lambda h: send(h, b"", 503), "/cancel"))
    assert followed(follower(server, folder, time)) == 2
    assert time.now < 1000 + 60
    (problem,) = events(folder, "error")[0]["problems"]
    assert "could not be cancelled: the provider is in trouble (503)" in problem["what"]
    assert "goes on at the provider" in problem["hint"]


def test_faults_that_pass_are_waited_out_as_long_as_is_asked(
    server: Provider, time: Time, folder: RunPaths
) -> None:
    server.troubles += [
        once(lambda h: send(h, error("slow down"), 429, Retry_After="41")),
        once(lambda h: send(h, b"<html>")),
        once(lambda h: send(h, b"", 500)),
        once(lambda h: send(h, b"{", 200), "/events"),
    ]
    looks: list[float] = []
    server.on_retrieve = lambda job: looks.append(time.now)

    def progress() -> None:
        if len(looks) > 2:
            server.succeed(server.jobs["ftjob-1"])

    time.on_sleep = progress
    assert followed(follower(server, folder, time)) == 0
    assert looks[0] == pytest.approx(1000 + 41 + 4 + 8, abs=1.0)
    said = [one["message"] for one in events(folder, "hosted")]
    assert "asks to come back later (429: slow down); again in 41 s" in said[0]
    assert "the provider answers again" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h: send(h, error(KEY), 401), "refuses the key in HOSTED_TEST"),
        (lambda h: send(h, error("gone"), 404), "404: gone"),
    ],
)
def test_faults_that_do_not_pass_end_the_following(
    server: Provider, time: Time, folder: RunPaths, answer: Any, words: str
) -> None:
    server.troubles.append(always(answer))
    assert followed(follower(server, folder, time)) == 2
    (problem,) = events(folder, "error")[0]["problems"]
    assert words in problem["what"]
    assert ("goes on at the provider" in problem["hint"]) == ("404" not in words)


def test_resume_follows_the_job_again(
    server: Provider, folder: RunPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    followed_again: list[str] = []

    def note(paths: RunPaths, *, detach: bool, as_json: bool) -> int:
        followed_again.append(paths.id)
        return 0

    monkeypatch.setattr("finetui_core.cli.resume.follow_run", note)
    assert main(["resume", str(folder.root), "--detach"]) == 0 and followed_again == [folder.id]
    monkeypatch.delenv(KEY_VARIABLE)
    assert main(["resume", str(folder.root), "--detach"]) == 2 and len(followed_again) == 1
    assert f"the variable {KEY_VARIABLE} is not set" in capsys.readouterr().err


def test_a_second_attempt_has_every_step_and_repeats_no_words(
    server: Provider, time: Time, folder: RunPaths
) -> None:
    job = server.jobs["ftjob-1"]
    server.happen(job, "Files are good")
    server.train(job, 7, 10)
    assert followed(follower(server, folder, time, told_to_end=lambda: True)) == 0
    assert events(folder, "finished")[0]["reason"] == "unfollowed"
    server.train(job, 3, 10)
    server.succeed(job)
    assert followed(follower(server, folder, time, attempt=2)) == 0
    view = RunView(folder)
    view.refresh()
    assert list(view.columns.column("step")) == list(range(1, 11))
    assert [one["message"] for one in events(folder, "hosted")].count("Files are good") == 1
    assert [one["step"] for one in view.evaluations] == [5, 10]


def test_numbers_that_are_none_spoil_nothing(server: Provider, time: Time, folder: RunPaths) -> None:
    job = server.jobs["ftjob-1"]
    for data in (
        {"step": "x"},
        {"step": -1},
        {"step": 2**80},
        {"step": 1, "train_loss": "nan"},
        {"step": True},
    ):
        server.happen(job, "odd", **data)
    server.happen(job, "fine", step=2, train_loss=1.5, total_steps="many")
    server.succeed(job)
    assert followed(follower(server, folder, time)) == 0
    points = list(read_records(folder.metrics(1)))
    assert [(one["step"], one.get("loss")) for one in points] == [(1, None), (2, 1.5)]
