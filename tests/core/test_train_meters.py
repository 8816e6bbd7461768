"""What the meters conclude, on courses of runs whose truth is known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from finetui_core.train.meters import forgetting, memorisation, overfitting
from finetui_core.train.meters.figures import Alarm, Measured, StepLoss
from finetui_core.train.meters.judge import ended, judge
from simulated_meters import (
    LEVEL,
    Noise,
    delays,
    falling,
    false_alarms,
    history,
    patience,
    resting,
    steps,
    turning,
    with_overlaps,
    with_texts,
)

SEED = 3
LONGEST_GIST = 54  # cells of the line above the charts at 80 columns, beside kind, severity and key


def told(
    course: Sequence[Measured], total: int = 250, done: Sequence[StepLoss] = ()
) -> list[tuple[int, Alarm]]:
    """All alarms of a run as the trainer asks for them after each evaluation, with the evaluation's number."""
    return [
        (number, alarm)
        for number in range(len(course))
        for alarm in judge(
            course[: number + 1], [one for one in done if one.step <= course[number].step], total
        )
    ]


def seen(alarms: Sequence[tuple[int, Alarm]]) -> list[tuple[int, str, str]]:
    return [(number, alarm.kind, alarm.severity) for number, alarm in alarms]


@pytest.mark.parametrize("rows", [50, 100, 300])
@pytest.mark.parametrize("noise", [Noise(), Noise(walk=0.01)])
def test_chance_is_not_taken_for_overfitting_and_a_rise_is_not_missed(rows: int, noise: Noise) -> None:
    assert false_alarms(100, rows, seed=SEED, noise=noise) <= 0.01
    assert false_alarms(50, rows, seed=SEED, noise=noise, rest=False) <= 0.02
    assert patience(
        history(np.random.default_rng(SEED), resting(), rows, noise)
    )  # which early stopping stops at
    late = delays(40, rows, 0.05, seed=SEED, noise=noise)
    assert max(late) < math.inf and 1 < np.median(late) <= 5
    assert min(late) > 0


def test_overfitting_is_told_once_then_as_grave_and_then_as_over() -> None:
    course = [*turning(0.012, at=8, evaluations=20), *np.linspace(1.7, 1.4, 4), LEVEL]
    run = history(np.random.default_rng(SEED), course, 100, Noise(wobble=0.003))
    alarms = told(run)
    assert [(kind, severity) for _, kind, severity in seen(alarms)] == [
        ("overfitting", "watch"),
        ("overfitting", "act"),
    ]
    (first, watch), (second, act) = alarms
    assert 8 < first < second <= 19
    assert watch.go_back_to == act.go_back_to and abs(watch.step - act.step) >= 10
    means = [one.val.mean for one in run[: second + 1] if one.val]
    assert act.go_back_to == run[int(np.argmin(means))].step
    assert f"best at step {act.go_back_to}" in act.message and "100 rows" in act.message
    above = 100 * (means[second] / min(means) - 1)
    assert act.message.startswith(f"validation loss {above:.1f} % above its best")  # what the chart shows
    assert f"checkpoint of step {act.go_back_to}" in act.remedy and "save.keep_best" in act.remedy
    over = [(number, one.kind) for number in range(len(run)) for one in ended(run[: number + 1], (), 250)]
    assert len(over) == 1 and over[0][0] > second and over[0][1] == "overfitting"


def test_a_wobbly_run_is_judged_by_the_mean_of_three_evaluations() -> None:
    course = [2.6, 2.2, 2.15, 2.29, 2.24, 2.38, 2.33, 2.46, 2.61, 2.28, 2.37, 2.44]
    alarms = told(history(np.random.default_rng(SEED), course, 60, Noise(wobble=0)))
    assert seen(alarms)[:1] == [(8, "overfitting", "act")]
    assert "mean of three evaluations" in alarms[0][1].message and alarms[0][1].go_back_to == 20
    jump = [2.6, 2.2, 2.15, 2.15, 2.8, 2.15, 2.14, 2.9, 2.15, 2.14]
    assert told(history(np.random.default_rng(SEED), jump, 60, Noise(wobble=0))) == []


def test_too_few_rows_are_said_to_be_too_few() -> None:
    run = history(np.random.default_rng(SEED), turning(0.2), 39, Noise(wobble=0.002))
    alarms = told(run)
    assert seen(alarms) == [(13, "overfitting", "watch")]
    assert "39 rows: too few rows to judge" in alarms[0][1].message
    assert "at least 40 rows" in alarms[0][1].remedy
    assert seen(told(history(np.random.default_rng(SEED), turning(0.2), 40, Noise(wobble=0.002))))[0][0] <= 13


