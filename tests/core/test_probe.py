"""The probe: a run's first steps in a process of its own, of which numbers remain and nothing else."""

import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import forks
from finetui_core.errors import InputError, RunFailed
from finetui_core.preflight.figures import Probed
from finetui_core.preflight.probe import PREFIX, Cancelled, probe
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.runs.paths import RunPaths
from finetui_core.train import probe as process
from finetui_core.train.batches import Schedule
from finetui_core.train.evaluation import groups_of
from finetui_core.train.forward import Layout
from finetui_core.train.heaviest import heaviest_steps
from training import write_project, write_rows

SAMPLE = Path(__file__).parents[2] / "sample_data/recipes/quickstart.toml"
WAITING = 240  # seconds at most


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("probe"))


def total(probed: Probed, phase: str) -> int:
    return sum(probed.memory.peaks[phase].values())  # type: ignore[index]


def test_the_sample_recipe_is_measured_and_nothing_remains(tmp_path: Path) -> None:
    probed = probe(load_recipe(SAMPLE), folder=tmp_path / "new" / "runs")
    assert list(tmp_path.iterdir()) == []
    assert probed.out_of_memory is None and probed.save_failed == ""
    assert set(probed.memory.peaks) == {"load", "train", "evaluate", "save"}
    train = probed.memory.peaks["train"]
    in_bfloat16 = (SAMPLE.parents[1] / "tiny-llama/model.safetensors").stat().st_size
    assert train["weights"] == pytest.approx(2 * in_bfloat16, rel=0.02)
    assert train["gradients"] == train["adapter"] > 0
    assert train["optimizer"] == pytest.approx(2 * train["adapter"], rel=0.01)
    assert train["activations"] > 0
    assert total(probed, "train") > total(probed, "load") > train["weights"] + train["adapter"]
    assert probed.tokens[0] == probed.tokens[2] >= probed.tokens[1] > 0
    assert len(probed.step_seconds) == 3 and min(probed.step_seconds) > 0
    speeds = [t / s for t, s in zip(probed.tokens[1:], probed.step_seconds[1:], strict=True)]
    assert min(speeds) <= (probed.tokens_per_second or 0) <= max(speeds)
    assert (probed.load_seconds or 0) > 0 and (probed.evaluation_seconds_per_row or 0) > 0
    assert (probed.save_seconds or 0) > 0
    assert (probed.save_bytes or 0) > train["adapter"] + train["optimizer"]


