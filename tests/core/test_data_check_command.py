"""`ftui data check` as a user meets it: bad files named with line and reason, findings, JSON, stream, cache."""

import gzip
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli.main import main
from finetui_core.data.check import cache, checking
from finetui_core.data.check.catalogue import RULES
from training import write_project

GOOD = '{"messages": [{"role": "user", "content": "q%d?"}, {"role": "assistant", "content": "The answer is %d."}]}\n'
BOM = b"\xef\xbb\xbf"


def good(number: int) -> bytes:
    return (GOOD % (number, number)).encode()


def with_line_4(line: bytes) -> bytes:
    return b"".join(good(n) for n in range(3)) + line + b"\n" + b"".join(good(n) for n in range(4, 7))


def chat(*turns: tuple[str, Any], **more: Any) -> bytes:
    messages = [{"role": role, "content": content} for role, content in turns]
    return json.dumps({"messages": messages, **more}).encode()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def data_check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["data", "check", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


Make = Callable[[], object]


def has(content: bytes, name: str = "rows.jsonl") -> Make:
    return lambda: Path(name).write_bytes(content)


UNUSABLE: dict[str, tuple[Make, str, str]] = {
    "no file": (lambda: None, "rows.jsonl", "there is no such file"),
    "folder": (lambda: Path("rows.jsonl").mkdir(), "rows.jsonl", "a folder"),
    "empty": (has(b""), "rows.jsonl", "empty"),
    "blank lines only": (has(b"\n \n\r\n"), "rows.jsonl", "no rows"),
    "pipe": (lambda: os.mkfifo("rows.jsonl"), "rows.jsonl", "a pipe or a device"),
    "device": (lambda: None, "/dev/zero", "a pipe or a device"),
    "link to nothing": (lambda: Path("rows.jsonl").symlink_to("gone"), "rows.jsonl", "a link to gone"),
    "link to itself": (lambda: Path("rows.jsonl").symlink_to("rows.jsonl"), "rows.jsonl", "symbolic links"),
    "gzip": (has(gzip.compress(good(1))), "rows.jsonl", "packed with gzip"),
    "zip": (has(b"PK\x03\x04" + bytes(30)), "rows.jsonl", "packed with zip"),
    "zstd": (has(b"\x28\xb5\x2f\xfd" + bytes(30)), "rows.jsonl", "packed with zstd"),
    "UTF-16": (has(good(1).decode().encode("utf-16")), "rows.jsonl", "UTF-16"),
    "UTF-16 without a mark": (has(good(1).decode().encode("utf-16-le")), "rows.jsonl", "binary"),
    "program": (has(b"\x7fELF\x01\x00\x02\x00" * 99), "rows.jsonl", "binary"),
    "Parquet by another name": (has(b"PAR1" + bytes(30)), "rows.jsonl", "Parquet"),
    "damaged Parquet": (has(b"PAR1" + bytes(30), "rows.parquet"), "rows.parquet", "not a readable Parquet"),
    "damaged Arrow": (has(b"ARROW1" + bytes(30), "rows.arrow"), "rows.arrow", "not a readable Arrow"),
    "one object": (has(json.dumps({"data": [{"a": 1}]}, indent=1).encode()), "rows.jsonl", "one JSON object"),
    "unknown layout": (has(b'{"a": 1}\n{"a": 2}\n'), "rows.jsonl", "no known layout; their keys are: a"),
    "no JSON at all": (has(b"hello\nworld\n"), "rows.jsonl", "rows.jsonl:1:1: not valid JSON"),
    "an empty list": (has(b"[]"), "rows.jsonl", "no rows"),
    "Latin-1 text": (has(b"na\xefve\n", "rows.txt"), "rows.txt", "rows.txt:1:3: the text is not UTF-8"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_that_cannot_be_used_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, file, words = UNUSABLE[name]
    make()
    code, out, err = data_check(capsys, file)
    assert (code, out) == (2, "")
    assert words in err and "Traceback" not in err and len(err.splitlines()) <= 4


def test_no_permission(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    has(good(1))()

    opened = Path.open

    def forbidden(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "rows.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", forbidden)
    code, _, err = data_check(capsys, "rows.jsonl")
    assert code == 2 and "no permission" in err and "chmod u+r rows.jsonl" in err


ROWS: dict[str, tuple[bytes, str, str]] = {
    "cut off": (good(3)[:-10], "unreadable_row", "Unterminated string"),
    "NUL bytes": (bytes(40), "unreadable_row", "not valid JSON"),
    "raw escape": (good(3).strip().replace(b"answer", b"\x1b[2J"), "unreadable_row", "Invalid control character"),
    "invalid UTF-8": (good(3).strip().replace(b"answer", b"\xff\xfe"), "unreadable_row", "not UTF-8"),
    "half a surrogate pair": (chat(("assistant", "\ud800")), "unreadable_row", "not valid JSON"),
    "NaN": (b'{"messages": NaN}', "unreadable_row", "not valid JSON"),
    "huge number": (b'{"n": ' + b"9" * 5000 + b"}", "unreadable_row", "not valid JSON"),
    "deep nesting": (b'{"a": ' + b"[" * 100_000, "unreadable_row", "nested too deeply"),
    "a list": (b"[" + good(3).strip() + b"]", "unreadable_row", "the row is a list, not an object"),
    "two objects": (good(3).strip() + good(3).strip(), "unreadable_row", "Extra data"),
    "messages is a string": (b'{"messages": "hi"}', "bad_shape", "expected a list, found a string"),
    "messages missing": (b'{"text": "hi"}', "bad_shape", "expected a list, found nothing"),
    "content is null": (chat(("user", None), ("assistant", "a")), "bad_shape", "found nothing"),
    "content is a number": (chat(("user", 5), ("assistant", "a")), "bad_shape", "found a number"),
    "unknown role": (chat(("usr", "a"), ("assistant", "b")), "bad_shape", 'unknown role "usr"'),
    "image": (chat(("user", [{"type": "image_url"}]), ("assistant", "b")), "bad_shape", "image_url"),
    "no answer": (chat(("user", "a")), "no_answer", "no assistant turn"),
    "no messages": (chat(), "no_answer", "no assistant turn"),
    "empty answer": (chat(("user", "a"), ("assistant", " \n")), "empty_answer", "turn 2 is an empty"),
    "late system": (chat(("user", "a"), ("system", "b"), ("assistant", "c")), "misplaced_system", "turn 2: b"),
    "escape sequence": (chat(("user", "a"), ("assistant", "b\x1b]0;x\x07")), "terminal_control", "turn 2"),
    "orphan result": (chat(("user", "a"), ("tool", "b"), ("assistant", "c")), "tool_mismatch", "turn 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_cannot_be_trained_on_is_named_with_its_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line, rule, words = ROWS[name]
    has(with_line_4(line))()
    code, out, err = data_check(capsys, "rows.jsonl")
    assert code == 3 and "Traceback" not in err
    assert f"({rule}): 1 of 7 rows" in out and "repeat another" not in out
    (place,) = [shown for shown in out.splitlines() if shown.strip().startswith("line 4")]
    assert words in place, out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b'{"messages": [{"role": "user", "role": "user", "content": "q"}, {"role": "assistant", "content": "A."}]}',
         "duplicate_keys"),
        (chat(("user", " "), ("assistant", "A.")), "empty_turn"),
        (chat(("user", "q"), ("user", "p"), ("assistant", "A.")), "repeated_role"),
        (chat(("system", "s"), ("assistant", "A.")), "starts_with_answer"),
    ],
)  # fmt: skip
def test_a_doubtful_row_is_a_warning(line: bytes, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    has(with_line_4(line))()
    code, out, _ = data_check(capsys, "rows.jsonl")
    assert code == 0 and f"! warning: {RULES[rule].title} ({rule}): 1 of 7 rows" in out
    assert any(shown.strip().startswith("line 4") for shown in out.splitlines())


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_marks_blank_lines_and_line_ends_are_no_fault(
    ends: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [good(1).strip(), b"", good(2).strip(), b"   ", b"{oops", good(3).strip()]
    has(BOM + ends.join(lines))()
    code, out, _ = data_check(capsys, "rows.jsonl", "--json")
    (found,) = [one for one in json.loads(out)["found"] if one["severity"] != "info"]
    assert code == 3
    assert (found["rule"], found["count"], found["of"]) == ("unreadable_row", 1, 4)
    assert (found["examples"][0]["row"], found["examples"][0]["line"]) == (2, 5)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "rows.json",
            b'[{"text": "one text"},\n {"text" 2}, {"text": "two texts"}]',
            "line 2: not valid JSON",
        ),
        ("rows.json", b'[{"text": "one text"},\n', "line 2: not valid JSON"),
        ("rows.json", b'[{"text": "one text"}] {', "line 1: not valid JSON: something follows"),
        ("rows.csv", b"prompt,completion\na,b\nc\n", "line 3: the row has 1 cells"),
        ("rows.csv", b'prompt,completion\na,b\n"c,d\ne', "line 3: not valid CSV"),
    ],
)
def test_lists_and_tables_name_the_line_too(
    name: str, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    has(content, name)()
    code, out, _ = data_check(capsys, name)
    assert code == 3 and said in out


def test_a_line_of_500_mb_is_named_and_never_held(tmp_path: Path) -> None:
    with Path("rows.jsonl").open("wb") as file:
        file.write(good(1) + b'{"messages": "')
        for _ in range(500):
            file.write(bytes(1_000_000))
        file.write(b"\n" + good(2))
    done = subprocess.run(
        [sys.executable, "-m", "finetui", "data", "check", "rows.jsonl", "--fast", "--no-cache"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20)),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "1 of 3 rows" in done.stdout and "line 2: the row is longer than 16 MiB" in done.stdout


def test_all_unusable_files_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    has(b"")()
    code, _, err = data_check(capsys, "rows.jsonl", "gone.jsonl", "--val", "also_gone.jsonl")
    assert code == 2
    assert all(f"{name}: " in err for name in ("rows.jsonl", "gone.jsonl", "also_gone.jsonl"))
    assert data_check(capsys)[0] == 2


def test_leakage_and_the_way_out_name_both_files(capsys: pytest.CaptureFixture[str]) -> None:
    has(b"".join(good(n) for n in range(40)), "a train.jsonl")()
    has(good(99) + good(7), "val.jsonl")()
    code, out, _ = data_check(capsys, "a train.jsonl", "--val", "val.jsonl", "--fast")
    assert code == 3
    assert "(leakage): 1 of 2 rows" in out and "val.jsonl, line 2, as row 8 of a train.jsonl" in out
    assert "ftui data fix 'a train.jsonl' --val val.jsonl --only leakage -o NEW" in out
    assert "note: near-duplicates were left out, as --fast says" in out


def test_secrets_are_masked_in_every_report(capsys: pytest.CaptureFixture[str]) -> None:
    key = "ghp_" + "x8Kq2LmZ0pVt5RwYb7Nc" + "1DfGh3Js6UaEoT94"
    has(
        with_line_4(chat(("user", "q"), ("assistant", f"Use {key}.")))
        + chat(("user", f"My key: {key}"))
        + b"\n"
    )()
    for options in ((), ("--json",), ("--stream",), ("--no-cache",)):
        code, out, _ = data_check(capsys, "rows.jsonl", *options)
        assert code == 3 and "secret" in out and key not in out and key[4:] not in out
    for kept in cache.reports_folder().iterdir():
        assert key not in kept.read_text()


def test_the_stream_ends_with_a_report_that_has_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    has(with_line_4(b"{oops") + good(1) + b"{oops\n")()
    code, out, _ = data_check(capsys, "rows.jsonl", "--stream")
    messages = [json.loads(line) for line in out.splitlines()]
    kinds = [message["type"] for message in messages]
    assert code == 3 and kinds[0] == "progress" and "partial" in kinds and kinds[-1] == "report"
    assert messages[0] == {
        "type": "progress", "bytes_done": Path("rows.jsonl").stat().st_size,
        "bytes_total": Path("rows.jsonl").stat().st_size, "rows": 9, "found": {"unreadable_row": 2},
    }  # fmt: skip
    report = messages[-1]["report"]
    assert (report["schema"], report["verdict"], report["complete"]) == (1, "errors", True)
    assert report["rows"]["unreadable_row"] == [3, 8] and report["rows"]["exact_duplicate"] == [7]
    assert report["files"][0]["rows"] == 9 and report["files"][0]["distinct_rows"] == 6


def test_an_unchanged_file_is_not_read_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(with_line_4(b"{oops"))()
    first = data_check(capsys, "rows.jsonl")
    looks: list[object] = []
    whole = checking.scan

    def counted(*arguments: Any, **options: Any) -> Any:
        looks.append(arguments)
        return whole(*arguments, **options)

    monkeypatch.setattr(checking, "scan", counted)
    assert data_check(capsys, "rows.jsonl") == first and not looks
    assert data_check(capsys, "rows.jsonl", "--no-cache") == first and len(looks) == 1
    os.utime("rows.jsonl", (1, 1))
    assert data_check(capsys, "rows.jsonl") == first and len(looks) == 1
    with Path("rows.jsonl").open("ab") as file:
        file.write(b"{oops\n")
    code, out, _ = data_check(capsys, "rows.jsonl")
    assert (code, len(looks)) == (3, 2) and "2 of 8 rows" in out
    folder = cache.reports_folder()
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_the_cache_is_bounded_and_may_be_unwritable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache, "MOST_KEPT", 2)
    for number in range(4):
        has(good(number))()
        assert data_check(capsys, "rows.jsonl")[0] == 0
    assert len(list(cache.reports_folder().glob("*.json"))) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "rows.jsonl"))
    assert data_check(capsys, "rows.jsonl")[0] == 0


