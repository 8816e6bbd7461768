"""Labels, archive and trash: what lies on disk, what is refused and why, and the same by command."""

import fcntl
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.runs import manage
from finetui_core.runs.labels import Labels, noted, read_labels, renamed, tagged, write_labels
from finetui_core.runs.listing import list_runs
from finetui_core.runs.paths import RunPaths, create_run, run_ids
from run_folders import write_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(root: Path) -> RunPaths:
    return write_run(root, "chat", steps=5)


def test_labels_lie_in_a_file_of_their_own_and_change_the_list_alone(run: RunPaths) -> None:
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    manage.relabel(run, lambda labels: renamed(labels, "  The one [/INST] "))
    manage.relabel(run, lambda labels: tagged(labels, ["b", "a", "b"]))
    manage.relabel(run, lambda labels: noted(labels, "two\nlines"))
    assert json.loads(run.labels.read_bytes()) == {
        "name": "The one [/INST]",
        "tags": ["b", "a"],
        "note": "two\nlines",
    }
    assert stat.S_IMODE(run.labels.stat().st_mode) == 0o600
    assert before == {path: path.read_bytes() for path in before}
    (summary,) = list_runs(run.root.parent)
    assert (summary.name, summary.tags, summary.note) == ("The one [/INST]", ("b", "a"), "two\nlines")
    manage.relabel(run, lambda labels: renamed(tagged(labels, [], ["b"]), ""))
    (summary,) = list_runs(run.root.parent)
    assert (summary.name, summary.label, summary.tags) == ("chat", "", ("a",))


@pytest.mark.parametrize("content", [b"", b"\x00", b"[1]", b'{"tags": 3}', b'{"name": "x"'])
def test_damaged_labels_are_none_and_can_be_written_anew(run: RunPaths, content: bytes) -> None:
    run.labels.write_bytes(content)
    assert read_labels(run) == Labels()
    manage.relabel(run, lambda labels: noted(labels, "new"))
    assert read_labels(run).note == "new"


@pytest.mark.parametrize("tag", ["", "two words", "a,b", '"', "-x", "x" * 41, "\x1b[31m", "\ud800"])
def test_a_tag_is_one_plain_word(tag: str) -> None:
    with pytest.raises(InputError, match="cannot be a tag"):
        tagged(Labels(), ["fine", tag])


@pytest.mark.parametrize("name", ["x" * 101, "two\nlines", "\x1b[31m", "\ud800"])
def test_a_name_is_one_line(name: str) -> None:
    with pytest.raises(InputError, match="too long or not one line"):
        renamed(Labels(), name)


@given(st.text(max_size=50))
def test_any_note_can_be_written(text: str) -> None:
    assert noted(Labels(), text).note == text.strip()


def test_archived_and_deleted_runs_leave_the_list_whole_and_come_back(run: RunPaths) -> None:
    root = run.root.parent
    files = sorted(path.relative_to(run.root) for path in run.root.rglob("*"))
    for put_away, folder in ((manage.archive, ".archive"), (manage.delete, ".trash")):
        moved = put_away(run)
        assert moved.root == root / folder / run.id
        assert run_ids(root) == [] and list_runs(root) == []
        assert [one.id for one in list_runs(root / folder)] == [run.id]
        assert stat.S_IMODE(moved.root.parent.stat().st_mode) == 0o700
        with pytest.raises(InputError, match="already"):
            put_away(moved)
        assert manage.restore(moved).root == run.root
        now = sorted(path.relative_to(run.root) for path in run.root.rglob("*"))
        assert [path for path in now if path.name != "run.lock"] == files
    with pytest.raises(InputError, match="neither archived nor deleted"):
        manage.restore(run)


def test_an_archived_run_can_be_deleted_and_comes_back_to_the_list(run: RunPaths) -> None:
    moved = manage.delete(manage.archive(run))
    assert moved.root == run.root.parent / ".trash" / run.id
    assert manage.restore(moved).root == run.root


def test_a_live_run_is_refused_with_the_reason(root: Path) -> None:
    live = write_run(root, "live", steps=5, end=None)
    for put_away in (manage.archive, manage.delete):
        with pytest.raises(InputError, match=r"(?s)it is running \(training\).*ftui ctl"):
            put_away(live)
    assert live.root.is_dir()


def move_to_host(run: RunPaths, host: str) -> None:
    run.attempt(1).write_text(json.dumps({**json.loads(run.attempt(1).read_bytes()), "host": host}))


