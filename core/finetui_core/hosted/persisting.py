"""Asking again after a fault that may pass, with growing pauses, and saying so."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from finetui_core.hosted.faults import ProviderFault
from finetui_core.wording import duration

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
TRIES = 6
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Clock:
    """Unix seconds and waiting; tests have their own."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def pause_after(fault: ProviderFault, tries: int) -> float:
    """Seconds to wait after the `tries`-th fault in a row: what the provider asks, else twice as long each time."""
    if fault.after is not None:
        return fault.after
    return float(min(FIRST_PAUSE * 2 ** min(tries - 1, 16), LONGEST_PAUSE))


def persist(
    request: Callable[[], Answer], tell: Callable[[str], None], clock: Clock, tries: int = TRIES
) -> Answer:
    """The answer to a request that may be repeated, asked up to `tries` times. Raises ProviderFault."""
    for number in range(1, tries):
        try:
            return request()
        except ProviderFault as fault:
            if not fault.passing:
                raise
            pause = pause_after(fault, number)
            tell(f"{fault}; again in {duration(pause)}")
            clock.sleep(pause)
    return request()