def test_a_rise_of_both_losses_is_no_overfitting_and_one_from_the_start_names_the_untrained_model() -> None:
    run = history(np.random.default_rng(SEED), resting(10) * np.linspace(1, 2, 10), 60)
    (_, alarm), *_ = told(run)
    assert alarm.kind == "overfitting" and alarm.go_back_to == 0 and "untrained model" in alarm.remedy
    losses = np.linspace(1, 2, 10)
    unstable = [replace(one, train_loss=loss) for one, loss in zip(run[1:], losses[1:], strict=True)]
    unstable.insert(0, run[0])
    (_, alarm), *_ = told(unstable)
    assert alarm.kind == "diverging" and "no overfitting" in alarm.remedy


def test_forgetting_is_told_by_how_much_it_is_on_either_text() -> None:
    rng = np.random.default_rng(SEED)
    rises = [0, 0.01, 0.03, 0.08, 0.11, 0.25, 0.3, 0.02]
    course = list(with_texts(rng, rises))
    alarms = told(course)
    assert seen(alarms) == [(3, "forgetting", "watch"), (5, "forgetting", "act")]
    assert alarms[0][1].go_back_to == alarms[1][1].go_back_to == 20
    assert (
        "loss on general text rose by 0.0" in alarms[0][1].message
        and "on 32 documents" in alarms[0][1].message
    )
    assert [one.kind for one in ended(course, (), 250)] == ["forgetting"]
    own = [Measured(one.step, one.epoch, own_text=one.probe, own_text_kl=np.full(32, 0.09)) for one in course]
    (_, alarm), *_ = told(own)
    assert "the base's own text" in alarm.message and "KL from the base 0.090" in alarm.message
    between = [Measured(35, 1.0), *course[4:]]
    assert seen(told([*course[:4], *between])) == [(3, "forgetting", "watch"), (6, "forgetting", "act")]
    assert told([replace(course[0], step=10), *course[3:]]) == []  # the base was not measured


def test_forgetting_at_the_level_of_chance_is_not_told() -> None:
    rng = np.random.default_rng(SEED)
    found = [alarm for _ in range(50) for alarm in told(list(with_texts(rng, [0, 0.03, -0.02, 0.03])))]
    assert found == []
    few = list(with_texts(rng, [0, 0.06], documents=2))
    assert all(rise.error > 0 for rise in forgetting.rises(*few))


def test_memorisation_is_what_trained_answers_have_beyond_new_ones() -> None:
    rng = np.random.default_rng(SEED)
    alarms = told(list(with_overlaps(rng, [(0, 0), (0.1, 0.05), (0.6, 0.1), (0.95, 0.1), (0.9, 0.85)])))
    assert seen(alarms) == [(2, "memorisation", "watch"), (3, "memorisation", "act")]
    assert alarms[0][1].go_back_to == 10 and "of trained answers" in alarms[0][1].message
    task_gives_it_away = with_overlaps(rng, [(0.9, 0.85)] * 5)
    assert told(list(task_gives_it_away)) == []
    few = next(with_overlaps(rng, [(0.5, 0.2)], rows=4))
    assert few.overlaps is not None and memorisation.interval(few.overlaps)[0] <= 0


@pytest.mark.parametrize(("level", "expected"), [(1.0, 2), (0.999, 5), (0.97, None), (1.2, None)])
def test_a_run_that_learns_nothing_is_told_after_a_fifth(level: float, expected: int | None) -> None:
    rng = np.random.default_rng(SEED)
    run = history(rng, [LEVEL] + [LEVEL * level] * 8, 60, Noise(wobble=0, row=0.0002 if level < 1 else 0.01))
    kinds = [(number, alarm.kind) for number, alarm in told(run, total=100) if alarm.kind == "not_learning"]
    assert kinds == ([] if expected is None else [(expected, "not_learning")])


def test_a_plateau_is_told_when_neither_loss_moves() -> None:
    rng = np.random.default_rng(SEED)
    run = history(rng, falling(31), 100, Noise(wobble=0.001, row=0.02))
    flat = 1 + np.exp(-np.arange(300) / 30) + 0.1 * rng.standard_normal(300)
    told_of = [
        (number, alarm.kind) for number, alarm in told(run, 300, steps(flat)) if alarm.kind == "plateau"
    ]
    assert len(told_of) == 1 and told_of[0][0] >= 15
    sinking = 2 - np.arange(300) / 300 + 0.1 * rng.standard_normal(300)
    assert "plateau" not in {alarm.kind for _, alarm in told(run, 300, steps(sinking))}


def step_alarms(done: Sequence[StepLoss]) -> list[Alarm]:
    return [alarm for number in range(1, len(done) + 1) for alarm in judge((), done[:number], len(done))]


