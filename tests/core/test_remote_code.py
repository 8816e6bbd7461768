"""A model's own code runs only where this user typed the model's name for this very version."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from finetui_core.cli.consenting import consent_to
from finetui_core.cli.main import main
from finetui_core.errors import InputError
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.remote_code import CONSENT, agree, consent_for, consents_file, may_run_code, pin_of
from finetui_core.runs.consent import check_recorded_consent
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import Identity, read_small
from malicious import make_project
from malicious_models import trusting_recipe
from malicious_others import forged_consent

COMMIT = "a" * 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path)
    trusting_recipe(made)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    monkeypatch.chdir(made)
    return made


def pin(project: Path) -> str:
    found = pin_of(load_recipe(project / "recipe.toml").model)
    assert found is not None
    return found


def test_a_folder_is_pinned_by_its_python_files(project: Path) -> None:
    before = pin(project)
    assert before.startswith("model@") and len(before) == len("model@") + 64
    (project / "model" / "more.py").write_text("")
    assert pin(project) != before
    (project / "model" / "more.py").unlink()
    assert pin(project) == before
    (project / "model" / "own.py").write_text("pass")
    assert pin(project) != before


def test_a_hub_model_is_pinned_by_its_commit(project: Path) -> None:
    recipe = load_recipe(project / "recipe.toml")
    model = recipe.model.model_copy(update={"name": "owner/name", "revision": COMMIT})
    assert pin_of(model) == f"owner/name@{COMMIT}"


def test_nothing_runs_without_consent_and_the_flag_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["train", "recipe.toml"], ["compare", "recipe.toml"]):
        assert main(command) == 2
        assert f"{CONSENT} {pin(project)}" in capsys.readouterr().err
    assert not (project / "runs").exists() and not (project.parent / "canary").exists()


def test_consent_to_another_version_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipe.toml", CONSENT, f"model@{'0' * 64}"]) == 2
    assert "the consent is for" in capsys.readouterr().err
    assert not consents_file().exists()


@pytest.mark.parametrize(("typed", "agrees"), [("model", True), ("yes", False), ("", False)])
def test_a_person_types_the_name(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    agrees: bool,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    recipe = load_recipe(project / "recipe.toml")
    if agrees:
        consent = consent_to(recipe, None)
        assert consent is not None and consent.pin == pin(project) and consent.by
        assert may_run_code(recipe.model)
        assert consents_file().stat().st_mode & 0o777 == 0o600
    else:
        with pytest.raises(InputError, match="nobody agreed"):
            consent_to(recipe, None)
    assert "with all your rights" in capsys.readouterr().err


def test_consent_ends_when_the_code_changes(project: Path) -> None:
    recipe = load_recipe(project / "recipe.toml")
    agree(pin(project))
    assert may_run_code(recipe.model)
    (project / "model" / "own.py").write_text("import evil")
    with pytest.raises(InputError, match="nobody agreed"):
        may_run_code(recipe.model)


def test_the_run_records_who_agreed_to_what(project: Path) -> None:
    from finetui_core.cli.train import make_run

    paths = make_run(project / "recipe.toml", (), None, project / "runs", consent=pin(project))
    identity = read_small(paths.identity, Identity)
    assert identity is not None and identity.remote_code == consent_for(pin(project))
    recipe = load_recipe(project / "recipe.toml")
    check_recorded_consent(paths, recipe)
    (project / "model" / "own.py").write_text("import evil")
    agree(pin(project))  # to the new code, but this run was started with the old one
    with pytest.raises(InputError, match="started with the consent to the code"):
        check_recorded_consent(paths, recipe)


def test_a_consent_in_a_strangers_run_is_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "recipe.toml").write_text(
        (project / "recipe.toml").read_text().replace("trust_remote_code = true\n", "")
    )
    forged_consent(project)
    recipe = load_recipe(project / "recipe.toml")
    with pytest.raises(InputError, match="nobody agreed"):
        check_recorded_consent(RunPaths(project / "runs" / "run"), recipe)
    assert main(["resume", "runs/run"]) == 2
    assert CONSENT in capsys.readouterr().err


def test_code_that_was_agreed_to_runs(project: Path) -> None:
    """Otherwise the tests above could pass because nothing ever runs."""
    from finetui_core.data.reading import load_config

    recipe = load_recipe(project / "recipe.toml")
    with pytest.raises(InputError, match="nobody agreed"):
        load_config(recipe.model)
    assert not (project.parent / "canary").exists()
    agree(pin(project))
    config = load_config(recipe.model)
    assert (project.parent / "canary").exists() and type(config).__name__ == "Own"


def test_without_trust_a_known_model_type_is_read_without_its_code(project: Path) -> None:
    from finetui_core.data.reading import load_config

    config = project / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "llama"}))
    model = load_recipe(project / "recipe.toml").model.model_copy(update={"trust_remote_code": False})
    assert type(load_config(model)).__name__ == "LlamaConfig"
    assert not (project.parent / "canary").exists()


def test_a_hub_model_is_read_from_the_cache_and_looked_through(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from finetui_core.data.reading import load_config

    snapshot = project / "snapshot"
    shutil.copytree(project / "model", snapshot)
    asked = []

    def download(name: str, **how: object) -> str:
        asked.append((name, how["revision"], how["allow_patterns"]))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load_recipe(project / "recipe.toml").model
    model = model.model_copy(update={"name": "owner/name", "revision": COMMIT, "trust_remote_code": False})
    with pytest.raises(InputError, match="needs Python code"):
        load_config(model)
    assert [one[:2] for one in asked] == [("owner/name", COMMIT)] and "*.py" not in str(asked[0][2])
