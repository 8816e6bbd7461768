"""A real trainer that hangs in a step: it says where, ends itself, and the run goes on from its checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetui_core.runs import exit_codes
from training import curve, events, new_run, train_here, write_project

HANGS_IN_STEP_5 = """
import sys, time
from finetui_core.train import loop, watchdog
watchdog.LEAST_SECONDS = watchdog.LEAST_END_SECONDS = 3.0
watchdog.END_AFTER = 0.5
real_step = loop.train_step
def step_that_hangs(session, step, rate=None):
    if step == 5:
        time.sleep(600)
    return real_step(session, step, rate)
loop.train_step = step_that_hangs
from finetui_core.train.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_trainer_that_hangs_says_where_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    calm, run = new_run(recipe), new_run(recipe)
    assert train_here(calm) == 0
    done = subprocess.run(
        [sys.executable, "-c", HANGS_IN_STEP_5, str(run.root), "--attempt", "1"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == exit_codes.HUNG, done.stderr
    assert "after step 4; the stacks of all threads:" in done.stderr and "step_that_hangs" in done.stderr
    (hang,) = events(run, "hang")
    assert (hang["step"], hang["phase"]) == (4, "training")
    assert hang["stack"][-1].endswith("step_that_hangs") and any("loop.py" in one for one in hang["stack"])
    (error,) = events(run, "error")
    assert error["kind"] == "hung"
    assert train_here(run, attempt=2) == 0
    assert [one["step"] for one in events(run, "resumed")] == [4]
    assert curve(run) == curve(calm)
