"""What ftui's own code never does: load code with data, start a shell, listen, render templates without limits.

    python tests/house_rules.py [FOLDER ...]

Prints `file:line: what` for each fault and ends with 1 where there is one. Read from the syntax tree: a name in a
text or a comment is no fault.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "tui", "docs/make", "sample_data/make")

PICKLES = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
}
SERVERS = {
    "socketserver",
    "http.server",
    "wsgiref",
    "xmlrpc",
    "xmlrpc.server",
    "aiohttp",
    "fastapi",
    "flask",
    "uvicorn",
}
CLIENTS = {
    "requests",
    "urllib.request",
    "urllib3",
    "httpx",
    "aiohttp",
    "http.client",
    "httpx2",
    "openai",
    "ftplib",
    "smtplib",
    "telnetlib",
}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"} | {
    "asyncio.create_subprocess_shell"
}
STARTERS = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")}
LISTENERS = {"bind", "listen", "accept", "create_server", "start_server", "start_unix_server"}
TEMPLATES = {"apply_chat_template", "render_jinja_template"}
YAML_LOADS = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
YAML_LOADERS = {"Loader", "CLoader", "FullLoader", "UnsafeLoader"}
BUILTINS = {"eval", "exec", "compile", "__import__"}

ALLOWED = {
    "template": {
        "core/finetui_core/data/template_worker.py",  # under limits of time and memory
        "sample_data/make/pretrain.py",  # the sample model's own template, which lies beside it
        "sample_data/make/read_on.py",
    },
    "network": {  # the two places that speak to a server, if one is named
        "core/finetui_core/evaluate/endpoint.py",
        "core/finetui_core/hosted/client.py",
    },
    "socket": {
        "core/finetui_core/evaluate/endpoint.py",
        "core/finetui_core/hosted/client.py",
        "core/finetui_core/runs/process.py",  # the name of this host
        "core/finetui_core/train/launcher.py",  # where the processes of one training meet, on one address
    },
    "import": {
        "core/finetui_core/cli/main.py",  # one of the commands
        "core/finetui_core/cli/grouped.py",  # one of the commands of a group
        "core/finetui_core/evaluate/scoring.py",  # the user's own measure, named on the command line
    },
}
"""Files in which a rule does not hold, each with the reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where a rule is broken; `rule` is its short name."""

    file: str
    line: int
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what} [{self.rule}]"


def faults_in(source: str, file: str) -> list[Fault]:
    """Every fault in a module's source; `file` is its path from the root of the repository."""
    tree = ast.parse(source, file)
    docstrings = {id(node) for node in _docstrings(tree)}
    found = []
    for node in ast.walk(tree):
        for rule, what in _faults(node, docstrings):
            if file not in ALLOWED.get(rule, ()):
                found.append(Fault(file, getattr(node, "lineno", 0), rule, what))
    return sorted(found, key=lambda fault: fault.line)


