"""Mending a data set: what was wrong is gone, what was right is untouched, and all of it can be undone."""

import hashlib
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetui_core.cli.main import main
from finetui_core.data.check.encoding import repair_mojibake
from finetui_core.data.mend import faults
from finetui_core.data.mend.choice import choose
from finetui_core.data.mend.plan import plan
from finetui_core.errors import InputError

ESC = "\x1b"


def chat(*turns: tuple[str, Any], **others: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **others}


def ask(question: str, answer: str, **others: Any) -> dict[str, Any]:
    return chat(("user", question), ("assistant", answer), **others)


def write(path: Path, rows: list[Any], **how: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, **how) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def damaged(text: str, encoding: str, times: int) -> str:
    """The text as it is after its UTF-8 was read in another encoding, where that encoding can."""
    for _ in range(times):
        text = text.encode().decode(encoding)
    return text


# --- One row, one rule ------------------------------------------------------------------------------------

CASES: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("mojibake", ask("q", "cafÃ© â‚¬"), ask("q", "café €")),
    ("terminal_control", ask("q", f"{ESC}[31mred{ESC}[0m\x07"), ask("q", "red")),
    ("invisible_characters", ask("q", "pay\u200bment \u202eabc\u202c"), ask("q", "payment abc")),
    (
        "misplaced_system",
        chat(("user", "q"), ("system", "Be kind."), ("assistant", "a")),
        chat(("system", "Be kind."), ("user", "q"), ("assistant", "a")),
    ),
    (
        "misplaced_system",
        chat(("system", "One."), ("user", "q"), ("system", "Two."), ("assistant", "a")),
        chat(("system", "One.\n\nTwo."), ("user", "q"), ("assistant", "a")),
    ),
    (
        "repeated_role",
        chat(("user", "one"), ("user", "two"), ("assistant", "a")),
        chat(("user", "one\n\ntwo"), ("assistant", "a")),
    ),
    (
        "repeated_role",
        chat(("user", [{"type": "text", "text": "one"}]), ("user", "one"), ("assistant", "a")),
        chat(("user", "one"), ("assistant", "a")),
    ),
    ("empty_answer", ask("q", "  "), None),
    ("empty_turn", ask("", "a"), None),
    ("no_answer", chat(("user", "q")), None),
    ("bad_shape", chat(("usr", "q"), ("assistant", "a")), None),
]


@pytest.mark.parametrize(
    ("rule", "before", "after"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)]
)
def test_a_rule_mends_its_row_and_leaves_the_others_as_bytes(
    here: Path, rule: str, before: dict[str, Any], after: dict[str, Any] | None
) -> None:
    good = '{ "messages" : [{"role":"user","content":"\\u00fc"}, {"role":"assistant","content":"1.10"}], "n": 1.10 }'
    source = write(here / "rows.jsonl", [good, before, good.replace("1.10", "2")])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl", "--only", rule]) == 0
    lines = (here / "new.jsonl").read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == (good, good.replace("1.10", "2"))
    assert [json.loads(line) for line in lines[1:-1]] == ([] if after is None else [after])
    change = json.loads((here / "new.jsonl.manifest.json").read_text())["changes"]
    assert [(one["row"], one["line"], one["rule"]) for one in change] == [(1, 2, rule)]
    original = source.read_bytes()
    source.unlink()
    assert main(["data", "undo", "new.jsonl.manifest.json"]) == 0
    assert source.read_bytes() == original


def test_an_unreadable_line_is_dropped_and_comes_back(here: Path) -> None:
    source = here / "rows.jsonl"
    source.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{oops\r\n\xff\xfe\n[1]\n{"text": "b"}')
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    assert (here / "new.jsonl").read_bytes() == b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}'
    assert main(["data", "undo", "new.jsonl.manifest.json", "-o", "back.jsonl"]) == 0
    assert sha256(here / "back.jsonl") == sha256(source)


