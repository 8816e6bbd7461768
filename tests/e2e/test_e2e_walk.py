"""The walk through the studio in tmux sees everything that it must."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")
@pytest.mark.parametrize(("size", "colours"), [("80x24", "default"), ("160x48", "16")])
def test_the_walk_sees_everything(tmp_path: Path, size: str, colours: str) -> None:
    script = Path(__file__).with_name("walk.py")
    command = [sys.executable, str(script), str(tmp_path), "--size", size, "--colours", colours]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "walk.txt").read_text()
    assert "asked → acknowledged → done" in told and "leave" in told
