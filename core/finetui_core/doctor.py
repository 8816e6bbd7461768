"""What ftui needs from the terminal and the machine, checked one by one, each with the line that mends it."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from finetui_core.programs import run_tool
from finetui_core.runs.logind import answer, read_logins
from finetui_core.wording import size

State = Literal["ok", "note", "warning", "error"]

LEAST_DISK, SMALL_DISK = 2**30, 10 * 2**30  # bytes
LONGEST_ESCAPE = 50  # milliseconds; tmux's default is 500, its manual's advice for fast terminals is below 50
_DEAD_TERMINALS = ("", "dumb", "unknown")
_TRUE_COLOUR = ("truecolor", "24bit")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `found` says how it is, `mend` is the one line that makes it better, if anything does."""

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the checks look: the environment, other programs, files below `root`, and what tells of the GPUs."""

    runs: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    tool: Callable[..., str | None] = run_tool
    root: Path = Path("/")
    read_gpus: Callable[[], tuple[list[dict[str, Any]], str | None]] | None = None
    torch_folder: Path | None = None


def check_all(around: Surroundings) -> list[Check]:
    """Every check that applies here, in the order in which they are read."""
    gpu = _gpu(around)
    return [
        _terminal(around.environ),
        _colours(around.environ),
        *_tmux(around),
        *_ssh(around.environ),
        _locale(around.environ),
        gpu,
        _torch(around, has_gpu=gpu.state == "ok"),
        _disk(around.runs),
        *_logind(around),
    ]


def _terminal(environ: Mapping[str, str]) -> Check:
    term = environ.get("TERM", "")
    if term in _DEAD_TERMINALS:
        what = f"TERM is {term or 'not set'}: the screens cannot be drawn, the commands work"
        return Check("terminal", "error", what, "export TERM=xterm-256color")
    return Check("terminal", "ok", f"TERM is {term}")


def _colours(environ: Mapping[str, str]) -> Check:
    """How many colours Textual will use; it goes by these two variables (Rich's rule)."""
    if environ.get("NO_COLOR"):
        return Check("colours", "ok", "none, as NO_COLOR asks; nothing is told by colour alone")
    if environ.get("COLORTERM", "").strip().lower() in _TRUE_COLOUR:
        return Check("colours", "ok", "16 million: COLORTERM says so")
    term = environ.get("TERM", "")
    if term.endswith("256color") or term in ("xterm-kitty", "kitty"):
        return Check("colours", "ok", "256, which all themes are made for")
    if term == "linux":
        return Check("colours", "note", "16: the console of Linux has no more")
    mend = {"xterm": "export TERM=xterm-256color"}.get(term, "export COLORTERM=truecolor")
    mend = "export TERM=tmux-256color" if environ.get("TMUX") else mend
    return Check("colours", "warning", f"16: all that TERM={term or '(not set)'} promises", mend)


def _tmux(around: Surroundings) -> Iterator[Check]:
    if around.environ.get("STY"):
        what = "GNU screen: no clipboard, 16 or 256 colours"
        yield Check("multiplexer", "note", what, "tmux new    # instead of screen")
    if not around.environ.get("TMUX"):
        return
    options = _tmux_options(around.tool("tmux", "show-options", "-s") or "")
    if not options:
        yield Check("tmux", "warning", "TMUX is set, but tmux does not answer", "unset TMUX")
        return
    delay = options.get("escape-time", "500")
    if delay.isdecimal() and int(delay) > LONGEST_ESCAPE:
        what = f"Escape is held back for {delay} ms (escape-time)"
        yield _tmux_mend("tmux escape", what, "set -s escape-time 10")
    else:
        yield Check("tmux escape", "ok", f"escape-time is {delay} ms")
    clipboard = options.get("set-clipboard", "external")
    if clipboard != "on":
        what = f"set-clipboard is {clipboard}: copied text reaches tmux's own buffer, not the clipboard"
        yield _tmux_mend("tmux clipboard", what, "set -s set-clipboard on")
    else:
        yield Check("tmux clipboard", "ok", "set-clipboard is on")
    name = options.get("default-terminal", "screen").strip('"')
    if name.endswith(("256color", "direct")):
        yield Check("tmux colours", "ok", f"default-terminal is {name}")
    else:
        what = f"default-terminal is {name}, which has 16 colours"
        yield _tmux_mend("tmux colours", what, "set -s default-terminal tmux-256color")


def _tmux_options(text: str) -> dict[str, str]:
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs if value}


