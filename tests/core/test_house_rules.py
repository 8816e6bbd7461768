"""The code keeps the rules of the house, and each rule notices the fault that it is for."""

from pathlib import Path

import pytest

import house_rules
from house_rules import faults_in, faults_of

PLANTED = {
    "import pickle": "pickle",
    "from pickle import loads": "pickle",
    "import marshal": "pickle",
    "import shelve": "pickle",
    "import dill as safe": "pickle",
    "import joblib": "pickle",
    "from cloudpickle import dumps": "pickle",
    "import torch\nweights = torch.load(path)": "pickle",
    "from torch import load": "pickle",
    "numpy.load(path, allow_pickle=True)": "pickle",
    "numpy.load(path, allow_pickle=asked)": "pickle",
    "load(path, weights_only=False)": "pickle",
    "yaml.load(text)": "yaml",
    "yaml.load(text, Loader=yaml.UnsafeLoader)": "yaml",
    "yaml.unsafe_load(text)": "yaml",
    "eval(text)": "code",
    "list(map(eval, texts))": "code",
    "exec(text)": "code",
    "compile(text, 'x', 'exec')": "code",
    "__import__(name)": "code",
    "import builtins\nbuiltins.exec(text)": "code",
    "import_module(f'finetui.{name}')": "import",
    "subprocess.run(command, shell=True)": "shell",
    "options = {'shell': True}": "shell",
    "os.system(command)": "shell",
    "os.popen(command)": "shell",
    "from os import system": "shell",
    "os.execvp(name, arguments)": "shell",
    "subprocess.getoutput(command)": "shell",
    "subprocess.run('ls -l')": "shell",
    "subprocess.Popen(f'less {path}')": "shell",
    "subprocess.run('less ' + path)": "shell",
    "import jinja2": "template",
    "from jinja2.sandbox import ImmutableSandboxedEnvironment": "template",
    "tokenizer.apply_chat_template(messages)": "template",
    "from transformers.utils.chat_template_utils import render_jinja_template": "template",
    "tempfile.mktemp()": "tmp",
    "open('/tmp/ftui.log')": "tmp",
    "Path('/dev/shm/ftui')": "tmp",
    "import socket": "socket",
    "server = socket.create_server(('', 80))": "listen",
    "self.sock.bind(address)": "listen",
    "await asyncio.start_server(serve, port=1)": "listen",
    "from http.server import HTTPServer": "listen",
    "import requests": "network",
    "import urllib.request": "network",
    "from urllib import request": "network",
    "import http.client": "network",
    "httpx.get(url, verify=False)": "network",
    "AutoModel.from_pretrained(name, trust_remote_code=True)": "remote",
    "options = {'trust_remote_code': True}": "remote",
}
HARMLESS = (
    "model.eval()",
    "re.compile('eval')",
    "torch.compile(model)",
    "stop.listen()",
    "from urllib.parse import urlsplit",
    "'''It writes to /tmp/x.'''",
    "path = folder / 'tmp'",
    "subprocess.run([sys.executable, '-m', name])",
    "yaml.load(text, Loader=yaml.SafeLoader)",
    "yaml.compose(text, Loader=yaml.SafeLoader)",
    "numpy.load(path, allow_pickle=False)",
    "from_pretrained(name, trust_remote_code=options.trust_remote_code)",
    "text = 'import pickle; eval(1)'  # os.system",
    "from finetui_core.data.render import render",
)


def test_the_code_keeps_the_rules() -> None:
    assert "\n".join(map(str, faults_of())) == ""


@pytest.mark.parametrize("source", PLANTED)
def test_a_planted_fault_is_found_with_its_line(source: str) -> None:
    found = faults_in(f"\n{source}\n", "core/finetui_core/planted.py")
    assert PLANTED[source] in {fault.rule for fault in found}
    assert all(str(fault).startswith("core/finetui_core/planted.py:") and fault.line >= 2 for fault in found)


@pytest.mark.parametrize("source", HARMLESS)
def test_what_only_looks_like_a_fault_is_none(source: str) -> None:
    wrapped = source
    assert faults_in(wrapped, "core/finetui_core/planted.py") == []


def test_every_exception_is_still_needed() -> None:
    """A file that is excused from a rule breaks it; else the excuse would hide a later fault."""
    for rule, files in house_rules.ALLOWED.items():
        for file in files:
            source = (house_rules.ROOT / file).read_text(encoding="utf-8")
            excused = {fault.rule for fault in faults_in(source, "elsewhere.py")}
            assert rule in excused, f"{file} needs no exception from {rule}"


def test_the_command_names_each_file_and_line_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    monkeypatch.setattr(house_rules, "FOLDERS", ("core",))
    monkeypatch.setattr(house_rules.sys, "argv", ["house_rules.py"])
    monkeypatch.setattr(house_rules, "faults_of", lambda folders: faults_of(folders, tmp_path))
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "bad.py").write_text("import os\n\nos.system('ls')\n")
    assert house_rules.main() == 1
    assert capsys.readouterr().out.startswith("core/bad.py:3: os.system ")
