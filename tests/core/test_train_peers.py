"""Who is lost, by counts in a store and by one's own clock alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetui_core.runs.process import host_name
from finetui_core.train.peers import APPEARS_WITHIN, LOST_AFTER, Peers, awake_clock, identity, tell_launcher


class Store:
    """What a TCPStore does for the peers; unreachable once `cut`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.values: dict[str, bytes] = {}
        self.cut = False

    def add(self, key: str, number: int) -> int:
        if self.cut:
            raise RuntimeError("Connection reset by peer")
        self.counts[key] = self.counts.get(key, 0) + number
        return self.counts[key]

    def set(self, key: str, value: str) -> None:
        self.values[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self.values[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def training(store: Any, clock: Clock, count: int = 3) -> list[Peers]:
    peers = [Peers(store, index, count, clock) for index in range(count)]
    for _ in range(2):
        for one in peers:
            one.exchange()
    for one in [*peers, *peers[::-1]]:  # each has then seen the last count of those that it watches
        one.look()
    return peers


def test_nobody_is_lost_while_all_give_signs(store: Store, clock: Clock) -> None:
    peers = training(store, clock)
    for _ in range(100):
        clock.pass_by(LOST_AFTER / 2)
        for one in peers:
            one.exchange()
    assert [one.lost() for one in peers] == ["", "", ""]


def test_a_silent_one_is_named_to_all(store: Store, clock: Clock) -> None:
    first, second, _ = training(store, clock)
    clock.pass_by(LOST_AFTER)
    second.exchange()
    first.exchange()
    second.exchange()
    assert first.lost() == ""
    clock.pass_by(1)
    first.exchange()
    second.exchange()
    said = f"rank 2 (pid {os.getpid()}) on {host_name()} has given no sign of life for 26 s"
    assert first.lost() == second.lost() == said


def test_the_first_is_missed_by_the_others(store: Store, clock: Clock) -> None:
    _, second, third = training(store, clock)
    clock.pass_by(LOST_AFTER + 1)
    second.exchange()
    third.exchange()
    assert second.lost().startswith("rank 0 ") and third.lost().startswith("rank 0 ")


def test_a_cut_network_is_noticed_without_the_store(store: Store, clock: Clock) -> None:
    _, second, _ = training(store, clock)
    store.cut = True
    clock.pass_by(LOST_AFTER + 1)
    with pytest.raises(RuntimeError):
        second.exchange()
    assert second.lost().startswith("rank 0 ")


def test_a_stopped_process_that_goes_on_does_not_take_its_own_absence_for_silence(
    store: Store, clock: Clock
) -> None:
    first, second = (Peers(store, index, 2, awake_clock(clock)) for index in (0, 1))

    def all_look() -> None:
        for one in (first, second, first):
            one.exchange()

    all_look()
    all_look()
    for _ in range(7):  # the second is stopped meanwhile
        clock.pass_by(4)
        first.exchange()
    assert first.lost().startswith("rank 1 (pid")
    assert second.lost() == ""
    second.exchange()
    assert second.lost() == first.lost()


def test_one_that_never_came_is_given_longer(store: Store, clock: Clock) -> None:
    first = Peers(store, 0, 2, clock)
    clock.pass_by(APPEARS_WITHIN - 1)
    assert first.lost() == ""
    clock.pass_by(2)
    assert first.lost().startswith("rank 1, which never came, has given no sign of life for 5 min")


def test_one_that_ended_in_good_order_is_not_missed(store: Store, clock: Clock) -> None:
    first, second = training(store, clock, count=2)
    second.leave()
    first.exchange()
    clock.pass_by(1000)
    first.exchange()
    assert first.lost() == ""


def test_the_roll_call_names_who_does_not_answer(store: Store, clock: Clock) -> None:
    first, second, third = training(store, clock)

    def others_live(seconds: float) -> None:
        clock.pass_by(seconds)
        second.exchange()
        first.exchange()

    assert first.roll_call(sleep=others_live).startswith("rank 2 (pid")
    assert second.roll_call(sleep=others_live) == first.lost()

    def all_live(seconds: float) -> None:
        clock.pass_by(seconds)
        for one in (second, third, first):
            one.exchange()

    alive = training(Store(), clock)
    first, second, third = alive
    assert first.roll_call(sleep=all_live) == ""


def test_a_sign_of_life_that_is_seen_after_the_failure_may_be_older(store: Store, clock: Clock) -> None:
    first, second = training(store, clock, count=2)
    second.exchange()

    def only_the_first_lives(seconds: float) -> None:
        clock.pass_by(seconds)
        first.exchange()

    assert first.roll_call(sleep=only_the_first_lives).startswith("rank 1 (pid")


def test_a_dead_process_of_this_host_is_known_at_once(store: Store, clock: Clock) -> None:
    first, _ = training(store, clock, count=2)
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    store.values["ftui/who/1"] = identity(gone.pid).encode()
    gone.kill()
    gone.wait()
    first = Peers(store, 0, 2, clock)
    first.exchange()
    assert (
        first.roll_call(sleep=clock.pass_by)
        == f"rank 1 (pid {gone.pid}) on {host_name()} has died or cannot be reached"
    )
    assert clock.now == 1000.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stopped_process_of_this_host_is_called_stopped(store: Store, clock: Clock) -> None:
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"]
    )
    try:
        os.waitpid(sleeper.pid, os.WUNTRACED)
        first, second = training(store, clock, count=2)
        store.values["ftui/who/1"] = identity(sleeper.pid).encode()
        first = Peers(store, 0, 2, clock)
        first.exchange()
        clock.pass_by(LOST_AFTER + 1)
        assert first.lost().endswith("has given no sign of life for 26 s; it is stopped, as by SIGSTOP")
        first.wake()
        assert sleeper.wait(240) == 0
    finally:
        sleeper.kill()
        sleeper.wait()
    assert second.lost().startswith("rank 0 ")


def test_the_launcher_finds_the_reason_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    tell_launcher("rank 1 is gone")
    assert json.loads(file.read_text())["message"] == "rank 1 is gone"
