"""What a comparison says of runs, and what it does not claim."""

import json
from pathlib import Path

import msgspec
import pytest

from finetui_core.errors import InputError
from finetui_core.runs.comparison import Comparison, compare_runs
from finetui_core.runs.paths import QUEUED, RunPaths, create_run
from finetui_core.runs.queue import encoded
from finetui_core.runs.records import Attempt, End, Queued

GOOD = End(190.0, exit_code=0, reason="exit code 0")


def run(
    root: Path,
    loss: float | None,
    options: dict[str, object],
    *,
    end: End = GOOD,
    val: bool = True,
    **files: bytes,
) -> RunPaths:
    """A run that took 90 s and has been evaluated once; `options` are of the table train."""
    train = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    rows = 'train = "t.jsonl"\n' + ('val = "v.jsonl"\n' if val else "")
    text = f'[model]\nname = "./m"\n[data]\n{rows}[train]\n{train}\n'
    paths = create_run(root, "run", text, {}, {}, {QUEUED: files["queued"]} if files else {})
    if files:
        return paths
    attempt = Attempt(1, 1, 1, "boot", "host", 1, 1, 100.0, None, end, "cpu")
    paths.attempt(1).write_bytes(msgspec.json.encode(attempt))
    speeds = [{"step": step, "tokens_per_second": 100.0 * step} for step in (1, 2, 3)]
    paths.metrics(1).write_text("".join(json.dumps(one) + "\n" for one in speeds))
    events: list[dict[str, object]] = []
    if loss is not None:
        events.append({"type": "evaluation", "step": 3, "eval_loss": loss, "attempt": 1, "t": 1.0})
    if end is GOOD:
        events.append({"type": "finished", "reason": "completed", "attempt": 1, "t": 1.0})
    paths.events.write_text("".join(json.dumps(one) + "\n" for one in events))
    return paths


def said(comparison: Comparison) -> str:
    return "\n".join(comparison.notes)


def test_runs_are_compared_by_what_differs(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, loss, {"learning_rate": rate, "seed": 7}) for rate, loss in ((1e-4, 2.0), (2e-4, 1.5))
    ]
    found = compare_runs(runs[::-1])
    assert found.options == ("train.learning_rate",)
    assert [one.options["train.learning_rate"] for one in found.runs] == [1e-4, 2e-4]
    assert found.best == runs[1].id
    one = found.runs[1]
    assert (one.best_eval_loss, one.best_step, one.seconds, one.tokens_per_second) == (1.5, 3, 90.0, 200.0)
    assert one.perplexity == pytest.approx(4.4817, abs=1e-4)
    assert "Each setting was run once" in said(found)
    assert "The best train.learning_rate is the highest that was tried" in said(found)
    assert "ftui recipe set RECIPE train.learning_rate=0.0002" in said(found)


def test_a_run_that_failed_is_not_the_best(tmp_path: Path) -> None:
    killed = run(tmp_path, 0.1, {"learning_rate": 1e-3}, end=End(190.0, signal=9))
    fine = run(tmp_path, 1.0, {"learning_rate": 1e-4})
    found = compare_runs([killed, fine])
    assert found.best == fine.id
    assert (
        f"{killed.id} is killed: killed by SIGKILL. Continue it with: ftui queue add {killed.id}"
        in found.notes
    )


def test_nothing_is_best_before_anything_has_ended(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, None, {"learning_rate": rate}, queued=encoded(Queued(rate))) for rate in (1e-3, 1e-4)
    ]
    found = compare_runs(runs)
    assert (found.best, [one.state for one in found.runs]) == (None, ["queued", "queued"])
    assert found.notes == ("2 of 2 have not ended yet: ftui queue",)


REPEATS = {
    "apart": ({1e-4: (2.0, 2.01, 1.99), 2e-4: (1.5, 1.52, 1.49)}, "has the lowest mean, by more than chance"),
    "alike": ({1e-4: (1.5, 1.7, 1.6), 2e-4: (1.55, 1.75, 1.5)}, "too much to tell"),
}


@pytest.mark.parametrize("case", REPEATS)
def test_repeats_with_other_seeds_tell_chance_from_a_difference(tmp_path: Path, case: str) -> None:
    losses, words = REPEATS[case]
    runs = [
        run(tmp_path, loss, {"learning_rate": rate, "seed": seed})
        for rate, repeats in losses.items()
        for seed, loss in enumerate(repeats, 1)
    ]
    found = compare_runs(runs)
    assert found.options == ("train.learning_rate", "train.seed")
    assert words in said(found), said(found)
    assert "run once" not in said(found)
    assert "train.seed=" not in next(note for note in found.notes if "recipe set" in note)


def test_losses_of_other_rows_are_not_compared_in_silence(tmp_path: Path) -> None:
    runs = [run(tmp_path, 1.0 + seed / 10, {"seed": seed}, val=False) for seed in (1, 2)]
    assert "The runs differ in train.seed: their validation losses are not of the same rows" in said(
        compare_runs(runs)
    )
    with_val = [run(tmp_path, 1.0 + seed / 10, {"seed": seed}) for seed in (1, 2)]
    assert "not of the same rows" not in said(compare_runs(with_val))


def test_a_run_without_a_recipe_is_told(tmp_path: Path) -> None:
    paths = run(tmp_path, 1.0, {"seed": 1})
    paths.recipe.unlink()
    with pytest.raises(InputError, match="no recipe that can be read"):
        compare_runs([paths])
