"""A walk through the studio in tmux, by keys alone, on the sample model and data; what was seen is kept.

    python tests/e2e/walk.py [FOLDER] [--size 80x24] [--colours default|16|256|truecolor]

For each step FOLDER gets the screen as text with its colours (`NN-name.ansi`; docs/make/svg.py draws these), and
`walk.txt` tells the whole walk: keys and screens. Exits with 1 at the first thing that is not seen in time.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / folder) for folder in ("core", "tui", "tests")]

from finetui_core.runs import mailbox  # noqa: E402
from finetui_core.runs.liveness import LIVE  # noqa: E402
from finetui_core.runs.paths import RunPaths, run_ids  # noqa: E402
from finetui_core.runs.reader import RunView  # noqa: E402
from tmux import NotShown, Tmux  # noqa: E402

RECIPE = "sample_data/recipes/quickstart.toml"
SHORT = "--name first --set train.max_steps=40 --set train.learning_rate=1e-3"
LONG_STEPS = 5000
STUDIO, SHELL = "studio", "shell"
START_SECONDS = 120.0
"""A run imports torch, reads the model and measures once before its first step."""
COLOURS = {
    "default": {},
    "16": {"TERM": "xterm", "COLORTERM": ""},
    "256": {"TERM": "xterm-256color", "COLORTERM": ""},
    "truecolor": {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
}
"""What a program in tmux is told of the terminal; tmux's own word for it is the default."""

Wanted = str | Callable[[str], object]


@dataclass
class Walk:
    """One walk: its terminal, and the steps taken so far."""

    tmux: Tmux
    folder: Path
    size: tuple[int, int]
    environment: dict[str, str]
    runs: Path
    told: list[str] = field(default_factory=list)

    def open_terminal(self) -> None:
        self.tmux.start(STUDIO, *self.size, self.environment)
        self.tmux.wait_for(STUDIO, at_prompt)

    def step(self, name: str, *keys: str, see: Wanted, seconds: float = 30.0, typed: str = "") -> str:
        """Press `keys`, or type a line, in the studio's window, and keep what is seen once it is as wanted."""
        if typed:
            self.tmux.type(STUDIO, typed)
        for key in keys:
            self.tmux.press(STUDIO, key)
        shown = self.tmux.wait_for(STUDIO, see, seconds)
        self.keep(name, typed or " ".join(keys), STUDIO)
        return shown

    def retype(self, asked: str, text: str) -> None:
        """Type over what is proposed below the question that holds `asked`.

        Each key is waited for: one that is bound, as ctrl+u is, may be done after letters that were typed behind it.
        """
        for keys, wanted in ((("C-u",), ""), (("-l", text), text)):
            self.tmux.press(STUDIO, *keys)
            self.tmux.wait_for(STUDIO, partial(_is_answered, asked, wanted))

    def keep(self, name: str, keys: str, window: str) -> None:
        place = f"{len(self.told) + 1:02d}-{name.replace(' ', '-')}"
        (self.folder / f"{place}.ansi").write_text(self.tmux.screen(window, colours=True))
        self.told.append(f"== {place}   keys: {keys or '(none)'}\n{self.tmux.screen(window)}")
        print(f"  {place}  {keys}")

    def start_run(self, name: str, options: str) -> RunPaths:
        """Start a run from the shell of a second window."""
        known = set(run_ids(self.runs))
        line = f"ftui train {RECIPE} --detach {options}"
        self.tmux.type(SHELL, line)
        self.tmux.wait_for(SHELL, lambda _: set(run_ids(self.runs)) - known, START_SECONDS)
        (run_id,) = set(run_ids(self.runs)) - known
        self.tmux.wait_for(SHELL, at_prompt, START_SECONDS)
        self.keep(name, line, SHELL)
        return RunPaths(self.runs / run_id)

    def long_recipe(self) -> Path:
        """The quick start, but long enough to be steered."""
        quick = CHECKOUT / RECIPE
        text = re.sub(r"\"\.\./", f'"{quick.parent.parent}/', quick.read_text())
        path = self.runs.parent / "second.toml"
        path.write_text(text.replace("[train]", f"[train]\nmax_steps = {LONG_STEPS}"))
        return path


