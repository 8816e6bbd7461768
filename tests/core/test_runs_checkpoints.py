"""A checkpoint is there whole or not at all, and a changed byte is noticed."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.runs.checkpoints import (
    MANIFEST,
    Checkpoint,
    Skipped,
    newest_valid,
    prune,
    publish,
    published,
    read,
    sweep,
)


def write(content: bytes = b"weights" * 50):  # type: ignore[no-untyped-def]
    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "state.json").write_text('{"step": 1}')

    return fill


def test_published_checkpoint_verifies(tmp_path: Path) -> None:
    made = publish(tmp_path, 40, write(), {"torch": "2.13"})
    assert made.path == tmp_path / "step-000040"
    assert read(made.path) == made
    assert newest_valid(tmp_path) == (made, [])
    assert made.path.stat().st_mode & 0o077 == 0


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    publish(tmp_path, 1, write(), {})

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        publish(tmp_path, 2, fail, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    publish(tmp_path, 1, write(b"old"), {})
    publish(tmp_path, 1, write(b"new"), {})
    assert (tmp_path / "step-000001" / "model.safetensors").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_noticed_and_the_older_one_is_taken(data: st.DataObject, tmp_path: Path) -> None:
    older = publish(tmp_path, 1, write(), {})
    newer = publish(tmp_path, 2, write(b"other" * 40), {})
    name = data.draw(st.sampled_from(["model.safetensors", "state.json", MANIFEST]))
    file = newer.path / name
    content = bytearray(file.read_bytes())
    damage = data.draw(st.sampled_from(["flip", "cut", "delete", "grow", "zero"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if damage == "flip":
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        del content[place:]
    elif damage == "grow":
        content.append(32 if name != MANIFEST else ord("x"))
    elif damage == "zero":
        content[:] = bytes(len(content))
    if damage == "delete":
        file.unlink()
    else:
        file.write_bytes(bytes(content))
    checkpoint, skipped = newest_valid(tmp_path)
    if name == MANIFEST and isinstance(read(newer.path), Checkpoint):
        manifest = json.loads((newer.path / MANIFEST).read_bytes())
        assert manifest["step"] == 2  # a flip in white space or in a number's spelling changes nothing
    else:
        assert checkpoint == older
        assert [one.path for one in skipped] == [newer.path]
        assert skipped[0].reason


def test_a_renamed_folder_is_not_trusted(tmp_path: Path) -> None:
    made = publish(tmp_path, 3, write(), {})
    made.path.rename(tmp_path / "step-000009")
    assert isinstance(read(tmp_path / "step-000009"), Skipped)


def test_prune_keeps_the_newest_and_the_protected(tmp_path: Path) -> None:
    for step in range(1, 7):
        publish(tmp_path, step, write(), {})
    prune(tmp_path, 3, frozenset({"step-000002"}))
    assert [path.name for path in published(tmp_path)] == ["step-000006", "step-000005", "step-000002"]
    prune(tmp_path, 1, frozenset({"step-000002"}))
    assert [path.name for path in published(tmp_path)] == ["step-000006", "step-000002"]


def test_prune_deletes_nothing_while_the_newest_is_damaged(tmp_path: Path) -> None:
    for step in range(1, 5):
        publish(tmp_path, step, write(), {})
    (tmp_path / "step-000004" / "state.json").unlink()
    assert prune(tmp_path, 1, frozenset()) == []
    assert len(published(tmp_path)) == 4


def test_sweep_removes_what_killed_writers_left(tmp_path: Path) -> None:
    publish(tmp_path, 1, write(), {})
    (tmp_path / ".staging-step-000002-77").mkdir()
    (tmp_path / ".staging-step-000002-77" / "half").write_bytes(b"x")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
