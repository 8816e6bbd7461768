"""The processes of one training as forked children: torchrun's environment without torchrun, in a few seconds."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from finetui_core.runs.paths import RunPaths
from forks import start, trainer


def start_ranks(paths: RunPaths, attempt: int, count: int = 2) -> tuple[list[Any], Any]:
    """Start the processes of an attempt; returns them, and the store that must outlive them."""
    import torch.distributed as dist

    store = dist.TCPStore(
        "127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60), wait_for_workers=False
    )
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    ranks = [
        start(
            _rank,
            paths.log(attempt, rank),
            paths.root,
            attempt,
            {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    return ranks, store


def train_ranks(paths: RunPaths, attempt: int = 1, count: int = 2) -> None:
    """Run an attempt in as many processes to its end. Raises AssertionError with their logs where one fails."""
    ranks, store = start_ranks(paths, attempt, count)
    for rank in ranks:
        rank.join(600)
    codes = [rank.exitcode for rank in ranks]
    logs = "".join(paths.log(attempt, rank).read_text()[-4000:] for rank in range(count))
    assert codes == [0] * count, f"{codes}\n{logs}"
    del store


def _rank(root: Path, attempt: int, environment: dict[str, str]) -> int:
    os.environ |= environment
    return trainer(root, attempt)
