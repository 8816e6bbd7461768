"""What the launcher makes of torchrun's facts, and how the hosts of a run find each other."""

import signal
from pathlib import Path

import msgspec
import pytest

from finetui_core.errors import InputError
from finetui_core.files import write_atomically
from finetui_core.runs import exit_codes
from finetui_core.runs.checkpoints import Checkpoint
from finetui_core.runs.liveness import WAITING
from finetui_core.runs.mailbox import pending, send
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt
from finetui_core.train.launcher import (
    LOOPBACK,
    Group,
    RankEnd,
    Stop,
    cause_of,
    interface_of,
    listen,
    own_address,
    resolve,
    torchrun_arguments,
    wait_for_hosts,
)

LOST = exit_codes.LOST_PEER
TWO = Group(nnodes=2, rdzv_endpoint="10.0.0.1:29400")


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "two", "", {}, {})


def begin(run: RunPaths) -> None:
    attempt = Attempt(1, 0, 0, "", "host-a", 0, 0, 0.0)
    write_atomically(run.attempt(1), msgspec.json.encode(attempt))


@pytest.mark.parametrize(
    ("ends", "code", "what"),
    [
        ([RankEnd(1, 7, -9), RankEnd(0, 6, LOST, "rank 1 died")], LOST, "rank 1 (pid 7) on a was killed by SIGKILL"),
        ([RankEnd(0, 6, -11), RankEnd(1, 7, LOST, "rank 0 died")], LOST, "rank 0 (pid 6) on a was killed by SIGSEGV"),
        ([RankEnd(0, 6, LOST, "rank 1 is stopped"), RankEnd(1, 7, -9)], LOST, "rank 1 is stopped"),
        ([RankEnd(1, 7, 1, "no key"), RankEnd(0, 6, LOST, "rank 1 died")], 1, "rank 1 (pid 7) on a: no key"),
        ([RankEnd(1, 7, 2, "no data"), RankEnd(0, 6, 2, "no data")], 2, "rank 0 (pid 6) on a: no data"),
        ([RankEnd(1, 7, LOST, "?"), RankEnd(0, 6, 4, "out of memory")], 4, "rank 0 (pid 6) on a: out of memory"),
        ([RankEnd(1, 7, -15), RankEnd(0, 6, -15)], 143, "rank 1 (pid 7) on a was ended by SIGTERM"),
    ],
)  # fmt: skip
def test_the_first_end_is_the_cause(ends: list[RankEnd], code: int, what: str) -> None:
    cause = cause_of(ends, "a")
    assert (cause.code, cause.what) == (code, what)


def test_the_kernel_is_named_where_it_has_killed() -> None:
    assert cause_of([RankEnd(1, 7, -9)], "a", oom=True).what.endswith(
        "SIGKILL, since the kernel had no memory left"
    )


def test_what_rank_0_recorded_is_not_recorded_again() -> None:
    assert cause_of([RankEnd(0, 6, LOST, "rank 1 is stopped")], "a").told
    assert not cause_of([RankEnd(1, 7, LOST, "rank 0 is stopped")], "a").told
    assert cause_of([RankEnd(1, 7, LOST, "rank 0 is stopped")], "a").by_peer
    assert not cause_of([RankEnd(1, 7, -9)], "a").by_peer


def test_an_abort_of_nccl_lets_other_hosts_speak_first() -> None:
    cause = cause_of([RankEnd(0, 6, -6)], "a")
    assert cause.by_peer and cause.what == "rank 0 (pid 6) on a was killed by SIGABRT"


def test_torchrun_starts_nothing_again(run: RunPaths) -> None:
    arguments = torchrun_arguments(run, 3, Group(1, 2, 4, "10.0.0.1:29400"), "10.0.0.1", 29400)
    assert {"--max-restarts=0", "--nnodes=2", "--nproc-per-node=4", "--node-rank=1"} < set(arguments)
    assert arguments[-3:] == [str(run.root), "--attempt", "3"]


def test_the_store_listens_on_one_address_only() -> None:
    with listen(LOOPBACK, 0, Group(nproc_per_node=2)) as listening:
        assert listening.getsockname()[0] == LOOPBACK
        with pytest.raises(InputError, match="Address already in use"):
            listen(LOOPBACK, listening.getsockname()[1], Group(nproc_per_node=2))
    with pytest.raises(InputError, match="which no other host can reach"):
        listen("127.0.1.1", 0, TWO)
    with pytest.raises(InputError, match=r"cannot meet at 192\.0\.2\.1:0"):
        listen("192.0.2.1", 0, TWO)


def test_the_interface_is_that_of_the_address() -> None:
    assert own_address(LOOPBACK) == LOOPBACK
    assert interface_of(LOOPBACK).startswith("lo")


def test_an_endpoint_is_an_address_and_a_port() -> None:
    assert resolve("10.1.2.3:29400") == ("10.1.2.3", 29400)
    assert resolve("[::1]:29400") == ("::1", 29400)
    with pytest.raises(InputError, match="cannot be found"):
        resolve("10.1.2.3:99999999999999999999")


def test_one_host_waits_for_nobody(run: RunPaths) -> None:
    assert wait_for_hosts(run, 1, Group(nproc_per_node=2), Stop())
    assert not run.events.exists()


def test_the_first_host_waits_until_the_others_have_joined(run: RunPaths) -> None:
    begin(run)
    seen: list[str] = []

    def other_host_joins(seconds: float) -> None:
        view = RunView(run)
        view.refresh()
        seen.extend(event["phase"] for event in view.events)
        write_atomically(run.node_attempt(1, 1), b"{}")

    assert wait_for_hosts(run, 1, TWO, Stop(), sleep=other_host_joins)
    assert seen == [WAITING]
    assert run.attempt_numbers() == [1]


def test_a_stop_while_waiting_ends_the_run(run: RunPaths) -> None:
    begin(run)
    asked = send(run, "stop")
    assert not wait_for_hosts(run, 1, TWO, Stop(), sleep=lambda seconds: None)
    view = RunView(run)
    view.refresh()
    assert [(event["type"], event.get("id")) for event in view.events[1:]] == [
        ("control", asked),
        ("finished", None),
    ]
    assert not pending(run)


def test_a_signal_while_waiting_ends_the_run(run: RunPaths) -> None:
    begin(run)
    stop = Stop()
    stop.received = signal.SIGTERM
    assert not wait_for_hosts(run, 1, TWO, stop, sleep=lambda seconds: None)


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    from finetui_core.train.circumstances import differences, refuse

    checkpoint = Checkpoint(tmp_path, 5, 0, {"processes": 2})
    with pytest.raises(InputError) as caught:
        refuse("run", checkpoint, differences({"processes": 1}, checkpoint))
    said = str(caught.value)
    assert "processes was 2 when the checkpoint was written and is 1 now" in said
    assert "launch.nproc_per_node and launch.nnodes" in said
