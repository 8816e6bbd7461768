"""A secret in any place of a row never stands whole in what is reported of it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from finetui_core.cli.main import main

SECRET = "".join(("ghp", "_", "aZ4kQ9xW2mB7tR5yU8nP3vL6", "cD1eF0gH9jKs"))
USER, ANSWER = {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}


def said(role: str) -> dict[str, Any]:
    return {"role": role, "content": f"{SECRET} is the key"}


ROWS: dict[str, Any] = {
    "misplaced_system": {"messages": [USER, said("system"), ANSWER]},
    "repeated_role": {"messages": [USER, said("user"), ANSWER]},
    "starts_with_answer": {"messages": [said("assistant"), USER, ANSWER]},
    "tool_mismatch": {"messages": [USER, said("tool"), ANSWER]},
    "unanswered_end": {"messages": [USER, ANSWER, said("user")]},
    "bad_shape": {"messages": [{"role": SECRET, "content": "a"}, ANSWER]},
    "secret": {"messages": [said("user"), ANSWER]},
}


@pytest.mark.parametrize("rule", [*ROWS, "duplicate_keys"])
def test_no_report_shows_a_secret(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "rows.jsonl"
    row = json.dumps(ROWS.get(rule, {"messages": [USER, ANSWER]}))
    if rule == "duplicate_keys":
        row = f'{row[:-1]}, "{SECRET}": 1, "{SECRET}": 2}}'
    file.write_text(f"{row}\n" + json.dumps({"messages": [USER, ANSWER]}) + "\n")
    for arguments in (["--json"], [], ["--stream"]):
        main(["data", "check", str(file), *arguments])
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err and SECRET[8:] not in shown.out
        if arguments == ["--json"]:
            assert rule in {one["rule"] for one in msgspec.json.decode(shown.out)["found"]}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept and SECRET.encode() not in kept
