"""A run is its owner's: for nobody else to read, whatever the umask; no link in it leads a writer elsewhere; and
nothing is written into what belongs to somebody else."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.evaluate.comparison import _make_folders
from finetui_core.evaluate.figures import ComparisonPaths
from finetui_core.files import open_private, private_folder, write_atomically
from finetui_core.runs import queue
from finetui_core.runs.labels import Labels, write_labels
from finetui_core.runs.lock import held, take_file_lock, take_lock
from finetui_core.runs.mailbox import send
from finetui_core.runs.manage import archive
from finetui_core.runs.ownership import require_own, require_safe_folder
from finetui_core.runs.paths import FOLDERS, RunPaths, create_run
from finetui_core.runs.records import End
from finetui_core.runs.supervisor import launch
from finetui_core.runs.writer import RecordFile
from run_folders import START, write_run
from training import new_run, train_here, write_project

KILLED = End(START + 600, signal=9, reason="killed by SIGKILL")
UMASKS = (0o000, 0o022, 0o077)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """What others can do something with, and its mode."""
    every = [folder, *folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in every if not path.is_symlink()}
    return {str(path): f"{mode:04o}" for path, mode in modes.items() if mode & 0o077}


def content_of(folder: Path) -> dict[str, object]:
    """Everything in a folder by name: bytes of files, targets of links, times of folders."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run trained while the umask hides nothing, by a process that does not set one itself."""
    project = tmp_path_factory.mktemp("owned") / "project"
    recipe = write_project(project)
    with umask(0):
        paths = new_run(recipe, "train.max_steps=2")
        assert train_here(paths) == 0
    return paths


def test_everything_of_a_run_is_for_its_owner_alone(trained: RunPaths) -> None:
    made = {path.name for path in trained.root.rglob("*")}
    assert {"0001.jsonl", "events.jsonl", "heartbeat.json", "latest", "data.json", "preflight.json"} <= made
    assert {"tokenizer.json", "adapter_config.json", "adapter_model.safetensors", "manifest.json"} <= made
    assert {"step-000002.jsonl", "step-000002.json"} <= made
    assert open_to_others(trained.root.parent) == {}


def test_links_planted_in_every_place_of_a_run_lead_no_writer_elsewhere(
    trained: RunPaths, tmp_path: Path
) -> None:
    """The trainer's body runs here without the checks that refuse such a run at its start."""
    paths = new_run(trained.root.parents[1] / "recipe.toml", "train.max_steps=2")
    canaries: dict[Path, bytes] = {}
    for place in sorted(trained.root.rglob("*"), key=lambda path: len(path.parts)):
        inner = place.relative_to(trained.root)
        target, canary = paths.root / inner, tmp_path / f"canary{len(canaries)}"
        if inner.parts[0] == "checkpoints" and len(inner.parts) > 2:
            continue  # made in a folder that did not exist
        if place.is_dir() and inner.parts[0] != "checkpoints":
            continue  # a run with a link for a folder is refused: see below
        if place.is_dir() and len(inner.parts) == 1:
            continue
        content = target.read_bytes() if target.is_file() else b"canary"
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        if place.is_dir():
            canary.mkdir()
            canary /= "inner"
            target.symlink_to(canary.parent)
        else:
            target.symlink_to(canary)
        canary.write_bytes(content)
        canaries[canary] = content
    assert len(canaries) > 12
    train_here(paths)
    assert {canary: canary.read_bytes() for canary in canaries} == canaries
    assert sorted(tmp_path.rglob("*")) == sorted(
        [*canaries, *(c.parent for c in canaries if c.name == "inner")]
    )


def appended(paths: RunPaths) -> dict[Path, Callable[[Path], object]]:
    """Every file of a run that is opened in its place, with what opens it."""

    def log(path: Path) -> None:
        os.close(open_private(path, os.O_WRONLY | os.O_APPEND))

    def lock(path: Path) -> None:
        with held(path):
            pass

    return {
        paths.log(1): log,
        paths.supervisor_log: log,
        paths.lock: take_file_lock,
        queue.QueuePaths(paths.root.parent).order: lock,
    }


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_what_is_not_a_file_in_the_place_of_one_is_refused(tmp_path: Path, at: int, kind: str) -> None:
    paths = create_run(tmp_path / "runs", "links", "", {}, {})
    path, opens = list(appended(paths).items())[at]
    private_folder(path.parent)
    canary = tmp_path / "canary"
    if kind == "link":
        canary.write_bytes(b"canary")
    if kind in ("link", "dangling"):
        path.symlink_to(canary)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError):
        opens(path)
    assert not canary.exists() if kind != "link" else canary.read_bytes() == b"canary"


def test_records_wait_rather_than_go_through_a_link(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "metrics.jsonl"
    canary.write_bytes(b"canary")
    path.symlink_to(canary)
    records = RecordFile(path)
    records.append({"step": 1})
    path.unlink()
    records.append({"step": 2})
    records.close()
    assert canary.read_bytes() == b"canary"
    assert path.read_bytes() == b'{"step":1}\n{"step":2}\n'


@pytest.mark.parametrize("name", [*FOLDERS, "evaluations"])
def test_a_run_with_a_link_for_a_folder_is_not_started(tmp_path: Path, name: str) -> None:
    paths = create_run(tmp_path / "runs", "links", "", {}, {})
    (tmp_path / "elsewhere").mkdir()
    folder = paths.root / name
    if folder.exists():
        for inner in sorted(folder.rglob("*")):
            inner.rmdir()
        folder.rmdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="this is a link, and nothing is written through links"):
        launch(paths)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["events.jsonl", "run.lock", "metrics/0001.jsonl", "system/0009.jsonl", "log/0001.txt"]
)
def test_a_run_with_a_link_for_a_file_is_not_started(tmp_path: Path, name: str) -> None:
    paths = create_run(tmp_path / "runs", "links", "", {}, {})
    (paths.root / name).symlink_to(tmp_path / "canary")
    with pytest.raises(InputError, match="this is a link"):
        launch(paths)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("mask", UMASKS)
