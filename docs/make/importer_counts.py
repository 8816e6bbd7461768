"""How many example configs of TRL, axolotl and LLaMA-Factory become a recipe: renews the table of docs/importers.md.

    python docs/make/importer_counts.py --trl REPO --axolotl REPO --llamafactory REPO

Each REPO is a checkout or a bare git directory; its newest commit is read, in a temporary folder. A config that
neither becomes a recipe nor has each key in its way named is a fault of the importer: it is told on stderr, and the
exit code is 1.
"""

import argparse
import contextlib
import datetime
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetui_core.errors import InputError
from finetui_core.recipe.exchange.config_file import read_config
from finetui_core.recipe.exchange.importing import import_config

PAGE = Path(__file__).parents[1] / "importers.md"
START, END = "<!-- Made by docs/make/importer_counts.py from here -->\n", "<!-- to here -->\n"
HEADINGS = (
    "trainer",
    "commit",
    "of",
    "configs for SFT",
    "recipe",
    "stopped",
    "failed",
    "other kinds of training, all stopped",
)
AXOLOTL_OTHERS = {"rl", "reward_model", "process_reward_model", "num_labels", "ebft", "trl", "diffusion"}
AXOLOTL_OTHERS |= {"kd_trainer", "pretraining_dataset"}
MOST_EACH = 1
"""A key that stopped no more configs than this stands in the list of single ones."""


@dataclass
class Counts:
    """What became of the configs of one trainer; `failed` are those that are a fault of the importer."""

    recipes: int = 0
    stopped: int = 0
    failed: list[str] = field(default_factory=list)
    others: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    @property
    def configs(self) -> int:
        return self.recipes + self.stopped + len(self.failed)


@dataclass(frozen=True)
class Examples:
    """A row of the table: which files are configs of training, and which of them are not for SFT."""

    name: str
    trainer: str
    folder: str
    without: tuple[str, ...]
    is_config: Callable[[Mapping[str, Any]], bool]
    is_other: Callable[[Mapping[str, Any]], bool]


def _is_factory(values: Mapping[str, Any]) -> bool:
    return "model_name_or_path" in values and bool({"stage", "do_train", "dataset"} & values.keys())


EXAMPLES = (
    Examples("TRL", "trl", "examples", (), lambda v: "model_name_or_path" in v, lambda v: False),
    Examples(
        "axolotl",
        "axolotl",
        "examples",
        (),
        lambda v: "base_model" in v,
        lambda v: any(v.get(key) for key in AXOLOTL_OTHERS),
    ),
    Examples(
        "LLaMA-Factory",
        "llamafactory",
        "examples",
        ("examples/v1",),
        _is_factory,
        lambda v: v.get("stage", "sft") != "sft" or not v.get("do_train"),
    ),
    Examples(
        "LLaMA-Factory, v1 trainer",
        "llamafactory",
        "examples/v1",
        (),
        lambda v: "model" in v,
        lambda v: False,
    ),
)


def git(repository: Path, *arguments: str) -> bytes:
    place = repository / ".git" if (repository / ".git").exists() else repository
    return subprocess.run(["git", "--git-dir", place, *arguments], check=True, capture_output=True).stdout


def unpack(repository: Path, folder: Path) -> None:
    """Write the examples of the newest commit, and the data sets beside them, below `folder`."""
    tree = git(repository, "ls-tree", "--name-only", "HEAD").decode().split("\n")
    wanted = [name for name in ("examples", "data") if name in tree]
    with tarfile.open(fileobj=io.BytesIO(git(repository, "archive", "HEAD", *wanted))) as archive:
        archive.extractall(folder, filter="data")


