"""Damage to checkpoints, of every kind that disks, people and programs do, drawn at random from a seed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

MANIFEST = "manifest.json"
Damage = Callable[[Random, Path, Path], None]
"""Takes the source of chance, the checkpoint to damage, and another one of the same run."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _one(random: Random, folder: Path) -> Path:
    return random.choice(_files(folder))


def _rewrite(path: Path, content: bytes) -> None:
    """As a new file: the old one may be linked elsewhere."""
    path.unlink()
    path.write_bytes(content)


def flip(random: Random, folder: Path, other: Path) -> None:
    path = _one(random, folder)
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    _rewrite(path, bytes(content))


def cut(random: Random, folder: Path, other: Path) -> None:
    path = _one(random, folder)
    content = path.read_bytes()
    _rewrite(path, content[: random.randrange(len(content))])


def drop(random: Random, folder: Path, other: Path) -> None:
    _one(random, folder).unlink()


def swap(random: Random, folder: Path, other: Path) -> None:
    """One file, or the manifest, of another generation."""
    path = _one(random, folder)
    _rewrite(path, (other / path.relative_to(folder)).read_bytes())


def swap_all(random: Random, folder: Path, other: Path) -> None:
    """The whole of another generation under this one's name."""
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def edit_json(random: Random, folder: Path, other: Path) -> None:
    """One value of a JSON file, its manifest among them, written anew by some program."""
    path = random.choice([one for one in _files(folder) if one.suffix == ".json"])
    value = json.loads(path.read_bytes())
    holder, key = value, None
    while isinstance(holder, dict | list) and holder:
        at = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[at], dict | list) or not holder[at]:
            key = at
            break
        holder = holder[at]
    if key is not None:
        holder[key] = random.choice([holder[key] + 1] if isinstance(holder[key], int) else [None, "", 39, []])
    _rewrite(path, json.dumps(value, indent=random.choice([None, 1, 2])).encode())


def drop_entry(random: Random, folder: Path, other: Path) -> None:
    """A file and its entry in the manifest."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_bytes())
    name = random.choice(sorted(manifest["files"]))
    del manifest["files"][name]
    _rewrite(path, json.dumps(manifest, indent=1).encode())
    if random.random() < 0.5:
        (folder / name).unlink()


def reseal(random: Random, folder: Path, other: Path) -> None:
    """A file changed and its new hash and size written into the manifest, whose own hash is left."""
    import hashlib

    path = folder / MANIFEST
    manifest = json.loads(path.read_bytes())
    name = random.choice(sorted(manifest["files"]))
    content = bytearray((folder / name).read_bytes() + b"x")
    _rewrite(folder / name, bytes(content))
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _rewrite(path, json.dumps(manifest, indent=1).encode() + b"\n")


def zero(random: Random, folder: Path, other: Path) -> None:
    """A stretch that was never written, as after a power cut."""
    path = _one(random, folder)
    content = bytearray(path.read_bytes())
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice([1, 512, 4096, len(content)]))
    content[start:end] = bytes(end - start)
    _rewrite(path, bytes(content))


def append(random: Random, folder: Path, other: Path) -> None:
    path = _one(random, folder)
    _rewrite(path, path.read_bytes() + random.choice([b"\n", b" ", b"\0" * 512, b"{}"]))


def rename(random: Random, folder: Path, other: Path) -> None:
    path = _one(random, folder)
    path.rename(path.with_name(random.choice([f"{path.name}.bak", f"old-{path.name}", path.name.upper()])))


def exchange(random: Random, folder: Path, other: Path) -> None:
    """Two files of the checkpoint under each other's names."""
    first, second = random.sample(_files(folder), 2)
    kept = first.read_bytes()
    _rewrite(first, second.read_bytes())
    _rewrite(second, kept)


def extra(random: Random, folder: Path, other: Path) -> None:
    """A file that a loader might take for a part of the model."""
    name = random.choice(["pytorch_model.bin", "model.safetensors.index.json", "modeling.py", ".hidden"])
    (folder / name).write_bytes(b"{}")


def link(random: Random, folder: Path, other: Path) -> None:
    """A link in the place of a file, to a file of the same content."""
    path = _one(random, folder)
    away = folder.parent.parent / f"moved-{path.name}"
    away.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(away)


def as_folder(random: Random, folder: Path, other: Path) -> None:
    path = _one(random, folder)
    path.unlink()
    path.mkdir()


def other_run(random: Random, folder: Path, other: Path) -> None:
    """The manifest, rightly sealed, of a run with another id."""
    import msgspec

    from finetui_core.runs.manifest import decode, encode

    manifest = decode((folder / MANIFEST).read_bytes())
    renamed = msgspec.structs.replace(manifest, run=f"{manifest.run[:-6]}{random.randrange(16**6):06x}")
    _rewrite(folder / MANIFEST, encode(renamed))


def other_step(random: Random, folder: Path, other: Path) -> None:
    """The manifest, rightly sealed, with another step."""
    import msgspec

    from finetui_core.runs.manifest import decode, encode

    manifest = decode((folder / MANIFEST).read_bytes())
    _rewrite(folder / MANIFEST, encode(msgspec.structs.replace(manifest, step=random.randrange(10**6))))


KINDS: tuple[Damage, ...] = (
    flip, cut, drop, swap, swap_all, edit_json, drop_entry, reseal, zero, append, rename, exchange, extra, link,
    as_folder, other_run, other_step,
)  # fmt: skip


def content_of(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder, to tell damage from what changed nothing."""
    return {
        str(path.relative_to(folder)): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else "folder"
        )
        for path in folder.rglob("*")
    }


def link_copy(source: Path, target: Path) -> None:
    """A copy that costs no bytes; damage writes new files."""
    shutil.copytree(source, target, copy_function=os.link)


def try_damage(
    random: Random, kind: Damage, older: Path, newer: Path, runs: Path
) -> tuple[bool, bool] | None:
    """Damage a copy of `newer`; whether it was noticed and whether `older` was then taken, None if nothing changed.

    `runs` is an empty folder for the copies; run.json of the run that the checkpoints are of is put into it.
    """
    from finetui_core.runs.checkpoints import newest_valid

    root = runs / "run"
    checkpoints = root / "checkpoints"
    checkpoints.mkdir(parents=True)
    try:
        os.link(newer.parent.parent / "run.json", root / "run.json")
        copies = [checkpoints / older.name, checkpoints / newer.name]
        for source, copy in zip((older, newer), copies, strict=True):
            link_copy(source, copy)
        kind(random, copies[1], copies[0])
        if content_of(copies[1]) == content_of(newer):
            return None
        taken, skipped = newest_valid(checkpoints)
        noticed = [one.path for one in skipped] == [copies[1]] and bool(skipped[0].reason)
        return noticed, taken is not None and taken.path == copies[0]
    finally:
        shutil.rmtree(runs)
        runs.mkdir()