def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        folder = private_folder(tmp_path / "a" / "b" / "c")
        write_atomically(folder / "x", b"x")
        os.close(open_private(folder / "y", os.O_WRONLY))
        create_run(tmp_path / "runs" / "of" / "mine", "name", "", {}, {})
        with queue.changing(tmp_path / "queued" / "runs"):
            pass
    (tmp_path / "wide").write_bytes(b"old")
    (tmp_path / "wide").chmod(0o644)
    os.close(open_private(tmp_path / "wide", os.O_WRONLY | os.O_APPEND))
    assert open_to_others(tmp_path) == {}


@pytest.mark.parametrize("mask", UMASKS)
def test_caches_settings_and_states_are_private_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    from finetui import copying, recipe_files, remembered
    from finetui.recipe_draft import new_draft
    from finetui_core.data.check.cache import _sha256
    from finetui_core.runs.listing import list_runs
    from finetui_core.runs.listing_cache import keep_runs
    from finetui_core.settings import keep_theme, settings_file

    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))
    write_run(tmp_path / "runs")
    data = tmp_path / "data.jsonl"
    data.write_text("{}\n")
    os.utime(data, (1, 1))
    with umask(mask):
        assert list_runs(tmp_path / "runs")
        keep_runs(tmp_path / "runs", {})
        keep_theme(settings_file(), "dark")
        remembered.keep("order", remembered.Order("loss"))
        copying.copy("text", lambda text: None, {})
        recipe_files.keep_unsaved(new_draft("a.toml", tmp_path, "text"))
        _sha256(data)
    made = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert len(made) >= 5
    assert open_to_others(tmp_path / "home") == {}


WRITERS: dict[str, Callable[[RunPaths], object]] = {
    "launch": launch,
    "send": lambda paths: send(paths, "stop"),
    "label": lambda paths: write_labels(paths, Labels(name="mine")),
    "queue": lambda paths: queue.add(paths.root.parent, paths),
    "archive": archive,
    "compare": lambda paths: _make_folders(ComparisonPaths(paths.report / "compare")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_into_the_run_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paths = write_run(tmp_path / "runs", end=KILLED)
    before = content_of(paths.root)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(InputError, match="belongs to"):
        WRITERS[name](paths)
    assert content_of(paths.root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_commands_read_a_run_of_another_user_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path / "runs", end=KILLED)
    for path in (paths.root, *paths.root.rglob("*")):
        os.chown(path, 12345, 12345)
    before = content_of(paths.root)
    named = str(paths.root)
    for command in (["status", named], ["watch", named], ["runs", "--runs", str(tmp_path / "runs")]):
        assert main(command) in (0, 1)
        capsys.readouterr()
    for command in (["resume", named], ["runs", "note", named, "mine"], ["runs", "delete", named, "--yes"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "belongs to user 12345, not to you" in said and "Traceback" not in said
    assert content_of(paths.root) == before
    assert [path.name for path in paths.root.parent.iterdir()] == [paths.id]


@pytest.mark.parametrize("part", ["runs", "run", "control", "queue"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_every_part_that_belongs_to_another_user_is_refused(tmp_path: Path, part: str) -> None:
    paths = write_run(tmp_path / "runs", end=KILLED)
    root = paths.root.parent
    private_folder(queue.QueuePaths(root).folder)
    foreign = {"runs": root, "run": paths.root, "control": paths.control, "queue": root / ".queue"}[part]
    os.chown(foreign, 12345, 12345)
    with pytest.raises(InputError, match="belongs to user 12345, not to you") as refused:
        if part == "queue":
            queue.pause(root)
        else:
            require_own(paths)
    assert refused.value.problems[0].where == str(foreign) and refused.value.problems[0].hint


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
def test_a_folder_that_others_can_change_holds_no_runs(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    paths = write_run(shared / "runs", end=KILLED)
    shared.chmod(mode)
    os.chown(shared, -1, 54321) if os.geteuid() == 0 else None
    for refuses in (lambda: require_own(paths), lambda: require_safe_folder(shared / "other" / "runs")):
        if mode == 0o775 and os.geteuid() != 0:
            continue  # it may be the user's private group
        with pytest.raises(
            InputError, match=f"other users can change what is in this folder .mode {mode:04o}"
        ):
            refuses()
    shared.chmod(mode | stat.S_ISVTX)  # as /tmp is: nobody renames what is another's
    require_own(paths)


def test_the_private_group_that_many_systems_give_each_user_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp
    import pwd

    tmp_path.chmod(0o775)
    gid = tmp_path.stat().st_gid
    user = pwd.struct_passwd(("ada", "x", os.geteuid(), gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: user)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("ada", "x", gid, [])))
    require_safe_folder(tmp_path)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("ada", "x", gid, ["eve"])))
    with pytest.raises(InputError, match="other users can change"):
        require_safe_folder(tmp_path)


def test_a_run_is_not_made_in_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_project(tmp_path / "project")
    (tmp_path / "shared").mkdir(mode=0o777)
    (tmp_path / "shared").chmod(0o777)
    code = main(["train", str(recipe), "--runs", str(tmp_path / "shared" / "runs")])
    said = capsys.readouterr().err
    assert code == 2 and "other users can change what is in this folder" in said and "chmod go-w" in said
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_lock_is_not_taken_in_the_run_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = create_run(tmp_path / "runs", "lock", "", {}, {})
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PermissionError, match="belongs to"):
        take_lock(paths)
    assert not paths.lock.exists()
