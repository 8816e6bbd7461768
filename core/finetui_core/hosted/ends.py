"""How the run of a hosted job says that the job itself, and not only the following of it, has ended."""

from collections.abc import Iterable, Mapping
from typing import Any

JOB_ENDS = frozenset({"completed", "cancelled", "job_failed"})
"""Reasons of "finished" events."""


def job_is_over(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the job has ended and all of it is told: then there is nothing to follow."""
    return any(event.get("type") == "finished" and event.get("reason") in JOB_ENDS for event in events)
