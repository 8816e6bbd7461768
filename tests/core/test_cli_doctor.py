"""`ftui doctor`: each lack is found and told with the line that mends it."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli.main import main
from finetui_core.doctor import Check, Surroundings, check_all
from finetui_core.programs import run_tool

GOOD = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_GB.UTF-8"}
TMUX_DEFAULTS = "escape-time 500\nset-clipboard external\ndefault-terminal screen\n"
TMUX_MENDED = 'escape-time 10\nset-clipboard on\ndefault-terminal "tmux-256color"\n'
GPU = {"name": "NVIDIA H200", "memory_total": 141 * 2**30}
CPU_BUILD = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"
CUDA_BUILD = "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n"


@pytest.fixture
def torch_folder(tmp_path: Path) -> Path:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text(CPU_BUILD)
    return tmp_path / "torch"


def checks(folder: Path, torch: Path, **changed: Any) -> dict[str, Check]:
    parts = {
        "runs": folder / "runs",
        "environ": GOOD,
        "tool": lambda *command: None,
        "root": folder / "system",
        "read_gpus": lambda: ([], "no NVIDIA GPU"),
        "torch_folder": torch,
        **changed,
    }
    return {check.name: check for check in check_all(Surroundings(**parts))}


def test_a_machine_in_order_has_nothing_to_mend(tmp_path: Path, torch_folder: Path) -> None:
    found = checks(tmp_path, torch_folder)
    assert not [
        check for check in found.values() if check.state in ("warning", "error") and "free" not in check.found
    ]
    assert found["PyTorch"].found == "2.13.0+cpu, for the processor"


@pytest.mark.parametrize(
    ("environ", "name", "state", "mend"),
    [
        ({"TERM": "dumb"}, "terminal", "error", "export TERM=xterm-256color"),
        ({"TERM": ""}, "terminal", "error", "export TERM=xterm-256color"),
        ({"TERM": "xterm", "COLORTERM": ""}, "colours", "warning", "export TERM=xterm-256color"),
        ({"TERM": "xterm-ghostty", "COLORTERM": ""}, "colours", "warning", "export COLORTERM=truecolor"),
        ({"TERM": "linux", "COLORTERM": ""}, "colours", "note", ""),
        ({"TERM": "tmux-256color", "COLORTERM": ""}, "colours", "ok", ""),
        ({"NO_COLOR": "1"}, "colours", "ok", ""),
        ({"LANG": "C"}, "locale", "warning", "export LC_ALL=C.UTF-8"),
        ({"LC_ALL": "POSIX"}, "locale", "warning", "export LC_ALL=C.UTF-8"),
        ({"LANG": "", "LC_CTYPE": "C.utf8"}, "locale", "ok", ""),
        ({"SSH_CONNECTION": "1 2 3 4", "COLORTERM": ""}, "ssh", "note", "export COLORTERM=truecolor"),
        ({"STY": "1.pts"}, "multiplexer", "note", "tmux new"),
    ],
)
def test_what_the_environment_tells(
    tmp_path: Path, torch_folder: Path, environ: dict[str, str], name: str, state: str, mend: str
) -> None:
    check = checks(tmp_path, torch_folder, environ={**GOOD, **environ})[name]
    assert (check.state, check.mend[: len(mend)] if mend else check.mend) == (state, mend)


def test_tmux_with_its_defaults_lacks_three_things(tmp_path: Path, torch_folder: Path) -> None:
    in_tmux = {**GOOD, "TMUX": "/tmp/tmux-0/default,1,0"}
    found = checks(tmp_path, torch_folder, environ=in_tmux, tool=lambda *command: TMUX_DEFAULTS)
    mends = {name: check.mend for name, check in found.items() if name.startswith("tmux")}
    assert mends == {
        "tmux escape": "echo 'set -s escape-time 10' >> ~/.tmux.conf && tmux set -s escape-time 10",
        "tmux clipboard": "echo 'set -s set-clipboard on' >> ~/.tmux.conf && tmux set -s set-clipboard on",
        "tmux colours": "echo 'set -s default-terminal tmux-256color' >> ~/.tmux.conf"
        " && tmux set -s default-terminal tmux-256color",
    }
    found = checks(tmp_path, torch_folder, environ=in_tmux, tool=lambda *command: TMUX_MENDED)
    assert {check.state for name, check in found.items() if name.startswith("tmux")} == {"ok"}
    found = checks(tmp_path, torch_folder, environ=in_tmux)
    assert found["tmux"].mend == "unset TMUX"


def test_a_gpu_that_the_torch_build_cannot_use_is_an_error(tmp_path: Path, torch_folder: Path) -> None:
    found = checks(tmp_path, torch_folder, read_gpus=lambda: ([GPU], None))
    assert found["GPU"].found == "NVIDIA H200 141.0 GiB"
    assert found["PyTorch"].state == "error" and "without CUDA" in found["PyTorch"].found
    (torch_folder / "version.py").write_text(CUDA_BUILD)
    assert checks(tmp_path, torch_folder, read_gpus=lambda: ([GPU], None))["PyTorch"].state == "ok"


def test_a_driver_that_fails_is_an_error(tmp_path: Path, torch_folder: Path) -> None:
    sentence = "the NVIDIA driver was updated: reboot or reload its module"
    check = checks(tmp_path, torch_folder, read_gpus=lambda: ([], sentence))["GPU"]
    assert (check.state, check.found) == ("error", sentence)


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path, torch_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    check = checks(tmp_path, torch_folder, runs=tmp_path / "file" / "runs")["runs folder"]
    assert check.state == "error" and "cannot be written to" in check.found


@pytest.mark.parametrize(("setting", "state"), [("yes", "warning"), ("no", "ok")])
def test_whether_logging_out_ends_runs(
    tmp_path: Path, torch_folder: Path, setting: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert "logging out" not in checks(tmp_path, torch_folder)
    root = tmp_path / "system"
    for folder in ("etc/systemd/logind.conf.d", "run/systemd/system", "proc/self"):
        (root / folder).mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    (root / "etc/systemd/logind.conf").write_text("[Login]\n#KillUserProcesses=no\nKillUserProcesses=maybe\n")
    (root / "etc/systemd/logind.conf.d/10-site.conf").write_text(f"[Login]\nKillUserProcesses={setting}\n")
    check = checks(tmp_path, torch_folder)["logging out"]
    assert (check.state, check.mend) == (state, "loginctl enable-linger" if setting == "yes" else "")
    (root / "proc/self/cgroup").write_text("0::/system.slice/cron.service\n")
    assert checks(tmp_path, torch_folder)["logging out"].state == "ok"


def test_the_exit_code_tells_whether_a_check_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**GOOD, "TMUX": "", "STY": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("finetui_core.doctor.LEAST_DISK", 0)
    main(["doctor", "--runs", str(tmp_path), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] == all(check["state"] != "error" for check in answer["checks"])
    monkeypatch.setenv("TERM", "dumb")
    assert main(["doctor", "--runs", str(tmp_path)]) == 3
    shown = capsys.readouterr().out
    assert "✗ error    terminal        TERM is dumb" in shown and "export TERM=xterm-256color" in shown


def test_a_program_that_fails_or_is_missing_says_nothing() -> None:
    assert run_tool("false") is None and run_tool("no such program") is None
    assert run_tool("echo", "here") == "here\n"
