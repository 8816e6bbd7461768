"""Hostile inputs are refused with a sentence: the short form of tests/proofs/malicious.py, in this process.

Here are those that are refused before a training library is imported, and that take no large file to make. The proof
runs all of them through the real command, with a clock and a measure of memory.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from malicious import CANARY, SECRET, Fixture, all_fixtures, make_project

REACH_A_LIBRARY = {
    "config: code for an unknown type",
    "config: code for a known type",
    "config: negative sizes",
    "config: wrong types",
    "generation code of its own",
}
TAKE_LONG = {
    "safetensors: header of 40 MB",
    "index of 100,000 files",
    "events: a text of 60 MB",
    "metrics: a line of 100 MB",
    "trainer state: nested deeply",
    "dotted keys",
    "tables nested 10^5 deep",
    "20,000 unknown keys",
    "nested 10^5 deep",
}
CHEAP_DATA = {
    "a line of 5 GB, a hole",
    "nested 10^6 deep",
    "a link to /dev/zero",
    "a link to a memory",
    "a link to a key",
    "a link to itself",
    "a pipe",
    "NUL bytes",
    "a number of 10^6 digits",
    "control characters",
    "a table of 200,000 columns",
    "Parquet: a hole of 5 GB",
}


def _is_quick(one: Fixture) -> bool:
    if one.kind == "data":
        return one.name in CHEAP_DATA
    if one.kind == "template" or one.command[0] == "resume" or one.command[:2] == ("data", "check"):
        return False
    return one.name not in REACH_A_LIBRARY | TAKE_LONG


QUICK = [one for one in all_fixtures() if _is_quick(one)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("malicious") / "made"
    folder.mkdir()
    make_project(folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, symlinks=True)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("CANARY", str(folder / CANARY))
    monkeypatch.chdir(folder / "project")
    yield folder / "project"
    shutil.rmtree(folder)


def test_there_are_enough_of_each_kind() -> None:
    kinds = [one.kind for one in all_fixtures()]
    assert len(kinds) >= 100
    assert {"model", "template", "data", "recipe", "import", "run directory"} == set(kinds)


@pytest.mark.parametrize("fixture", QUICK, ids=lambda one: f"{one.kind}: {one.name}")
def test_it_is_contained(fixture: Fixture, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture.make(project)
    code = main(list(fixture.command))
    said = "".join(capsys.readouterr())
    assert code in fixture.codes, said
    assert fixture.says in said
    assert "Traceback" not in said and "ftui failed" not in said
    assert SECRET not in said and not (project.parent / CANARY).exists()
    assert not [character for character in said if ord(character) < 32 and character not in "\n\t\r"]
