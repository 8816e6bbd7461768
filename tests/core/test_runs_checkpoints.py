"""A checkpoint is there whole or not at all, and a changed byte is noticed."""

import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damage import KINDS, Damage, try_damage
from faults import ERRORS, Fault, every_fault, faulty
from finetui_core.runs import manifest
from finetui_core.runs.checkpoints import (
    MANIFEST,
    Checkpoint,
    Skipped,
    free_oldest,
    newest_valid,
    prune,
    publish,
    published,
    read,
    sweep,
)
from finetui_core.runs.manifest import Unsound, decode, encode, is_inside

FILES = {"model.safetensors": [b"weights" * 40, b"", b"more" * 9], "sub/state.json": [b'{"step": 1}']}


def make(folder: Path, step: int, content: bytes = b"weights") -> Checkpoint:
    return publish(folder, step, {**FILES, "model.safetensors": [content]}, {"torch": "2.13", "rows": 4})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The checkpoints' folder of a run."""
    (tmp_path / "run.json").write_text('{"id": "20260101T000000-name-abcdef", "created": 1}')
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.fixture
def pair(run: Path) -> tuple[Path, Path]:
    """Two checkpoints of it, the older one first."""
    return make(run, 1).path, make(run, 2, b"other" * 40).path


def test_published_checkpoint_verifies(run: Path) -> None:
    made = publish(run, 40, FILES, {"torch": "2.13"})
    assert made.path == run / "step-000040"
    assert read(made.path) == made
    assert made.bytes == 7 * 40 + 4 * 9 + 11
    assert newest_valid(run) == (made, [])
    modes = {oct(path.stat().st_mode & 0o777) for path in (made.path, *made.path.rglob("*")) if path.is_dir()}
    assert modes == {"0o700"}
    assert {path.stat().st_mode & 0o777 for path in made.path.rglob("*") if path.is_file()} == {0o600}


def test_a_failing_content_leaves_nothing(run: Path) -> None:
    make(run, 1)

    def fail() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        publish(run, 2, {"model.safetensors": fail()}, {})
    assert names(run) == ["step-000001"]


def test_the_same_content_is_left_as_it_is_and_another_one_replaces_it(run: Path) -> None:
    first = make(run, 1)
    before = (first.path / "model.safetensors").stat().st_ino
    assert make(run, 1) == first
    assert (first.path / "model.safetensors").stat().st_ino == before
    make(run, 1, b"new")
    assert (run / "step-000001" / "model.safetensors").read_bytes() == b"new"
    (run / "step-000001" / "model.safetensors").write_bytes(b"bad")
    assert isinstance(read(make(run, 1, b"new").path), Checkpoint)
    assert names(run) == ["step-000001"]


