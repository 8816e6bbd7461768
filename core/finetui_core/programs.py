"""Asking other programs, which may not be there."""

import subprocess

_SECONDS = 5.0


def run_tool(*command: str) -> str | None:
    """What a command prints, or None where it is not there, fails or takes longer than 5 s."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout if done.returncode == 0 else None
