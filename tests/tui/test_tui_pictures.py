"""The pictures of the README: they are there, fetch nothing, name no machine, and can be made anew."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
MOST_BYTES = 150_000
SHOWN = sorted(set(re.findall(r"docs/pictures/[\w-]+\.svg", (CHECKOUT / "README.md").read_text())))


def test_the_readme_shows_every_picture_that_there_is() -> None:
    there = sorted(str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "docs/pictures").iterdir())
    assert there == SHOWN


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_small_and_fetches_nothing(name: str) -> None:
    picture = (CHECKOUT / name).read_text()
    assert len(picture.encode()) < MOST_BYTES
    assert not re.search(r"@font-face|@import|href=|url\((?!#)", picture)
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", picture)


def test_a_picture_comes_out_the_same_again(tmp_path: Path) -> None:
    script = CHECKOUT / "docs/make/pictures.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), "runs"], check=True, capture_output=True)
    assert (tmp_path / "runs.svg").read_text() == (CHECKOUT / "docs/pictures/runs.svg").read_text(), (
        "make pictures"
    )
