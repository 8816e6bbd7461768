"""What every test shares: one thread for arithmetic (two tests run beside each other), no network, no waiting."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("slow", max_examples=500, deadline=None)
settings.load_profile("suite")


def _not_flushed(descriptor: int) -> None:
    """In the place of `os.fsync`: no test cuts the power, and a tiny model's save is mostly a wait for the disk."""
    os.fstat(descriptor)  # raises as fsync does where there is no such file


os.fsync = _not_flushed
