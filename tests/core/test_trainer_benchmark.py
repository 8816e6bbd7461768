"""The benchmark against other trainers: rows are the same each time, and nothing unequal is compared."""

import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "trainers"))

import run
from cases import LENGTHS, LONGEST, Case, Job, cases, read_job
from chats import TURN, chats, draw_length, tokenizer_of, write_chats
from figures import Record, largest_difference, read_records, reason_not_comparable, rows_of, tables
from systems import SYSTEMS

from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.render import Example, renderer

CASE = Case("llama-40m", "skewed", "lora", "float32", 0.0, 4, 1, 2)
TEMPLATE = (run.ROOT / "core/finetui_core/data/default_chat_template.jinja").read_text()


def record(system: str = "ours", number: int = 1, seconds: float = 1.0, **changed: Any) -> Record:
    """One process that took so many seconds for each of three steps of 400 tokens."""
    step = {"seconds": seconds, "cpu": 2 * seconds, "loss": 10.0, "tokens": 400, "supervised": 180}
    made: Record = {
        "run": 1,
        "date": "2026-01-02",
        "command": "python run.py --out x.json",
        "machine": {"processor": "A processor", "cores": 2, "memory_gb": 24},
        "threads": 2,
        "case": vars(CASE),
        "system": system,
        "round": number,
        "load": 1.5,
        "problem": "",
        "steps": [{**step, "seconds": 20.0}, step, step],
        "evaluation": {"seconds": seconds, "loss": 9.5, "tokens": 4000, "supervised": 1800},
        "peak_rss": 2_000_000_000,
        "versions": {"torch": "2.13.0"},
    }
    return json.loads(json.dumps(made | changed))  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_are_the_same_each_time_and_other_for_another_seed(length: str, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        write_chats(tmp_path / name, chats(length, 20, seed))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    ("length", "median", "tenth"), [("short", 60, 107), ("skewed", 216, 645), ("long", 862, 992)]
)
def test_lengths_are_those_of_the_distribution(length: str, median: int, tenth: int) -> None:
    """2,000 draws, so within a tenth of what is asked for; a word is a token, so chats have the lengths drawn."""
    chance = random.Random(1)
    drawn = sorted(draw_length(chance, length) for _ in range(2000))
    assert drawn[1000] == pytest.approx(median, rel=0.1) and drawn[1800] == pytest.approx(tenth, rel=0.1)
    assert drawn[-1] <= LONGEST
    first = draw_length(random.Random(f"{length}/1"), length)
    assert tokens_of(chats(length, 1, 1)[0]) == first


def tokens_of(chat: list[dict[str, str]]) -> int:
    return sum(len(one["content"].split()) for one in chat) + TURN * len(chat) // 2


def test_a_word_is_a_token_to_our_renderer_as_well() -> None:
    """Answers and their ends carry loss, nothing else does."""
    render_row = renderer(tokenizer_of(TEMPLATE), "assistant")
    for number, chat in enumerate(chats("short", 8, 5)):
        messages = tuple(Message(one["role"], one["content"]) for one in chat)
        rendered = render_row(Conversation(messages, None, f"chats:{number}"))
        assert isinstance(rendered, Example)
        answers = [one["content"] for one in chat if one["role"] == "assistant"]
        assert len(rendered.ids) == tokens_of(chat)
        assert rendered.mask.sum() == sum(len(one.split()) + 1 for one in answers)


@given(st.floats(1e-6, 0.5), st.sampled_from([0, 1, 2]), st.booleans())
def test_a_loss_that_is_not_ours_is_refused(off: float, step: int, lower: bool) -> None:
    other = record("trainer")
    other["steps"][step]["loss"] *= 1 - off if lower else 1 + off
    reason = reason_not_comparable(other, record())
    assert bool(reason) == (abs(other["steps"][step]["loss"] - 10.0) / 10.0 > 1e-4)
    assert not reason or f"step {step + 1}" in reason