def configs(examples: Examples, root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted((root / examples.folder).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in (".yaml", ".yml", ".json") or name.startswith(examples.without):
            continue
        try:
            values = read_config(path).values
        except InputError:
            values = {}
        if examples.is_config(values):
            yield path, values


def count(examples: Examples, root: Path) -> Counts:
    """Import every example below `root`, as a user does from there."""
    counts = Counts()
    with contextlib.chdir(root):
        for path, values in configs(examples, root):
            name, other = path.relative_to(root).as_posix(), examples.is_other(values)
            try:
                import_config(path, examples.trainer, root)
            except InputError as error:
                keys = {_key(problem.what) for problem in error.problems}
                unnamed = [str(problem) for problem in error.problems if not _is_named(problem.what, values)]
                if unnamed:
                    counts.failed.append(f"{name}: {'; '.join(unnamed)}")
                elif other:
                    counts.others += 1
                else:
                    counts.stopped += 1
                    counts.keys.update(keys)
            except Exception:
                counts.failed.append(f"{name}: {traceback.format_exc()}")
            else:
                counts.recipes += not other
                if other:
                    counts.failed.append(
                        f"{name}: became a recipe, though it is for another kind of training"
                    )
    return counts


def _key(what: str) -> str:
    """The key that a problem is about, without the places in lists."""
    return re.sub(r"\[\d+\]", "[]", what.partition(":")[0])


def _is_named(what: str, values: Mapping[str, Any]) -> bool:
    """Whether it is about a key of the config, or one that is missing there."""
    first = re.split(r"[.\[]", _key(what))[0]
    return first in values or " is missing" in what


def report(rows: Sequence[tuple[Examples, str, str, Counts]], today: datetime.date) -> str:
    """The part of the page between the marks."""
    table = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    stopped = []
    for examples, commit, day, counts in rows:
        cells = [examples.name, f"`{commit}`", day, counts.configs, counts.recipes, counts.stopped]
        cells += [len(counts.failed), counts.others]
        table.append(f"| {' | '.join(str(cell) for cell in cells)} |")
        if counts.keys:
            stopped.append(_wrapped(f"- {examples.name}: {_keys(counts.keys)}."))
    read = f"Read on {today.isoformat()}, each repository in the newest state at hand.\n"
    return "\n".join(
        [
            read,
            *table,
            "",
            "What stopped them, with the number of configs (one can have several):",
            "",
            *stopped,
            "",
        ]
    )


def _keys(keys: Counter[str]) -> str:
    ordered = sorted(keys.items(), key=lambda one: (-one[1], one[0]))
    several = [f"`{key}` {number}" for key, number in ordered if number > MOST_EACH]
    single = [f"`{key}`" for key, number in ordered if number <= MOST_EACH]
    return ", ".join(several) + ("; one each: " if several and single else "") + ", ".join(single)


def _wrapped(text: str, width: int = 115) -> str:
    lines, indent = [""], "  "
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > width:
            lines.append(indent + word)
        else:
            lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for trainer in ("trl", "axolotl", "llamafactory"):
        parser.add_argument(f"--{trainer}", type=Path, required=True, metavar="REPO")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to renew; it has the two marks")
    options = parser.parse_args()
    rows = []
    for examples in EXAMPLES:
        repository = getattr(options, examples.trainer)
        with tempfile.TemporaryDirectory() as folder:
            unpack(repository, Path(folder).resolve())
            counts = count(examples, Path(folder).resolve())
        commit, day = git(repository, "log", "-1", "--format=%h %cs").decode().split()
        rows.append((examples, commit[:7], day, counts))
        for failure in counts.failed:
            print(f"{examples.name}: {failure}", file=sys.stderr)
    before, _, rest = options.page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    if not after and END not in rest:
        parser.error(f"{options.page} lacks the marks {START.strip()} and {END.strip()}")
    made = report(rows, datetime.datetime.now(datetime.UTC).date())
    options.page.write_text(f"{before}{START}\n{made}\n{END}{after}", encoding="utf-8")
    print(made)
    return int(any(counts.failed for *_, counts in rows))


if __name__ == "__main__":
    sys.exit(main())
