"""The walk through the studio in tmux sees everything that it must."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")
@pytest.mark.parametrize(
    ("way", "size", "colours", "last"),
    [
        ("walk.py", "80x24", "default", "asked → acknowledged → done"),
        ("walk.py", "160x48", "16", "asked → acknowledged → done"),
        ("recipe_walk.py", "80x24", "16", "[5 Train]"),
        ("journey_walk.py", "80x24", "default", "behaves as what was trained"),
    ],
)
def test_the_walk_sees_everything(tmp_path: Path, way: str, size: str, colours: str, last: str) -> None:
    script = Path(__file__).with_name(way)
    command = [sys.executable, str(script), str(tmp_path), "--size", size, "--colours", colours]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "walk.txt").read_text()
    assert last in told and "leave" in told