def _docstrings(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _faults(node: ast.AST, docstrings: set[int]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield from _of_import(alias.name)
        case ast.ImportFrom(module=str(module)):
            yield from _of_import(module)
            for alias in node.names:
                yield from _of_import(f"{module}.{alias.name}", inner=True)
                yield from _of_name(f"{module}.{alias.name}")
        case ast.Name(id=name, ctx=ast.Load()) if name in BUILTINS:
            yield "code", f"{name} runs what it is given as code"
        case ast.Attribute():
            yield from _of_name(_dotted(node))
        case ast.Call():
            yield from _of_call(node)
        case ast.Constant(value=str(text)) if id(node) not in docstrings:
            if re.match(r"/(?:var/)?tmp(?:/|$)|/dev/shm/", text):
                yield (
                    "tmp",
                    "a name in a folder that all users share can be taken by another one: use tempfile",
                )
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield from _of_option(key.value, value)
        case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
            yield from _of_option(name, value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant() as value):
            yield from _of_option(name, value)


def _of_import(module: str, *, inner: bool = False) -> Iterator[tuple[str, str]]:
    top = module.partition(".")[0]
    if top in PICKLES and not inner:
        yield "pickle", f"{top} can run what it reads: use JSON or safetensors"
    if module in SERVERS or (top in SERVERS and not inner):
        yield "listen", f"{module} is a server, and ftui listens nowhere"
    if module in CLIENTS or (top in CLIENTS and not inner):
        yield (
            "network",
            f"{module} opens connections: only the endpoint of a comparison and a hosted platform may",
        )
    if module == "socket":
        yield "socket", "sockets are opened only to the endpoint of a comparison and to a hosted platform"
    if top == "jinja2" and not inner:
        yield "template", "templates are rendered only in the template worker, under limits"


def _of_name(dotted: str) -> Iterator[tuple[str, str]]:
    first, _, last = dotted.rpartition(".")
    if dotted in ("torch.load", "torch.jit.load", "torch.hub.load", "pandas.read_pickle"):
        yield "pickle", f"{dotted} can run what it reads: use safetensors"
    if dotted in SHELLS or re.fullmatch(r"os\.(?:exec|spawn)[lvpe]+", dotted):
        yield "shell", f"{dotted} starts a program that is not named as a list"
    if dotted == "tempfile.mktemp":
        yield "tmp", "tempfile.mktemp gives a name that another process can take first"
    if first == "builtins" and last in BUILTINS:
        yield "code", f"{last} runs what it is given as code"
    if first == "yaml" and last in YAML_LOADERS:
        yield "yaml", f"yaml.{last} makes objects of what it reads: use yaml.SafeLoader"
    if last in TEMPLATES:
        yield "template", f"{last} has no limits here: use data.template_process"
    if (first in ("socket", "asyncio") or first.endswith(("sock", "socket", "loop"))) and last in LISTENERS:
        yield "listen", f"{dotted} makes a listening socket, and ftui listens nowhere"
    if last in ("_create_unverified_context", "CERT_NONE"):
        yield "network", f"{last} takes any server for the right one"


def _of_call(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = _dotted(node.func)
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield from _of_option(keyword.arg, keyword.value)
    if name in STARTERS and node.args and _is_text(node.args[0]):
        yield "shell", f"{name} is given one text: name the program and its arguments as a list"
    if name.startswith("yaml.") and name.removeprefix("yaml.") in YAML_LOADS and not _loads_safely(node):
        yield "yaml", f"{name} makes objects of what it reads: use yaml.safe_load"
    if name.endswith("import_module") and node.args and not isinstance(node.args[0], ast.Constant):
        yield "import", "the name of what is imported is no constant"


def _of_option(name: str, value: ast.expr) -> Iterator[tuple[str, str]]:
    given = value.value if isinstance(value, ast.Constant) else None
    if name == "shell" and given is not False and isinstance(value, ast.Constant):
        yield "shell", "shell=True lets a shell read the command"
    if name == "allow_pickle" and given is not False:
        yield "pickle", "allow_pickle can run what is read"
    if name == "weights_only" and given is not True:
        yield "pickle", "weights_only=False can run what is read"
    if name == "trust_remote_code" and given is True:
        yield "remote", "trust_remote_code is the recipe's to say, never a constant"
    if name == "verify" and given is False:
        yield "network", "verify=False takes any server for the right one"


def _loads_safely(node: ast.Call) -> bool:
    loaders = [*node.args[1:], *(keyword.value for keyword in node.keywords if keyword.arg == "Loader")]
    return any(_dotted(loader).endswith(("SafeLoader", "CSafeLoader")) for loader in loaders)


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right):
            return _is_text(left) or _is_text(right)
        case ast.Call(func=ast.Attribute(value=value, attr="format" | "join")):
            return _is_text(value)
    return False


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults_of(folders: tuple[str, ...] = FOLDERS, root: Path = ROOT) -> list[Fault]:
    """Every fault in the Python files below the folders."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            found += faults_in(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix())
    return found


def main() -> int:
    faults = faults_of(tuple(sys.argv[1:]) or FOLDERS)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
