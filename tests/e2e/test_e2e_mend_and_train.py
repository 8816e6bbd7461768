"""Fix, then train: the messy sample set mended by the command trains to a better validation loss."""

import json
from pathlib import Path

import pytest

from training import ftui

SAMPLE = Path(__file__).parents[2] / "sample_data"
MESSY, VAL = SAMPLE / "support_chat_messy.jsonl", SAMPLE / "support_chat_val.jsonl"
OPTIONS = ("train.learning_rate=5e-3", "train.num_train_epochs=2", "data.overlength=drop", "eval.samples=0")


def validation_loss(folder: Path, data: Path, *more: str) -> float:
    """Train the LoRA recipe of the sample data on `data`; about 70 seconds of one processor."""
    options = [*OPTIONS, f"data.train={data}", f"data.val={VAL}"]
    settings = [part for option in options for part in ("--set", option)]
    done = ftui("train", str(SAMPLE / "recipes/lora.toml"), *settings, "--json", *more, folder=folder)
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout)["eval_loss"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_mended_set_trains_to_a_better_validation_loss(tmp_path: Path) -> None:
    refused = ftui(
        "train", str(SAMPLE / "recipes/lora.toml"), "--set", f"data.train={MESSY}", folder=tmp_path
    )
    assert refused.returncode == 2
    mended = tmp_path / "mended.jsonl"
    fixed = ftui(
        "data",
        "fix",
        str(MESSY),
        "-o",
        str(mended),
        "--val",
        str(VAL),
        "--drop",
        "tool_mismatch",
        folder=tmp_path,
    )
    assert fixed.returncode == 0, fixed.stderr
    before = validation_loss(tmp_path, MESSY, "--accept-data-errors")
    after = validation_loss(tmp_path, mended)
    print(f"validation loss: {before:.4f} on the messy set, {after:.4f} on the mended one")
    assert after < 0.8 * before
