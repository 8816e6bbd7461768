"""ftui against other trainers: the same model, rows, order and loss, each in a process and an environment of its own.

    make peers
    python tests/benchmarks/trainers/run.py --out trainers.json [--quick]
    python tests/benchmarks/trainers/run.py --out trainers.json --table [--write]

Records are added to the file as they come, one line of JSON each; the same command again runs what is not there yet,
so that many hours can be had in parts. To measure anew, name another file. --table prints the tables of a file, and
--write puts them into docs/performance.md, which says how it is measured.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import psutil
from cases import DTYPES, LENGTHS, METHODS, MODEL, MODELS, ROWS_PER_STEP, SEED, VAL_ROWS, Case, Job, cases
from chats import chats, save_model, write_chats
from figures import Record, place, read_records, tables
from marks import FILE
from systems import SYSTEMS
from with_ours import CHATS, VAL

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "core"), str(HERE.parent)]
PAGE = "docs/performance.md"
QUICK = {
    "systems": ["ours", "trl-default", "trl-padding-free", "trl-packing", "trainer"],
    "models": ["llama-40m"],
    "lengths": ["skewed"],
    "methods": ["lora"],
    "dtypes": ["float32"],
    "dropouts": [0.0],
    "warmup": 1,
    "steps": 3,
    "rounds": 2,
    "rows_per_step": 4,
}
LONGEST_PROCESS = 3600  # seconds


def main() -> int:
    options = arguments()
    if options.table:
        if not options.out.is_file():
            raise SystemExit(f"{options.out}: there is no such file of results")
        text = tables(read_records(options.out))
        print(text)
        if options.write:
            from measuring import put_table

            put_table(PAGE, "trainers", text)
        return 0
    measure_all(options)
    return 0


def measure_all(options: argparse.Namespace) -> None:
    """Run what the file of results lacks of this command: all of it at first, the rest where it broke off.

    Every case has its first round before any has its second, so that what broke off says something of each.
    """
    command = shlex.join(["python", *sys.argv])
    before = [one for one in records_before(options.out) if one["command"] == command]
    same = {"run": before[0]["run"] if before else int(time.time()), "command": command}
    there = {place(one["case"], one["round"], one["system"]) for one in before if not one["problem"]}
    for number, case in product(range(1, options.rounds + 1), chosen(options)):
        left = [
            system
            for system in in_order(options.systems, number)
            if place(vars(case), number, system) not in there
        ]
        if not left:
            continue
        with tempfile.TemporaryDirectory(prefix="trainers-") as folder:
            say(f"{case.title}, round {number}")
            prepare(case, Path(folder), options.threads)
            for system in left:
                record = measure(case, system, number, Path(folder), options)
                append(options.out, record | same)
                say(f"  {SYSTEMS[system].title}: {in_a_line(record)}")


def records_before(path: Path) -> list[Record]:
    """The records of a file, if it is there; the half line that a run left is cut off, so that more can follow."""
    if not path.is_file():
        return []
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    return read_records(path)


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    return cases(
        options.models,
        options.lengths,
        options.methods,
        options.dtypes,
        options.dropouts,
        rows_per_step=options.rows_per_step,
        warmup=options.warmup,
        steps=options.steps,
    )


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--dropouts", nargs="+", type=float, default=[0.0], help="of the adapters")
    parser.add_argument("--steps", type=positive, default=30, help="optimizer steps that are counted")
    parser.add_argument("--warmup", type=positive, default=2, help="steps before them that are not")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument(
        "--rows-per-step", type=positive, help=", ".join(f"{k}: {v}" for k, v in ROWS_PER_STEP.items())
    )
    parser.add_argument("--threads", type=positive, default=os.cpu_count())
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers", help="made by make peers")
    parser.add_argument("--out", type=Path, required=True, help="the file of results, which is added to")
    parser.add_argument("--quick", action="store_true", help="one small case, in some ten minutes")
    parser.add_argument("--table", action="store_true", help="run nothing: print the tables of --out")
    parser.add_argument("--write", action="store_true", help=f"with --table: put them into {PAGE}")
    options = parser.parse_args(given)
    if options.quick:
        vars(options).update(QUICK)
    if (options.rows_per_step or 8) > 8 and options.rows_per_step % 8:
        parser.error("--rows-per-step: beyond 8 a step is made of passes of 8 rows, so it is a multiple of 8")
    return options


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def in_order(systems: Sequence[str], number: int) -> Sequence[str]:
    """The systems of a round: every second runs backwards, so that a drift of the machine favours none."""
    return systems if number % 2 else systems[::-1]


def prepare(case: Case, folder: Path, threads: int) -> None:
    """What all systems of a case share: the model, the chats, and the rows and adapter that ours makes of them."""
    template = (ROOT / "core/finetui_core/data/default_chat_template.jinja").read_text(encoding="utf-8")
    save_model(folder / MODEL, case.model, template)
    write_chats(folder / CHATS, chats(case.length, case.all_steps * case.rows_per_step, SEED))
    write_chats(folder / VAL, chats(case.length, VAL_ROWS, SEED + 1))
    out = folder / "export"
    out.mkdir()
    job = Job(case, "ours", folder, out, threads)
    problem = start(job, Path(sys.executable), ["--export"])
    if problem:
        raise SystemExit(f"the rows of {case.title} could not be made: {problem}")


def measure(case: Case, system: str, number: int, folder: Path, options: argparse.Namespace) -> Record:
    """Run one process to its end; its record, with a `problem` where it came to none."""
    out = folder / f"{number}-{system}"
    out.mkdir()
    environment = SYSTEMS[system].environment
    python = options.environments / environment / "bin/python" if environment else Path(sys.executable)
    load, began = os.getloadavg()[0], time.monotonic()
    if not python.exists():
        problem = f"{python} is not there; make it with: make peers"
    else:
        problem = start(Job(case, system, folder, out, options.threads), python)
    notes = notes_in(out / FILE)
    return {
        "date": str(date.today()),
        "code": code(),
        "machine": machine(),
        "threads": options.threads,
        "case": vars(case),
        "system": system,
        "round": number,
        "load": load,
        **record_of(notes, began, problem, case),
    }


def start(job: Job, python: Path, more: Sequence[str] = ()) -> str:
    """Run a job's process; why it failed, or ""."""
    file, log = job.out / "job.json", job.out / "log.txt"
    job.save(file)
    threads = str(job.threads)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "core") if job.system == "ours" else "",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(job.out / "cache"),
    }
    command = [str(python), str(HERE / SYSTEMS[job.system].script), str(file), *more]
    with log.open("wb") as stream:
        try:
            code = subprocess.run(
                command,
                cwd=job.out,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=LONGEST_PROCESS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"it took more than {LONGEST_PROCESS} s"
    return "" if code == 0 else f"exit code {code}: {last_line(log)}"


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing was printed"


def notes_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def record_of(notes: Sequence[dict[str, Any]], began: float, problem: str, case: Case) -> Record:
    """Steps with their seconds (`seconds` by the clock, `cpu` by the process), the evaluation, memory and versions.

    A step lasts from the end of the one before to its own; the first from the start of the process.
    """
    steps, clock, cpu = [], began, 0.0
    for one in (note for note in notes if note["kind"] == "step"):
        kept = {name: one[name] for name in ("loss", "tokens", "supervised")}
        steps.append({"seconds": one["clock"] - clock, "cpu": one["cpu"] - cpu, **kept})
        clock, cpu = one["clock"], one["cpu"]
    evaluation: dict[str, Any] = next((one for one in notes if one["kind"] == "evaluation"), {})
    end = next((one for one in notes if one["kind"] == "end"), None)
    unavailable = next((one["why"] for one in notes if one["kind"] == "unavailable"), "")
    problem = unavailable or problem
    if not problem and (end is None or len(steps) != case.all_steps or not evaluation):
        problem = f"it ended after {len(steps)} of {case.all_steps} steps"
    return {
        "problem": problem,
        "steps": steps,
        "evaluation": evaluation,
        "peak_rss": end["peak_rss"] if end else 0,
        "versions": end["versions"] if end else {},
    }


def code() -> str:
    """Which state of the trainer was measured: git's short name of its folder; "" outside a repository."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD:core/finetui_core"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def machine() -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    memory = round(psutil.virtual_memory().total / 2**30)
    return {"processor": name, "cores": os.cpu_count(), "memory_gb": memory}


def append(path: Path, record: Record) -> None:
    """Add a record in one write, so that a run that breaks off loses none of those before."""
    from finetui_core.files import open_private

    descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_a_line(record: Record) -> str:
    if record["problem"]:
        return str(record["problem"])
    times = " ".join(f"{one['seconds']:.1f}" for one in record["steps"])
    return f"steps {times} s, loss {record['steps'][-1]['loss']:.5f}, load {record['load']:.1f}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
