"""Keep of a run what the pictures show, small and without a word about the machine that it ran on.

python docs/make/keep_run.py RUN_FOLDER     # → docs/make/runs/<id>, for docs/make/pictures.py
"""

import json
import sys
from pathlib import Path
from typing import Any

RUNS = Path(__file__).resolve().parent / "runs"
DIGITS = 4
DROPPED = frozenset({"argv", "versions", "data_report", "defaults", "disk_free", "sha256"})


def keep(run: Path) -> Path:
    """Copy the files that the screens read, line by line, and of the system samples every fifth."""
    kept = RUNS / run.name
    for source in sorted(
        [run / "run.json", run / "events.jsonl", *run.glob("samples/*"), *run.glob("metrics/*")]
    ):
        _write(kept / source.relative_to(run), [_short(json.loads(text)) for text in _records(source)])
    samples = [_short(json.loads(text)) for text in _records(run / "system/0001.jsonl")]
    _write(kept / "system/0001.jsonl", samples[::5])
    recipe = json.loads((run / "recipe.resolved.json").read_text())
    for table, option in (
        ("model", "name"),
        ("data", "train"),
        ("data", "val"),
        ("data", "replay_text"),
        ("eval", "forgetting_probe"),
    ):
        recipe[table][option] = Path(recipe[table].get(option) or "").name
    _write(kept / "recipe.resolved.json", [recipe])
    return kept


def _records(path: Path) -> list[str]:
    text = path.read_text()
    return [text] if path.suffix == ".json" else text.splitlines()


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: one if key in ("t", "created") else _short(one)
            for key, one in value.items()
            if key not in DROPPED
        }
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _write(path: Path, records: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in records))


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(keep(Path(folder)))
