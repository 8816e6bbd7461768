"""Fuzzed strings through screens of the studio on a pseudo-terminal; the long form is in tests/proofs."""

import os
import unicodedata
from pathlib import Path

import pytest

from finetui_core.text import visible
from fuzz_screens import SCREENS, Batch, walk_through
from fuzz_strings import Strings, numbers_in
from harmless import HIDDEN, assert_harmless
from hostile import bytes_of
from run_folders import write_run
from terminal import run_on_terminal

UNSAFE = """
import finetui.text, finetui_core.text
finetui_core.text.visible = finetui.text.visible = lambda text, *, keep="": text
import sys
from finetui.__main__ import main
sys.exit(main(["--runs", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("screen", "count"),
    [("log", 1000), ("events", 1000), *(pytest.param(name, 300, marks=pytest.mark.slow) for name in SCREENS)],
)
def test_nothing_of_a_fuzzed_string_is_obeyed(screen: str, count: int) -> None:
    outcome = walk_through(Batch(screen, count, seed=1))
    assert not outcome.fault, outcome.fault
    assert outcome.seen > count * 0.3


def test_the_check_refuses_each_string_as_it_was_and_takes_it_as_it_is_shown() -> None:
    refused = 0
    for text in Strings(2).take(1000):
        assert_harmless(visible(text).encode(), 200, 400)
        if any(unicodedata.category(one) in HIDDEN and one not in "\r\n" for one in text):
            refused += 1
            with pytest.raises((AssertionError, UnicodeDecodeError)):
                assert_harmless(bytes_of(text), 200, 400)
    assert refused > 500


def test_strings_are_those_of_their_seed_and_carry_their_numbers() -> None:
    texts = Strings(3).take(20_000)
    assert texts == Strings(3).take(20_000) != Strings(4).take(20_000)
    assert [numbers_in(bytes_of(text)) for text in texts] == [{number} for number in range(1, 20_001)]


@pytest.mark.slow
def test_a_studio_that_shows_text_as_it_is_would_be_noticed(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    run.log(1).write_bytes(b"\n".join(map(bytes_of, Strings(5).take(500))))
    with run_on_terminal(["-c", UNSAFE, os.fspath(tmp_path)], rows=60, columns=200) as terminal:
        terminal.wait_for("1 run,")
        terminal.press("enter")
        terminal.wait_for("step 60/120")
        terminal.press("o")
        terminal.settle(1.0)
        assert len(numbers_in(terminal.output)) > 20
        with pytest.raises((AssertionError, UnicodeDecodeError)):
            assert_harmless(terminal.output, 60, 200)
