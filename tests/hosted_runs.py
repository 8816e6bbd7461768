"""What the tests of hosted jobs share: a provider, a clock that jumps, a run that follows a job."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetui_core.cli import hosted_start
from finetui_core.hosted.persisting import Clock
from finetui_core.hosted.record import HostedJob
from finetui_core.hosted.run_folder import make_hosted_run
from finetui_core.hosted.shapes import Job
from finetui_core.runs.paths import RunPaths
from hosted_server import KEY, KEY_VARIABLE, Provider, provider


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("FTUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with provider() as state:
        yield state


class Time:
    """A clock that jumps where somebody would wait, and does something on the way."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, [0.0]
        self.on_sleep: Callable[[], None] = lambda: None

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.on_sleep()
        assert len(self.slept) < 5000, "it waits for ever"


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    for module in (hosted_start, *_modules_with_clock()):
        monkeypatch.setattr(module, "Clock", made.clock)
    return made


def _modules_with_clock() -> list[Any]:
    from finetui_core.cli import hosted_cancel, hosted_list, hosted_watch

    return [hosted_cancel, hosted_list, hosted_watch]


def no_key_below(folder: Path) -> None:
    found = [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not found
    assert any(path.is_file() for path in folder.rglob("*"))


@pytest.fixture
def folder(server: Provider, tmp_path: Path) -> RunPaths:
    job = server.job()
    record = HostedJob(job["id"], server.url, KEY_VARIABLE, job["model"], 3.0, "a table")
    return make_hosted_run(tmp_path / "runs", "mine", record, Job(job["id"], "running"), "", None)