@pytest.mark.parametrize(("keep", "kept"), [("first", 1), ("last", 3)])
def test_one_of_equal_rows_is_kept(here: Path, keep: str, kept: int) -> None:
    write(here / "rows.jsonl", [ask("x", "y", id=0), *(ask("q", "a", id=number) for number in (1, 2, 3))])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl", "--keep", keep]) == 0
    assert [row["id"] for row in read(here / "new.jsonl")] == [0, kept]
    changes = json.loads((here / "new.jsonl.manifest.json").read_text())["changes"]
    assert {change["other"] for change in changes} == {kept}


def test_rows_that_become_equal_by_the_mend_are_equal(here: Path) -> None:
    write(here / "rows.jsonl", [ask("q", "café"), ask("q", "cafÃ©")])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    assert read(here / "new.jsonl") == [ask("q", "café")]


NEAR = "The parcel with the new blue kettle has not arrived at my house in Mill Street for {} days, please help me."


def test_rows_that_are_almost_the_same_are_only_dropped_by_name(here: Path) -> None:
    pytest.importorskip("numpy")
    rows = [ask(NEAR.format("ten"), "Yes."), ask(NEAR.format("six"), "Yes, we will."), ask("Hello", "Hi")]
    write(here / "rows.jsonl", rows)
    assert main(["data", "fix", "rows.jsonl", "-o", "safe.jsonl"]) == 0
    assert read(here / "safe.jsonl") == rows
    asked = ["data", "fix", "rows.jsonl", "-o", "near.jsonl", "--only", "near_duplicate", "--keep", "longest"]
    assert main(asked) == 0
    assert read(here / "near.jsonl") == rows[1:]


def test_prompts_of_the_validation_file_are_taken_out_of_the_training_file(here: Path) -> None:
    write(here / "val.jsonl", [ask("Where is my order?", "There.")])
    write(here / "rows.jsonl", [ask("where is  my order", "Here."), ask("How are you?", "Fine.")])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl", "--val", "val.jsonl"]) == 0
    assert read(here / "new.jsonl") == [ask("How are you?", "Fine.")]


def test_rows_of_any_rule_can_be_dropped(here: Path) -> None:
    rows = [chat(("assistant", "Hi"), ("user", "q"), ("assistant", "a")), ask("q", "b")]
    write(here / "rows.jsonl", rows)
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl", "--drop", "starts_with_answer"]) == 0
    assert read(here / "new.jsonl") == rows[1:]


