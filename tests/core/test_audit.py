"""No process of ftui reads a pickle, opens a socket, makes code of data or writes elsewhere; the audit would tell."""

import subprocess
import sys
from pathlib import Path

import pytest

from audited_work import audited
from auditing import environment, faults, listening_watched, seen_in

PLANTED = {
    "import pickle; pickle.loads(pickle.dumps(print))": "pickle builtins.print",
    "import marshal; marshal.loads(marshal.dumps(1))": "marshal",
    "eval('1 + 1')": "compile <string>",
    "exec('x = 1')": "exec <string>",
    "import jinja2; jinja2.Environment().from_string('x').render()": "compile <template>",
    "open({elsewhere!r}, 'w')": "write",
    "import os; os.open({elsewhere!r}, os.O_RDWR | os.O_CREAT)": "write",
    "import os; os.mkdir({elsewhere!r})": "write",
    "from pathlib import Path; Path('x').touch(); Path('x').rename({elsewhere!r})": "write",
    "import os; os.system('true')": "program text: ",
    "import subprocess; subprocess.run('true', shell=True)": "program ",
    "import socket; socket.socket().bind(('127.0.0.1', 0))": "socket.bind AF_INET",
    "import socket; socket.socket().connect_ex(('127.0.0.1', 9))": "socket.connect AF_INET",
    "import socket; socket.getaddrinfo('192.0.2.1', 80)": "socket.getaddrinfo",
}
HARMLESS = (
    "import json; json.loads('[1]')",
    "from dataclasses import make_dataclass; make_dataclass('A', ['x'])",
    "open('inside', 'w'); open({elsewhere!r})",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])",
    "import socket; socket.socketpair()",
    "print('done', file=open('/dev/null', 'w'))",
)


def watched(code: str, folder: Path) -> list[str]:
    """The faults of one process that runs `code` in a folder of its own; a file beside that is not its own."""
    elsewhere = folder / "elsewhere"
    inside, log = folder / "inside", folder / "audit.jsonl"
    inside.mkdir()
    if "open({elsewhere!r})" in code:
        elsewhere.touch()
    by = environment(log, inside / "home")
    program = [sys.executable, "-c", code.format(elsewhere=str(elsewhere))]
    subprocess.run(program, cwd=inside, env=by, check=True, timeout=240)
    return [str(one) for one in faults(seen_in(log), [inside])]


@pytest.mark.parametrize("code", PLANTED)
def test_the_audit_tells_what_must_not_be(code: str, tmp_path: Path) -> None:
    found = watched(code, tmp_path)
    assert any(one.startswith(PLANTED[code]) for one in found), found


@pytest.mark.parametrize("code", HARMLESS)
def test_the_audit_excuses_what_harms_nobody(code: str, tmp_path: Path) -> None:
    assert watched(code, tmp_path) == []


def test_the_audit_sees_children_and_their_listening_sockets(tmp_path: Path) -> None:
    serve = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
    inner = f"{serve}print('listens', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    log, found = tmp_path / "audit.jsonl", list[str]()
    with listening_watched(found, every=0.01):
        child = subprocess.Popen(
            [sys.executable, "-c", outer],
            env=environment(log, tmp_path / "home"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        while not found:
            assert child.poll() is None
        child.communicate()
    assert "listens at" in found[0]
    assert any(one.event == "socket.bind" and one.pid != child.pid for one in seen_in(log))


def test_the_list_of_runs_is_shown_without_a_fault(tmp_path: Path) -> None:
    """The short form of tests/proofs/audit.py."""
    done, seen, found = audited(tmp_path, "listing")
    assert len(done) == 3 and len({one.pid for one in seen}) >= 3
    assert [str(one) for one in found] == []


@pytest.mark.slow
@pytest.mark.parametrize("part", ["viewing", "training"])
def test_no_process_of_ftui_does_what_it_must_not(part: str, tmp_path: Path) -> None:
    done, seen, found = audited(tmp_path, part)
    assert len(done) == 4 and len({one.pid for one in seen}) > 4
    assert [str(one) for one in found] == []
