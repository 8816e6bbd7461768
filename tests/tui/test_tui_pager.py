"""A text of any size is read where it is looked at: forwards, backwards, by search, while it grows."""

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from tui_screen import settle

from finetui.lines_of import LONGEST, Rows, Source, TextFile, highlighted
from finetui.widgets.pager import Pager

lines = st.lists(st.text(st.sampled_from("ab é\t\x1b"), max_size=12), max_size=40)


def never() -> bool:
    return False


def shown(found: list) -> list[str]:
    return ["".join(text for text, _ in row)[1:] for _, row in found]


@settings(deadline=None, max_examples=50)
@given(lines, st.booleans(), st.integers(1, 50), st.data())
def test_lines_are_the_same_forwards_and_backwards(
    texts: list[str], ends: bool, most: int, data: st.DataObject
) -> None:
    content = "\n".join(texts) + ("\n" if ends and texts else "")
    expected = content.split("\n")
    expected = expected[:-1] if expected[-1] == "" else expected
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_text(content, newline="")
        file = TextFile(path)
        forwards = file.after(0, 1000)
        assert shown(forwards) == expected
        assert file.before(file.end(), 1000) == forwards
        place = data.draw(st.integers(0, len(forwards)))
        at = forwards[place][0] if place < len(forwards) else file.end()
        assert file.after(at, most) == forwards[place : place + most]
        assert file.before(at, most) == forwards[max(0, place - most) : place]


@settings(deadline=None, max_examples=50)
@given(lines, st.sampled_from(["a", "ab", "B", " é", "bb"]), st.integers(0, 40), st.sampled_from([1, -1]))
def test_search_finds_the_nearest_line_like_a_search_in_memory(
    texts: list[str], wanted: str, start: int, step: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_text("".join(f"{text}\n" for text in texts), newline="")
        file = TextFile(path)
        places = [place for place, _ in file.after(0, 1000)]
        rows = Rows(lambda _: [((text, ""),) for text in texts])
        rows.fit(80)
        start = min(start, max(0, len(places) - 1))
        found = rows.find(wanted, start, step, never)
        at = places[start] if places else 0
        assert file.find(wanted, at, step, never) == (None if found is None else places[found])


def test_search_goes_across_the_pieces_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x\n" * 600_000 + b"needle\n" + b"y\n" * 600_000)
    file = TextFile(path)
    assert file.find("Needle".lower(), 0, 1, never) == 1_200_000
    assert file.find("needle", file.end(), -1, never) == 1_200_000
    assert file.find("needle", 1_200_000, 1, never) is None
    assert file.find("Needle", 0, 1, never) is None
    assert file.find("needle", 0, 1, lambda: True) is None


def test_progress_bars_colours_and_endless_lines_are_tamed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[32mINFO\x1b[0m 10 %\r 100 %\r\n" + b"z" * (LONGEST * 3) + b"\n\xff\n")
    file = TextFile(path)
    found = shown(file.after(0, 10))
    assert found[0] == " 100 %" and found[-1] == "\\xff"
    assert [len(line) for line in found[1:-1]] == [LONGEST, LONGEST, LONGEST, 0]


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    assert "No such file" in shown(TextFile(tmp_path / "missing").after(0, 5))[0]


def test_all_places_are_marked() -> None:
    row = highlighted((("A needle, a Needle", "muted"),), "needle")
    assert row == (("A ", "muted"), ("needle", "cursor"), (", a ", "muted"), ("Needle", "cursor"))


class Reader(App[None]):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def compose(self) -> ComposeResult:
        yield Pager()

    def on_mount(self) -> None:
        pager = self.query_one(Pager)
        pager.focus()
        pager.show(self.source, follows=True)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    return path


async def test_it_follows_until_one_moves_and_again_at_the_end(log: Path) -> None:
    app = Reader(TextFile(log))
    async with app.run_test(size=(40, 5)) as pilot:
        pager = app.query_one(Pager)
        assert (await settle(pilot)).split("\n") == [f" line {n}" for n in range(995, 1000)]
        await pilot.press("k", "k")
        assert (await settle(pilot)).split("\n")[0] == " line 993" and not pager.follows
        with log.open("a") as file:
            file.write("new\n")
        pager.read_again()
        assert (await settle(pilot)).split("\n")[0] == " line 993"
        await pilot.press("pagedown")
        assert (await settle(pilot)).split("\n")[-1] == " new" and pager.follows
        with log.open("a") as file:
            file.write("newer\n")
        pager.read_again()
        assert (await settle(pilot)).split("\n")[-1] == " newer"
        await pilot.press("g")
        assert (await settle(pilot)).split("\n")[0] == " line 0"
        await pilot.press("space", "j", "up")
        assert (await settle(pilot)).split("\n")[0] == " line 4"


async def test_long_lines_are_wrapped_and_scrolled_by_rows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\n" + "word " * 12 + "\nlast\n" * 3)
    app = Reader(TextFile(path))
    async with app.run_test(size=(22, 3)) as pilot:
        await pilot.press("g", "j", "j")
        assert (await settle(pilot)).split("\n")[0].split() == ["word"] * 4
        await pilot.press("k", "k")
        assert (await settle(pilot)).split("\n")[0] == " one"


async def test_a_search_shows_the_line_and_goes_on(log: Path) -> None:
    app = Reader(TextFile(log))
    async with app.run_test(size=(40, 5)) as pilot:
        pager = app.query_one(Pager)
        await pilot.press("g")
        pager.search("line 77", 1)
        assert (await settle(pilot)).split("\n")[0] == " line 77"
        await pilot.press("n")
        assert (await settle(pilot)).split("\n")[0] == " line 770"
        await pilot.press("N")
        assert (await settle(pilot)).split("\n")[0] == " line 77"


async def test_the_text_to_look_for_is_typed_below_the_lines(log: Path) -> None:
    app = Reader(TextFile(log))
    async with app.run_test(size=(40, 5)) as pilot:
        await pilot.press("slash")
        assert (await settle(pilot)).split("\n") == [*(f" line {n}" for n in range(996, 1000)), "search"]
        await pilot.press(*"nj 9")
        assert (await settle(pilot)).split("\n")[-1] == "nj 9"
        app.query_one(Pager).leave_search()
        assert (await settle(pilot)).split("\n")[-1] == " line 999"
        await pilot.press("g", "slash", *"line 31", "enter")
        assert (await settle(pilot)).split("\n") == [" line 31", *(f" line {n}" for n in range(32, 36))]
        await pilot.press("n")
        assert (await settle(pilot)).split("\n")[0] == " line 310"


async def test_a_key_in_a_log_of_a_million_lines_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%d some words of a log line\n" % number for number in range(1_000_000)))
    app = Reader(TextFile(path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("g")
        pager = app.query_one(Pager)
        pager.search("999999 some", 1)
        before = time.process_time()
        for key in (pager.action_page_up, pager.action_last, pager.action_up, pager.action_first):
            key()
        assert time.process_time() - before < 4 * 0.05
        assert "999999 some" in (await settle(pilot)).split("\n")[0]