def take(walk: Walk) -> None:
    """The walk itself. Raises NotShown."""
    walk.open_terminal()
    walk.step("start", typed="ftui", see="There are no runs")
    walk.step("help", "?", see=r"In a list")
    walk.step("close the help", "Escape", see="There are no runs")

    walk.tmux.open_window(SHELL, walk.environment)
    walk.start_run("start a short run", SHORT)
    walk.step("it is in the list", see=r"first +40/40", seconds=START_SECONDS)
    walk.step("ask for the recipe of another run", "s", see=r"(?s)Recipe of the new run.*quickstart\.toml")
    walk.step("empty the line", "C-u", see=lambda shown: "quickstart.toml" not in shown)
    walk.step("name a recipe", typed=str(walk.long_recipe()), see=r"starting second")
    walk.step("watch", see=r"step [1-9]\d*/5,000", seconds=START_SECONDS)
    (long_run,) = (RunPaths(walk.runs / one) for one in run_ids(walk.runs) if "-second-" in one)
    walk.step("both are in the list", "b", see=r"(?s)running +second.*finished +first")
    walk.step("back to the run", "g", "Enter", see=r"step [1-9]\d*/5,000")
    first = step_shown(walk.tmux.screen(STUDIO))
    walk.step("the step advances", see=lambda shown: step_shown(shown) >= first + 30, seconds=60)
    walk.step("one chart alone", "z", see=one_chart)
    walk.step("crosshair", "Left", "H", see=r"loss at step \d+")
    walk.step("zoom", "+", "+", see=zoomed_in)
    walk.step("all of it again", "0", "G", "z", see=lambda shown: "loss at step" not in charts_of(shown))
    for key, panel in (
        ("o", "log"),
        ("t", "samples"),
        ("r", "recipe"),
        ("m", "machine"),
        ("i", "numbers"),
        ("d", "charts"),
    ):
        walk.step(panel, key, see=rf"\[{key} {panel}\]")

    walk.step("back to the list", "b", see=r"\[1 Runs\]")
    walk.step("mark two runs", "g", "Space", "Space", see=lambda shown: shown.count("*") >= 2)
    walk.step("compare them", "c", see=overlaid)
    walk.step("back again", "b", see=r"\[1 Runs\]")

    walk.step("open the long run", "M", "g", "Enter", see=r"step \d+/5,000")
    walk.step("save a checkpoint", "c", see=r"checkpoint: asked → acknowledged → done", seconds=60)
    (walk.runs / long_run.id / "latest").stat()
    walk.step("pause", "p", see=r"‖ paused", seconds=60)
    walk.step("resume", "p", see=r"● running", seconds=60)

    before = step_of(long_run)
    walk.tmux.kill()
    walk.told.append("== the terminal is killed: tmux kill-server\n")
    if state_of(long_run) not in LIVE:
        raise NotShown("the run did not survive the end of its terminal")
    walk.tmux = Tmux(f"{walk.tmux.socket}-again")
    walk.open_terminal()
    walk.step("come back", typed="ftui", see=r"running +second")
    walk.step(
        "it has gone on",
        "Enter",
        see=lambda shown: step_shown(shown) > before and "running" in shown,
        seconds=60,
    )
    walk.step("stop", "s", see=r"Stop this run")
    walk.step("yes", "y", see=r"■ stopped", seconds=60)
    walk.step("leave", "q", see=at_prompt)


def _is_answered(asked: str, text: str, shown: str) -> bool:
    """Whether the line below the question has the text, or its end where it is too long to be seen whole."""
    lines = shown.splitlines()
    below = [lines[at + 1].strip() for at, line in enumerate(lines[:-1]) if asked in line]
    return bool(below) and text.endswith(below[-1]) and bool(below[-1]) == bool(text)


def at_prompt(shown: str) -> bool:
    """The shell waits for a command."""
    return shown.rstrip().endswith(("$", "#"))


def one_chart(shown: str) -> bool:
    """The loss has all the room."""
    return " loss " in charts_of(shown) and "gradient norm" not in charts_of(shown)


def zoomed_in(shown: str) -> bool:
    """The first label below the chart is no longer that of the first step."""
    labels = charts_of(shown).rstrip().rpartition("\n")[2].split()
    return "loss at step" in shown and bool(labels) and labels[0] != "0"


def overlaid(shown: str) -> bool:
    """The loss of both runs is in one chart, each with a mark of its own."""
    return bool(re.search(r"● (first|second) .*■ (first|second) ", charts_of(shown)))


def charts_of(shown: str) -> str:
    """The part of the screen that the charts have: below the names of the panels, above the events."""
    return shown.partition("[d charts]")[2].partition("\n")[2].partition("─events─")[0]


def step_shown(shown: str) -> int:
    found = re.search(r"step ([\d,]+)/", shown)
    return int(found[1].replace(",", "")) if found else 0


def view_of(run: RunPaths) -> RunView:
    view = RunView(run)
    view.refresh()
    return view


def step_of(run: RunPaths) -> int:
    return int(view_of(run).summary().get("step") or 0)


def state_of(run: RunPaths) -> str:
    return view_of(run).state.state


@contextmanager
def surroundings(folder: Path, size: tuple[int, int], colours: str) -> Iterator[Walk]:
    """A terminal in which `ftui` is this checkout, with a home of its own; what was started is ended."""
    with tempfile.TemporaryDirectory(prefix="ftui-walk-", ignore_cleanup_errors=True) as home:
        command = Path(home, "bin", "ftui")
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m finetui "$@"\n')
        command.chmod(0o755)
        environment = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{CHECKOUT}/core:{CHECKOUT}/tui",
            "HF_HUB_OFFLINE": "1",
            "FTUI_RUNS": f"{home}/runs",
            "XDG_CONFIG_HOME": f"{home}/config",
            "XDG_STATE_HOME": f"{home}/state",
            "XDG_CACHE_HOME": f"{home}/cache",
            **COLOURS[colours],
        }
        walk = Walk(Tmux(f"ftui-walk-{os.getpid()}"), folder, size, environment, Path(home, "runs"))
        try:
            yield walk
        finally:
            walk.tmux.kill()
            for run_id in run_ids(walk.runs):
                end(RunPaths(walk.runs / run_id))
            (folder / "walk.txt").write_text("\n".join(walk.told))


def end(run: RunPaths) -> None:
    """Abort a run that is still under way."""
    with suppress(OSError):
        if state_of(run) in LIVE:
            mailbox.send(run, "abort")


def main(way: Callable[[Walk], None], about: str | None) -> int:
    """Read the arguments, and go one way through the studio."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where the screens go (a new temporary folder)")
    parser.add_argument("--size", default="80x24", help="cells of the terminal, as 80x24")
    parser.add_argument("--colours", choices=COLOURS, default="default")
    options = parser.parse_args()
    if not shutil.which("tmux"):
        print("the walk needs tmux", file=sys.stderr)
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ftui-walk-seen-"))
    folder.mkdir(parents=True, exist_ok=True)
    width, _, height = options.size.partition("x")
    print(f"{options.size}, {options.colours} colours, into {folder}")
    with surroundings(folder, (int(width), int(height)), options.colours) as walk:
        try:
            way(walk)
        except NotShown as missing:
            walk.told.append(f"== NOT SEEN: {missing}")
            print(missing, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(take, __doc__))