def test_nan_other_rows_fewer_steps_and_another_validation_are_refused() -> None:
    assert reason_not_comparable(record("trainer"), record()) == ""
    spoilt = record("trainer")
    spoilt["steps"][1]["loss"] = float("nan")
    assert "step 2" in reason_not_comparable(spoilt, record())
    for kind in ("tokens", "supervised"):
        other = record("trainer")
        other["steps"][2][kind] += 1
        assert "step 3 had" in reason_not_comparable(other, record())
    assert "2 steps, not 3" in reason_not_comparable(record("trainer", steps=record()["steps"][:2]), record())
    away = record("trainer", evaluation={"loss": 9.6, "tokens": 4000, "supervised": 1800, "seconds": 1})
    assert "the validation" in reason_not_comparable(away, record())
    assert largest_difference(record("trainer"), record()) == 0


def test_bfloat16_may_differ_by_its_rounding() -> None:
    case = {**vars(CASE), "dtype": "bfloat16"}
    other = record("trainer", case=case)
    other["steps"][1]["loss"] *= 1.001
    assert reason_not_comparable(other, record(case=case)) == ""
    other["steps"][1]["loss"] *= 1.002
    assert reason_not_comparable(other, record(case=case))


def test_ratios_are_those_of_a_round_and_the_warm_up_is_left_out() -> None:
    """The machine is ten times slower in the second round; ours stays four times as fast."""
    records = [
        record("ours", 1, 1.0),
        record("trainer", 1, 4.0),
        record("trainer", 2, 40.0),
        record("ours", 2, 10.0),
    ]
    ours, trainer = rows_of(records)
    assert (ours.system, trainer.system) == ("ours", "trainer")
    assert trainer.faster == (4.0, 4.0) == trainer.cheaper == trainer.evaluates_faster
    assert ours.seconds == 5.5 and ours.first_step == 20.0 and ours.cpu == 11.0
    assert ours.rate == pytest.approx((400 + 40) / 2)


def test_nothing_is_said_of_unequal_work() -> None:
    slow = record("trainer", 1, 4.0)
    slow["steps"][1]["loss"] = 10.01
    table = tables([record(), slow])
    line = next(one for one in table.splitlines() if one.startswith("| transformers Trainer"))
    assert line.count("–") == 3
    assert "- transformers Trainer: not comparable: the loss of step 2 differs by 1.0e-03" in table