def _tmux_mend(name: str, what: str, line: str) -> Check:
    return Check(name, "warning", what, f"echo '{line}' >> ~/.tmux.conf && tmux {line}")


def _ssh(environ: Mapping[str, str]) -> Iterator[Check]:
    if not environ.get("SSH_CONNECTION"):
        return
    if environ.get("COLORTERM") or environ.get("NO_COLOR"):
        yield Check("ssh", "ok", "a remote terminal; COLORTERM has come along")
    else:
        what = "a remote terminal; ssh leaves COLORTERM behind, so at most 256 colours are used"
        yield Check("ssh", "note", what, "export COLORTERM=truecolor    # if your own terminal has it")


def _locale(environ: Mapping[str, str]) -> Check:
    name = next((variable for variable in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(variable)), "LANG")
    value = environ.get(name, "")
    if re.search(r"utf-?8", value, re.IGNORECASE):
        return Check("locale", "ok", f"UTF-8 ({name}={value})")
    what = f"{name} is {value or 'not set'}: lines and charts may be drawn with the wrong characters"
    return Check("locale", "warning", what, "export LC_ALL=C.UTF-8")


def _gpu(around: Surroundings) -> Check:
    gpus, note = (around.read_gpus or _nvml())()
    if gpus and not note:
        names = ", ".join(f"{gpu.get('name') or 'GPU'} {size(gpu.get('memory_total'))}" for gpu in gpus)
        return Check("GPU", "ok", names)
    if note in (None, "no NVIDIA GPU"):
        return Check("GPU", "note", "no NVIDIA GPU: training uses the processor")
    return Check("GPU", "error", str(note), "nvidia-smi    # shows whether the driver itself works")


def _nvml() -> Callable[[], tuple[list[dict[str, Any]], str | None]]:
    from finetui_core.hardware.nvml import GpuProbe

    return GpuProbe().read


def _torch(around: Surroundings, *, has_gpu: bool) -> Check:
    """The build of PyTorch, read from its version file: importing it takes seconds."""
    folder = around.torch_folder or _package_folder("torch")
    if folder is None:
        what = "not installed: this is the viewer, it cannot train"
        return Check("PyTorch", "note", what, "pip install 'finetui[train]'")
    try:
        text = (folder / "version.py").read_text()
    except OSError as error:
        what = f"its version cannot be read: {error.strerror}"
        return Check("PyTorch", "error", what, "pip install --force-reinstall torch")
    version = _assigned("__version__", text) or "of unknown version"
    devices = next(
        (f"{name} {_assigned(name, text)}" for name in ("cuda", "hip") if _assigned(name, text)), ""
    )
    if has_gpu and not devices:
        what = f"{version} is built without CUDA: the GPU would stay idle"
        return Check("PyTorch", "error", what, "uv pip install --reinstall torch --torch-backend=auto")
    return Check("PyTorch", "ok", f"{version}, {devices or 'for the processor'}")


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _assigned(name: str, text: str) -> str | None:
    found = re.search(rf"^{name}\b[^=\n]*= *['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else None


def _disk(runs: Path) -> Check:
    folder = next(place for place in (runs, *runs.parents) if place.exists())
    mend = "export FTUI_RUNS=/a/folder/with/room"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check("runs folder", "error", f"{runs}: {folder} cannot be written to", mend)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("runs folder", "error", f"{runs}: {error.strerror}", mend)
    state: State = "error" if free < LEAST_DISK else "warning" if free < SMALL_DISK else "ok"
    return Check("runs folder", state, f"{runs}: {size(free)} free", "" if state == "ok" else mend)


def _logind(around: Surroundings) -> Iterator[Check]:
    """Whether systemd ends a run when its user logs out, and whether that is answered."""
    logins = read_logins(around.root, around.tool)
    if logins is None:
        return
    found = answer(logins, around.tool)
    if found.warning:
        yield Check("logging out", "warning", found.warning, found.mend)
    elif found.prefix:
        what = "runs go on: they are started outside of this login (systemd-run --user --scope, you linger)"
        yield Check("logging out", "ok", what)
    elif logins.unit == "other":
        yield Check("logging out", "ok", "runs go on: this is no login of systemd's")
    elif logins.unit == "user":
        yield Check("logging out", "ok", "runs go on (you linger)")
    else:
        yield Check("logging out", "ok", "runs go on (KillUserProcesses is off for you)")
