"""Logging out: what systemd would end, found from its own words and files, and what is done about it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetui_core.cli import launching
from finetui_core.runs import logind
from finetui_core.runs.logind import Answer, Logins, answer, read_logins
from run_folders import write_run

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"
IN_MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n"
OLD_SESSION = "12:pids:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n"
SERVICE = "0::/system.slice/slurmstepd.scope/job_7\n"
KILLS = 'b true\nas 1 "root"\nas 0\n'
SPARES = 'b false\nas 1 "root"\nas 0\n'
SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--")


def machine(root: Path, group: str = SESSION, *, lingers: bool = False, config: str = "") -> Path:
    for folder in ("run/systemd/system", "proc/self", "var/lib/systemd/linger", "etc/systemd"):
        (root / folder).mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    if lingers:
        (root / "var/lib/systemd/linger/ann").write_text("")
    if config:
        (root / "etc/systemd/logind.conf").write_text(config)
    return root


class Programs:
    """Other programs: busctl that says `told`, and a systemd-run that works or not."""

    def __init__(self, told: str | None = None, *, runs: bool = True) -> None:
        self.told, self.runs = told, runs
        self.asked: list[str] = []

    def __call__(self, *command: str) -> str | None:
        self.asked.append(command[0])
        if command[0] == "busctl":
            return self.told
        return "" if self.runs else None


def answered(root: Path, programs: Programs) -> Answer:
    return answer(read_logins(root, programs, "ann"), programs)


def test_without_systemd_one_file_is_looked_at_and_nothing_asked(tmp_path: Path) -> None:
    programs = Programs(KILLS)
    assert answered(tmp_path, programs) == Answer()
    assert programs.asked == []


@pytest.mark.parametrize("group", [SESSION, OLD_SESSION])
def test_a_login_whose_processes_are_killed_is_warned(tmp_path: Path, group: str) -> None:
    found = answered(machine(tmp_path, group), Programs(KILLS))
    assert found.prefix == () and "KillUserProcesses" in found.warning
    assert found.mend == "loginctl enable-linger"


def test_with_linger_the_run_is_started_outside_of_the_login(tmp_path: Path) -> None:
    assert answered(machine(tmp_path, lingers=True), Programs(KILLS)) == Answer(prefix=SCOPE)


def test_a_manager_that_cannot_be_reached_is_a_warning(tmp_path: Path) -> None:
    found = answered(machine(tmp_path, lingers=True), Programs(KILLS, runs=False))
    assert found.prefix == () and "does not work here" in found.warning
    assert found.mend == "export XDG_RUNTIME_DIR=/run/user/$(id -u)"


@pytest.mark.parametrize(
    "told",
    [
        SPARES,
        'b true\nas 2 "root" "ann"\nas 0\n',
        'b true\nas 1 "root"\nas 1 "bob"\n',
        "b false\nas 0\nas 0\n",
    ],
)
def test_a_login_that_is_spared_needs_nothing(tmp_path: Path, told: str) -> None:
    programs = Programs(told)
    assert answered(machine(tmp_path), programs) == Answer()
    assert programs.asked == ["busctl"]


def test_the_users_own_manager_ends_with_the_last_login_unless_the_user_lingers(tmp_path: Path) -> None:
    """As in a terminal of GNOME, whatever KillUserProcesses says."""
    found = answered(machine(tmp_path / "one", IN_MANAGER), Programs(SPARES))
    assert "when your last login ends" in found.warning and found.mend == "loginctl enable-linger"
    assert answered(machine(tmp_path / "two", IN_MANAGER, lingers=True), Programs(SPARES)) == Answer()


@pytest.mark.parametrize("group", [SERVICE, "", "0::/\n", "0::/user.slice/user-1000.slice\n"])
def test_a_process_of_no_login_is_not_ended_by_one(tmp_path: Path, group: str) -> None:
    programs = Programs(KILLS)
    assert answered(machine(tmp_path, group), programs) == Answer()
    assert programs.asked == []


@pytest.mark.parametrize("told", [None, "", "b true\n", "busctl: no such method\n"])
def test_where_logind_does_not_answer_its_files_count(tmp_path: Path, told: str | None) -> None:
    root = machine(tmp_path, config="[Login]\n#KillUserProcesses=no\nKillUserProcesses=no\n")
    assert answered(root, Programs(told)) == Answer()
    (root / "etc/systemd/logind.conf.d").mkdir()
    (root / "etc/systemd/logind.conf.d/10-site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert answered(root, Programs(told)).mend == "loginctl enable-linger"
    assert read_logins(root, Programs(told), "root") == Logins("session", kills=False, lingers=False)


def test_unreadable_files_say_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "etc/systemd/logind.conf").write_bytes(b"\xff\xfe KillUserProcesses=yes")
    (root / "proc/self/cgroup").write_bytes(b"\xff")
    assert read_logins(root, Programs(), "ann") == Logins("other", kills=False, lingers=False)


@pytest.fixture
def logout(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    return lambda found: monkeypatch.setattr(logind, "at_logout", lambda: found)


def test_the_warning_is_one_line_with_what_mends_it(logout: Callable[[Answer], None]) -> None:
    logout(Answer(warning="systemd ends it", mend="loginctl enable-linger"))
    assert logind.warning_at_logout() == "systemd ends it; to keep it alive, first: loginctl enable-linger"
    logout(Answer(prefix=SCOPE))
    assert logind.warning_at_logout() == ""


def test_whoever_starts_a_run_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launching, "launch", lambda paths, resumed_from, inexact: 1)
    monkeypatch.setattr(logind, "at_logout", lambda: Answer(warning="systemd ends it", mend="a line"))
    assert launching.start(write_run(tmp_path), resumed_from=None, detach=True, as_json=False) == 0
    assert "warning: systemd ends it; to keep it alive, first: a line\n" in capsys.readouterr().err
