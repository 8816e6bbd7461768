"""General text in the mix: its share, an exact continuation, and that less is forgotten with it."""

import itertools
from pathlib import Path

import pytest
from test_train_resume import die_and_resume, final_weights

from finetui_core.runs.paths import RunPaths
from training import KillAt, Killed, curve, events, new_run, train_here, write_project

SAMPLES = Path(__file__).parents[2] / "sample_data"
FEW = """
[model]
name = "{model}"
[data]
train = "train.jsonl"
val_fraction = 0
max_length = 256
[train]
learning_rate = 0.005
num_train_epochs = 1
per_device_train_batch_size = 4
[eval]
samples = 0
forgetting_probe = "probe.txt"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = write_project(tmp_path_factory.mktemp("project"))
    (recipe.parent / "general.txt").write_text("Bread is baked of flour, water, salt and yeast.\n" * 9)
    return recipe


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_resumed_run_replays_what_the_undisturbed_one_does(recipe: Path, method: str) -> None:
    options = (f"train.method={method}", "data.replay=0.25")
    undisturbed, disturbed = new_run(recipe, *options), new_run(recipe, *options)
    assert train_here(undisturbed) == 0
    die_and_resume(disturbed, ("metric", 3))
    assert curve(disturbed) == curve(undisturbed)
    assert final_weights(disturbed) == final_weights(undisturbed)
    ready = events(undisturbed, "ready")[0]
    assert ready["train_rows"] == 32
    assert ready["replay_rows"] > 2


def test_the_share_is_that_of_learned_tokens(recipe: Path) -> None:
    plain, mixed = (
        new_run(recipe),
        new_run(recipe, "data.replay=0.5", f"data.replay_text={recipe.parent}/general.txt"),
    )
    assert train_here(plain) == train_here(mixed) == 0
    learned = [sum(step["supervised_tokens"] for step in steps(paths)) for paths in (plain, mixed)]
    assert learned[1] / learned[0] == pytest.approx(2, rel=0.15)


def steps(paths: RunPaths) -> list[dict[str, float]]:
    from finetui_core.runs.reader import RunView

    view = RunView(paths)
    view.refresh()
    return list(view.steps)


def test_a_text_that_was_changed_is_refused_when_the_run_goes_on(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    (tmp_path / "general.txt").write_text("Bread is baked of flour, water, salt and yeast.\n" * 9)
    paths = new_run(recipe, "data.replay=0.1", f"data.replay_text={tmp_path}/general.txt")
    with pytest.raises(Killed):
        train_here(paths, 1, lambda output: KillAt(output, "metric", 5))
    (tmp_path / "general.txt").write_text("Something else.\n" * 9)
    assert train_here(paths, 2) == 2
    (error,) = events(paths, "error")
    assert "replay_sha256 was" in error["problems"][0]["what"]
    assert "Put the text to replay back" in error["problems"][0]["hint"]


@pytest.mark.slow
def test_less_is_forgotten_with_it(tmp_path: Path) -> None:
    lines = (SAMPLES / "general.txt").read_text().splitlines(keepends=True)
    (tmp_path / "probe.txt").write_text("".join(lines[:100]))
    (tmp_path / "other.txt").write_text("".join(lines[100:]))
    with (SAMPLES / "support_chat.jsonl").open() as file:
        (tmp_path / "train.jsonl").write_text("".join(itertools.islice(file, 64)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(FEW.format(model=SAMPLES / "tiny-llama"))
    rises = {}
    for text, options in {
        "none": (),
        "of a file": ("data.replay=0.3", f"data.replay_text={tmp_path}/other.txt"),
        "of the base": ("data.replay=0.3",),
    }.items():
        paths = new_run(recipe, *options)
        assert train_here(paths) == 0
        rises[text] = events(paths, "evaluation")[-1]["probe_rise"]
    assert rises["none"] > 0.05, rises
    assert max(rises["of a file"], rises["of the base"]) < 0.6 * rises["none"], rises
