"""What is installed: the wheel is whole, the core needs no screens, the screens need no torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEMES = sorted((ROOT / "themes").glob("*.toml"))
TRAINING = ("torch", "transformers", "peft", "accelerate", "datasets")


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_every_file_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("finetui-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "core", "tui", "sample_data", "themes", ":!sample_data/make"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert tracked
    moved = {"sample_data": "finetui_core/sample_data/", "themes": "finetui/themes/"}
    for name in tracked:
        top, _, inside = name.partition("/")
        assert moved.get(top, "") + inside in packed
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from finetui.interface import interface\n"
        "print(*interface().themes(interface().themes_folder).values())"
    )
    found = run_python(code, str(tmp_path / "installed")).split()
    assert found == [str(tmp_path / "installed" / "finetui" / "themes" / path.name) for path in THEMES]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from finetui.launching import check_recipe, proposed_recipe\n"
        "check_recipe(proposed_recipe()); print(proposed_recipe())"
    )
    assert run_python(code, str(tmp_path / "installed")).endswith(
        "finetui_core/sample_data/recipes/quickstart.toml"
    )


def test_the_core_runs_where_no_screen_library_is_installed() -> None:
    code = (
        "import sys\n"
        "for name in ('textual', 'rich', 'finetui'): sys.modules[name] = None\n"
        "import pkgutil, importlib, finetui_core\n"
        "for module in pkgutil.walk_packages(finetui_core.__path__, 'finetui_core.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print('all imported')"
    )
    assert run_python(code).endswith("all imported")


def test_the_viewer_runs_where_no_training_library_is_installed(tmp_path: Path) -> None:
    code = (
        f"import sys\nfor name in {TRAINING!r}: sys.modules[name] = None\n"
        "from finetui_core.cli.main import main\n"
        "assert main(['runs', '--runs', sys.argv[1], '--json']) == 0\n"
        "import asyncio\nfrom pathlib import Path\nfrom finetui.app import Studio\n"
        "async def first_frame():\n"
        "    async with Studio(Path(sys.argv[1])).run_test() as pilot: await pilot.pause()\n"
        "asyncio.run(first_frame())\nprint('painted')"
    )
    assert run_python(code, str(tmp_path)).endswith("painted")


def test_training_without_the_training_libraries_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(ROOT / "sample_data/tiny-llama")
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "r.toml").write_text('[model]\nname = "./model"\n[data]\ntrain = "rows.jsonl"\n')
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name in {TRAINING!r} else real(name, *a)\n"
        "from finetui_core.cli.main import main\n"
        "code = main(['train', sys.argv[1]])\nprint(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.toml")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "2"
    assert "pip install 'finetui[train]'" in done.stderr