def test_tools_and_calls_are_mended_in_their_place(here: Path) -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"town": "ZÃ¼rich", "n": 1}'},
    }
    row = {
        "messages": [
            {"role": "user", "content": "ZÃ¼rich?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "ZÃ¼rich: 4", "tool_call_id": "c1"},
            {"role": "assistant", "content": "4"},
        ],
        "note": "left as it was: ZÃ¼rich",
    }
    write(here / "rows.jsonl", [row])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    (mended,) = read(here / "new.jsonl")
    assert json.loads(mended["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {
        "town": "Zürich",
        "n": 1,
    }
    assert [turn["content"] for turn in mended["messages"]] == ["Zürich?", None, "Zürich: 4", "4"]
    assert mended["note"] == row["note"]


# --- Other layouts and files --------------------------------------------------------------------------------


def test_other_formats_become_jsonl_and_come_back(here: Path) -> None:
    table = here / "rows.csv"
    table.write_text('prompt,completion\nq,"cafÃ©"\nr,s\nr,s\n', encoding="utf-8")
    whole = here / "rows.json"
    whole.write_text(
        json.dumps([{"instruction": "q", "output": "cafÃ©"}, {"instruction": "r", "output": "s"}], indent=1)
    )
    for source, count in ((table, 2), (whole, 2)):
        result = source.with_suffix(".jsonl")
        assert main(["data", "fix", str(source), "-o", str(result)]) == 0
        rows = read(result)
        assert len(rows) == count and "café" in rows[0].values()
        before = sha256(source)
        source.unlink()
        assert main(["data", "undo", f"{result}.manifest.json"]) == 0
        assert sha256(source) == before
        result.unlink()
        Path(f"{result}.manifest.json").unlink()
        Path(f"{result}.undo.gz").unlink()


def test_sharegpt_system_turns_go_to_their_key(here: Path) -> None:
    turns = [("human", "q"), ("system", "Two."), ("human", "r"), ("gpt", "a")]
    row = {"conversations": [{"from": one, "value": text} for one, text in turns], "system": "One."}
    write(here / "rows.jsonl", [row])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    (mended,) = read(here / "new.jsonl")
    assert mended["system"] == "One.\n\nTwo."
    assert [(turn["from"], turn["value"]) for turn in mended["conversations"]] == [
        ("human", "q\n\nr"),
        ("gpt", "a"),
    ]


def test_a_broken_list_is_refused_since_its_end_is_unknown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "rows.json").write_text('[{"text": "a"}, {"text": "b"}, {oops, {"text": "c"}]')
    assert main(["data", "fix", "rows.json", "-o", "new.jsonl"]) == 2
    assert "rows.json:1:" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["rows.json"]


# --- Never over another file, never half a file -------------------------------------------------------------


def test_nothing_is_written_over_or_left_behind(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(here / "rows.jsonl", [ask("q", "cafÃ©")])
    before = source.read_bytes()
    for output in ("rows.jsonl", "./rows.jsonl", "taken.jsonl"):
        (here / "taken.jsonl").write_text("mine")
        assert main(["data", "fix", "rows.jsonl", "-o", output]) == 2
        assert "there is a file of this name already" in capsys.readouterr().err
    assert (here / "taken.jsonl").read_text() == "mine" and source.read_bytes() == before
    assert main(["data", "fix", "rows.jsonl", "-o", "no/such/folder.jsonl"]) == 2
    assert "cannot be written" in capsys.readouterr().err

    def no_room(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["rows.jsonl", "taken.jsonl"]


def test_a_file_that_changes_meanwhile_is_refused(here: Path) -> None:
    from finetui_core.data.mend.apply import apply

    source = write(here / "rows.jsonl", [ask("q", "cafÃ©"), ask("r", "s")])
    planned = plan("rows.jsonl", choose())
    for changed in (
        [ask("q", "cafÃ©"), ask("r", "t")],
        [ask("q", "cafÃ©")],
        [ask("q", "cafÃ©"), ask("r", "s")] * 2,
    ):
        write(source, changed)
        with pytest.raises(InputError, match="has changed since"):
            apply(planned, here / "new.jsonl")
    assert [path.name for path in here.iterdir()] == ["rows.jsonl"]


def test_undo_refuses_what_does_not_belong_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(here / "rows.jsonl", [ask("q", "cafÃ©")])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    assert main(["data", "undo", "new.jsonl.manifest.json"]) == 0  # the source is still there
    write(source, [ask("q", "another")])
    assert main(["data", "undo", "new.jsonl.manifest.json"]) == 2
    assert "there is a file of this name already" in capsys.readouterr().err
    patch = (here / "new.jsonl.undo.gz").read_bytes()
    for damage in (patch[:-9], b"", patch[:20] + b"xxxx" + patch[24:]):
        (here / "new.jsonl.undo.gz").write_bytes(damage)
        assert main(["data", "undo", "new.jsonl.manifest.json", "-o", "back.jsonl"]) == 2
        assert not (here / "back.jsonl").exists()
    (here / "new.jsonl.undo.gz").write_bytes(patch)
    (here / "new.jsonl").write_bytes((here / "new.jsonl").read_bytes() + b"\n")
    assert main(["data", "undo", "new.jsonl.manifest.json", "-o", "back.jsonl"]) == 2
    assert "has changed since" in capsys.readouterr().err
    assert main(["data", "undo", "rows.jsonl"]) == 2


def test_the_undo_file_is_private_and_the_result_as_open_as_its_source(here: Path) -> None:
    write(here / "rows.jsonl", [ask("q", "cafÃ©")]).chmod(0o640)
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    assert (here / "new.jsonl").stat().st_mode & 0o777 == 0o640
    assert (here / "new.jsonl.undo.gz").stat().st_mode & 0o777 == 0o600


# --- What is said -----------------------------------------------------------------------------------------


def test_the_plan_shows_rows_before_and_after_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "rows.jsonl", [ask("q", f"cafÃ© {ESC}[2J"), ask("r", ""), ask("s", "t"), ask("s", "t")])
    assert main(["data", "fix", "rows.jsonl", "--plan"]) == 0
    said = capsys.readouterr().out
    assert ESC not in said
    assert "(mojibake): 1 rows changed" in said and "cafÃ© ␛[2J" in said and "café" in said
    assert "(empty_answer): 1 rows dropped" in said
    assert "repeats row 2" in said
    assert "Of 4 rows 1 would be changed and 2 dropped: 2 are left." in said
    assert main(["data", "fix", "rows.jsonl", "--plan", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rules = {rule["rule"]: rule for rule in report["rules"]}
    assert (report["rows"], report["changed"], report["dropped"], report["left"]) == (4, 1, 2, 2)
    assert rules["mojibake"]["examples"][0]["line"] == 1
    assert [path.name for path in here.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "mojibak"], "Did you mean mojibake?"),
        (["--only", "refusal"], "--drop refusal"),
        (["--only", "leakage"], "--val FILE"),
        (["--drop", "overlength"], "depends on the model of a recipe"),
        (["--only", "contradiction"], "a person must decide"),
        (["--only", "mojibake"], "Add -o NEW"),
    ],
)
def test_a_rule_that_cannot_be_mended_is_refused_with_a_way_out(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    write(here / "rows.jsonl", [ask("q", "a")])
    assert main(["data", "fix", "rows.jsonl", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_file_of_which_nothing_is_left_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "rows.jsonl", [ask("q", "")])
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 2
    assert "no row would be left" in capsys.readouterr().err


# --- Properties ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["q", "café", "Zürich €", "你好", "ok\n", "Ã©", "â€™", f"{ESC}[31m", "\x00", "\u200b", "\u202e", "\x9b1m", "Ã",
     "🙂", "ðŸ™‚", " ", "", "Привет", "нет"]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=4).map("".join)
ROLE = st.sampled_from(["system", "user", "assistant", "assistant", "tool", "boss"])
MESSAGES = st.builds(
    lambda turns: chat(*turns),
    st.lists(st.tuples(ROLE, TEXT), max_size=5) | st.just([("user", "q"), ("assistant", "a")]),
)
LINE = (
    MESSAGES.map(json.dumps)
    | MESSAGES.map(lambda row: json.dumps(row, ensure_ascii=False, indent=None, separators=(" ,", ": ")))
    | st.sampled_from(
        ["", "  ", "{oops", "null", '{"messages": 1}', '{"messages": [], "messages": []}', "nul"]
    )
)
FILE = st.tuples(
    st.lists(LINE, max_size=12).map(lambda lines: [*lines, json.dumps(ask("the last", "one"))]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(FILE, st.sampled_from(["first", "last", "longest"]), st.booleans())
def test_mending_twice_changes_nothing_and_undo_gives_every_byte_back(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[list[str], str, bool], keep: str, has_val: bool
) -> None:
    folder = tmp_path_factory.mktemp("mend")
    lines, ending, is_closed = made
    source = folder / "rows.jsonl"
    source.write_bytes((ending.join(lines) + (ending if is_closed else "")).encode())
    val = write(folder / "val.jsonl", [ask("Q", "a")])
    options = ["--keep", keep, *(["--val", str(val)] if has_val else [])]
    original = source.read_bytes()
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    assert main(["data", "fix", str(source), "-o", str(first), *options]) == 0
    assert source.read_bytes() == original
    assert main(["data", "fix", str(first), "-o", str(second), *options]) == 0
    assert second.read_bytes() == first.read_bytes()
    choice = choose(keep=keep, val=str(val) if has_val else "")
    for row in read(first):
        _, hits = faults.faults_of(row, "messages", "")
        assert not {hit.rule for hit in hits} & set(choice.mends)
    source.unlink()
    assert main(["data", "undo", f"{first}.manifest.json"]) == 0
    assert source.read_bytes() == original


WORDS = st.lists(
    st.sampled_from(
        [
            "café",
            "Zürich",
            "naïve façade",
            "你好世界",
            "日本語",
            "Привет",
            "5 € each",
            "“so”",
            "🙂🚀",
            "plain",
        ]
    ),
    min_size=1,
    max_size=6,
).map(" ".join)


@given(WORDS, st.sampled_from(["latin-1", "cp1252"]), st.integers(1, 2))
def test_whole_text_is_left_alone_and_damaged_text_is_restored(text: str, encoding: str, times: int) -> None:
    assert repair_mojibake(text) == text
    try:
        broken = damaged(text, encoding, times)
    except UnicodeDecodeError:
        return  # Windows-1252 has no character for five bytes
    assert repair_mojibake(broken) == text


# --- Size ---------------------------------------------------------------------------------------------------


def test_memory_holds_a_part_of_the_file_only(here: Path) -> None:
    filler = " ".join(f"word{number}." for number in range(600))
    rows = [
        ask(f"q {number}", f"{'cafÃ©' if number % 50 == 0 else 'tea'} {filler}") for number in range(3_000)
    ]
    source = write(here / "rows.jsonl", rows)
    del rows
    tracemalloc.start()
    assert main(["data", "fix", "rows.jsonl", "-o", "new.jsonl"]) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.stat().st_size / 4


@pytest.fixture
def editor(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets $VISUAL to a program that runs `code` on the path of the row."""

    def use(code: str) -> None:
        (here / "editor.py").write_text(f"import json, os, sys\npath = sys.argv[1]\n{code}\n")
        monkeypatch.setenv("VISUAL", f"{sys.executable} {here / 'editor.py'}")

    return use


def test_one_row_is_edited_and_can_be_undone(here: Path, editor: Callable[[str], None]) -> None:
    source = write(
        here / "rows.jsonl", ["", '{ "text":"one" }', '{"text": "two", "id": 7}', '{ "text":"three" }']
    )
    editor(
        "assert oct(os.stat(path).st_mode & 0o777) == '0o600'\n"
        "text = open(path).read()\nassert text.count('\\n') > 1\nopen(path, 'w').write(text.replace('two', 'zwei'))"
    )
    assert main(["data", "edit", "rows.jsonl", "1", "-o", "new.jsonl"]) == 0
    lines = (here / "new.jsonl").read_text().split("\n")
    assert (lines[0], lines[1], lines[3]) == ("", '{ "text":"one" }', '{ "text":"three" }')
    assert json.loads(lines[2]) == {"text": "zwei", "id": 7}
    before = source.read_bytes()
    source.unlink()
    assert main(["data", "undo", "new.jsonl.manifest.json"]) == 0
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("sys.exit(1)", 1, "nothing was written"),
        ("pass", 0, "as it was"),
        ("open(path, 'w').write('{\\n \"text\": oops}')", 2, "row-0.json:2:10"),
        ("open(path, 'w').write('[]')", 2, "must be an object"),
        ("open(path, 'w').write('{\"txt\": 1}')", 2, "$.text"),
        ("open(path, 'wb').write(bytes([255]))", 2, "not UTF-8"),
    ],
)
def test_an_edit_that_cannot_be_used_writes_nothing(
    here: Path,
    editor: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    code: str,
    exit_code: int,
    said: str,
) -> None:
    write(here / "rows.jsonl", ['{"text": "one"}'])
    editor(code)
    assert main(["data", "edit", "rows.jsonl", "0", "-o", "new.jsonl"]) == exit_code
    assert said in capsys.readouterr().err
    assert not list(here.glob("new*"))


def test_a_row_that_is_not_there_and_an_editor_that_is_not(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "rows.jsonl", ['{"text": "one"}'])
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert main(["data", "edit", "rows.jsonl", "1", "-o", "new.jsonl"]) == 2
    assert "numbered from 0 to 0" in capsys.readouterr().err
    assert main(["data", "edit", "rows.jsonl", "0", "-o", "new.jsonl"]) == 2
    assert "Set EDITOR" in capsys.readouterr().err
