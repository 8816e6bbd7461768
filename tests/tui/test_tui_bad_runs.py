"""Run directories that are broken in every way: the screens stay up and say what is wrong."""

import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tui_screen import screen_text, settle
from tui_walk import empty_root, look_everywhere, open_run, read_again, studio

from finetui_core.runs.paths import RunPaths
from run_folders import START, add_lines, write_json, write_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_root(tmp_path, monkeypatch)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def filled_with_nul(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size or 64))


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def removed(path: Path) -> None:
    path.unlink()


def another_kind_of_json(path: Path) -> None:
    path.write_text('[[], {"schema": "one"}, 3]\n"text"\n')


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_loop_of_links(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


FILES = ("attempts/0001.json", "metrics/0001.jsonl", "system/0001.jsonl", "events.jsonl", "heartbeat.json")
FILES += ("recipe.resolved.json", "recipe.toml", "log/0001.txt", "samples/step-000050.jsonl", "labels.json")
HARMS = (cut_in_half, emptied, filled_with_nul, made_a_folder, removed)
HARMS += (another_kind_of_json, a_pipe, a_loop_of_links)

Harm = Callable[[Path], None]


def complete_run(root: Path, name: str = "demo") -> RunPaths:
    paths = write_run(root, name)
    write_json(paths.resolved_recipe, {"model": {"name": "tiny"}, "train": {"seed": 3}})
    write_json(paths.labels, {"name": name, "tags": ["tag"], "note": "note"})
    add_lines(paths.sample_file(50), {"prompt": "Hello?", "reference": "Hi.", "answer": "Yes."})
    return paths


@pytest.mark.parametrize("harm", HARMS)
async def test_files_that_are_broken_or_break_while_they_are_watched(root: Path, harm: Harm) -> None:
    paths = complete_run(root)
    for name in FILES:
        harm(paths.root / name)
    harm(complete_run(root, "nameless").identity)
    whole = complete_run(root, "whole")
    async with studio(root) as pilot:
        listed = screen_text(pilot.app)
        assert "demo" in listed and "whole" in listed and "unreadable" in listed
        await pilot.press("g", "down")
        assert "run.json is missing or damaged" in screen_text(pilot.app)
        assert "run.json is missing or damaged" in await open_run(pilot)
        await pilot.press("1", "G")
        assert "demo" in await open_run(pilot) + await look_everywhere(pilot)
        await pilot.press("1", "g")
        assert "whole" in await open_run(pilot)
        for names in (FILES[:2], (*FILES[2:], "run.json")):
            for name in names:
                harm(whole.root / name)
            assert "whole" in await read_again(pilot), names
        await pilot.press("1")
        assert "demo" in await read_again(pilot)


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES)
async def test_one_file_that_is_broken(root: Path, name: str, harm: Harm) -> None:
    harm(complete_run(root).root / name)
    async with studio(root) as pilot:
        assert "demo" in screen_text(pilot.app)
        assert "demo" in await open_run(pilot) + await look_everywhere(pilot)


async def test_a_newer_schema_is_named(root: Path) -> None:
    paths = complete_run(root)
    identity = {"schema": 99, "id": paths.id, "name": "demo", "created": START, "new": {"a": []}}
    write_json(paths.identity, identity)
    async with studio(root) as pilot:
        listed = screen_text(pilot.app)
        seen = await open_run(pilot) + await look_everywhere(pilot)
    assert "newer" in listed and "99" in listed
    assert "demo" in seen


async def test_a_folder_that_may_not_be_written_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(root, end=None)
    refuse_writing(monkeypatch, root)
    async with studio(root) as pilot:
        for key in ("R", "t", "n"):
            await pilot.press(key, "x", "enter")
            assert "Read-only" in await settle(pilot), key  # the notice wraps its lines
        assert "demo" in await open_run(pilot)
        await pilot.press("c")
        assert "cannot write to" in await settle(pilot)


def refuse_writing(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """As the kernel does on a file system that is mounted read-only."""
    opened = os.open

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if within(path, root) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_)
    for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "symlink"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), root, errno.EROFS))


def within(path: Any, root: Path) -> bool:
    return isinstance(path, str | os.PathLike) and str(path).startswith(str(root))


def failing(call: Callable[..., Any], root: Path, code: int) -> Callable[..., Any]:
    def guarded(path: Any, *rest: Any, **named: Any) -> Any:
        if within(path, root):
            raise OSError(code, os.strerror(code), str(path))
        return call(path, *rest, **named)

    return guarded


def break_reading(monkeypatch: pytest.MonkeyPatch, root: Path, code: int) -> None:
    """Every way to open, list or ask about what lies under `root` fails with `code`."""
    for name in ("open", "stat", "lstat", "scandir", "listdir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), root, code))
    monkeypatch.setattr(io, "open", failing(io.open, root, code))


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
async def test_a_disk_that_returns_errors(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    paths = complete_run(root)
    async with studio(root) as pilot:
        assert "demo" in await open_run(pilot)
        with monkeypatch.context() as broken:
            break_reading(broken, paths.root, code)
            assert "demo" in await look_everywhere(pilot)
            await pilot.press("1")
            await read_again(pilot)
            await pilot.press("r")
            await settle(pilot)
        await pilot.press("r")
        assert "finished" in await settle(pilot)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
async def test_a_folder_of_runs_that_cannot_be_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_run(root)
    with monkeypatch.context() as broken:
        break_reading(broken, root, code)
        async with studio(root) as pilot:
            assert os.strerror(code) in screen_text(pilot.app)
            broken.undo()
            await pilot.press("r")
            assert "demo" in await settle(pilot)


async def test_reading_that_fails_halfway_through_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector: the file opens and has a size."""
    complete_run(root)

    def pread(*_: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", pread)
    async with studio(root) as pilot:
        assert "demo" in screen_text(pilot.app)
        seen = await open_run(pilot) + await look_everywhere(pilot)
    assert "Input/output error" in seen


async def test_a_run_that_is_deleted_while_it_is_open(root: Path) -> None:
    paths = complete_run(root)
    write_run(root, "other")
    async with studio(root) as pilot:
        await pilot.press("down")
        assert "demo" in await open_run(pilot)
        shutil.rmtree(paths.root)
        seen = await look_everywhere(pilot)
        await pilot.press("c")
        await settle(pilot)
        await pilot.press("1")
        listed = await read_again(pilot)
    assert "demo" in seen and any(word in seen for word in ("deleted", "gone", "is missing", "No such file"))
    assert "other" in listed and "demo" not in listed


async def test_the_folder_of_all_runs_is_deleted_while_it_is_shown(root: Path) -> None:
    write_run(root)
    async with studio(root) as pilot:
        shutil.rmtree(root)
        await pilot.press("r")
        assert "There are no runs" in await settle(pilot)