def test_table_says_what_when_and_with_which_versions() -> None:
    records = [
        record(),
        record("trl-packing", seconds=2.0, steps=[{**one, "tokens": 300} for one in record()["steps"]]),
        record("litgpt", problem="it has no such model", steps=[], evaluation={}, versions={}),
    ]
    table = tables(records)
    for part in ("2026-01-02", "A processor, 2 cores, 24 GB, 2 threads", "torch 2.13.0", "`python run.py"):
        assert part in table
    rows = {cells[1].strip(): cells for line in table.splitlines() if len(cells := line.split("|")) > 10}
    assert rows["ftui"][4].strip() == "400"
    assert rows["TRL, packing bfd"][11].strip() == "other rows"
    assert "litgpt: not comparable: it has no such model" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_results_outlive_a_run_that_breaks_off(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    for number in (1, 2):
        run.append(out, record(number=number))
    with out.open("a") as file:
        file.write('{"half')
    assert [one["round"] for one in read_records(out)] == [1, 2]


def test_the_same_command_goes_on_where_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, a half line goes, what failed is tried again; another command begins anew."""
    out, done, failing = tmp_path / "results.json", [], ["it failed"]

    def measure(case: Case, system: str, number: int, folder: Path, options: Any) -> Record:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((case.length, number, system))
        problem = failing.pop() if failing and system == "trainer" else ""
        return record(system, number, case=vars(case), problem=problem)

    def begin(*more: str) -> list[Record]:
        command = [
            "--out",
            str(out),
            "--systems",
            "ours",
            "trainer",
            "--models",
            "llama-40m",
            "--rounds",
            "1",
        ]
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "run.py",
                *command,
                "--methods",
                "lora",
                "--dtypes",
                "float32",
                "--lengths",
                "short",
                "long",
                *more,
            ],
        )
        with contextlib.suppress(KeyboardInterrupt):
            run.main()
        return read_records(out)

    monkeypatch.setattr(run, "prepare", lambda *arguments: None)
    monkeypatch.setattr(run, "measure", measure)
    assert len(begin()) == 3
    with out.open("a") as file:
        file.write('{"half')
    before = out.read_bytes().rpartition(b"\n")[0]
    done.clear()
    records = begin()
    assert done == [("short", 1, "trainer"), ("long", 1, "trainer")]
    assert out.read_bytes().startswith(before) and len(records) == 5
    assert len({one["run"] for one in records}) == 1 == len({one["command"] for one in records})
    done.clear()
    assert begin() == records and not done
    assert "it failed" not in tables(records)
    begin("--threads", "1")
    assert len(done) == 3


def test_every_case_has_a_round_before_any_has_its_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And every second round runs backwards."""
    done = []

    def measure(case: Case, system: str, number: int, folder: Path, options: Any) -> Record:
        done.append((number, case.length, system))
        return record(system, number, case=vars(case))

    monkeypatch.setattr(run, "prepare", lambda *arguments: None)
    monkeypatch.setattr(run, "measure", measure)
    chosen = "--systems ours trainer --models llama-40m --methods lora --dtypes float32 --lengths short long"
    monkeypatch.setattr(
        sys, "argv", ["run.py", "--out", str(tmp_path / "out"), *chosen.split(), "--rounds", "2"]
    )
    run.main()
    assert done == [
        (1, "short", "ours"),
        (1, "short", "trainer"),
        (1, "long", "ours"),
        (1, "long", "trainer"),
        (2, "short", "trainer"),
        (2, "short", "ours"),
        (2, "long", "trainer"),
        (2, "long", "ours"),
    ]


def test_several_cases_have_a_table_of_their_ratios() -> None:
    long = vars(Case("llama-40m", "long", "lora", "float32", 0.0, 2, 1, 2))
    records = [
        record(),
        record("trainer", seconds=4.0, peak_rss=8_000_000_000),
        record("llamafactory", seconds=5.0, peak_rss=4_000_000_000),
        record(case=long),
        record("trainer", seconds=2.0, case=long),
    ]
    lines = tables(records).splitlines()
    assert "| ftui is faster by | transformers Trainer | LLaMA-Factory | memory |" in lines
    assert f"| {CASE.title} | 4.00 | 5.00 | 0.50 |" in lines
    assert f"| {Case(**long).title} | 2.00 | – | 1.00 |" in lines


def test_combinations_and_jobs_survive_their_file(tmp_path: Path) -> None:
    made = list(
        cases(
            ["llama-40m"],
            ["short"],
            ["lora", "full"],
            ["float32"],
            [0.0, 0.05],
            rows_per_step=16,
            warmup=2,
            steps=3,
        )
    )
    assert [(one.method, one.dropout) for one in made] == [("lora", 0.0), ("lora", 0.05), ("full", 0.0)]
    assert (made[0].rows_per_pass, made[0].passes) == (8, 2)
    job = Job(made[1], "ours", tmp_path, tmp_path / "out", 2)
    job.save(tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job


def test_a_step_lasts_from_the_end_of_the_one_before() -> None:
    notes = [
        {"kind": "step", "clock": 107.0, "cpu": 9.0, "loss": 1.0, "tokens": 5, "supervised": 2},
        {"kind": "step", "clock": 109.0, "cpu": 12.0, "loss": 1.0, "tokens": 5, "supervised": 2},
    ]
    found = run.record_of(notes, 100.0, "", CASE)
    assert [(one["seconds"], one["cpu"]) for one in found["steps"]] == [(7.0, 9.0), (2.0, 3.0)]
    assert found["problem"] == "it ended after 2 of 3 steps"


def test_a_system_that_is_not_installed_is_told_with_the_way_out(tmp_path: Path) -> None:
    options = run.arguments(["--out", str(tmp_path / "x"), "--environments", str(tmp_path / "none")])
    found = run.measure(CASE, "trl-default", 1, tmp_path, options)
    assert "make peers" in found["problem"] and found["steps"] == []


def test_a_step_of_passes_that_are_not_full_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.arguments(["--out", "x", "--rows-per-step", "12"])
    assert ended.value.code == 2 and "multiple of 8" in capsys.readouterr().err


def test_every_system_has_its_script() -> None:
    assert all((run.HERE / system.script).is_file() for system in SYSTEMS.values())
