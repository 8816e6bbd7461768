"""The queue of a folder of runs: its order under any changes, and that nothing is started twice."""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from finetui_core.errors import InputError, RunFailed
from finetui_core.files import write_atomically
from finetui_core.runs import manage, queue
from finetui_core.runs.devices import found, named, taken
from finetui_core.runs.listing import list_runs
from finetui_core.runs.live import LiveRuns
from finetui_core.runs.lock import take_file_lock, take_lock
from finetui_core.runs.paths import QUEUED, RunPaths, create_run
from finetui_core.runs.process import host_name, process_identity
from finetui_core.runs.queue_worker import BUSY, start_next, work
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End, Queued, read_small
from finetui_core.runs.supervisor import launch, run_attempt


def queued_run(root: Path, name: str = "run") -> RunPaths:
    with queue.changing(root):
        (entry,) = queue.at_the_end(root)
        return create_run(root, name, "", {}, {}, {QUEUED: queue.encoded(entry)})


def begin(paths: RunPaths, device: str | None, end: End | None = None) -> None:
    """An attempt that this process seems to run, or that has ended."""
    ticks, boot = process_identity(os.getpid())
    number = max(paths.attempt_numbers(), default=0) + 1
    attempt = Attempt(
        number, os.getpid(), ticks, boot, host_name(), os.getpid(), ticks, 0.0, None, end, device
    )
    write_atomically(paths.attempt(number), msgspec.json.encode(attempt), durable=False)


class OrderMachine(RuleBasedStateMachine):
    """Any changes, one after the other, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.order: list[RunPaths] = []
        self.out: list[RunPaths] = []

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @precondition(lambda self: len(self.order) + len(self.out) < 6)
    @rule()
    def enqueue(self) -> None:
        self.order.append(queued_run(self.root))

    @precondition(lambda self: self.order)
    @rule(data=st.data(), direction=st.sampled_from(["up", "down", "first", "last"]))
    def move(self, data: st.DataObject, direction: queue.Direction) -> None:
        at = data.draw(st.integers(0, len(self.order) - 1))
        to = {"up": at - 1, "down": at + 1, "first": 0, "last": len(self.order) - 1}[direction]
        to = min(max(to, 0), len(self.order) - 1)
        one = self.order.pop(at)
        self.order.insert(to, one)
        assert queue.move(self.root, one, direction) == to + 1

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        one = self.order.pop(data.draw(st.integers(0, len(self.order) - 1)))
        queue.remove(self.root, one)
        self.out.append(one)
        with pytest.raises(InputError):
            queue.move(self.root, one, "up")

    @precondition(lambda self: self.out)
    @rule()
    def put_back(self) -> None:
        one = self.out.pop()
        queue.add(self.root, one)
        self.order.append(one)
        with pytest.raises(InputError):
            queue.add(self.root, one)

    @precondition(lambda self: self.order)
    @rule()
    def begin_the_next(self) -> None:
        begin(self.order.pop(0), "cpu", End(1.0, 0))

    @invariant()
    def the_order_is_that_of_the_list(self) -> None:
        assert [one.paths.root for one in queue.waiting(self.root)] == [one.root for one in self.order]
        numbers = {run.id: run.queue_number for run in list_runs(self.root) if run.queue_number}
        assert numbers == {one.id: number for number, one in enumerate(self.order, 1)}


OrderMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestOrder = OrderMachine.TestCase


def test_the_room_between_two_places_does_not_run_out(tmp_path: Path) -> None:
    runs = [queued_run(tmp_path) for _ in range(3)]
    for _ in range(200):
        queue.move(tmp_path, queue.waiting(tmp_path)[2].paths, "up")
    assert {one.paths.root for one in queue.waiting(tmp_path)} == {one.root for one in runs}
    places = [one.place for one in queue.waiting(tmp_path)]
    assert len(set(places)) == 3 and min(places) > 3  # numbered anew


def state(paths: RunPaths) -> tuple[str, str]:
    view = RunView(paths)
    view.refresh()
    return view.state.state, view.state.reason


def test_a_place_counts_until_its_attempt_begins(tmp_path: Path) -> None:
    paths = queued_run(tmp_path)
    assert state(paths)[0] == "queued"
    begin(paths, "cpu", End(1.0, exit_code=1))  # a kill before queued.json could be taken away
    assert paths.queued.exists() and not queue.waiting(tmp_path)
    assert state(paths)[0] == "failed"
    queue.add(tmp_path, paths)
    assert state(paths)[0] == "queued"
    assert read_small(paths.queued, Queued).attempt == 2  # type: ignore[union-attr]
    queue.remove(tmp_path, paths)
    assert state(paths) == ("stopped", "taken out of the queue before it began")


def test_a_supervisor_of_the_queue_starts_nothing_that_does_not_wait(tmp_path: Path) -> None:
    paths = queued_run(tmp_path)
    queue.remove(tmp_path, paths)
    assert run_attempt(paths, ["never"], {}, device="cpu") == BUSY
    with pytest.raises(RunFailed):
        launch(paths, device="cpu")
    assert not paths.attempt_numbers()


def test_a_run_that_is_being_started_is_not_taken_out(tmp_path: Path) -> None:
    paths = queued_run(tmp_path)
    lock = take_lock(paths)
    assert lock is not None
    with pytest.raises(InputError, match="does not wait"):
        queue.remove(tmp_path, paths)
    os.close(lock)
    assert queue.remove(tmp_path, paths) == 1.0


def test_a_deleted_run_takes_its_place_along(tmp_path: Path) -> None:
    first, second = queued_run(tmp_path), queued_run(tmp_path)
    gone = manage.delete(first)
    assert [one.paths.root for one in queue.waiting(tmp_path)] == [second.root]
    manage.restore(gone)
    assert [one.paths.root for one in queue.waiting(tmp_path)] == [first.root, second.root]


def test_the_queue_says_why_nothing_starts(tmp_path: Path) -> None:
    queued_run(tmp_path)
    assert queue.standstill(tmp_path, 0) == ""
    assert queue.standstill(tmp_path, 1) == "1 run waits, and the queue stands still: ftui queue start"
    queue.pause(tmp_path)
    assert "paused" in queue.standstill(tmp_path, 2)
    assert queue.start_worker(tmp_path) is False
    queue.QueuePaths(tmp_path).paused.unlink()
    lock = take_file_lock(queue.QueuePaths(tmp_path).lock)
    assert lock is not None
    assert queue.standstill(tmp_path, 1) == ""
    assert work(tmp_path) == BUSY
    os.close(lock)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Runs that the worker starts, with their devices; each seems to go on in this process."""
    started: list[tuple[str, str]] = []

    def fake(paths: RunPaths, resumed_from: str | None, device: str) -> int:
        started.append((paths.id.split("-")[1], device))
        begin(paths, device)
        return os.getpid()

    monkeypatch.setattr("finetui_core.runs.queue_worker.launch", fake)
    return started


