"""A run that was cut off anywhere continues bitwise as if it had not been."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from finetui_core.runs.checkpoints import published
from finetui_core.runs.paths import RunPaths
from training import KillAt, Killed, curve, events, new_run, train_here, write_project


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("gpt2"), architecture="gpt2")


def die_and_resume(paths: RunPaths, *deaths: tuple[str, int]) -> None:
    for attempt, (kind, count) in enumerate(deaths, start=1):
        with pytest.raises(Killed):
            train_here(paths, attempt, lambda output, k=kind, n=count: KillAt(output, k, n))
    assert train_here(paths, len(deaths) + 1) == 0


def final_weights(paths: RunPaths) -> dict[str, bytes]:
    newest = published(paths.checkpoints)[0]
    files = [path for path in newest.glob("*.safetensors") if path.name != "optimizer.safetensors"]
    return {name: value.tobytes() for path in files for name, value in load_file(path).items()}


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("packing", ["true", "false"])
def test_resumed_is_bitwise_the_undisturbed_run(recipe: Path, method: str, packing: str) -> None:
    options = (f"train.method={method}", f"data.packing={packing}")
    undisturbed = new_run(recipe, *options)
    assert train_here(undisturbed) == 0
    for deaths in (
        [("metric", 3)],
        [("metric", 5), ("phase:saving", 2), ("metric", 1)],
        [("evaluation", 2)],
        [("checkpoint", 1), ("phase:evaluating", 1)],
    ):
        disturbed = new_run(recipe, *options)
        die_and_resume(disturbed, *deaths)
        assert curve(disturbed) == curve(undisturbed)
        assert final_weights(disturbed) == final_weights(undisturbed)


def test_resume_is_exact_for_gpt2_with_dropout_in_the_model(gpt2: Path) -> None:
    undisturbed, disturbed = new_run(gpt2), new_run(gpt2)
    assert train_here(undisturbed) == 0
    die_and_resume(disturbed, ("metric", 3), ("metric", 2))
    assert curve(disturbed) == curve(undisturbed)


def test_what_people_ask_for_between_steps_changes_nothing(recipe: Path) -> None:
    from finetui_core.runs.mailbox import send

    quiet, asked = new_run(recipe), new_run(recipe)
    assert train_here(quiet) == 0
    for command in ("evaluate", "sample", "checkpoint"):
        send(asked, command)
    assert train_here(asked) == 0
    assert [event["status"] for event in events(asked, "control")] == ["acknowledged", "done"] * 3
    assert curve(asked) == curve(quiet)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(recipe: Path) -> None:
    undisturbed, disturbed = new_run(recipe), new_run(recipe)
    assert train_here(undisturbed) == 0
    with pytest.raises(Killed):
        train_here(disturbed, 1, lambda output: KillAt(output, "metric", 6))
    newest = published(disturbed.checkpoints)[0]
    weights = newest / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(bytes(content))
    assert train_here(disturbed, 2) == 0
    (skipped,) = events(disturbed, "checkpoint_skipped")
    assert skipped["path"] == f"checkpoints/{newest.name}"
    assert "adapter_model.safetensors is damaged" in skipped["reason"]
    assert curve(disturbed) == curve(undisturbed)