def test_of_a_run_of_another_host_it_is_told_what_can_be_known_and_done(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(root, "far", steps=5, end=None)
    move_to_host(run, "node7")
    for action in (("archive", "far"), ("delete", "far", "--yes")):
        code, _, told = said(capsys, *action)
        assert code == 2 and "it is running (training, on node7), as far as its files tell" in told
        for words in (f"ftui watch {run.id}", f"ftui ctl {run.id} stop", "look at node7", f"{root}/.archive"):
            assert words in told
    assert run.root.is_dir()


def test_a_run_moved_by_hand_as_the_hint_says_is_archived_and_comes_back(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(root, "far", steps=5, end=None)
    move_to_host(run, "node7")
    (root / ".archive").mkdir()
    run.root.rename(root / ".archive" / run.id)
    assert [one["id"] for one in json.loads(said(capsys, "--archived", "--json")[1])] == [run.id]
    assert said(capsys, "restore", run.id)[0] == 0
    assert run.root.is_dir()


def test_a_command_to_a_host_that_is_silent_is_told_to_be_unanswered(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetui_core.runs.liveness.SILENT_AFTER", 0.2)
    run = write_run(root, "far", steps=5, end=None)
    move_to_host(run, "node7")
    assert main(["ctl", "far", "stop"]) == 1
    told = capsys.readouterr().err
    assert "stop: no answer (no heartbeat from node7" in told and "stays in its mailbox" in told
    assert len(list(run.control.glob("*.json"))) == 1


def test_a_run_whose_lock_is_held_is_refused(run: RunPaths) -> None:
    descriptor = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(InputError, match="is being trained"):
            manage.delete(run)
    finally:
        os.close(descriptor)
    assert manage.delete(run).root.is_dir()


def test_a_run_that_was_never_started_can_be_deleted(root: Path) -> None:
    run = create_run(root, "stillborn", "", {}, {})
    assert manage.delete(run).root.is_dir()


def test_nothing_is_moved_onto_another_run(run: RunPaths) -> None:
    moved = manage.archive(run)
    run.root.mkdir()
    with pytest.raises(InputError, match="already"):
        manage.restore(moved)
    assert moved.identity.is_file()


def test_runs_of_other_trainers_are_only_read(root: Path) -> None:
    other = root / "other"
    other.mkdir()
    (other / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n')
    for change in (manage.archive, manage.delete, lambda run: manage.relabel(run, lambda labels: labels)):
        with pytest.raises(InputError, match="another trainer is only read"):
            change(RunPaths(other))
    assert [path.name for path in other.iterdir()] == ["metrics.jsonl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(run: RunPaths) -> None:
    run.root.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        write_labels(run, Labels("x"))
    run.root.chmod(0o700)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["runs", *arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_commands_label_and_list(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (write_run(root, name, steps=steps) for name, steps in (("one", 50), ("two", 100)))
    code, out, _ = said(capsys, "rename", "one", "First [/INST]", "--json")
    assert (code, json.loads(out)[0]["name"]) == (0, "First [/INST]")
    assert said(capsys, "tag", first.id, "a", "b")[0] == 0
    assert said(capsys, "tag", first.id, "c", "--remove", "a")[0] == 0
    assert said(capsys, "note", first.id, "a note")[0] == 0
    code, out, _ = said(capsys, "--filter", "tag:c step<60", "--json")
    assert (code, [one["id"] for one in json.loads(out)]) == (0, [first.id])
    assert json.loads(out)[0]["tags"] == ["b", "c"] and json.loads(out)[0]["note"] == "a note"
    code, out, _ = said(capsys)
    assert code == 0 and "First [/INST] #b #c" in out and second.id in out
    order = [one["id"] for one in json.loads(said(capsys, "--sort", "step", "--json")[1])]
    assert order == [first.id, second.id]
    order = [one["id"] for one in json.loads(said(capsys, "--sort", "step", "--reverse", "--json")[1])]
    assert order == [second.id, first.id]
    code, out, err = said(capsys, "--filter", "nothing")
    assert (code, out) == (0, "") and "None of the 2 runs" in err


def test_commands_put_away_and_bring_back(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [write_run(root, name, steps=3).id for name in ("one", "two")]
    assert said(capsys, "archive", *ids)[0] == 0
    assert run_ids(root) == []
    assert {one["id"] for one in json.loads(said(capsys, "--archived", "--json")[1])} == set(ids)
    assert said(capsys, "restore", "one")[0] == 0
    assert said(capsys, "delete", "one", "--yes", "--runs", str(root))[0] == 0
    assert [one["id"] for one in json.loads(said(capsys, "--deleted", "--json")[1])] == [ids[0]]
    assert said(capsys, "restore", *ids)[0] == 0
    assert run_ids(root) == sorted(ids)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--filter", "los<1"), "did you mean loss"),
        (("--sort", "colour"), "invalid choice"),
        (("rename", "nothing", "x"), "no run fits"),
        (("tag", "done", "a b"), "cannot be a tag"),
        (("restore", "done"), "no archived or deleted run fits"),
        (("delete", "done"), "nobody to ask"),
        (("delete", "done", "live", "--yes"), "it is running"),
        (("archive", "live"), "it is running"),
        (("rename",), "required"),
        (("--archived", "--deleted"), "not allowed with"),
    ],
)
def test_bad_input_exits_with_2_and_changes_nothing(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    write_run(root, "done", steps=3)
    write_run(root, "live", steps=3, end=None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    before = run_ids(root)
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "") and words in err
    assert run_ids(root) == before


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("", 1, 1)])
def test_deleting_asks_at_a_terminal(
    run: RunPaths,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    left: int,
) -> None:
    import io

    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert said(capsys, "delete", run.id)[0] == code
    assert len(run_ids(run.root.parent)) == left
