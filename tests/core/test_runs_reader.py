"""What a viewer sees of a run: attempts merged, changes noticed, state and summary told."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.runs.listing import list_runs
from finetui_core.runs.liveness import Here
from finetui_core.runs.paths import RunPaths, create_run
from finetui_core.runs.reader import RunView
from finetui_core.runs.records import Attempt, End, encode_line


def here(*alive: int) -> Here:
    return Here("here", "boot", dict.fromkeys(alive, 1).get)


def add(path: Path, *records: Mapping[str, Any]) -> None:
    with path.open("ab") as stream:
        stream.writelines(encode_line(record) for record in records)


def start(run: RunPaths, number: int, resumed_from: str | None = None, end: End | None = None) -> None:
    attempt = Attempt(number, 10, 1, "boot", "here", 9, 1, 1000.0 * number, resumed_from, end)
    run.attempt(number).write_bytes(msgspec.json.encode(attempt))


def beat(run: RunPaths, seq: int, **fields: Any) -> None:
    known = {"t": 1e9, "step": 0, "total_steps": 0, "step_age_s": 0.0, "phase": "training", "pid": 10}
    run.heartbeat.write_bytes(msgspec.json.encode({"seq": seq, **known, **fields}))


def points(steps: range, attempt: int) -> list[dict[str, Any]]:
    return [{"step": step, "loss": float(attempt), "step_seconds": 2.0} for step in steps]


def seen(view: RunView) -> list[tuple[int, float]]:
    return [(point["step"], point["loss"]) for point in view.steps]


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "my run", "", {}, {"model": "tiny", "method": "lora"})


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        RunView(RunPaths(tmp_path))


def test_points_beyond_the_checkpoint_resumed_from_are_dropped(run: RunPaths) -> None:
    view = RunView(run, here=here())
    start(run, 1, end=End(1500.0, signal=9))
    add(run.metrics(1), *points(range(1, 8), 1))
    assert view.refresh() and len(view.steps) == 7
    start(run, 2, resumed_from="checkpoints/step-000005")
    assert view.refresh()
    assert seen(view) == [(step, 1.0) for step in range(1, 6)]
    add(run.metrics(2), *points(range(6, 10), 2))
    assert view.refresh()
    assert seen(view) == [(step, 1.0) for step in range(1, 6)] + [(step, 2.0) for step in range(6, 10)]
    assert not view.refresh()


def test_a_run_that_was_started_over_keeps_nothing(run: RunPaths) -> None:
    start(run, 1)
    add(run.metrics(1), *points(range(1, 4), 1))
    add(run.events, {"type": "evaluation", "attempt": 1, "step": 0, "eval_loss": 1.0})
    start(run, 2)
    add(run.metrics(2), *points(range(1, 3), 2))
    view = RunView(run, here=here())
    view.refresh()
    assert seen(view) == [(1, 2.0), (2, 2.0)]
    assert view.evaluations == []


def test_what_the_trainer_says_it_resumed_from_counts_before_what_was_planned(run: RunPaths) -> None:
    start(run, 1)
    add(run.metrics(1), *points(range(1, 10), 1))
    start(run, 2, resumed_from="step-000008")
    view = RunView(run, here=here())
    view.refresh()
    assert len(view.steps) == 8
    add(run.events, {"type": "resumed", "attempt": 2, "step": 4, "checkpoint": "step-000004"})
    view.refresh()
    assert len(view.steps) == 4


def test_a_plan_that_no_checkpoint_allowed_does_not_double_the_curve(run: RunPaths) -> None:
    start(run, 1)
    add(run.metrics(1), *points(range(1, 10), 1))
    start(run, 2, resumed_from="step-000008")
    add(run.metrics(2), *points(range(1, 3), 2))
    view = RunView(run, here=here())
    view.refresh()
    assert seen(view) == [(1, 2.0), (2, 2.0)]


def test_evaluations_and_checkpoints_are_merged_as_points_are(run: RunPaths) -> None:
    start(run, 1)
    for step in (4, 8):
        add(run.events, {"type": "evaluation", "attempt": 1, "step": step, "eval_loss": 1.0 / step})
        add(run.events, {"type": "checkpoint", "attempt": 1, "step": step, "path": f"step-{step:06d}"})
    view = RunView(run, here=here())
    view.refresh()
    assert [event["step"] for event in view.evaluations] == [4, 8]
    start(run, 2, resumed_from="step-000004")
    view.refresh()
    assert [event["step"] for event in view.evaluations] == [4]
    assert [event["step"] for event in view.checkpoints] == [4]
    assert len(view.events) == 4


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.integers(1, 5)),
        st.tuples(st.just("resume"), st.integers(0, 12)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=20)
@given(ACTIONS)
def test_a_view_that_followed_along_sees_what_a_late_one_sees(actions: list[tuple[str, int]]) -> None:
    expected: list[tuple[int, float]] = []
    number, step = 1, 0
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "x", "", {}, {})
        start(run, 1)
        view = RunView(run, here=here())
        for action, amount in actions:
            if action == "train":
                add(run.metrics(number), *points(range(step + 1, step + 1 + amount), number))
                expected += [(later, float(number)) for later in range(step + 1, step + 1 + amount)]
                step += amount
            elif action == "resume":
                number, step = number + 1, min(step, amount)
                start(run, number, resumed_from=f"step-{step:06d}")
                expected = [point for point in expected if point[0] <= step]
            else:
                view.refresh()
        view.refresh()
        late = RunView(run, here=here())
        late.refresh()
        assert seen(view) == seen(late) == expected


def test_the_summary_tells_where_the_run_stands(run: RunPaths) -> None:
    start(run, 1)
    beat(run, 1, step=6)
    add(run.metrics(1), *points(range(1, 7), 1))
    add(
        run.events,
        {"type": "ready", "attempt": 1, "total_steps": 20},
        {"type": "evaluation", "attempt": 1, "step": 3, "eval_loss": 2.0},
        {"type": "evaluation", "attempt": 1, "step": 6, "eval_loss": 3.0},
        {"type": "evaluation", "attempt": 1, "step": 6, "eval_loss": float("nan")},
        {"type": "checkpoint", "attempt": 1, "step": 6, "path": "checkpoints/step-000006"},
    )
    view = RunView(run, here=here(9, 10))
    view.refresh()
    summary = view.summary()
    assert msgspec.json.decode(msgspec.json.encode(summary)) == summary
    assert (summary["id"], summary["name"], summary["model"]) == (run.id, "my run", "tiny")
    assert (summary["state"], summary["phase"]) == ("running", "training")
    assert (summary["step"], summary["total_steps"], summary["loss"]) == (6, 20, 1.0)
    assert summary["eta_seconds"] == 14 * 2.0
    assert (summary["eval_loss"], summary["best_eval_loss"], summary["best_step"]) == (None, 2.0, 3)
    assert summary["last_checkpoint"] == "checkpoints/step-000006"


def test_a_new_run_has_a_summary(run: RunPaths) -> None:
    view = RunView(run, here=here())
    view.refresh()
    summary = view.summary()
    assert (summary["state"], summary["step"], summary["loss"]) == ("starting", 0, None)


def test_the_error_of_the_newest_attempt_is_the_reason(run: RunPaths) -> None:
    start(run, 1, end=End(1.0, exit_code=2))
    problems = [{"what": "no messages", "where": "data.jsonl:3", "hint": ""}, {"what": "so few", "where": ""}]
    add(run.events, {"type": "error", "attempt": 1, "kind": "input", "problems": problems})
    view = RunView(run, here=here())
    view.refresh()
    assert (view.state.state, view.state.reason) == ("failed", "data.jsonl:3: no messages; so few")
    start(run, 2)
    view.refresh()
    assert view.state.state == "died"


def test_a_heartbeat_elsewhere_that_stops_is_noticed_by_the_readers_own_clock(run: RunPaths) -> None:
    now = 0.0
    start(run, 1)
    beat(run, 1)
    view = RunView(run, clock=lambda: now, here=Here("there", "boot", {}.get))
    view.refresh()
    assert view.state.state == "running"
    now = 61.0
    assert view.refresh() and view.state.state == "silent"
    beat(run, 2)
    assert view.refresh() and view.state.state == "running"


def test_only_the_newest_system_samples_are_held(run: RunPaths) -> None:
    start(run, 1)
    add(run.system(1), *({"t": t, "cpu": 0.5} for t in range(3000)))
    view = RunView(run, here=here())
    view.refresh()
    assert [sample["t"] for sample in view.system] == list(range(1000, 3000))


def test_damaged_lines_are_counted(run: RunPaths) -> None:
    start(run, 1)
    run.metrics(1).write_bytes(b'{"step": 1}\n\0\0\0\n{"step": "x"}\n{"step": 2}\n')
    run.events.write_bytes(b"?\n")
    view = RunView(run, here=here())
    view.refresh()
    assert [point["step"] for point in view.steps] == [1, 2]
    assert view.skipped == view.summary()["skipped_lines"] == 2


def test_runs_are_listed_newest_first_from_the_ends_of_their_files(tmp_path: Path) -> None:
    older, newer = (create_run(tmp_path, name, "", {}, {"model": "m"}) for name in ("a", "b"))
    first, second = sorted((older, newer), key=lambda run: run.id)
    (tmp_path / "no-run").mkdir()
    start(first, 1, end=End(5e9, exit_code=0))
    add(first.metrics(1), *points(range(1, 1000), 1))
    add(first.events, {"type": "evaluation", "attempt": 1, "step": 1, "eval_loss": 0.5, "best": True})
    evaluations = [
        {"type": "evaluation", "attempt": 1, "step": step, "eval_loss": 2.0, "best": False}
        for step in range(2, 300)
    ]
    add(first.events, *evaluations, {"type": "finished", "attempt": 1, "reason": "completed", "step": 999})
    summaries = list_runs(tmp_path)
    assert [summary.id for summary in summaries] == [second.id, first.id]
    assert summaries[0].state == "starting"
    assert (summaries[1].state, summaries[1].step, summaries[1].loss) == ("finished", 999, 1.0)
    assert (summaries[1].eval_loss, summaries[1].best_eval_loss) == (2.0, 0.5)
    assert summaries[1].updated == 5e9
    assert list_runs(tmp_path / "missing") == []
