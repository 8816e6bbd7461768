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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1, help="rounds, each with other secrets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    for name in list(os.environ):
        if is_secret_name(name):
            del os.environ[name]
    looked, put, refused, wrong = 0, 0, 0, list[str]()
    for number in range(options.count):
        secrets = drawn_secrets(random.Random(options.seed + number))
        for in_environment in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                places, left = of_a_run(Path(folder), secrets, in_environment=in_environment)
            looked, put, wrong = looked + places, put + len(secrets), wrong + left
        with tempfile.TemporaryDirectory() as folder:
            lines, left = command_lines(Path(folder), secrets)
            looked, wrong = looked + len(lines), wrong + left
        with tempfile.TemporaryDirectory() as folder:
            recipe = write_project(Path(folder))
            for secret in secrets:
                for place, code, said, made in refusals(recipe, secret, {secret.variable: secret.text}):
                    looked, put, refused = looked + 1, put + 1, refused + (code == 2)
                    wrong += leaked([secret], {place: said})
                    wrong += [f"{secret.shape} in {place} was not refused"] if code != 2 or made else []
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
