"""The dashboard of a hosted job: what the provider tells, and no key, chart or panel of what it does not."""

from pathlib import Path
from typing import Any

import pytest
from test_tui_dashboard import opened, press
from tui_runs import START, add_events, append, make_run
from tui_screen import settle

from finetui_core.runs.mailbox import pending
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import End

MODEL = "ft:gpt-4o-mini-2024-07-18:me::abc"
REFUSAL = (
    "The job failed due to an invalid training file. Invalid file format. Line 3, message 2: the role robot is not "
    "one of system, user, assistant and tool, and the content is neither a text nor a list (training_file)"
)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path_factory.mktemp(name)))


def hosted(root: Path, end: End | None = None, **finished: Any) -> RunPaths:
    """A run as the process leaves it that follows a job: no samples of a machine, no checkpoints."""
    paths = make_run(root, "job", steps=0, total_steps=60, end=end, phase="training at the provider")
    paths.hosted.write_text("{}")
    paths.system(1).unlink()
    paths.log(1).write_text("")
    values = {"loss": 1.5, "mean_token_accuracy": 0.75}
    append(paths.metrics(1), *({"t": START + step, "step": step, **values} for step in range(1, 31)))
    evaluation = {"step": 30, "eval_loss": 1.25, "mean_token_accuracy": 0.7, "whole_set": True}
    add_events(paths, {"type": "evaluation", **evaluation})
    if finished:
        add_events(paths, {"type": "finished", "step": 30, **finished})
    return paths


async def test_only_what_the_provider_tells_is_shown(tmp_path: Path) -> None:
    async with opened(hosted(tmp_path), size=(160, 48)) as pilot:
        shown = await settle(pilot)
        assert "training at the provider   step 30/60 (50 %)" in shown
        assert "machine     the provider's, which tells nothing of it" in shown
        charts = shown.split("\n")[7]
        assert [charts.find(name) > 0 for name in ("loss", "perplexity", "token accuracy")] == [True] * 3
        assert "no values yet" not in shown and "gradient norm" not in shown and "GPU" not in shown
        assert "the provider's" in (await press(pilot, "m")).split("\n")[7]
        assert "writes no sample answers" in await press(pilot, "t")
        meters = await press(pilot, "M")
        assert "      30    1.2500 *      70 %" in meters and "general text" not in meters
        for chart in ("perplexity", "token accuracy", "loss"):
            await press(pilot, "d", "z", "j")
            assert (await settle(pilot)).split("\n")[7].startswith(f" {chart}")
            await press(pilot, "z")


async def test_the_one_command_cancels_the_job_and_asks_first(tmp_path: Path) -> None:
    paths = hosted(tmp_path)
    async with opened(paths) as pilot:
        keys = (await settle(pilot)).split("\n")[-1]
        assert " s cancel job " in keys
        assert not any(word in keys for word in ("checkpoint", "pause", "evaluate", "continue", "follow"))
        for key, name in (("p", "pause"), ("c", "checkpoint"), ("X", "abort")):
            assert f"{name}: a hosted job can only be cancelled" in await press(pilot, key)
        shown = await press(pilot, "s")
        assert "Cancel this job? What it has trained until now may be billed" in shown
        assert pending(paths) == []
        assert "stop: asked" in await press(pilot, "y")
        assert [one.command for one in pending(paths)] == ["stop"]


async def test_of_a_failed_job_all_that_the_provider_says_is_shown(tmp_path: Path) -> None:
    end = End(START + 60, 1, cause="job_failed", reason="the job failed at the provider")
    async with opened(hosted(tmp_path, end, reason="job_failed", note=REFUSAL)) as pilot:
        shown = await settle(pilot)
        assert REFUSAL in " ".join(shown.split())
        assert "start a new job with: ftui hosted start" in shown and "checkpoint" not in shown
        assert "continue: the job is over: start a new one" in await press(pilot, "C")


async def test_a_job_that_went_on_without_its_run_is_followed_again(tmp_path: Path) -> None:
    paths = hosted(tmp_path, End(START + 60, 0), reason="unfollowed", note="the job goes on at the provider")
    async with opened(paths) as pilot:
        shown = await settle(pilot)
        assert "C follows the job again" in shown and "checkpoint" not in shown
        assert "Follow the job of this run again?" in await press(pilot, "C")


async def test_where_only_the_following_has_failed_the_job_is_said_to_go_on(tmp_path: Path) -> None:
    paths = hosted(tmp_path, End(START + 60, 2, cause="bad_input", reason="the provider refuses the key"))
    problem = {"what": "the provider refuses the key", "where": "", "hint": ""}
    add_events(paths, {"type": "error", "kind": "input", "problems": [problem]})
    async with opened(paths) as pilot:
        shown = " ".join((await settle(pilot)).split())
        assert (
            "the provider refuses the key → Unless the provider says otherwise the job goes on there" in shown
        )
        assert f"ftui hosted watch {paths.id}" in shown and "C follows the job again" in shown


async def test_a_finished_job_names_its_model(tmp_path: Path) -> None:
    paths = hosted(tmp_path, End(START + 60, 0), reason="completed", note=f"the model is {MODEL}")
    async with opened(paths) as pilot:
        shown = await settle(pilot)
        assert f"completed at step 30: the model is {MODEL}" in shown
        assert "(cancel job)" in shown and "continue" not in shown.split("\n")[-1]
