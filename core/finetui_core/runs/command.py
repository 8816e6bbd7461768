"""How the trainer is called, and in which environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import finetui_core
from finetui_core.runs.paths import RunPaths

ENDPOINT = "FTUI_RDZV_ENDPOINT"
"""The environment variable that takes the place of launch.rdzv_endpoint, where only a batch system knows it."""
FIRST_NODE = "slurm-first-node:29400"
"""launch.rdzv_endpoint of a job that has not begun: which node is its first is known then."""
_TRAINER, _LAUNCHER = "finetui_core.train", "finetui_core.train.launcher"
_FOLLOWER = "finetui_core.hosted.follower"


def trainer_command(paths: RunPaths, resolved: Mapping[str, Any], node: int = 0) -> list[str]:
    """The trainer's command line on host `node` of the run, to which the supervisor adds `--attempt N`.

    Several processes are started by torchrun, which runs inside the launcher. A job of a hosted platform is followed
    instead.
    """
    if paths.hosted.exists():
        return [sys.executable, "-m", _FOLLOWER, str(paths.root)]
    launch = resolved.get("launch", {})
    if int(launch.get("nproc_per_node", 1)) * hosts(resolved) == 1:
        return [sys.executable, "-m", _TRAINER, str(paths.root)]
    return [sys.executable, "-m", _LAUNCHER, str(paths.root), "--node", str(node)]


def hosts(resolved: Mapping[str, Any]) -> int:
    """How many hosts train together."""
    return int(resolved.get("launch", {}).get("nnodes", 1))


def trainer_environment(resolved: Mapping[str, Any]) -> dict[str, str]:
    """This process's environment, made fit for a trainer: it asks the hub only where the recipe names it."""
    environment = child_environment()
    # OpenMP threads that wait by spinning take the core from the thread they wait for when another program
    # uses it too: one busy core of two made small models 40 times slower. A sleeping wait costs nothing alone.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment |= {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if not _needs_hub(resolved):
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds this package and keeps its byte code.

    A child never imports from its current folder, where a file may have the name of a library.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONSAFEPATH"] = "1"
    source = Path(finetui_core.__file__).parents[1]
    if source.name not in ("site-packages", "dist-packages"):
        already = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{source}{os.pathsep}{already}" if already else str(source)
    return environment


def _needs_hub(resolved: Mapping[str, Any]) -> bool:
    data = resolved.get("data", {})
    sources = (str(data.get("train", "")), str(data.get("val") or ""))
    model = str(resolved.get("model", {}).get("name", ""))
    return not Path(model).is_dir() or any(source.startswith("hub:") for source in sources)
