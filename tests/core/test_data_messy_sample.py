"""The messy sample set: the check finds each planted fault with its row, and the mend leaves none that it names."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli.main import main
from finetui_core.data.check.catalogue import RULES
from finetui_core.data.mend.choice import UNDER_A_RECIPE, choose

SAMPLE = Path(__file__).parents[2] / "sample_data"
MESSY, VAL = SAMPLE / "support_chat_messy.jsonl", SAMPLE / "support_chat_val.jsonl"
KEY: dict[str, list[int]] = json.loads((SAMPLE / "support_chat_messy.key.json").read_text())
NOT_IN_IT = {"inconsistent_label"}  # of sets whose answers are labels and nothing else
SHOWN = 50


def checked(capsys: pytest.CaptureFixture[str], *files: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `ftui data check`, and what was found by rule."""
    code = main(["data", "check", *files, "--val", str(VAL), "--json", "--no-cache"])
    report = json.loads(capsys.readouterr().out)
    return code, {found["rule"]: found for found in report["found"]}


def lines(found: dict[str, Any]) -> set[int]:
    """Lines of the training file that a rule points at; a line is a row there, since none is blank."""
    own = {one["line"] for one in found["examples"] if one["file"] == 0}
    return own | {
        one["other"] + 1 for one in found["examples"] if one["file"] == 1 and one["other_file"] == 0
    }


def test_the_key_names_every_rule_that_needs_no_recipe() -> None:
    assert set(KEY) | NOT_IN_IT == set(RULES) - UNDER_A_RECIPE


def test_every_planted_fault_is_found_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("numpy")
    code, found = checked(capsys, str(MESSY))
    assert code == 3
    for rule, planted in KEY.items():
        assert rule in found and found[rule]["count"] >= len(planted), rule
        shown = lines(found[rule])
        if len(planted) < SHOWN:
            assert set(planted) <= shown, rule
        else:
            assert len(shown) == SHOWN and shown <= set(planted), rule


def test_the_clean_set_has_no_error_and_few_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(capsys, str(SAMPLE / "support_chat.jsonl"))
    assert code == 0
    assert {rule for rule, one in found.items() if one["severity"] == "warning"} <= {
        "mixed_system_prompts",
        "near_duplicate",
        "near_leakage",
    }


def test_after_the_mend_the_check_finds_nothing_of_what_was_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mended = tmp_path / "mended.jsonl"
    assert (
        main(["data", "fix", str(MESSY), "--val", str(VAL), "--drop", "tool_mismatch", "-o", str(mended)])
        == 0
    )
    code, found = checked(capsys, str(mended))
    assert code == 0
    assert not set(found) & set(choose(drop=["tool_mismatch"], val=str(VAL)).mends)
    again = tmp_path / "again.jsonl"
    assert (
        main(["data", "fix", str(mended), "--val", str(VAL), "--drop", "tool_mismatch", "-o", str(again)])
        == 0
    )
    assert again.read_bytes() == mended.read_bytes()
    assert main(["data", "undo", f"{mended}.manifest.json", "-o", str(tmp_path / "back.jsonl")]) == 0
    assert (tmp_path / "back.jsonl").read_bytes() == MESSY.read_bytes()


def test_secrets_and_personal_data_are_masked_in_place_of_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.jsonl"
    assert main(["data", "fix", str(MESSY), "-o", str(new), "--only", "secret,personal_data", "--mask"]) == 0
    _, found = checked(capsys, str(new))
    assert not set(found) & {"secret", "personal_data"}
    before, after = MESSY.read_text().splitlines(), new.read_text().splitlines()
    changed = [line for line, (old, mended) in enumerate(zip(before, after, strict=True), 1) if old != mended]
    assert changed == sorted(KEY["secret"] + KEY["personal_data"])
    assert sum("[JWT]" in line or "[password in an address]" in line for line in after) == len(KEY["secret"])
    assert main(["data", "fix", str(MESSY), "--plan", "--only", "secret,personal_data", "--mask"]) == 0
    plan = capsys.readouterr().out
    assert "[JWT]" in plan and "this-is-no-signature" not in plan and "@quillhaven.aa" not in plan
