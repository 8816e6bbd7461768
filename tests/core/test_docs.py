"""The pages: their links lead somewhere, and the tutorial's commands are those that its script runs."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), {CHECKOUT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        ahead |= {(page.parent / link).resolve() for link in links} - reached
    assert [page.name for page in PAGES if page not in reached and page.name != "CONTRIBUTING.md"] == []


def test_the_tutorial_shows_every_command_that_its_script_runs() -> None:
    steps = runpy.run_path(str(CHECKOUT / "docs/make/tutorial_steps.py"))["STEPS"]
    shown = re.findall(r"^\$ (.*)$", (CHECKOUT / "docs/tutorial.md").read_text(), re.MULTILINE)
    assert shown[-len(steps) :] == [step.command for step in steps]


@pytest.mark.slow
def test_the_tutorial_is_what_happens(tmp_path: Path) -> None:
    script = CHECKOUT / "docs/make/tutorial.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    titles = [line for line in (tmp_path / "tutorial.md").read_text().splitlines() if line.startswith("## ")]
    assert len(titles) == 7
