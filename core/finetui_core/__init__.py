"""The core of ftui: data, recipe, training, the run directory. No terminal code."""

import os

__version__ = "0.1.0"

# Libraries read these when they are imported, here and in every child. Nobody is told what somebody does here; and
# torch keeps what it compiled with the user's own caches, not under a name in /tmp that another user can take first.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
_caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 (there may be no home)
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{_caches}/ftui/torch")
