"""When checkpoints are written, and what a disk that refuses one costs: neither the run nor a good checkpoint."""

import errno
import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from faults import Fault, every_fault, faulty
from faulty_saves import places, saves_replaced
from finetui_core.runs import exit_codes
from finetui_core.runs.checkpoints import newest_valid, published
from finetui_core.runs.liveness import Here, judge
from finetui_core.runs.mailbox import send
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End
from finetui_core.train import loop
from finetui_core.train.saves import Saves, save_at_end
from finetui_core.train.tensor_file import content
from proofs.save_faults import calls_of_a_save, train_with
from training import events, new_run, train_here, write_project

FULL = Fault("write", 0, errno.ENOSPC, lasting=True)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"), rows=10)


class Clock:
    """A clock that goes on by `pace` seconds whenever it is asked, and by what is slept."""

    def __init__(self, pace: float = 0.0) -> None:
        self.now, self.pace = 0.0, pace

    def __call__(self) -> float:
        self.now += self.pace
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Said:
    """An output that remembers the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, type: str, **fields: Any) -> None:
        self.events.append((type, fields))


def by_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(loop, "Saves", partial(Saves, clock=clock, sleep=clock.sleep))


QUICK = (
    "train.num_train_epochs=999",
    "eval.meters=false",
    "eval.samples=0",
    "train.per_device_train_batch_size=2",
)


def run_of(recipe: Path, steps: int, *more: str) -> RunPaths:
    """A run without validation rows, so that nothing but training and saving takes time."""
    return new_run(recipe, f"train.max_steps={steps}", "data.val_fraction=0", *QUICK, *more)


def test_a_checkpoint_is_due_when_the_minutes_have_passed() -> None:
    clock = Clock()
    saves = Saves(5.0, None, clock)
    clock.now = 299.9
    assert not saves.is_due()
    clock.now = 300.0
    assert saves.is_due()
    saves.ended(7, 0.5, written=True, output=Said())  # type: ignore[arg-type]
    assert saves.step == 7 and not saves.is_due()
    clock.now = 600.0
    assert saves.is_due()
    assert not Saves(0.0, None, Clock(10_000.0)).is_due()


def test_a_dear_save_comes_less_often_and_that_is_said_once() -> None:
    clock, said = Clock(), Said()
    saves = Saves(5.0, None, clock)
    for step in (1, 2):
        saves.ended(step, 12.0, written=True, output=said)  # type: ignore[arg-type]
    assert saves.every == pytest.approx(1200.0)
    ((kind, alarm),) = said.events
    assert (kind, alarm["severity"], alarm["kind"]) == ("alarm", "watch", "saving")
    assert "12.0 s" in alarm["message"] and "20m" in alarm["message"].replace(" min", "m")
    saves.ended(3, 3.0, written=True, output=said)  # type: ignore[arg-type]
    assert said.events[-1] == ("alarm_over", {"kind": "saving", "step": 3})
    assert saves.every == 300.0


def test_a_save_that_failed_is_tried_again_at_the_next_step_and_then_ever_less_often() -> None:
    clock, said = Clock(), Said()
    saves = Saves(0.0, 4, clock)
    waits = []
    for _ in range(8):
        saves.ended(5, 1.0, written=False, output=said)  # type: ignore[arg-type]
        began = clock.now
        while not saves.is_due():
            clock.now += 1.0
        waits.append(clock.now - began)
    assert waits == [0, 10, 30, 90, 270, 300, 300, 300]
    saves.ended(6, 1.0, written=True, output=said)  # type: ignore[arg-type]
    assert said.events == [("alarm_over", {"kind": "checkpoint", "step": 6})]
    assert not saves.is_due()


def test_the_last_save_waits_for_the_disk_but_not_for_ever() -> None:
    clock = Clock()
    saves = Saves(5.0, None, clock, clock.sleep)
    tries: list[float] = []

    def refused() -> bool:
        tries.append(clock.now)
        return False

    assert not save_at_end(refused, saves, lambda: False)
    assert tries[:4] == pytest.approx([0, 10, 30, 70], abs=1) and 540 < tries[-1] <= 600
    answers = iter([False, False, True])
    assert save_at_end(lambda: next(answers), saves, lambda: False)
    asked_at = clock.now + 5
    assert not save_at_end(lambda: False, saves, lambda: clock.now >= asked_at)
    assert clock.now < asked_at + 1


def test_by_default_five_minutes_are_the_most_that_a_crash_costs(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock by which each look takes 40 s: one at each step, one more at each save."""
    by_clock(monkeypatch, Clock(40.0))
    paths = run_of(recipe, 24, "save.steps=1000")
    assert train_here(paths) == 0
    saved = events(paths, "checkpoint")
    assert [(one["step"], one["reason"]) for one in saved] == [(8, "time"), (16, "time"), (24, "last")]


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.tuples(
            st.sampled_from(
                [
                    torch.float32,
                    torch.bfloat16,
                    torch.float16,
                    torch.float64,
                    torch.int64,
                    torch.uint8,
                    torch.bool,
                ]
            ),
            st.lists(st.integers(0, 5), max_size=3),
        ),
        max_size=6,
    ),
    st.integers(0, 999),
)
def test_what_is_written_is_what_safetensors_reads(drawn: dict[str, Any], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randint(0, 2, shape, generator=random).to(dtype)
        if dtype == torch.bool
        else (torch.rand(shape, generator=random) * 99).to(dtype)
        for name, (dtype, shape) in drawn.items()
    }
    tensors |= {f"{name} turned": value.mT for name, value in tensors.items() if value.ndim == 2}
    written = b"".join(content(tensors))
    read = load(written)
    assert set(read) == set(tensors)
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype and torch.equal(read[name], value)
    assert b"".join(content(dict(reversed(tensors.items())))) == written


