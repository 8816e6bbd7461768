"""A run directory is made whole or not at all, and found by whatever part of its id is unique."""

import json
import os
import stat
from pathlib import Path

import pytest

from finetui_core.errors import InputError
from finetui_core.runs import paths as module
from finetui_core.runs.paths import RunPaths, create_run, find_run, run_ids, runs_root, step_of
from finetui_core.runs.records import Identity, read_small


def made(root: Path, run_id: str) -> RunPaths:
    run = root / run_id
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    return RunPaths(run)


def test_a_new_run_holds_what_was_given_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        paths = create_run(
            tmp_path / "runs", "Größe: My Run!", "[model]\n", {"a": 1}, {"model": "m", "argv": ["ftui"]}
        )
    finally:
        os.umask(old)
    identity = read_small(paths.identity, Identity)
    assert identity is not None
    assert (identity.id, identity.name, identity.model) == (paths.id, "Größe: My Run!", "m")
    assert paths.recipe.read_text() == "[model]\n"
    assert json.loads(paths.resolved_recipe.read_bytes()) == {"a": 1}
    assert paths.id[8] == "T" and paths.id[15:-6] == "-gr-e-my-run-"
    for path in (paths.root, *paths.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.name == "run.json":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        create_run(tmp_path, "x", "", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_runs_root_is_the_variable_or_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FTUI_RUNS", raising=False)
    assert runs_root() == tmp_path / "runs"
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path / "elsewhere"))
    assert runs_root() == tmp_path / "elsewhere"


IDS = ("20260101T000000-chat-aaa111", "20260102T000000-chat-bbb222", "20260103T000000-code-ccc333")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (IDS[0], IDS[0]),
        ("20260102", IDS[1]),
        ("ccc333", IDS[2]),
        ("code", IDS[2]),
        ("latest", IDS[2]),
    ],
)
def test_a_run_is_found_by_any_unique_part(tmp_path: Path, wanted: str, found: str) -> None:
    for run_id in IDS:
        made(tmp_path, run_id)
    assert find_run(tmp_path, wanted).id == found


def test_a_run_is_found_by_its_path(tmp_path: Path) -> None:
    paths = made(tmp_path, IDS[0])
    assert find_run(tmp_path / "other", str(paths.root)) == paths


def test_several_candidates_are_listed(tmp_path: Path) -> None:
    for run_id in IDS:
        made(tmp_path, run_id)
    with pytest.raises(InputError) as caught:
        find_run(tmp_path, "chat")
    assert IDS[0] in str(caught.value) and IDS[1] in str(caught.value) and IDS[2] not in str(caught.value)


@pytest.mark.parametrize("wanted", ["nothing-like-it", ""])
def test_no_candidate_names_the_newest(tmp_path: Path, wanted: str) -> None:
    made(tmp_path, IDS[0])
    with pytest.raises(InputError, match=IDS[0]):
        find_run(tmp_path, wanted)


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no runs yet"):
        find_run(tmp_path / "missing", "latest")


def test_unfinished_folders_and_files_are_no_runs(tmp_path: Path) -> None:
    made(tmp_path, IDS[0])
    made(tmp_path, "." + IDS[1])
    (tmp_path / "notes.txt").touch()
    assert run_ids(tmp_path) == [IDS[0]]


@pytest.mark.parametrize(
    ("text", "step"),
    [("a/checkpoints/step-000123", 123), ("step-1234567/", 1234567), ("somewhere", None), ("", None)],
)
def test_the_step_of_a_checkpoint(text: str, step: int | None) -> None:
    assert step_of(text) == step
