"""Templates, recipes, other trainers' files and run directories that are to do harm."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

from event_files import record, scalar, version
from malicious import CHECK, RESUME, STATUS, Fixture, hollow, option
from malicious_models import trusting_recipe

RECIPE_CHECK = ("recipe", "check", "recipe.toml")


def template(text: str) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        (project / "t.jinja").write_text(text)
        option(project, "model", 'chat_template = "t.jinja"')

    return make


_EVERY = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content }}{% endfor %}"
_STOPPED = "chat template was stopped"
_LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

TEMPLATES = [
    Fixture("template", name, template(text), CHECK, says, codes)
    for name, text, says, codes in [
        ("attributes", "{{ ''.__class__.__mro__[1].__subclasses__() }}" + _EVERY, "", (2, 3)),
        ("globals", "{{ cycler.__init__.__globals__.os.system('touch \"$CANARY\"') }}", "", (2, 3)),
        ("globals through a filter", "{{ lipsum|attr('__globals__') }}" + _EVERY, "", (0, 2, 3)),
        ("format with attributes", "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}", "",
         (0, 2, 3)),
        ("a range of 10^12", "{% for i in range(10 ** 12) %}x{% endfor %}", "", (2, 3)),
        ("loops in loops", _LOOP, _STOPPED, (2,)),
        ("a text 10^9 times", "{{ 'a' * 10 ** 9 }}", _STOPPED, (2,)),
        ("padding of 10^9", "{{ ('%' ~ 10 ** 9 ~ 'd') % 1 }}", _STOPPED, (2,)),
        ("centred in 10^9", "{{ 'a'|center(10 ** 9) }}", _STOPPED, (2,)),
        ("a power", "{{ 9 ** (9 ** (9 ** 9)) }}", _STOPPED, (2,)),
        ("doubling", "{% set n = namespace(t='a') %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
         _STOPPED, (2,)),
        ("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "", (2, 3)),
        ("include", "{% include '../outside/secret.txt' %}" + _EVERY, "", (2, 3)),
        ("import", "{% import '/etc/passwd' as x %}{{ x }}", "", (2, 3)),
        ("much output", "{% for i in range(99999) %}{{ 'abcdefgh' * 99 }}{% endfor %}", _STOPPED, (2,)),
        ("escapes in what it says", "{{ raise_exception('\x1b]52;c;AAAA\x07\x9b2J') }}", "", (2, 3)),
        ("nested 5,000 deep", "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}", "", (2, 3)),
        ("100,000 blocks deep", "{% if 1 %}" * 100_000, "", (2, 3)),
        ("a megabyte and more", "x" * 2_000_000, "template", (2,)),
    ]
]  # fmt: skip


def recipe(text: str) -> Callable[[Path], object]:
    return lambda project: (project / "recipe.toml").write_text(text)


def replaced(put: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        path = project / "recipe.toml"
        path.unlink()
        put(path)

    return make


def linked(name: str, target: str, table: str, key: str) -> Callable[[Path], None]:
    """An option that names a link in the project, which leads elsewhere."""

    def make(project: Path) -> None:
        (project / name).symlink_to(target)
        option(project, table, f'{key} = "{name}"')

    return make


def train_rows(path: str) -> Callable[[Path], object]:
    return recipe(f'[model]\nname = "model"\n[data]\ntrain = {json.dumps(path)}\n')


_KEPT = "keys, passwords or devices"

RECIPES = [
    Fixture("recipe", name, make, RECIPE_CHECK, says, codes)
    for name, make, says, codes in [
        ("nested 10^5 deep", recipe("[model]\nname = " + "[" * 100_000), "", (2,)),
        ("tables nested 10^5 deep", recipe("[" + "a." * 100_000 + "a]\nx = 1"), "", (2,)),
        ("dotted keys", recipe("a" + ".a" * 50_000 + " = 1"), "", (2,)),
        ("10^5 digits", recipe("[train]\nseed = " + "9" * 100_000), "", (2,)),
        ("a date", recipe("[train]\nseed = 1979-05-27T07:32:00Z"), "", (2,)),
        ("infinity", recipe("[train]\nlearning_rate = inf\nweight_decay = nan"), "", (2,)),
        ("20,000 unknown keys", recipe("[train]\n" + "".join(f"k{n} = 1\n" for n in range(20_000))), "", (2,)),
        ("a hole of 5 GB", lambda p: hollow(p / "recipe.toml", 5 << 30), "too large", (2,)),
        ("a pipe", replaced(os.mkfifo), "not a regular file", (2,)),
        ("a link to /dev/zero", replaced(lambda p: p.symlink_to("/dev/zero")), "not a regular file", (2,)),
        ("control characters", train_rows("\x1b]52;c;AAAA\x07.jsonl"), "no file", (2,)),
        ("a key of the home folder", train_rows("~/.ssh/id_ed25519"), _KEPT, (2,)),
        ("a key by a path upwards", train_rows("../home/.ssh/id_ed25519"), _KEPT, (2,)),
        ("a key by a link", linked("t.txt", "../home/.ssh/id_ed25519", "model", "chat_template"), _KEPT, (2,)),
        ("the environment as text", linked("t.txt", "/proc/self/environ", "eval", "forgetting_probe"), _KEPT, (2,)),
        ("a folder of keys as a model", recipe('[model]\nname = "~/.ssh"\n[data]\ntrain = "train.jsonl"'),
         _KEPT, (2,)),
        ("a template without end", linked("t.txt", "/dev/zero", "model", "chat_template"), "", (2,)),
        ("somebody else's home", train_rows("~nobody-of-this-name/x.jsonl"), "", (2,)),
        ("a name of 10^5 letters", train_rows("a" * 100_000), "", (2,)),
        ("a NUL in a name", train_rows("a\x00b"), "", (2,)),
    ]
]  # fmt: skip


def written(name: str, content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda project: (project / name).write_bytes(raw)


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


def _import(name: str, trainer: str = "axolotl") -> tuple[str, ...]:
    return ("recipe", "import", name, "--from", trainer)


def foreign(name: str, content: bytes) -> Callable[[Path], None]:
    def make(project: Path) -> None:
        (project / "runs" / "run").mkdir(parents=True)
        (project / "runs" / "run" / name).write_bytes(content)

    return make


def _event_file(*records: bytes) -> bytes:
    return b"".join([version(), scalar(1, "train/loss", 2.0), *records])


IMPORTS = [
    Fixture("import", name, make, _import(file), says, (2,))
    for name, file, make, says in [
        ("YAML: aliases of aliases", "c.yml", written("c.yml", _bomb()), "too large"),
        ("YAML: a Python object", "c.yml",
         written("c.yml", "base_model: !!python/object/apply:os.system ['touch \"$CANARY\"']"), "not a plain value"),
        ("YAML: a module", "c.yml", written("c.yml", "base_model: !!python/module:antigravity ''"),
         "not a plain value"),
        ("YAML: nested deeply", "c.yml", written("c.yml", "a: " + "[" * 90_000), ""),
        ("YAML: an alias of itself", "c.yml", written("c.yml", "a: &a [*a]"), ""),
        ("YAML: a hole of 5 GB", "c.yml", lambda p: hollow(p / "c.yml", 5 << 30), "too large"),
        ("YAML: a pipe", "c.yml", lambda p: os.mkfifo(p / "c.yml"), "not a regular file"),
    ]
] + [
    Fixture("import", name, make, STATUS, says, codes)
    for name, make, says, codes in [
        ("events: a record of 2^60 bytes",
         foreign("events.out.tfevents.1", _event_file(struct.pack("<QI", 1 << 60, 0))), "", (0,)),
        ("events: a text of 60 MB",
         foreign("events.out.tfevents.1", _event_file(record(bytes(60_000_000)))), "", (0,)),
        ("events: numbers without end", foreign("events.out.tfevents.1", _event_file(record(b"\xff" * 5_000_000))),
         "", (0,)),
        ("trainer state: nested deeply", foreign("trainer_state.json", b"[" * 1_000_000), "", (0, 1, 2)),
        ("trainer state: 10^6 digits", foreign("trainer_state.json", b'{"global_step": ' + b"9" * 1_000_000 + b"}"),
         "", (0, 1, 2)),
        ("trainer state: a hole of 3 GB",
         lambda p: (foreign("trainer_state.json", b"")(p), hollow(p / "runs/run/trainer_state.json", 3 << 30)),
         "", (0, 1, 2)),
        ("metrics: a line of 100 MB", foreign("metrics.jsonl", b'{"step": 1, "loss": "' + b"a" * 100_000_000),
         "", (0, 1)),
    ]
]  # fmt: skip


def own_run(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """A run directory of ours that a stranger has changed."""

    def make(project: Path) -> None:
        from finetui_core.recipe.load import load_recipe, recipe_json
        from finetui_core.runs.records import End
        from run_folders import START, write_run

        (project / "runs").mkdir()
        made = write_run(project / "runs", steps=60, end=End(START + 60, 1, reason="exit code 1"))
        root = made.root.rename(project / "runs" / "run")
        resolved = recipe_json(load_recipe(project / "recipe.toml"))
        (root / "recipe.resolved.json").write_text(json.dumps(resolved))
        change(root)

    return make


def in_place(name: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        put(root / name)

    return own_run(change)


def checkpoint(files: dict[str, object]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        folder = root / "checkpoints" / "step-000050"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"step": 50, "files": files}))

    return own_run(change)


def forged_consent(project: Path) -> None:
    """A run of a model with code, whose run.json says that somebody agreed."""
    from finetui_core.recipe.load import load_recipe
    from finetui_core.recipe.remote_code import pin_of

    trusting_recipe(project)
    pin = pin_of(load_recipe(project / "recipe.toml").model)

    def change(root: Path) -> None:
        identity = json.loads((root / "run.json").read_text())
        consent = {"pin": pin, "at": 1.0, "by": "you"}
        (root / "run.json").write_text(json.dumps({**identity, "remote_code": consent}))

    own_run(change)(project)


RUNS = [
    Fixture("run directory", name, make, command, says, codes)
    for name, make, command, says, codes in [
        ("events: a hole of 5 GB", own_run(lambda r: hollow(r / "events.jsonl", 5 << 30)), STATUS, "", (0, 1)),
        ("metrics: a pipe", in_place("metrics/0001.jsonl", os.mkfifo), STATUS, "", (0, 1)),
        ("heartbeat: a link to /dev/zero", in_place("heartbeat.json", lambda p: p.symlink_to("/dev/zero")),
         STATUS, "", (0, 1)),
        ("run.json: nested deeply",
         own_run(lambda r: (r / "run.json").write_text("[" * 1_000_000)), STATUS, "", (2,)),
        ("recipe: a pipe", in_place("recipe.resolved.json", os.mkfifo), RESUME, "no recipe that can be read", (2,)),
        ("checkpoint: files elsewhere",
         checkpoint({"../../../../../outside/secret.txt": {"size": 51, "sha256": "0" * 64}}),
         RESUME, "passed over", (0, 1, 2)),
        ("consent that this user never gave", forged_consent, RESUME, "nobody agreed", (2,)),
    ]
]  # fmt: skip
