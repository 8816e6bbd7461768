"""A folder for Ollama: what its Modelfile says, and that a Modelfile which reads otherwise is found."""

import json
import shutil

import pytest

import exports
from finetui_core.export import causes


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of the sample model and its export."""
    folder = tmp_path_factory.mktemp("ollama")
    run = exports.sample_run(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        exports.ask_here(monkeypatch)
        assert (
            exports.export(run, "--to", "ollama", "--out", str(folder / "out"), "--name", "support-bot") == 0
        )
    return run, folder / "out"


def test_the_modelfile(exported):
    _, out = exported
    text = (out / "Modelfile").read_text()
    assert text.startswith('FROM .\nTEMPLATE """{{ range $i, $_ := .Messages }}')
    assert "<|bos|>" not in text, "Ollama puts it before every prompt"
    assert 'PARAMETER stop "<|end|>"\n' in text and "PARAMETER num_ctx 512\n" in text
    assert "SYSTEM" not in text
    parity = json.loads((out / "parity.json").read_text())
    assert parity["agrees"] and parity["largest"] <= 1e-4
    assert "shows no tools" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (("<|user|>", "<|bos|><|user|>"), causes.DOUBLED_BOS),
        (('TEMPLATE """', 'TEMPLATE """<|bos|>'), causes.DOUBLED_BOS),
        (('{{ if and $last (ne .Role "assistant") }}<|assistant|>{{ end }}', ""), causes.NO_QUESTION_MARK),
        (('"system" }}<|system|>{{ .Content }}<|end|>', '"system" }}'), causes.LOST_SYSTEM),
        (("{{ .Content }}", "{{ .Contents }}"), causes.WRONG_TEMPLATE),
    ],
)
def test_a_modelfile_that_reads_otherwise_is_found(change, cause, exported, tmp_path, capsys, monkeypatch):
    run, out = exported
    exports.ask_here(monkeypatch)
    shutil.copytree(out, tmp_path / "out")
    path = tmp_path / "out" / "Modelfile"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    assert exports.export(run, "--check", str(tmp_path / "out"), "--json") == 3
    assert exports.told(capsys)["cause"] == cause
