"""Is more data worth collecting: the curve through runs on parts of the rows, and the command that trains them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.cli import value_follow
from finetui_core.cli.main import main
from finetui_core.evaluate.learning_curve import Point, value_of_doubling
from finetui_core.evaluate.value_runs import SHARES
from finetui_core.files import write_atomically
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.records import Attempt
from run_folders import ENDED, START, add_lines
from training import RECIPE, write_project, write_rows

TINY_LLAMA = Path(__file__).parents[2] / "sample_data" / "tiny-llama"


def planted(
    floor: float, scale: float, exponent: float, noise: float = 0.0, seeds: int = 2, seed: int = 0
) -> list[Point]:
    generator = np.random.default_rng(seed)
    return [
        Point(share, round(1000 * share), number, float(loss * np.exp(noise * generator.standard_normal())))
        for share in SHARES
        for number in range(seeds)
        for loss in [floor + scale * share**-exponent]
    ]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 3.0), st.floats(0.05, 3.0), st.floats(0.06, 1.5))
def test_a_planted_curve_is_found_again(floor: float, scale: float, exponent: float) -> None:
    found = value_of_doubling(planted(floor, scale, exponent))
    true = floor + scale * 2**-exponent
    assert abs(found.doubled_loss.middle - true) <= 0.01 * true
    assert found.doubled_loss.low <= true * 1.001 and true * 0.999 <= found.doubled_loss.high
    assert 0 <= found.gain.low <= found.gain.middle <= found.gain.high <= 1


def test_the_band_holds_the_truth_in_nine_of_ten_cases() -> None:
    held, cases = 0, 40
    for number in range(cases):
        generator = np.random.default_rng(number)
        floor, scale, exponent = generator.uniform((0.1, 0.2, 0.1), (2, 1, 0.8))
        found = value_of_doubling(planted(floor, scale, exponent, 0.01, seed=number), number)
        held += found.gain.low <= 1 - (floor + scale * 2**-exponent) / (floor + scale) <= found.gain.high
    assert held >= 0.8 * cases  # 2.1 standard deviations below 90 %


@pytest.mark.parametrize(
    ("curve", "noise", "verdict"),
    [
        ((0.1, 1.0, 0.5), 0.01, "worth collecting"),
        ((1.0, 0.03, 0.5), 0.0005, "small gain"),
        ((1.0, 0.0, 0.5), 0.01, "no gain shown"),
        ((0.5, 0.5, 0.1), 0.2, "no gain shown"),
    ],
)
def test_the_verdict_follows_from_the_band(
    curve: tuple[float, float, float], noise: float, verdict: str
) -> None:
    assert value_of_doubling(planted(*curve, noise=noise, seeds=3)).verdict == verdict


def test_one_run_of_each_size_and_rising_losses_have_an_answer() -> None:
    found = value_of_doubling(planted(0.5, 0.5, 0.5, seeds=1))
    assert found.gain.low < found.gain.middle < found.gain.high
    rising = [Point(share, round(1000 * share), 0, 1 + share) for share in SHARES]
    assert value_of_doubling(rising).verdict == "no gain shown"


def small_recipe(folder: Path, rows: int) -> Path:
    write_rows(folder / "train.jsonl", rows)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.replace('"model"', f'"{TINY_LLAMA}"'))
    return recipe


def as_finished(paths: RunPaths) -> None:
    ticks, boot = process_identity(os.getpid())
    attempt = Attempt(1, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, START, None, ENDED)
    write_atomically(paths.attempt(1), msgspec.json.encode(attempt), durable=False)


def pretended(trained: list[dict[str, Any]]) -> Callable[..., int]:
    """A trainer whose loss falls with the rows that its recipe names."""

    def start(paths: RunPaths, **settings: Any) -> int:
        recipe = json.loads(paths.resolved_recipe.read_text())
        rows = len(Path(recipe["data"]["train"]).read_text().splitlines())
        trained.append(
            {"rows": rows, "recipe": recipe, "name": json.loads(paths.identity.read_text())["name"]}
        )
        if len(trained) == 3:
            add_lines(paths.events, {"type": "finished", "reason": "stopped", "step": 1})
            as_finished(paths)
            return 130
        best = 0.2 + rows**-0.5
        for step, loss in ((0, 3.0), (2, best), (4, best + 0.1)):
            add_lines(
                paths.events, {"type": "evaluation", "step": step, "eval_loss": loss, "best": loss <= best}
            )
        add_lines(paths.events, {"type": "finished", "reason": "done", "step": 4})
        as_finished(paths)
        return 0

    return start


def test_the_command_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_recipe(tmp_path, 60)
    trained: list[dict[str, Any]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(value_follow, "start_new", pretended(trained))
    command = ["data", "value", str(recipe), "--set", "train.max_steps=6", "--seeds", "2", "--json"]
    assert main(command) == 130
    assert main(command) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert "6 are left to do" in err
    assert [one["rows"] for one in told["points"]] == [5, 5, 12, 12, 24, 24, 48, 48]
    assert len(trained) == 9 and trained[2]["name"] == trained[3]["name"]
    assert told["verdict"] == "worth collecting" and told["says"].startswith(
        "More rows are worth collecting."
    )
    assert told["rows"] == 48 and told["val_rows"] == 12 and told["steps"] == 6
    assert {one["recipe"]["train"]["max_steps"] for one in trained} == {6}
    assert len({one["recipe"]["data"]["val"] for one in trained}) == 1
    assert {one["recipe"]["train"]["seed"] for one in trained} == {3, 4}
    small, large = (
        Path(one["recipe"]["data"]["train"]).read_text().splitlines() for one in (trained[0], trained[-2])
    )
    assert set(small) <= set(large)
    assert not set(large) & set(Path(trained[0]["recipe"]["data"]["val"]).read_text().splitlines())
    assert len([one for one in Path(told["folder"]).iterdir() if one.is_dir()]) == 8
    assert main(command[:-1]) == 0 and len(trained) == 9  # all is kept
    out = capsys.readouterr().out
    assert "share" in out and "Twice the rows (96)" in out and "12 validation rows are few" in out
    assert main(["data", "value", str(recipe), "--set", "train.max_steps=7"]) == 0 and len(trained) == 17


@pytest.mark.parametrize(
    ("rows", "extra", "said"),
    [(20, (), "too few to take a tenth of"), (60, ("--set", "data.val_fraction=0.0"), "no validation rows")],
)
def test_too_few_rows_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, extra: tuple[str, ...], said: str
) -> None:
    recipe = small_recipe(tmp_path, rows)
    assert main(["data", "value", str(recipe), "--runs", str(tmp_path / "runs"), *extra]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_runs_make_a_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_project(tmp_path, rows=80)
    command = [
        "data",
        "value",
        str(recipe),
        "--runs",
        str(tmp_path / "runs"),
        "--steps",
        "30",
        "--seeds",
        "1",
        "--json",
    ]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["rows"] for one in told["points"]] == [6, 16, 32, 64]
    assert all(0 < one["loss"] < 6 for one in told["points"]) and told["verdict"] == "no gain shown"
    assert all(
        (Path(told["folder"]) / one["run"] / "metrics" / "0001.jsonl").exists() for one in told["points"]
    )
