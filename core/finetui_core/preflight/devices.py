"""What a run may be put on: the GPUs of the dated table, a plain size of memory, and this machine."""

import datetime
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from finetui_core.errors import InputError, Problem
from finetui_core.folders import config_folder
from finetui_core.hardware.nvml import GpuProbe, Gpus
from finetui_core.preflight.dated_table import DatedTable, Field, read_table
from finetui_core.preflight.figures import Device
from finetui_core.text import visible

SHIPPED = Path(__file__).with_name("devices.toml")
_FIELDS = {
    "device": {
        "name": Field("text", required=True),
        "aliases": Field("texts"),
        "memory_mib": Field("number", required=True),
        "tflops": Field("number"),
        "bandwidth": Field("number"),
        "watts": Field("number"),
        "source": Field("text"),
    }
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(g|gb|gib|m|mb|mib)")
_NOISE = frozenset({"nvidia", "geforce", "tesla", "gpu", "card"})
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Listed:
    """A device of the table, the other names it answers to, and when its figures were looked up."""

    device: Device
    aliases: tuple[str, ...]
    as_of: datetime.date | None


def user_file() -> Path:
    return config_folder() / "devices.toml"


def listed_devices() -> tuple[Listed, ...]:
    """The user's rows, then those that ship with ftui and are not replaced. Raises InputError for a faulty file."""
    own = _rows(read_table(user_file(), _FIELDS)) if user_file().exists() else ()
    names = {one.device.name.casefold() for one in own}
    return (*own, *(one for one in _shipped() if one.device.name.casefold() not in names))


@functools.cache
def _shipped() -> tuple[Listed, ...]:
    return _rows(read_table(SHIPPED, _FIELDS))


def _rows(table: DatedTable) -> tuple[Listed, ...]:
    return tuple(
        Listed(
            Device(
                name=row["name"],
                kind="cuda",
                memory=round(row["memory_mib"] * 2**20),
                tflops=row.get("tflops"),
                bandwidth=row["bandwidth"] * 1e9 if "bandwidth" in row else None,
                watts=row.get("watts"),
                source=row.get("source", str(table.path)),
            ),
            tuple(row.get("aliases", ())),
            table.as_of,
        )
        for row in table.rows["device"]
    )


def find_device(text: str) -> Device:
    """The device that `text` means: "a100", "rtx 4090", "24GB", or "cpu" for this machine's processor.

    Raises InputError that offers near names where none, or several, are meant.
    """
    wanted = _words(text)
    plain = " ".join(wanted)
    if plain == "cpu":
        return processor()
    size = _SIZE.fullmatch(plain)
    if size:
        return _of_size(float(size[1]), size[2])
    every = listed_devices()
    exact = [one for one in every if plain in {" ".join(_words(name)) for name in _names(one)}]
    if exact:
        return exact[0].device
    fitting = [one for one in every if set(wanted) <= {word for name in _names(one) for word in _words(name)}]
    if wanted and len(fitting) == 1:
        return fitting[0].device
    raise InputError(_unknown(text, fitting if wanted else [], every))


def _of_size(amount: float, unit: str) -> Device:
    """A card is sold by gibibytes that are called gigabytes."""
    size = round(amount * (2**30 if unit.startswith("g") else 2**20))
    return Device(
        name=f"a GPU with {amount:g} {unit[0].upper()}B", kind="cuda", memory=size, source="as asked for"
    )


def _names(one: Listed) -> tuple[str, ...]:
    return (one.device.name, *one.aliases)


def _words(text: str) -> list[str]:
    """Lower-case words without the maker's; "24 GB" is one word, as is "RTX4090" two."""
    spaced = re.sub(r"[\s_-]+", " ", text.casefold()).strip()
    spaced = re.sub(r"(?<=\d) (?=(?:g|gb|gib|mb|mib)\b)", "", spaced)
    spaced = re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", spaced)
    words = [word for word in spaced.split() if word not in _NOISE]
    return [word for word in words if word != "rtx"] or words


def _unknown(text: str, fitting: list[Listed], every: tuple[Listed, ...]) -> Problem:
    import difflib

    asked = visible(text)
    if fitting:
        names = [one.aliases[0] if one.aliases else one.device.name for one in fitting[:_MOST_NAMED]]
        return Problem(f"several devices fit {asked!r}", hint=f"say which: {', '.join(names)}")
    known = {" ".join(_words(name)): one.device.name for one in every for name in _names(one)}
    near = difflib.get_close_matches(" ".join(_words(text)), known, n=3, cutoff=0.5)
    names = list(dict.fromkeys(known[name] for name in near))
    offered = f"did you mean {' or '.join(names)}? " if names else ""
    return Problem(
        f"there is no device {asked!r} in the table",
        hint=f"{offered}`ftui preflight --devices` lists them; a size such as 24GB works too, "
        f"and rows of your own go into {user_file()}",
    )


def this_machine(read: Any = None) -> Device:
    """The first GPU that the trainer would take, with what others hold of its memory; else the processor.

    `read` asks for the GPUs as `GpuProbe.read` does, which is the default.
    """
    if not _trains_on_gpu():
        return processor()
    gpus: Gpus = (read or _probe().read)()
    record = _first_visible(gpus[0])
    if record is None or not record.get("memory_total"):
        return processor()
    name = record.get("name") or "an unknown GPU"
    known = next((one for one in _known() if _words(one.name) == _words(name)), None)
    known = known or next((one for one in _known() if _words(one.name) == _words(name)), None)
    reserved = record.get("memory_reserved") or 0
    return Device(
        name=name,
        kind="cuda",
        memory=record["memory_total"],
        used=(record.get("memory_used") or 0) + reserved,
        tflops=known.tflops if known else None,
        bandwidth=known.bandwidth if known else None,
        watts=record.get("power_limit") or (known.watts if known else None),
        source="this machine, asked through NVML",
    )


@functools.cache
def _probe() -> GpuProbe:
    return GpuProbe()


def _known() -> list[Device]:
    try:
        return [one.device for one in listed_devices()]
    except InputError:
        return [one.device for one in _shipped()]


def _trains_on_gpu() -> bool:
    """Whether the trainer's torch could use a GPU: neither hidden from it nor a build for processors."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return False
    try:
        return "+cpu" not in version("torch")
    except PackageNotFoundError:
        return True


def _first_visible(gpus: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The GPU that CUDA_VISIBLE_DEVICES puts first, or the first; of one cut up by MIG, its first instance."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    named = [
        gpu
        for gpu in gpus
        if first and (str(gpu["index"]) == first or str(gpu.get("uuid") or "").startswith(first))
    ]
    chosen = (named or gpus)[0] if gpus else None
    if chosen is not None and chosen.get("instances"):
        return {**chosen, **chosen["instances"][0], "power_limit": chosen.get("power_limit")}
    return chosen


def processor() -> Device:
    """This machine's processor with its memory, as far as a control group leaves it."""
    memory = psutil.virtual_memory()
    total, used = memory.total, memory.total - memory.available
    limit = _control_group_limit()
    if limit is not None and limit < total:
        used = max(0, used - (total - limit))
        total = limit
    return Device(name=_processor_name(), kind="cpu", memory=total, used=used, source="this machine")


def _control_group_limit(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return None


@functools.cache
def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor"
    )
    return f"{visible(model)}, {psutil.cpu_count() or 1} threads"