@pytest.mark.parametrize("method", ["lora", "full"])
def test_nobody_but_our_own_code_writes_a_checkpoint(recipe: Path, method: str) -> None:
    """So that the shims see every write: the bytes of the files are those that went through them."""
    written: Counter[str] = Counter()

    def save(real: Any, session: Any, *rest: Any) -> bool:
        with faulty(places(session.paths)) as disk:
            done = bool(real(session, *rest))
        written.update(disk.calls)
        return done

    with saves_replaced(save):
        paths = run_of(recipe, 1, f"train.method={method}")
        assert train_here(paths) == 0
    (newest,) = published(paths.checkpoints)
    files = [path for path in newest.rglob("*") if path.is_file()]
    pieces = sum(-(-path.stat().st_size // (4 << 20)) for path in files)
    tensors = sum(len(_header(path)) - 1 for path in files if path.suffix == ".safetensors")
    plain = sum(path.suffix != ".safetensors" for path in files)
    pointers = 1
    assert pieces == len(files)
    assert (
        written["write"] == plain + tensors + sum(path.suffix == ".safetensors" for path in files) + pointers
    )


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        return dict(json.loads(stream.read(size)))


@pytest.mark.parametrize("lasting", [False, True])
def test_no_fault_of_the_disk_costs_a_checkpoint_or_the_run(recipe: Path, lasting: bool) -> None:
    """The short form of tests/proofs/save_faults.py."""
    faults = list(every_fault(calls_of_a_save(recipe), lasting=lasting))
    ledger = train_with(recipe, Random(4).sample(faults, 12))
    assert ledger.broken == []
    assert ledger.struck >= 8
    assert lasting or ledger.written == ledger.struck


def last_save(fault_at: int, fault: Fault | None, before: Any = lambda tries: None) -> Any:
    """A save that meets `fault` at that step; `before` is told the number of the try and may give another fault."""
    tries = iter(range(1, 10_000))

    def save(real: Any, session: Any, progress: Any, output: Any, reason: str) -> bool:
        if progress.step < fault_at:
            return bool(real(session, progress, output, reason))
        with faulty(places(session.paths), None if before(next(tries)) else fault):
            return bool(real(session, progress, output, reason))

    return save


def test_a_full_disk_at_the_end_is_waited_for(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    by_clock(monkeypatch, clock)
    paths = run_of(recipe, 3)
    with saves_replaced(last_save(3, FULL, lambda tries: tries >= 4)):
        assert train_here(paths) == exit_codes.DONE
    assert clock.now == pytest.approx(10 + 20, abs=1)
    assert events(paths, "finished")[0]["reason"] == "completed"
    assert newest_valid(paths.checkpoints)[0].step == 3  # type: ignore[union-attr]
    view = RunView(paths)
    view.refresh()
    assert view.alarms == [] and len(events(paths, "alarm")) == 3


def test_a_disk_that_stays_full_fails_the_run_and_names_what_is_left(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    by_clock(monkeypatch, clock)
    paths = run_of(recipe, 5)
    with saves_replaced(last_save(5, FULL)):
        assert train_here(paths) == exit_codes.UNSAVED
    assert 540 < clock.now <= 620
    (finished,) = events(paths, "finished")
    assert (finished["reason"], finished["step"]) == ("unsaved", 5)
    view = RunView(paths)
    view.refresh()
    ended = Attempt(1, 1, 1, "", "here", 1, 1, 0.0, end=End(1.0, exit_code=exit_codes.UNSAVED))
    state = judge(ended, None, finished, None, 0.0, None, Here())
    assert (
        state.state == "failed" and "could not be written; the newest sound one is of step 4" in state.reason
    )
    (alarm,) = view.alarms
    assert alarm["severity"] == "act"
    assert "No space left" in alarm["message"] and "of step 4" in alarm["message"]
    assert str(paths.checkpoints) in alarm["remedy"] and "free" in alarm["remedy"]
    assert "of step 4" in finished["note"]
    assert newest_valid(paths.checkpoints)[0].step == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["signal", "stop"])
def test_whoever_asks_for_the_end_need_not_wait_for_the_disk(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    clock = Clock()
    by_clock(monkeypatch, clock)
    paths = run_of(recipe, 3)

    def ask(tries: int) -> bool:
        if tries == 2 and how == "signal":
            signal.raise_signal(signal.SIGTERM)
        elif tries == 2:
            send(paths, how)
        return False

    with saves_replaced(last_save(3, FULL, ask)):
        assert train_here(paths) == exit_codes.UNSAVED
    assert clock.now < 15
    if how != "signal":
        assert [one["status"] for one in events(paths, "control")] == ["acknowledged", "done"]


def test_a_save_whose_pointers_or_pruning_failed_is_a_saved_one(recipe: Path) -> None:
    """The files that point to it are mended by the next."""
    paths = new_run(recipe, "train.max_steps=5", "save.steps=1", "save.total_limit=1", "eval.steps=1", *QUICK)

    def save(real: Any, session: Any, progress: Any, *rest: Any) -> bool:
        fails = progress.step in (3, 4)
        watched = (paths.latest, paths.best, paths.checkpoint(2), paths.checkpoint(3))
        refuse = [Fault(call, 0, errno.EIO, lasting=True) for call in ("replace", "rename", "unlink")]
        with ExitStack() as stack:
            for fault in refuse if fails else ():
                stack.enter_context(faulty(watched, fault))
            return bool(real(session, progress, *rest))

    with saves_replaced(save):
        assert train_here(paths) == 0
    assert [event["step"] for event in events(paths, "checkpoint")] == [1, 2, 3, 4, 5]
    assert events(paths, "checkpoint_failed") == []
    assert paths.latest.read_text() == "step-000005\n"
    best = min(events(paths, "evaluation")[1:], key=lambda one: one["eval_loss"])
    assert paths.best.read_text() == f"step-{best['step']:06d}\n"
    assert {path.name for path in published(paths.checkpoints)} == {
        "step-000005",
        paths.best.read_text().strip(),
    }


def test_a_full_disk_gets_room_from_what_is_superseded(recipe: Path) -> None:
    """The best checkpoint and the newest stay, whatever the room."""
    paths = run_of(recipe, 5, "save.steps=1", "save.total_limit=5")
    struck: Iterator[bool] = iter([True])

    def save(real: Any, session: Any, progress: Any, *rest: Any) -> bool:
        fault = Fault("write", 3, errno.EDQUOT) if progress.step == 5 and next(struck, False) else None
        with faulty(places(paths), fault):
            return bool(real(session, progress, *rest))

    with saves_replaced(save):
        assert train_here(paths) == 0
    (removed,) = events(paths, "checkpoint_removed")
    assert removed["path"] == "checkpoints/step-000001" and "quota" in removed["reason"].lower()
    assert [path.name[-1] for path in published(paths.checkpoints)] == ["5", "4", "3", "2"]


def test_a_disk_without_room_for_one_is_refused_and_for_two_is_warned_of(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetui_core.train import room

    sizes: list[int] = []
    real = room.checkpoint_bytes
    monkeypatch.setattr(room, "checkpoint_bytes", lambda session: sizes.append(real(session)) or sizes[-1])
    paths = run_of(recipe, 1, 'lora.modules_to_save=["embed_tokens"]')
    assert train_here(paths) == 0
    written = events(paths, "checkpoint")[0]["bytes"]
    assert sizes[0] == pytest.approx(written, rel=0.05)
    assert events(paths, "alarm") == []
    for factor, code, alarms in ((0.9, 2, 0), (1.5, 0, 1)):
        monkeypatch.setattr(room, "free_bytes", lambda folder, factor=factor: int(sizes[0] * factor))
        paths = run_of(recipe, 1, 'lora.modules_to_save=["embed_tokens"]')
        assert train_here(paths) == code
        found = [one for one in events(paths, "alarm") if one["kind"] == "room"]
        assert len(found) == alarms and all(one["severity"] == "watch" for one in found)
        if code == 2:
            assert "one checkpoint takes about" in events(paths, "error")[0]["problems"][0]["what"]
