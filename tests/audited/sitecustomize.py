"""Watches a Python process from its first line to its last: on PYTHONPATH, it is imported before everything else.

With FTUI_AUDIT=FILE, each process that has this folder on its PYTHONPATH, and each that it starts, appends to FILE a
line of JSON for everything that `auditing` judges: pickles, sockets, code from texts, files opened to be written,
programs that are started. What native code does by itself raises no event.
"""

import json
import os
import sys

_FILE = os.environ.get("FTUI_AUDIT")
_SOCKETS = {f"socket.{name}" for name in ("connect", "bind", "sendto", "sendmsg", "getaddrinfo")} | {
    "urllib.Request"
}
_PATHS = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.truncate": 0, "os.remove": 0}
_PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
_PASSING = (
    "/pickle.py",
    "/socket.py",
    "/subprocess.py",
    "/os.py",
    "/pathlib.py",
    "/tempfile.py",
    "/shutil.py",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _passes_on(file: str) -> bool:
    return file.endswith(_PASSING) or "/jinja2/" in file or file.startswith("<frozen")


def _watch(file: str) -> None:
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    seen: set[tuple[str, str, str]] = set()
    getframe, writes, absolute, fsdecode = sys._getframe, os.write, os.path.abspath, os.fsdecode

    def origin() -> str:
        """The file whose code asked for it, past the modules of the library that only pass it on.

        The interpreter itself asks for the code of its command line.
        """
        try:
            frame = getframe(3)
        except ValueError:
            return "the command line"
        while frame.f_back is not None and _passes_on(frame.f_code.co_filename):
            frame = frame.f_back
        return str(frame.f_code.co_filename)

    def note(event: str, detail: str) -> None:
        key = (event, detail, origin())
        if key not in seen:
            seen.add(key)
            record = {"event": event, "detail": detail[:2000], "origin": key[2], "pid": os.getpid()}
            writes(log, json.dumps({**record, "argv": list(getattr(sys, "argv", []))[:4]}).encode() + b"\n")

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            by_mode = isinstance(mode, str) and set(mode) & set("wax+")
            by_flags = isinstance(flags, int) and flags & _WRITES
            if (by_mode or by_flags) and isinstance(path, (str, bytes)):
                note("write", absolute(fsdecode(path)))
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if name.startswith("<") and not name.startswith("<frozen"):
                note("exec", name)
        elif event == "compile":
            source, name = arguments
            if source is not None and not str(name).endswith(".py"):
                note("compile", str(name))
        elif event == "pickle.find_class":
            note("pickle", f"{arguments[0]}.{arguments[1]}")
        elif event == "marshal.loads" or event == "marshal.load":
            if not getframe(1).f_code.co_filename.startswith("<frozen"):
                note("marshal", "")
        elif event in _SOCKETS:
            note(event, _address(arguments))
        elif event in _PATHS:
            path = arguments[_PATHS[event]]
            in_open_folder = event != "os.truncate" and arguments[-1] not in (-1, None)
            if isinstance(path, (str, bytes)) and not in_open_folder:
                note("write", absolute(fsdecode(path)))
        elif event in _PROGRAMS:
            given = arguments[1] if len(arguments) > 1 else arguments[0]
            text = given if isinstance(given, (str, bytes)) else " ".join(map(str, given or ()))
            note("program", f"{'text' if isinstance(given, (str, bytes)) else 'list'}: {text!s}")

    sys.addaudithook(hook)


def _address(arguments: tuple[object, ...]) -> str:
    sock = arguments[0]
    family = getattr(getattr(sock, "family", None), "name", "")
    return f"{family} {arguments[1] if len(arguments) > 1 and family else arguments[:2]}".strip()


if _FILE:
    _watch(_FILE)
