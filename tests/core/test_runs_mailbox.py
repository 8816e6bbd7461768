"""Commands arrive once, in order, and only from the owner of the run; junk is put aside with a reason."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.runs import mailbox
from finetui_core.runs.mailbox import COMMANDS, finish, pending, refuse_all, send
from finetui_core.runs.paths import RunPaths, create_run


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "mail", "", {}, {})


def refusal(run: RunPaths, name: str) -> str:
    assert (run.control_done / name).exists() and not (run.control / name).exists()
    return (run.control_done / f"{name}.refused").read_text()


@settings(deadline=None, max_examples=8)
@given(st.lists(st.sampled_from(COMMANDS), max_size=8))
def test_commands_arrive_once_in_the_order_sent(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "mail", "", {}, {})
        ids = [send(run, name) for name in names]
        found = pending(run)
        assert [(command.id, command.command) for command in found] == list(zip(ids, names, strict=True))
        for command in found:
            finish(run, command)
        assert pending(run) == []
        assert sorted(path.stem for path in run.control_done.iterdir()) == ids


def test_an_unknown_command_is_not_sent(run: RunPaths) -> None:
    with pytest.raises(InputError, match="dance"):
        send(run, "dance")
    assert pending(run) == []


@settings(deadline=None, max_examples=16)
@given(st.binary(max_size=100))
def test_any_junk_is_put_aside(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "mail", "", {}, {})
        (run.control / "junk.json").write_bytes(content)
        wanted = send(run, "stop")
        assert [command.id for command in pending(run)] == [wanted]
        assert refusal(run, "junk.json")


def test_strange_files_are_put_aside_with_the_reason(run: RunPaths, tmp_path: Path) -> None:
    command = {"id": "a", "command": "stop", "t": 1}
    elsewhere = tmp_path / "a.json"
    elsewhere.write_text(json.dumps(command))
    (run.control / "a.json").symlink_to(elsewhere)
    os.mkfifo(run.control / "pipe.json")
    (run.control / "folder.json").mkdir()
    (run.control / "other.json").write_text(json.dumps(command))
    (run.control / "dance.json").write_text(json.dumps({**command, "id": "dance", "command": "dance"}))
    assert pending(run) == []
    assert "symbolic links" in refusal(run, "a.json")
    assert refusal(run, "pipe.json") == refusal(run, "folder.json") == "not a regular file"
    assert refusal(run, "other.json") == "its name is not its id"
    assert "'dance'" in refusal(run, "dance.json")


def test_commands_of_other_users_are_refused(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    command_id = send(run, "abort")
    owner = os.geteuid()
    monkeypatch.setattr(mailbox.os, "geteuid", lambda: owner + 1)
    assert pending(run) == []
    assert f"belongs to user {owner}" in refusal(run, f"{command_id}.json")


def test_a_file_still_being_written_is_left_alone(run: RunPaths) -> None:
    unfinished = run.control / ".a.json"
    unfinished.write_text("{")
    assert pending(run) == [] and unfinished.exists()


def test_what_was_asked_of_an_earlier_attempt_is_refused(run: RunPaths) -> None:
    command_id = send(run, "stop")
    refuse_all(run, "the run was not running")
    assert pending(run) == []
    assert refusal(run, f"{command_id}.json") == "the run was not running"
