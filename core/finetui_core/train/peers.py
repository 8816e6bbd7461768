"""Whether the other processes of a training live: signs of life through the store that torchrun keeps.

A collective cannot tell a dead process from one that is at work alone (process 0 saves and evaluates while the others
wait), so that its time limit says nothing. A count that a thread of each process raises every 2 s does.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetui_core.runs import exit_codes
from finetui_core.runs.pidfd import hold, send
from finetui_core.runs.process import boot_id, host_name, is_stopped, start_ticks
from finetui_core.wording import duration

BEAT_EVERY = 2.0
"""Seconds between two signs of life."""
LOST_AFTER = 25.0
"""Seconds without one after which a process is lost; torchrun then gives the others up to 30 more."""
APPEARS_WITHIN = 300.0
"""Seconds in which a process shows itself first: a cold disk takes minutes to load the libraries."""
_ROLL_CALL = 5 * BEAT_EVERY
_LEFT = 1 << 40
"""A count that says: ended in good order."""
_VERDICT = "ftui/lost"


class LostPeer(Exception):
    """Another process of this training has died or cannot be reached; the text says which."""


@dataclass
class _Seen:
    """What is known of one other process: its last count, and when that changed on this process's clock."""

    at: float
    count: int = 0
    who: str = ""


class Peers:
    """The other processes, as this one sees them: process 0 watches all, the others watch process 0.

    `store` is a TCPStore, or what behaves like one, for this object alone. No clocks of two hosts are compared;
    the `clock` is one that stands still while this process is stopped.
    """

    def __init__(self, store: Any, index: int, count: int, clock: Callable[[], float] | None = None) -> None:
        clock = clock or awake_clock()
        self._store = store
        self._index = index
        self._clock = clock
        watched = range(1, count) if index == 0 else [0]
        self._seen = {other: _Seen(clock()) for other in watched}
        self._looked = clock()  # when the last complete look began
        self._verdict = ""
        self._closing = threading.Event()
        self.blocked = True
        """Whether the main thread may wait where it cannot look at `lost`: then this ends the process itself."""

    def start(self) -> None:
        threading.Thread(target=self._beat_often, name="peers", daemon=True).start()

    def leave(self) -> None:
        """Say that this process ends in good order."""
        self._closing.set()
        try:
            self._store.add(_beat(self._index), _LEFT)
        except Exception:
            return  # nobody is left to be told

    def lost(self) -> str:
        """Which process is lost and why it is believed, or ""."""
        if self._verdict:
            return self._verdict
        now = self._clock()
        for other, seen in self._seen.items():
            age = now - seen.at
            if seen.count < _LEFT and age > (LOST_AFTER if seen.count else APPEARS_WITHIN):
                stopped = "; it is stopped, as by SIGSTOP" if _is_stopped_here(seen.who) else ""
                return f"{_named(other, seen.who)} has given no sign of life for {duration(age)}{stopped}"
        return ""

    def roll_call(self, sleep: Callable[[float], None] = time.sleep) -> str:
        """Once a collective has failed: wait up to 10 s for a new sign of life of each, and name who gives none.

        "" where all do. New is what the first look from now on does not find yet: the last sign of a dead process may
        be seen after its death. One of this host that is gone is known at once. Another process needs a little longer
        than process 0, whose word it prefers to its own.
        """
        began = self._clock()
        deadline = began + _ROLL_CALL + (0 if self._index == 0 else BEAT_EVERY)
        before: dict[int, int] = {}
        while not self._verdict and self._clock() < deadline and not self._dead_here():
            if not before and self._looked > began:
                before = {other: seen.count for other, seen in self._seen.items()}
            if self._index == 0 and not self._missing(before):
                return ""
            sleep(0.1)
        missing = self._dead_here() or self._missing(before)
        if not self._verdict and missing:
            names = ", ".join(_named(other, self._seen[other].who) for other in missing)
            self._announce(f"{names} has died or cannot be reached")
        return self._verdict

    def wake(self) -> None:
        """Let a stopped process of this host go on, so that it meets its end now and not after torchrun's 30 s."""
        for seen in self._seen.values():
            _wake_here(seen.who)

    def exchange(self) -> None:
        """Give one sign of life and look for those of the others. Raises what the store raises."""
        if self._store.add(_beat(self._index), 0) == 0:
            self._store.set(_who(self._index), identity(os.getpid()))
        self._store.add(_beat(self._index), 1)
        self.look()

    def look(self) -> None:
        """Look for the others' signs of life, and tell them whom process 0 has lost. Raises what the store raises."""
        began = self._clock()
        for other, seen in self._seen.items():
            count = self._store.add(_beat(other), 0)
            if count != seen.count:
                seen.count, seen.at = count, self._clock()
                seen.who = seen.who or self._store.get(_who(other)).decode(errors="replace")
        self._looked = began
        if not self._verdict and self._store.check([_VERDICT]):
            self._verdict = self._store.get(_VERDICT).decode(errors="replace")
        if self._index == 0 and not self._verdict and (lost := self.lost()):
            self._announce(lost)

    def _missing(self, before: Mapping[int, int]) -> list[int]:
        """Who has given no sign of life since these counts."""
        return [
            other
            for other, seen in self._seen.items()
            if other not in before or seen.count == before[other] or seen.count >= _LEFT
        ]

    def _dead_here(self) -> list[int]:
        return [other for other, seen in self._seen.items() if _is_dead_here(seen.who)]

    def _announce(self, lost: str) -> None:
        self._verdict = lost
        if self._index == 0:
            try:
                self._store.set(_VERDICT, lost)
            except Exception:
                return  # the others find out by themselves

    def _beat_often(self) -> None:
        """A store that cannot be reached blocks or raises; either way the others grow old in `lost`."""
        threading.Thread(target=self._end_if_blocked, name="peers-end", daemon=True).start()
        while True:
            try:
                self.exchange()
            except Exception as error:
                print(f"no sign of life could be given: {error}", file=sys.stderr)
            if self._closing.wait(BEAT_EVERY):
                return

    def _end_if_blocked(self) -> None:
        """End this process when another is lost while the main thread waits where nothing can interrupt it."""
        while not self._closing.wait(BEAT_EVERY):
            lost = self.lost()
            if lost and self.blocked and not self._closing.wait(BEAT_EVERY) and self.blocked:
                print(lost, file=sys.stderr, flush=True)
                self.wake()
                tell_launcher(lost)
                os._exit(exit_codes.LOST_PEER)