def test_each_gpu_gets_one_run_and_none_is_overtaken(tmp_path: Path, launched: list[tuple[str, str]]) -> None:
    gpus, live = ["GPU-a", "GPU-b"], LiveRuns(tmp_path)
    runs = {name: queued_run(tmp_path, name) for name in ("one", "two", "three")}
    both = runs["two"]
    both.resolved_recipe.write_text('{"launch": {"nproc_per_node": 2}}')
    for _ in range(3):
        assert start_next(tmp_path, live, gpus) is True
    assert launched == [("one", "GPU-a")]  # two needs both, and three does not overtake it
    end(runs["one"])
    start_next(tmp_path, live, gpus)
    assert launched[1:] == [("two", "GPU-a,GPU-b")]
    start_next(tmp_path, live, gpus)
    end(both)
    start_next(tmp_path, live, gpus)
    assert launched[2:] == [("three", "GPU-a")]
    assert start_next(tmp_path, live, gpus) is False


def end(paths: RunPaths) -> None:
    number = paths.attempt_numbers()[-1]
    attempt = read_small(paths.attempt(number), Attempt)
    assert attempt is not None
    ended = msgspec.structs.replace(attempt, end=End(1.0, 0))
    write_atomically(paths.attempt(number), msgspec.json.encode(ended), durable=False)


def test_a_run_that_was_started_by_hand_takes_its_devices(
    tmp_path: Path, launched: list[tuple[str, str]]
) -> None:
    begin(create_run(tmp_path, "hand", "", {}, {}), None)
    queued_run(tmp_path, "waits")
    live = LiveRuns(tmp_path)
    start_next(tmp_path, live, ["cpu"])
    assert launched == []
    start_next(tmp_path, live, ["GPU-a", "GPU-b"])
    assert launched == [("waits", "GPU-b")]


def test_a_run_that_is_added_while_the_worker_ends_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds a run at the worker's last look finds the lock held, and starts no other worker."""
    looks: list[bool] = []

    def look(*given: object) -> bool:
        looks.append(queue.is_working(tmp_path))
        if len(looks) == 1:
            queued_run(tmp_path)
        else:
            begin(queue.waiting(tmp_path)[0].paths, "cpu", End(1.0, 0))
        return False

    monkeypatch.setattr("finetui_core.runs.queue_worker.start_next", look)
    monkeypatch.setattr("signal.signal", lambda *given: None)
    queue.pause(tmp_path)
    queue.QueuePaths(tmp_path).paused.unlink()
    assert work(tmp_path) == 0
    assert looks == [True, True] and not queue.waiting(tmp_path)


def test_a_paused_queue_starts_nothing(tmp_path: Path, launched: list[tuple[str, str]]) -> None:
    queued_run(tmp_path)
    queue.pause(tmp_path)
    assert start_next(tmp_path, LiveRuns(tmp_path), ["cpu"]) is False
    assert launched == []


def test_a_run_that_cannot_be_started_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> int:
        raise RunFailed("the run could not be started: no python\nsee a log")

    monkeypatch.setattr("finetui_core.runs.queue_worker.launch", refuse)
    first, second = queued_run(tmp_path), queued_run(tmp_path)
    start_next(tmp_path, LiveRuns(tmp_path), ["cpu"])
    assert state(first) == ("failed", "the queue could not start it: the run could not be started: no python")
    assert [one.paths.root for one in queue.waiting(tmp_path)] == [second.root]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0,1", ["0", "1"]),
        (" GPU-a , MIG-b", ["GPU-a", "MIG-b"]),
        ("1,-1,0", ["1"]),
        ("", ["cpu"]),
        ("-1", ["cpu"]),
    ],
)
def test_the_environment_names_the_devices(visible: str, names: list[str]) -> None:
    assert named(visible) == names


def test_gpus_are_named_by_their_uuid_and_parts_of_one_each() -> None:
    whole, cut = (
        {"index": 0, "uuid": "GPU-a"},
        {"index": 1, "uuid": "GPU-b", "instances": [{"uuid": "MIG-c"}]},
    )
    assert found([whole, cut, {"index": 2, "uuid": None}]) == ["GPU-a", "MIG-c", "2"]
    assert found([]) == ["cpu"]
    by_hand = Attempt(1, 1, 1, "", "", 1, 1, 0.0)
    assert taken(by_hand, 2, ["a", "b", "c"]) == {"a", "b"}
    assert taken(msgspec.structs.replace(by_hand, device="b,c"), 1, ["a", "b", "c"]) == {"b", "c"}
