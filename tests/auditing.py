"""What processes did while they were watched (`audited/sitecustomize.py`), and what of it must not have been.

Each exception names where it comes from and why it is harmless. A hook sees what Python does; sockets that native
code opens are looked for in the kernel's own list, and files that it writes are seen by `test_run_ownership`.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TESTS = Path(__file__).parent
AUDITED = TESTS / "audited"
LIBRARIES = tuple({str(Path(path).resolve()) for path in sys.path if path} | {sys.prefix, sys.base_prefix})


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of thing that a process did; `origin` is the file whose code did it."""

    event: str
    detail: str
    origin: str
    pid: int
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.event} {self.detail} by {self.origin} in {' '.join(self.argv)}"


CODE_MAKERS: Mapping[str, str] = {
    "the command line": "what the process was started with",
    "/dataclasses.py": "writes the methods of a dataclass from its fields",
    "/collections/__init__.py": "writes the methods of a namedtuple from its fields",
    "/typing.py": "reads an annotation that is a text",
    "/inspect.py": "reads the signature of a builtin",
    "/enum.py": "writes the methods of an enumeration",
    "/numpy/": "writes functions from its own tables",
    "/torch/": "writes functions from its own sources",
    "/sympy/": "writes functions from its own tables; torch imports it",
    "/attr/": "writes the methods of a class from its fields",
    "/pydantic/": "reads an annotation that is a text",
    "/typing_extensions.py": "reads an annotation that is a text",
    "/scipy/": "writes functions from its own sources; libraries import it",
    "/huggingface_hub/": "writes a dataclass's methods from its fields; fills in its own model card template",
    "/pyparsing/": "writes functions from its own sources",
    "/typing_inspection/": "looks for the names of the typing module",
    "/mpmath/": "writes functions from its own tables; sympy imports it",
    "/ast.py": "reads a text as a syntax tree, and runs nothing",
}
"""Where code from texts may come from: the texts are the library's own, never data."""
CHAT_TEMPLATES = "/transformers/utils/chat_template_utils.py"
"""What makes code of a chat template, which is a stranger's: only in the worker, under limits of time and memory."""
PICKLES: Mapping[str, str] = {}
"""Where a pickle may be read; nowhere."""
SHELLS: Mapping[str, str] = {
    "/ctypes/util.py": "asks the linker where a library lies",
    "/platform.py": "asks the system for its name",
    "/uuid.py": "asks the system for its address",
}


DEVICES = ("/dev/null", "/dev/tty", "/dev/pts/", "/dev/ptmx", "/proc/")


def environment(log: Path, home: Path) -> dict[str, str]:
    """The environment in which a process and all that it starts are watched, with all its folders below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [str(AUDITED), *before, str(TESTS.parent / "core"), str(TESTS.parent / "tui"), str(TESTS)]
    inherited = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    return {
        **inherited,
        "FTUI_AUDIT": str(log),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "HF_HUB_OFFLINE": "1",
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "STATE", "CACHE", "DATA")},
    }


def seen_in(log: Path) -> list[Seen]:
    lines = log.read_bytes().splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines]
    return [
        Seen(*(one[key] for key in ("event", "detail", "origin", "pid")), tuple(one["argv"]))
        for one in records
    ]


def faults(seen: Sequence[Seen], folders: Sequence[Path]) -> list[Seen]:
    """What must not have been; files may be written only below `folders`."""
    return [one for one in seen if _is_fault(one, [str(folder.resolve()) for folder in folders])]


def _is_fault(one: Seen, folders: Sequence[str]) -> bool:
    match one.event:
        case "pickle" | "marshal":
            return not _from(one, PICKLES)
        case "exec" | "compile":
            return not (
                _from(one, CODE_MAKERS) or (_is_template_worker(one) and CHAT_TEMPLATES in one.origin)
            )
        case "write":
            return not _may_write(one.detail, folders)
        case "program":
            shell = one.detail.startswith("text: ") or one.detail.split()[1].endswith(("/sh", "/bash"))
            return shell and not _from(one, SHELLS)
        case "socket.getaddrinfo" | "urllib.Request":
            return not any(name in one.detail for name in ("localhost", "127.0.0.1"))
        case "socket.connect" | "socket.bind" | "socket.sendto" | "socket.sendmsg":
            return not one.detail.startswith("AF_UNIX")
    return True


def _from(one: Seen, known: Mapping[str, str]) -> bool:
    return any(part in one.origin for part in known)


def _is_template_worker(one: Seen) -> bool:
    return any("template_worker" in word for word in one.argv)


def _may_write(path: str, folders: Sequence[str]) -> bool:
    """Devices hold nothing; byte code lies beside the code that it is made from."""
    kept = os.path.realpath(path)
    return (
        any(kept == folder or kept.startswith(f"{folder}/") for folder in folders)
        or kept.startswith(DEVICES)
        or ("/__pycache__/" in f"{path}/" and path.startswith(LIBRARIES))
    )


@contextmanager
def listening_watched(found: list[str], every: float = 0.1) -> Iterator[None]:
    """Look again and again, while this lasts, for listening sockets of this process's descendants, and name them."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error, OSError):
                    for connection in process.net_connections(kind="inet"):
                        if connection.status == psutil.CONN_LISTEN:
                            found.append(f"{' '.join(process.cmdline()[:4])} listens at {connection.laddr}")

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