def awake_clock(
    clock: Callable[[], float] = time.monotonic, longest: float = 3 * BEAT_EVERY
) -> Callable[[], float]:
    """A clock that stands still while this process is stopped: between two looks at most `longest` seconds pass.

    Without it a process that was stopped and goes on would take the time that it lost for the silence of the others.
    Something must look at it more often than that.
    """
    lock, before, passed = threading.Lock(), clock(), 0.0

    def awake() -> float:
        nonlocal before, passed
        with lock:
            now = clock()
            passed += min(now - before, longest)
            before = now
            return passed

    return awake


def tell_launcher(what: str) -> None:
    """Leave the reason of this process's end where torchrun looks for it; nothing happens without torchrun."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        return
    try:
        Path(path).write_text(json.dumps({"message": what, "timestamp": int(time.time())}), encoding="utf-8")
    except OSError as error:
        print(f"{path} cannot be written: {error}", file=sys.stderr)


def _beat(index: int) -> str:
    return f"ftui/beat/{index}"


def _who(index: int) -> str:
    return f"ftui/who/{index}"


def identity(pid: int) -> str:
    """The process as the others know it: host, pid, and what tells where that pid means something."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{host_name()} {pid} {start_ticks(pid)} {boot_id()}{namespace}"


def _named(index: int, who: str) -> str:
    host, pid, _ = who.split(" ", 2) if who else ("", "", "")
    return f"rank {index} (pid {pid}) on {host}" if pid else f"rank {index}, which never came,"


def _is_stopped_here(who: str) -> bool:
    pid = _pid_here(who)
    return pid is not None and is_stopped(pid)


def _wake_here(who: str) -> None:
    pid = _pid_here(who)
    if pid is None:
        return
    with suppress(OSError), hold(pid, lambda one: identity(one) == who and is_stopped(one)) as held:
        if held is not None:
            send(held, signal.SIGCONT)


def _is_dead_here(who: str) -> bool:
    pid = _pid_here(who)
    return pid is not None and identity(pid) != who


def _pid_here(who: str) -> int | None:
    """The pid of a process whose pids are this one's, else None."""
    words, mine = who.split(" "), identity(os.getpid()).split(" ")
    return int(words[1]) if len(words) == 4 and (words[0], words[3]) == (mine[0], mine[3]) else None