def test_a_save_that_the_disk_refuses_is_told_beside_the_numbers(project: Path) -> None:
    recipe = load_recipe(project, ["train.method=full", "data.val_fraction=0"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))  # the process inherits it
    try:
        probed = probe(recipe, folder=project.parent / "runs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be written" in probed.save_failed and "File too large" in probed.save_failed
    assert probed.save_bytes is None and probed.save_seconds is None
    assert probed.memory.peaks["train"]["adapter"] == 0 and "evaluate" not in probed.memory.peaks
    train = probed.memory.peaks["train"]
    assert 0 < train["gradients"] <= train["weights"] < 1.01 * train["gradients"]
    assert len(probed.step_seconds) == 3 and not (project.parent / "runs").exists()


def test_what_a_run_refuses_is_told_at_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetui_core.preflight.probe.subprocess", forks.SUBPROCESS)
    recipe = load_recipe(project, ['lora.target_modules=["c_attn"]', 'lora.modules_to_save=["nothing"]'])
    with pytest.raises(InputError) as caught:
        probe(recipe, folder=tmp_path / "runs")
    said = [problem.what for problem in caught.value.problems]
    assert len(said) == 2 and "c_attn" in said[0] and "nothing" in said[1] and caught.value.problems[0].hint
    rows = write_rows(tmp_path / "rows.jsonl", 10)
    rows.write_text(rows.read_text() + "{}\n")
    recipe = load_recipe(project, [f'data.train="{rows}"'])
    with pytest.raises(InputError, match=r"rows\.jsonl:11"):
        probe(recipe, folder=tmp_path / "runs")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no folder can be made there"):
        probe(recipe, folder=tmp_path / "file" / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "rows.jsonl"]


WAITS_FOR = """
import os
real = os.open
os.open = lambda path, flags, *more, **named: real(
    path, flags & ~os.O_NONBLOCK if str(path) == {pipe!r} else flags, *more, **named
)
"""
"""Run when Python starts: a pipe, which is nobody's text and so would be left at once, is waited for."""


class Held:
    """A probe that stands still once its model is loaded: it reads its text for forgetting from a pipe."""

    def __init__(self, project: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pipe = folder / "pipe"
        os.mkfifo(self.pipe)
        (folder / "start").mkdir()
        (folder / "start" / "sitecustomize.py").write_text(WAITS_FOR.format(pipe=str(self.pipe)))
        monkeypatch.setenv("PYTHONPATH", f"{folder / 'start'}{os.pathsep}{os.pathsep.join(sys.path)}")
        recipe = load_recipe(project)
        held = recipe.eval.model_copy(update={"forgetting_probe": str(self.pipe)})
        self.recipe: Recipe = recipe.model_copy(update={"eval": held})

    def reached(self) -> int:
        """Wait until the probe reads from the pipe; a descriptor of its other end."""
        return os.open(self.pipe, os.O_WRONLY)


def wait_for_end(descriptor: int) -> None:
    """Wait until the reader of the pipe is gone."""
    waiting = select.poll()
    waiting.register(descriptor, 0)
    assert waiting.poll(WAITING * 1000), "the probe's process lives on"
    os.close(descriptor)


CALLER = """
import sys
from pathlib import Path
from finetui_core.preflight.probe import probe
from finetui_core.recipe.options import Recipe
probe(Recipe.model_validate_json(sys.argv[1]), folder=Path(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGKILL, "caller"),
        pytest.param(signal.SIGTERM, "caller", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "probe", marks=pytest.mark.slow),
    ],
)
def test_a_kill_in_the_middle_leaves_nothing(
    project: Path, tmp_path: Path, number: signal.Signals, whom: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, runs = Held(project, tmp_path, monkeypatch), tmp_path / "runs"
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, held.recipe.model_dump_json(), str(runs)], stderr=subprocess.PIPE
    )
    descriptor = held.reached()
    (child,) = psutil.Process(caller.pid).children()
    assert [path.name[: len(PREFIX)] for path in runs.iterdir()] == [PREFIX]
    (caller if whom == "caller" else child).send_signal(number)
    wait_for_end(descriptor)
    _, said = caller.communicate(timeout=WAITING)
    assert (b"RunFailed: the probe failed" in said) == (whom == "probe")
    assert not list(runs.glob("*")) if runs.exists() else whom == "probe"


def test_an_answer_that_nobody_wants_any_more_ends_the_probe(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, opened = Held(project, tmp_path, monkeypatch), []

    def cancelled() -> bool:
        try:
            opened.append(os.open(held.pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads there yet
            return False
        return True

    with pytest.raises(Cancelled):
        probe(held.recipe, folder=tmp_path / "runs", cancelled=cancelled)
    wait_for_end(opened[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "start"]


def test_what_a_killed_probe_left_is_removed_by_the_next_one(project: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, living = tmp_path / f"{PREFIX}{ended.pid}-abc", tmp_path / f"{PREFIX}{os.getpid()}-abc"
    (left / "checkpoints").mkdir(parents=True)
    living.mkdir()
    with pytest.raises(InputError):
        probe(load_recipe(project, ['lora.target_modules=["c_attn"]']), folder=tmp_path)
    assert list(tmp_path.iterdir()) == [living]


def test_a_process_that_fails_is_told_with_its_last_words(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    (broken / "peft").mkdir(parents=True)
    (broken / "peft/__init__.py").write_text("raise AttributeError('a broken library')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(RunFailed, match="AttributeError: a broken library"):
        probe(load_recipe(project), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def real_shortage(*_: object) -> None:
    torch.empty(1 << 54, dtype=torch.uint8)


def gpu_shortage(*_: object) -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity …"
    )


def array_shortage(*_: object) -> None:
    np.empty(1 << 54, np.uint8)


@pytest.mark.parametrize(
    ("name", "phase", "shortage", "asked"),
    [
        ("train_step", "train", real_shortage, 1 << 54),
        ("row_losses", "evaluate", gpu_shortage, 5 << 29),
        ("publish", "save", array_shortage, 1 << 54),
        ("build_session", "load", gpu_shortage, 5 << 29),
    ],
)
def test_want_of_memory_is_an_answer(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    phase: str,
    shortage: object,
    asked: int,
) -> None:
    monkeypatch.setattr(process, name, shortage)
    announced: list[str] = []
    probed = process.measure(RunPaths(tmp_path), load_recipe(project), announced.append)
    assert probed.out_of_memory is not None
    assert (probed.out_of_memory.phase, probed.out_of_memory.asked) == (phase, asked)
    assert phase not in probed.memory.peaks and "allocate" in probed.out_of_memory.says
    assert (probed.tokens_per_second is None) == (phase in ("load", "train"))


def test_the_evaluation_that_is_tried_has_passes_as_large_as_the_recipes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = [], process.row_losses

    def losses(model: object, rows: object, numbers: list[int], *rest: Any) -> object:
        asked.append(len(numbers))
        return real(model, rows, numbers, *rest)

    monkeypatch.setattr(process, "row_losses", losses)
    recipe = load_recipe(project, ["data.packing=false", "eval.per_device_eval_batch_size=3"])
    assert "evaluate" in process.measure(RunPaths(tmp_path), recipe, lambda phase: None).memory.peaks
    assert asked == [3]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(1, 8),
    st.booleans(),
    st.integers(1, 20),
    st.integers(1, 3),
)
def test_the_heaviest_steps_are_those_of_a_look_at_all(
    lengths: list[int], batch: int, packed: bool, steps: int, per_pass: int
) -> None:
    schedule = Schedule(len(lengths), batch, seed=1, total_steps=steps)
    layout = Layout(packed, True, per_pass, per_pass * 40)

    def weight(step: int) -> tuple[int, int]:
        rows = schedule.rows_of_step(step)
        of_rows = {row: lengths[row] for row in rows}
        sizes = [
            sum(of_rows[row] for row in one) if packed else len(one) * max(of_rows[row] for row in one)
            for one in groups_of(rows, of_rows, layout)
        ]
        return max(sizes), sum(of_rows.values())

    weights = sorted((weight(step) for step in range(1, steps + 1)), reverse=True)
    found = heaviest_steps(schedule, np.array(lengths), layout, 1)
    assert [weight(step) for step, _ in found] == (weights[:2] if steps > 1 else weights * 2)