def test_a_kill_while_one_is_replaced_leaves_one_of_the_two(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two renames the old one has another name, from which sweeping brings it back."""

    class Killed(BaseException):
        pass

    make(run, 1, b"old")
    real, calls = Path.rename, iter(range(9))

    def rename(path: Path, target: Path) -> Path:
        if next(calls) >= 1:
            raise Killed  # and whatever the process would have mended does not happen either
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(Killed):
        make(run, 1, b"new")
    monkeypatch.undo()
    assert published(run) == []
    sweep(run)
    checkpoint, skipped = newest_valid(run)
    assert checkpoint is not None and not skipped
    assert (checkpoint.path / "model.safetensors").read_bytes() == b"old"
    assert names(run) == ["step-000001"]


def test_what_the_disk_refuses_of_a_part_is_refused_of_the_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are flushed by a thread of their own while the next ones are written."""
    monkeypatch.setattr(manifest, "_FLUSH_EVERY", 64)
    files = {"model.safetensors": [b"w" * 64] * 4}
    for index in range(5):  # four parts, and the file
        with (
            faulty([run], Fault("fsync", index, errno.EIO)) as disk,
            pytest.raises(OSError, match="Input/output"),
        ):
            publish(run, 1, files, {})
        assert disk.struck == 1 and names(run) == []
    made = publish(run, 1, files, {})
    assert read(made.path) == made and made.bytes == 256


@pytest.mark.parametrize("lasting", [False, True])
def test_whatever_call_of_a_replacement_fails_one_that_verifies_is_left(run: Path, lasting: bool) -> None:
    make(run, 7, b"old")
    with faulty([run]) as disk:
        make(run, 7, b"other")
    faults = list(every_fault(disk.calls, lasting=lasting))
    for number, fault in enumerate(Random(1).sample(faults, 40)):
        with faulty([run], fault), suppress(OSError):
            make(run, 7, b"new %d" % number)
        sweep(run)
        assert newest_valid(run)[0] is not None, str(fault)


def test_a_short_write_is_gone_on_with(run: Path) -> None:
    with faulty([run], Fault("write", 0, ERRORS[-1], lasting=True)) as disk:
        made = make(run, 1, b"x" * 1000)
    assert disk.struck > 10
    assert read(made.path) == made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_any_damage_is_noticed_and_the_older_one_is_taken(
    pair: tuple[Path, Path], tmp_path: Path, seed: int, kind: Damage
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    found = try_damage(Random(seed), kind, *pair, copies)
    assert found in (None, (True, True))


@pytest.mark.parametrize(
    "name", ["../away", "/etc/passwd", "a/../../b", "", ".", "a//b", "a/", "x\0y", MANIFEST, "./a"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(run: Path, name: str) -> None:
    assert not is_inside(name)
    with pytest.raises(ValueError, match="no file inside"):
        publish(run, 1, {name: [b"x"]}, {})
    made = make(run, 2)
    content = json.loads((made.path / MANIFEST).read_bytes())
    content["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    (made.path / MANIFEST).write_text(json.dumps(content))
    assert isinstance(read(made.path), Skipped)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{" + b" " * 5_000_000 + b"}", b"\xff\xfe", b"null", b""])
def test_a_hostile_manifest_is_refused_at_once(run: Path, text: bytes) -> None:
    made = make(run, 1)
    (made.path / MANIFEST).write_bytes(text)
    assert isinstance(read(made.path), Skipped)


def test_a_manifest_of_the_first_version_is_still_read(run: Path) -> None:
    made = make(run, 1)
    content = json.loads((made.path / MANIFEST).read_bytes())
    del content["run"], content["sha256"]
    content["schema"] = 1
    (made.path / MANIFEST).write_text(json.dumps(content, indent=1))
    assert read(made.path) == made
    content["run"] = "another"
    (made.path / MANIFEST).write_text(json.dumps(content, indent=1))
    assert isinstance(read(made.path), Skipped)


def test_the_manifest_tells_a_change_of_a_single_space(run: Path) -> None:
    content = (make(run, 1).path / MANIFEST).read_bytes()
    assert encode(decode(content)) == content
    with pytest.raises(Unsound, match="changed after"):
        decode(content.replace(b": ", b":  ", 1))


def test_prune_keeps_the_newest_and_the_protected(run: Path) -> None:
    made = [make(run, step) for step in range(1, 7)]
    prune(run, made[-1], 3, frozenset({"step-000002"}))
    assert names(run) == ["step-000002", "step-000005", "step-000006"]
    prune(run, made[-1], 1, frozenset({"step-000002"}))
    assert names(run) == ["step-000002", "step-000006"]


def test_prune_deletes_nothing_while_the_newest_is_not_whole(run: Path) -> None:
    made = [make(run, step) for step in range(1, 5)]
    (made[-1].path / "sub" / "state.json").unlink()
    assert prune(run, made[-1], 1, frozenset()) == []
    assert len(published(run)) == 4


def test_prune_does_not_take_leftovers_of_later_steps_for_newer_ones(run: Path) -> None:
    """A resume that passed over damaged checkpoints writes lower steps than theirs."""
    for step in (10, 20, 30):
        make(run, step)
    for step in (20, 30):
        (run / f"step-0000{step}" / "model.safetensors").write_bytes(b"bad")
    for step in (12, 14, 16):
        prune(run, make(run, step), 2, frozenset())
        newest, _ = newest_valid(run)
        assert newest is not None and newest.step == step
    assert names(run) == ["step-000014", "step-000016", "step-000020", "step-000030"]
    prune(run, make(run, 31), 2, frozenset())
    assert names(run) == ["step-000030", "step-000031"]


def test_steps_beyond_six_digits_are_newer(run: Path) -> None:
    make(run, 999_999)
    prune(run, make(run, 1_000_000), 1, frozenset())
    assert names(run) == ["step-1000000"]


def test_room_is_made_from_the_oldest_alone_and_only_below_one_that_verifies(run: Path) -> None:
    for step in (1, 2, 3):
        make(run, step)
    (run / "step-000003" / "model.safetensors").write_bytes(b"bad")
    assert free_oldest(run, frozenset()) == run / "step-000001"
    assert free_oldest(run, frozenset()) is None
    assert names(run) == ["step-000002", "step-000003"]


def test_room_is_never_made_from_a_protected_one(run: Path) -> None:
    for step in (1, 2):
        make(run, step)
    assert free_oldest(run, frozenset({"step-000001"})) is None


def test_sweep_removes_what_killed_writers_left(run: Path) -> None:
    make(run, 1)
    (run / ".staging-step-000002-77").mkdir()
    (run / ".staging-step-000002-77" / "half").write_bytes(b"x")
    sweep(run)
    assert names(run) == ["step-000001"]
