"""How soon a recipe of 200 lines with 20 faults is checked, in process: all 20 found, and the time.

python tests/benchmarks/recipe_check.py [ROUNDS]
"""

import sys
import tempfile
import time
from pathlib import Path

from measuring import report

from finetui_core.recipe.load import check_recipe

LINES, FAULTS = 200, 20
TEXT = """\
[model]
name = "owner/model"
dtyp = "float32"
quantize = "nf5"
revision = 7

[data]
train = "rows.jsonl"
val = "missing.jsonl"
val_fraction = 0.9
max_len = 12
packing = "yes"

[train]
learnin_rate = 1e-4
num_train_epochs = "3"
per_device_train_batch_size = 0
warmup_steps = -1
max_steps = 2.5
SEED = 7

[lora]
r = nan
alpha = 8
target_modules = "all-linea"
modules_to_save = [1]

[eval]
steps = -1
samples = 1000

[evall]
steps = 1
"""


def recipe() -> str:
    filler = [f"# a remark of the line {line}" for line in range(LINES - TEXT.count("\n"))]
    return TEXT + "\n".join(filler) + "\n"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    text = recipe()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.jsonl").write_text("{}\n")
        problems = check_recipe(text, "r.toml", folder).problems
        for problem in problems:
            print(f"  {problem.where}: {problem.what}")
        if len(problems) != FAULTS:
            raise SystemExit(f"{len(problems)} faults were found, not {FAULTS}")
        spent = []
        for _ in range(rounds):
            began = time.perf_counter()
            check_recipe(text, "r.toml", folder)
            spent.append(1000 * (time.perf_counter() - began))
    report(f"{text.count(chr(10))} lines, all {len(problems)} faults", spent, "ms")


if __name__ == "__main__":
    main()