def test_what_half_of_the_answers_do_is_called_their_style(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = "I'm sorry, but I can't help with that."
    rows = [
        chat(("user", f"q{n}"), ("assistant", refusal if n % 2 else f"The answer is {n}.")) for n in range(20)
    ]
    has(b"\n".join(rows))()
    assert "rather than a fault of single rows" in data_check(capsys, "rows.jsonl")[1]
    has(b"\n".join(rows[:1] + rows[::2]) + b"\n" + rows[1])()
    out = data_check(capsys, "rows.jsonl")[1]
    assert "refusals (refusal): 1 of 12 rows, 8 %" in out and "rather than a fault" not in out


def test_a_clean_set_has_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Path(__file__).parents[2] / "sample_data" / "support_chat.jsonl"
    code, out, _ = data_check(capsys, str(rows), "--json")
    report = json.loads(out)
    assert code == 0 and report["verdict"] == "warnings"
    assert {one["rule"] for one in report["found"]} <= {"mixed_system_prompts", "near_duplicate"}
    assert "No errors in 1,000 rows." in report["sentence"] and report["size"]["tier"] == "usual"


def test_under_a_recipe_the_rows_are_read_as_training_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_project(tmp_path / "project")
    with (recipe.parent / "train.jsonl").open("ab") as file:
        file.write(chat(("user", "long " * 200), ("assistant", "A.")) + b"\n")
    code, out, _ = data_check(capsys, "--recipe", str(recipe), "--json")
    report = json.loads(out)
    section = report["recipe"]
    assert (section["rows"], section["max_length"]) == (41, 128)
    assert report["files"][0]["path"] == str(recipe.parent / "train.jsonl")
    assert code == (3 if report["verdict"] == "errors" else 0)
    assert "overlength" in {one["rule"] for one in report["found"]}
    has(b"".join(good(n) for n in range(30)), "other.jsonl")()
    code, out, _ = data_check(capsys, "other.jsonl", "--recipe", str(recipe))
    assert "other.jsonl: 30 rows" in out and "Under the recipe: " in out
    code, _, err = data_check(capsys, "other.jsonl", "third.jsonl", "--recipe", str(recipe))
    assert code == 2 and "one training and one validation file" in err
