"""Made-up secrets of every shape in every place, and what is left of them after real small runs: nothing.

    python tests/proofs/no_secrets.py --count 3

Each round draws a secret of each shape. They are put into the environment of a run whose libraries print, warn, log
and raise them, then into such texts without any variable, then into recipes and arguments, which are refused. What is
looked through: every file of the run and of the caches, what the trainer, `status`, `watch`, `runs` and `compare`
print, the page of the comparison, every screen of the studio, and the command lines of all processes of a run.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tui"), str(ROOT / "tests")]

from finetui_core.secrets import is_secret_name  # noqa: E402
from secret_runs import command_lines, compared, refusals, said_of, train_telling  # noqa: E402
from secret_shapes import Secret, as_written, drawn_secrets, leaked, texts_below  # noqa: E402
from studio_screens import screens  # noqa: E402
from training import write_project  # noqa: E402


def of_a_run(folder: Path, secrets: list[Secret], *, in_environment: bool) -> tuple[int, list[str]]:
    """How many places were looked through, and where a secret was left."""
    recipe = write_project(folder)
    environment = {secret.variable: secret.text for secret in secrets} if in_environment else {}
    texts = [secret.text if in_environment else as_written(secret) for secret in secrets]
    home = {f"XDG_{name}_HOME": str(folder / "home" / name) for name in ("CONFIG", "STATE", "CACHE")}
    with mock.patch.dict(os.environ, home):
        paths, printed = train_telling(recipe, texts, environment)
        places = {"printed": printed, **said_of(paths, environment), "compare": compared(paths, environment)}
        with mock.patch.dict(os.environ, environment):
            places |= screens(paths.root.parent, recipe, folder / "train.jsonl")
    places |= texts_below(paths.root) | texts_below(folder / "home")
    return len(places), leaked(secrets, places)


def of_processes(folder: Path, secrets: list[Secret]) -> tuple[int, list[str]]:
    """The same for a run that is started as a user does, with the command lines of its processes."""
    places, left = command_lines(folder, secrets)
    return len(places), left


def of_refusals(folder: Path, secrets: list[Secret]) -> tuple[int, int, list[str]]:
    """Answers looked through, secrets put into recipes and arguments, and those that were let in or quoted."""
    recipe, looked, left = write_project(folder), 0, list[str]()
    for secret in secrets:
        for place, code, said, made in refusals(recipe, secret, {secret.variable: secret.text}):
            looked += 1
            if code != 2 or made or leaked([secret], {place: said}):
                left.append(f"{secret.shape} in {place}: exit code {code}")
    return looked, looked, left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1, help="rounds, each with other secrets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="environment,texts,processes,refusals")
    options = parser.parse_args()
    began = time.monotonic()
    for name in list(os.environ):
        if is_secret_name(name):
            del os.environ[name]
    looked, put, refused, wrong = 0, 0, 0, list[str]()
    for number in range(options.count):
        secrets = drawn_secrets(random.Random(options.seed + number))
        for part in options.parts.split(","):
            with tempfile.TemporaryDirectory() as folder:
                if part == "refusals":
                    places, answers, left = of_refusals(Path(folder), secrets)
                    put, refused = put + answers, refused + answers - len(left)
                elif part == "processes":
                    places, left = of_processes(Path(folder), secrets)
                    put += len(secrets)
                else:
                    places, left = of_a_run(Path(folder), secrets, in_environment=part == "environment")
                    put += len(secrets)
            looked, wrong = looked + places, wrong + left
    for text in wrong:
        print(text)
    print(
        f"| {options.count} × {len(secrets)} shapes | {put} secrets put somewhere | {refused} of them refused in "
        f"recipes and arguments | {looked} files, outputs, screens and command lines looked through | "
        f"{len(wrong)} left | {time.monotonic() - began:.0f} s |"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
