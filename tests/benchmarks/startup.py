"""How fast `ftui` answers, as ratios to a bare Textual app in the same run.

    python tests/benchmarks/startup.py [ROUNDS]

Each round starts every program once, in turn, in a pseudo-terminal of 80x24, and takes the wall time until its
first text is painted (for `--help`: until it exits). Prints medians, ratios, and which training libraries the
interface's process has imported.
"""

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("painted")
Bare().run()
"""
FTUI = "import sys; from finetui.__main__ import main; sys.exit(main(sys.argv[1:]))"
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy")
IMPORTS = f"""
import sys
from pathlib import Path
from finetui.app import Studio
app = Studio(Path(sys.argv[1]))
async def first_frame():
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
import asyncio
asyncio.run(first_frame())
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def seconds_until(code: str, arguments: list[str], marker: bytes, folder: str) -> float:
    """Wall seconds from starting Python on `code` until `marker` appears on its terminal."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "FTUI_RUNS": folder}
        os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    while marker not in seen and select.select([terminal], [], [], 30)[0]:
        seen += os.read(terminal, 65536)
    took = time.perf_counter() - began
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return took


def seconds_of_help() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FTUI, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    folder = tempfile.mkdtemp()
    names = ("bare Textual app", "ftui, first frame", "ftui, runs listed", "ftui --help")
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        figures = (
            seconds_until(BARE, [], b"painted", folder),
            seconds_until(FTUI, [], b" ftui ", folder),
            seconds_until(FTUI, [], b"There are no runs", folder),
            seconds_of_help(),
        )
        if number:  # the first round fills the caches
            for name, seconds in zip(taken, figures, strict=True):
                taken[name].append(seconds)
    base = statistics.median(taken["bare Textual app"])
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"{name:<20}{median * 1000:7.0f} ms   {median / base:.2f} of the bare app")
    loaded = subprocess.run(
        [sys.executable, "-c", IMPORTS, folder], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"imported after the first frame, of {', '.join(HEAVY)}: {loaded}")
    Path(folder).rmdir()


if __name__ == "__main__":
    main()
