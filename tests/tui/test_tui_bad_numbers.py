"""Metrics that make no sense, and terminals of every size: the screens stay up."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tui_screen import screen_text, settle
from tui_walk import empty_root, look_everywhere, open_run, read_again, studio

from run_folders import START, write_run

HUGE_INT = "9" * 400
NUMBERS = ["1e9", "1e308", "-1e308", "1e400", "-1e400", "NaN", HUGE_INT]
NUMBERS += ["null", '"high"', "[]", "{}", "true", "1e-320"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_root(tmp_path, monkeypatch)


def odd_metrics() -> Iterator[bytes]:
    """Lines of a metrics file that no trainer should write, between lines that are well."""
    for step, number in enumerate(NUMBERS * 2, start=61):
        all_odd = ",".join(f'"{key}":{number}' for key in ("loss", "learning_rate", "epoch", "grad_norm"))
        yield f'{{"t":{START + step},"step":{step},{all_odd}}}'.encode()
        yield f'{{"t":{number},"step":{step},"loss":1.25,"tokens":{number},"step_seconds":{number}}}'.encode()
        yield f'{{"step":{number},"loss":2}}'.encode()
    yield b'{"step":100,"loss":1.5'
    yield b"\0" * 5000
    yield b'{"step":101,"loss":1.5}\0\0'
    yield b'{"step":102,"loss":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    yield b'{"step":103,"loss":"' + b"x" * 3_000_000 + b'"}'
    yield b'{"step":104,"loss":1.5,"note":"\xff\xfe\\ud800"}'
    yield b'{"step":-5,"loss":1.5}\n{"step":0,"loss":1.5}\n{"step":1000000000000000000000,"loss":1.5}'
    yield b'{"step":3,"loss":1.5}\n{"step":105,"loss":1.75}'
    yield b'\xef\xbb\xbf{"step":106,"loss":1.5}\r'
    yield from (b"", b" ", b"[]", b"1", b"null", b'"a"', b"{", b"}")


async def test_numbers_and_lines_that_make_no_sense(root: Path) -> None:
    paths = write_run(root, end=None)
    async with studio(root) as pilot:
        assert "demo" in await open_run(pilot)
        odd = list(odd_metrics())
        for first in range(0, len(odd), 15):
            with paths.metrics(1).open("ab") as file:
                file.write(b"".join(line + b"\n" for line in odd[first : first + 15]))
            shown = await read_again(pilot)
            assert "cannot be read" not in shown, [line[:100] for line in odd[first : first + 15]]
        assert "demo" in await look_everywhere(pilot)
        await pilot.press("x", "w", "y", "plus", "left", "right", "z", "minus", "0", "f")
        assert "demo" in await settle(pilot)
        await pilot.press("1")
        assert "demo" in await read_again(pilot)


@pytest.mark.parametrize("number", NUMBERS)
async def test_every_number_may_be_any_number(root: Path, number: str) -> None:
    paths = write_run(root)
    for name in (
        "attempts/0001.json",
        "heartbeat.json",
        "events.jsonl",
        "system/0001.jsonl",
        "metrics/0001.jsonl",
    ):
        file = paths.root / name
        file.write_text("".join(with_number(line, number) for line in file.read_text().splitlines()[:3]))
    async with studio(root) as pilot:
        assert "demo" in screen_text(pilot.app)
        assert "demo" in await open_run(pilot) + await look_everywhere(pilot)


def with_number(line: str, number: str) -> str:
    """The record with each of its numbers in turn replaced, one line each, and with all of them."""
    record = json.loads(line)
    keys = [
        key for key, value in record.items() if type(value) in (int, float) and key not in ("attempt", "step")
    ]
    lines = []
    for chosen in [*([key] for key in keys), keys]:
        marked = {key: "@" if key in chosen else value for key, value in record.items()}
        lines.append(json.dumps(marked).replace('"@"', number))
    return lines[-1] if "pid" in record else "\n".join(lines) + "\n"


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (3, 40), (300, 3)])
async def test_a_terminal_that_is_too_small(root: Path, size: tuple[int, int]) -> None:
    write_run(root)
    async with studio(root, size) as pilot:
        await open_run(pilot)
        await look_everywhere(pilot)
        await pilot.press("question_mark")
        await settle(pilot)


async def test_a_storm_of_sizes(root: Path) -> None:
    write_run(root)
    async with studio(root) as pilot:
        for opened in (False, True):
            if opened:
                await open_run(pilot)
            for width, height in itertools.product((1, 20, 79, 80, 121, 240), (1, 5, 24, 61)):
                await pilot.resize_terminal(width, height)
            await pilot.resize_terminal(100, 30)
            assert "demo" in await settle(pilot)