def test_divergence_is_told_once_by_the_loss_or_by_the_gradients() -> None:
    rng = np.random.default_rng(SEED)
    noise = 0.05 * rng.standard_normal(100)
    running_away = steps(np.concatenate([2 - np.arange(40) / 100, np.linspace(3, 9, 60)]) + noise)
    (alarm,) = step_alarms(running_away)
    assert (alarm.kind, alarm.severity, alarm.step) == ("diverging", "act", 43)
    assert "Stopping is justified" in alarm.remedy and judge((), running_away[:42], 100) == []
    assert step_alarms(steps([2.0] * 20 + [math.nan] * 4))[0].kind == "diverging"
    norms = [1.0] * 70 + [12.0, 1.0, 15.0, 20.0] + [1.0] * 56
    losses = 2 + 0.05 * rng.standard_normal(130) + 0.5 * (np.array(norms) > 1)
    (alarm,) = step_alarms(steps(losses, norms))
    assert (alarm.kind, alarm.severity, alarm.step) == ("diverging", "watch", 74)
    assert step_alarms(steps(losses - losses, norms)) == []  # long gradients alone are clipped, and harmless


def test_divergence_in_the_first_steps_is_told_in_them() -> None:
    exploding = [6.8, 7.1, 12, 20.9, 20.6, 25.4, 28.3, 27.1, 24.1, 16.8, 13.5, 10.9, 7.4, *[5.0] * 47]
    assert [alarm.step for alarm in step_alarms(steps(exploding))] == [6]


def test_divergence_that_ends_is_said_to_be_over() -> None:
    losses = [2.0] * 30 + [5.0] * 10 + [1.9] * 10
    done = steps(np.array(losses) + 0.01 * np.arange(50) % 0.03)
    assert [alarm.step for alarm in step_alarms(done)] == [33]
    over = [one.step for number in range(1, 51) for one in ended((), done[:number], 50)]
    assert over == [43]


def test_a_healthy_run_is_told_nothing() -> None:
    rng = np.random.default_rng(SEED)
    for rows in (40, 100, 400):
        run = history(rng, falling(), rows, Noise(row=0.05))
        noisy = 1.5 + 1.5 * np.exp(-np.arange(250) / 30) + 0.3 * rng.standard_normal(250)
        assert {alarm.kind for _, alarm in told(run, 250, steps(noisy))} <= {"plateau"}
        assert step_alarms(steps(noisy)) == []
    at_rest = steps(rng.lognormal(0, 0.5, 2000))
    assert step_alarms(at_rest) == []


def test_judging_costs_little() -> None:
    """Both bounds have room for a slow machine: 3 ms and 10 µs are usual."""
    run = history(np.random.default_rng(SEED), falling(100), 500)
    done = steps(np.ones(10_000))
    began = perf_counter()
    judge(run, done, 10_000)
    assert perf_counter() - began < 1
    began = perf_counter()
    for number in range(9_000, 9_500):
        judge(run[:50], done[:number], 10_000)
    assert perf_counter() - began < 5


def test_numbers_that_are_none_end_no_run() -> None:
    run = history(np.random.default_rng(SEED), turning(0.1), 60)
    lost = [replace(one, val=replace(one.val, sums=one.val.sums * math.nan)) for one in run[-3:] if one.val]
    alarms = told([*run, *(replace(one, step=one.step + 100) for one in lost)])
    assert "overfitting" in {alarm.kind for _, alarm in alarms}
    assert judge((), (), 10) == [] and ended((), (), 10) == []
    fewer = history(np.random.default_rng(SEED), [1.0], 30)
    assert overfitting.findings([*run[:5], *fewer])[-1] is None


def test_the_gist_of_each_alarm_fits_beside_its_kind() -> None:
    rng = np.random.default_rng(SEED)
    runs = (
        history(rng, turning(0.05), 60),
        history(rng, turning(0.2), 20),
        history(rng, [LEVEL] * 6, 60, Noise(wobble=0)),
        list(with_texts(rng, [0, 0.3])),
        [replace(one, own_text=one.probe, probe=None) for one in with_texts(rng, [0, 30.0])],
        list(with_overlaps(rng, [(0.9, 0.1)])),
    )
    alarms = [
        alarm for run in runs for _, alarm in told([replace(one, step=one.step * 100) for one in run], 9000)
    ]
    alarms += step_alarms(steps([2.0] * 20 + [9.0] * 20))
    alarms += step_alarms(steps([2.0] * 60 + [4.0] * 40, [1.0] * 60 + [20.0] * 40))
    assert {alarm.kind for alarm in alarms} == {
        "overfitting", "forgetting", "memorisation", "not_learning", "diverging",
    }  # fmt: skip
    for alarm in alarms:
        assert len(alarm.message.partition(" (")[0]) <= LONGEST_GIST
        assert alarm.remedy.endswith(".") and "\n" not in alarm.message + alarm.remedy
