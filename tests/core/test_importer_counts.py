"""The script that counts which example configs of other trainers become recipes, on hand-written repositories."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs/make/importer_counts.py"
AXOLOTL = "base_model: owner/model\ndatasets:\n  - path: owner/rows\n    type: chat_template\nadapter: lora\n"
FACTORY = "model_name_or_path: owner/model\nstage: sft\ndo_train: true\nfinetuning_type: lora\n"
FILES = {
    "trl": {"examples/one.yaml": "model_name_or_path: owner/model\ndataset_name: owner/rows\n"},
    "axolotl": {
        "examples/one.yaml": AXOLOTL,
        "examples/two.yml": AXOLOTL + "qat:\n  group_size: 32\n",
        "examples/three.yaml": AXOLOTL + "rl: dpo\n",
        "examples/launch.yaml": "num_processes: 4\n",
    },
    "llamafactory": {
        "examples/one.yaml": FACTORY + "dataset: rows\n",
        "examples/two.yaml": FACTORY + "dataset: absent\n",
        "examples/v1/three.yaml": "model: owner/model\ntrain_dataset: rows\n",
        "data/dataset_info.json": '{"rows": {"hf_hub_url": "owner/rows"}}',
    },
}


def repository(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "examples"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def test_each_config_is_counted_and_the_page_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- Made by docs/make/importer_counts.py from here -->\nold\n<!-- to here -->\nafter\n"
    )
    arguments = []
    for name, files in FILES.items():
        arguments += [f"--{name}", repository(tmp_path / name, files)]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments, "--page", page], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = page.read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert [[row[0], *row[3:]] for row in cells[1:]] == [
        ["TRL", "1", "1", "0", "0", "0"],
        ["axolotl", "2", "1", "1", "0", "1"],
        ["LLaMA-Factory", "2", "1", "1", "0", "0"],
        ["LLaMA-Factory, v1 trainer", "1", "0", "1", "0", "0"],
    ]
    assert "- axolotl: `qat`." in lines and "- LLaMA-Factory: `dataset`." in lines
    assert (lines[0], lines[-1]) == ("before", "after") and "old" not in lines
