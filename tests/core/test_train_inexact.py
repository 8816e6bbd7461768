"""What would not go on exactly is refused with each difference; who asks for it all the same gets a marked run."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli import resume
from finetui_core.cli.main import main
from finetui_core.cli.plain import step_sentence
from finetui_core.errors import Problem
from finetui_core.runs import supervisor
from finetui_core.runs.comparison import compare_runs
from finetui_core.runs.lock import take_lock
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, read_small
from finetui_core.train.circumstances import Difference, differences
from run_folders import add_lines, write_run
from training import KillAt, Killed, curve, events, new_run, train_here, write_project

ROWS = "train.jsonl"


def die(paths: RunPaths, attempt: int, kind: str, count: int, **options: Any) -> None:
    with pytest.raises(Killed):
        train_here(paths, attempt, lambda output: KillAt(output, kind, count), **options)


def view_of(paths: RunPaths) -> RunView:
    view = RunView(paths)
    view.refresh()
    return view


def test_another_base_under_an_adapter_is_refused(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    paths = new_run(recipe, "eval.meters=false")
    die(paths, 1, "metric", 5)
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert train_here(paths, 2) == 2
    (error,) = events(paths, "error")
    problem = Problem(**error["problems"][0])
    assert problem.what.startswith("base was ") and "Put the base model back" in problem.hint


def test_other_rows_are_refused_and_taken_only_on_request(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    undisturbed, paths = (new_run(recipe, "eval.meters=false") for _ in range(2))
    assert train_here(undisturbed) == 0
    die(paths, 1, "metric", 5)

    rows = tmp_path / ROWS
    as_it_was = rows.read_text()
    rows.write_text(as_it_was.replace("number 1)", "number one)") + as_it_was.splitlines()[2] + "\n")
    assert train_here(paths, 2) == 2
    (error,) = events(paths, "error")
    problems = [Problem(**problem) for problem in error["problems"]]
    assert "data_sha256 was" in problems[0].what and "Put the training data back" in problems[0].hint
    assert "rows was 32" in problems[1].what and "is 33 now" in problems[1].what
    assert "order of rows follows from their number" in problems[1].hint
    assert f"ftui resume {paths.id} --inexact" in problems[-1].hint
    assert view_of(paths).summary()["inexact_from"] is None

    # One that leaves nothing behind does not count: once the rows are back, the run is exact.
    die(paths, 3, "metric", 1, inexact=True)
    (event,) = events(paths, "inexact")
    assert (event["step"], event["by"]) == (4, "asked")
    assert {one["name"] for one in event["differences"]} == {"data_sha256", "rows"}
    assert view_of(paths).summary()["inexact_from"] == 4
    rows.write_text(as_it_was)
    die(paths, 4, "metric", 3)
    assert view_of(paths).summary()["inexact_from"] is None
    assert curve(paths) == curve(undisturbed)[: len(view_of(paths).steps)] + [
        one for one in curve(undisturbed)[8:] if one[0] <= 7
    ]

    # One of which a checkpoint is left marks the run for ever, whatever goes on from there.
    rows.write_text(as_it_was.replace("number 1)", "number one)"))
    die(paths, 5, "checkpoint", 1, inexact=True)
    assert train_here(paths, 6) == 0
    view = view_of(paths)
    assert view.summary()["inexact_from"] == view.inexact[0]["step"] == 6
    assert [one["name"] for one in view.inexact[0]["differences"]] == ["data_sha256"]
    assert f"{paths.id} is inexact from step 6" in " ".join(compare_runs([undisturbed, paths]).notes)


def test_only_what_the_checkpoint_noted_is_compared() -> None:
    from finetui_core.runs.checkpoints import Checkpoint

    facts = {"torch": "2.12.0", "threads": 1, "processes": 1, "another": 3}
    checkpoint = Checkpoint(Path("step-000001"), 1, 0, facts)
    now = {"torch": "2.13.0", "threads": 1, "processes": 2, "device": "cpu AVX2"}
    assert differences(now, checkpoint) == (
        Difference("torch", "2.12.0", "2.13.0"),
        Difference("processes", 1, 2),
    )


def test_whoever_looks_at_the_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_run(tmp_path)
    differing = [{"name": "torch", "was": "2.12.0", "now": "2.13.0"}]
    add_lines(paths.events, {"type": "inexact", "step": 20, "by": "asked", "differences": differing})
    assert main(["status", str(paths.root)]) == 0
    assert "exactness  inexact from step 20" in capsys.readouterr().out
    assert main(["watch", "--plain", str(paths.root)]) == 0
    said = capsys.readouterr().out
    assert "inexact from here on at step 20: torch 2.13.0, was 2.12.0" in said
    assert step_sentence(view_of(paths).summary()).endswith("inexact from step 20")


def test_the_command_passes_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_run(tmp_path)
    asked: list[bool] = []
    monkeypatch.setattr(resume, "_check_model", lambda *given: None)  # there is none
    monkeypatch.setattr(resume, "start", lambda *given, **named: asked.append(named["inexact"]) or 0)
    for arguments in ([], ["--inexact"]):
        parser = argparse.ArgumentParser()
        resume.add_arguments(parser)
        add_lines(paths.events, {"type": "finished", "reason": "stopped", "step": 60})
        assert resume.run(parser.parse_args([str(paths.root), *arguments])) == 0
    assert asked == [False, True]


def test_the_supervisor_writes_it_into_the_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the trainer reads it, on each of its processes."""
    paths = create_run(tmp_path, "supervised", "", {}, {})
    monkeypatch.setattr(supervisor, "trainer_command", lambda *given: [sys.executable, "-S", "-c", "pass"])
    monkeypatch.setattr(supervisor, "trainer_environment", lambda *given: {})
    locks: list[int] = []
    monkeypatch.setattr(supervisor, "take_lock", lambda run: locks.append(take_lock(run) or 0) or locks[-1])
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    handlers, mask = [signal.getsignal(number) for number in numbers], os.umask(0o077)
    try:
        for arguments in ([], ["--inexact"]):
            assert supervisor.main([str(paths.root), *arguments]) == 0
            os.close(locks.pop())  # as the end of its process does
    finally:
        os.umask(mask)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
    attempts = [read_small(paths.attempt(number), Attempt) for number in (1, 2)]
    assert [one is not None and one.inexact for one in attempts] == [False, True]
