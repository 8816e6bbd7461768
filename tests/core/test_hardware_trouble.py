"""What samples of GPUs show to be amiss, as alarms of the run."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.hardware.trouble import Straggler, Trouble, gpu_troubles, heard
from finetui_core.hardware.xids import XIDS, xid_of
from finetui_core.runs.frozen import Stillness
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.trouble import TroubleFinder
from finetui_core.runs.writer import RunWriter
from run_folders import beat

HEALTHY = {
    "index": 0,
    "utilization": 0.98,
    "clock": 1980,
    "temperature": 61,
    "throttling": [],
    "ecc_uncorrected": 0,
    "rows_remapped": 0,
    "row_remap_pending": False,
    "row_remap_failed": False,
    "pages_retired": 0,
}


def sample(*gpus: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"t": 1.0, "gpus": [{**HEALTHY, **gpu} for gpu in gpus], **fields}


def found(before: dict[str, Any], now: dict[str, Any]) -> list[Trouble]:
    return gpu_troubles(heard({}, before), now)


def test_a_healthy_gpu_is_no_trouble() -> None:
    assert gpu_troubles({}, sample({})) == [] and found(sample({}), sample({})) == []


@pytest.mark.parametrize(
    ("change", "kind", "severity", "words"),
    [
        ({"ecc_uncorrected": 2}, "gpu_memory", "act", "GPU 0: 2 errors of its memory could not be corrected"),
        ({"rows_remapped": 1}, "gpu_memory", "watch", "GPU 0: 1 rows of its memory were taken out of use"),
        ({"pages_retired": 1}, "gpu_memory", "watch", "GPU 0: 1 pages of its memory were taken out of use"),
        ({"row_remap_pending": True}, "gpu_memory", "watch", "wait to be replaced"),
        ({"row_remap_failed": True}, "gpu_memory", "act", "could not be replaced"),
        ({"throttling": ["heat, by hardware"]}, "gpu_slowdown", "watch", "heat, by hardware (61 °C)"),
        ({"throttling": ["power brake"]}, "gpu_slowdown", "watch", "power brake"),
    ],
)
def test_what_begins_is_told_once(change: dict[str, Any], kind: str, severity: str, words: str) -> None:
    (trouble,) = found(sample({}), sample(change))
    assert (trouble.kind, trouble.severity) == (kind, severity) and words in trouble.message
    assert trouble.remedy
    assert found(sample(change), sample(change)) == []


def test_a_count_that_was_there_before_the_run_is_not_its_trouble() -> None:
    assert gpu_troubles({}, sample({"ecc_uncorrected": 5, "rows_remapped": 3})) == []


def test_what_a_sample_leaves_out_is_remembered() -> None:
    """The state of the memory comes with every fifth sample only."""
    known = heard(heard({}, sample({})), {"gpus": [{"index": 0, "clock": 1980}]})
    (trouble,) = gpu_troubles(known, sample({"ecc_uncorrected": 1}))
    assert trouble.cause == "ecc"


def test_the_power_limit_alone_is_the_usual_state_of_a_busy_gpu() -> None:
    assert found(sample({}), sample({"throttling": ["power limit"]})) == []


def test_a_gpu_that_was_lost_is_named_with_what_became_of_it() -> None:
    note = "GPU 1: lost, it fell off the bus: reboot the machine"
    (trouble,) = found(sample({}, {"index": 1}), sample({}, gpu_note=note))
    assert (trouble.kind, trouble.gpu, trouble.message) == ("gpu_lost", 1, note)
    hangs = sample(gpu_note="the NVIDIA driver hangs: nothing heard from it")
    assert found(sample({}), hangs) == []


@pytest.mark.parametrize("number", [13, 31, 43, 45])
def test_errors_of_the_program(number: int) -> None:
    (trouble,) = gpu_troubles({}, sample(xids=[{"gpu": 2, "xid": number}]))
    assert trouble.message.startswith("GPU 2: ")
    assert trouble.message.endswith(f"(Xid {number}, most often the program's fault)")


@pytest.mark.parametrize("number", [48, 63, 64, 74, 79, 94, 95])
def test_errors_of_the_hardware(number: int) -> None:
    (trouble,) = gpu_troubles({}, sample(xids=[{"gpu": None, "xid": number}]))
    assert trouble.message.startswith("a GPU: ") and "a fault of the hardware" in trouble.message


@given(number=st.integers(0, 10_000))
def test_every_error_has_a_meaning_and_a_remedy(number: int) -> None:
    meaning = xid_of(number)
    assert meaning.meaning and meaning.remedy.endswith(".")
    assert (number in XIDS) != (meaning.fault == "driver" and "does not know" in meaning.meaning)


SLOW = {"clock": 1200, "throttling": ["heat"]}


def test_slow_steps_with_low_clocks_are_a_straggler_until_they_are_fast_again() -> None:
    straggler = Straggler()
    assert straggler.see([1.0] * 100, sample({})) is None
    assert straggler.see([1.4] * 19, sample(SLOW)) is None
    trouble = straggler.see([1.4], sample(SLOW))
    assert isinstance(trouble, Trouble)
    assert "1.4 times as long as usual, 1.40 s" in trouble.message
    assert "GPU 0: heat, 1200 of 1980 MHz" in trouble.message
    assert straggler.see([1.4] * 50, sample(SLOW)) is None
    assert straggler.see([1.0] * 19, sample({})) is None
    assert straggler.see([1.0], sample({})) == "over"


@pytest.mark.parametrize(
    ("steps", "gpu"),
    [
        ([1.4] * 50, {}),  # slow, but nothing holds the clocks
        ([1.2] * 50, SLOW),  # not slow enough
        ([1.4] * 19 + [1.0] + [1.4] * 19, SLOW),  # never twenty on end
        ([1.4] * 50, {"clock": 300, "utilization": 0.1}),  # an idle GPU saves power
    ],
)
def test_what_is_no_straggler(steps: list[float], gpu: dict[str, Any]) -> None:
    straggler = Straggler()
    straggler.see([1.0] * 100, sample({}))
    assert straggler.see(steps, sample(gpu)) is None


def test_a_run_that_was_always_slow_has_no_straggler() -> None:
    straggler = Straggler()
    assert [straggler.see([1.4] * 30, sample(SLOW)) for _ in range(10)] == [None] * 10


@pytest.fixture
def run(tmp_path: Any) -> RunPaths:
    return create_run(tmp_path, "troubled", "", {}, {})


def test_readers_see_the_troubles_among_the_events_and_alarms(run: RunPaths) -> None:
    writer, finder = RunWriter(run, 1), TroubleFinder(run, 1, Stillness(run, os.getpid()))
    view = RunView(run)
    writer.event("phase", phase="training", step=0)
    beat(run, 40)
    finder.see(sample({}, xids=[{"gpu": 0, "xid": 63}]))
    finder.see(sample({}, xids=[{"gpu": 0, "xid": 63}]))  # told already
    writer.event("alarm", kind="checkpoint", step=41, message="no room")
    view.refresh()
    assert [event.get("kind") for event in view.events] == [None, "gpu", "checkpoint"]
    finder.see(sample(xids=[{"gpu": 0, "xid": 79}]))
    view.refresh()
    (gpu, checkpoint) = sorted(view.summary()["alarms"], key=lambda one: str(one["kind"]), reverse=True)
    assert gpu["kind"] == "gpu" and "fallen off the bus (Xid 79" in gpu["message"] and gpu["step"] == 40
    assert checkpoint["kind"] == "checkpoint" and "Restart the machine" in gpu["remedy"]
    writer.close()
    finder.close()


def test_a_straggler_is_found_in_the_metrics_of_the_run(run: RunPaths) -> None:
    writer, finder, view = RunWriter(run, 1), TroubleFinder(run, 1, Stillness(run, os.getpid())), RunView(run)

    def steps(first: int, count: int, seconds: float) -> None:
        for step in range(first, first + count):
            writer.metric({"step": step, "loss": 1.0, "step_seconds": seconds})

    steps(1, 100, 0.5)
    finder.see(sample({}))
    steps(101, 20, 1.0)
    finder.see(sample(SLOW))
    view.refresh()
    assert [alarm["kind"] for alarm in view.alarms] == ["straggler"]
    assert "2.0 times as long" in str(view.alarms[0]["message"])
    steps(121, 20, 0.5)
    finder.see(sample({}))
    view.refresh()
    assert view.alarms == []
    writer.close()
    finder.close()


def test_a_machine_without_trouble_leaves_no_file(run: RunPaths) -> None:
    finder = TroubleFinder(run, 1, Stillness(run, os.getpid()))
    finder.see({"t": 1.0, "gpus": [], "gpu_note": "no NVIDIA GPU"})
    finder.close()
    assert not run.trouble.exists()
