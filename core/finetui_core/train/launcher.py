"""Several training processes under torchrun: `python -m finetui_core.train.launcher RUN --attempt N [--node K]`.

torchrun starts this host's processes and ends all of them when one fails. What is added here: its store listens on
one address only, the hosts wait for each other, and what torchrun knows of an end is put into words and passed on.
torchrun itself starts nothing again: restarts belong to the supervisor of the host that started the run.
"""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import psutil

from finetui_core.errors import InputError, Problem
from finetui_core.files import write_atomically
from finetui_core.hardware.oom import oom_kills
from finetui_core.runs import exit_codes
from finetui_core.runs.command import ENDPOINT
from finetui_core.runs.liveness import WAITING, signal_name
from finetui_core.runs.mailbox import finish, pending
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.process import host_name
from finetui_core.runs.records import NodeEnd, content_of, read_small
from finetui_core.runs.tail import read_records
from finetui_core.runs.writer import Heartbeat, RunWriter
from finetui_core.secrets import redact_output

LOOPBACK = "127.0.0.1"
_MEET_WITHIN = 60.0
"""Seconds for the hosts to connect, once all have said that they come."""
_OTHERS_SAY_WITHIN = 5.0
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Group:
    """How many processes there are where: `node` is this host's number, 0 for the one that writes the run."""

    node: int = 0
    nnodes: int = 1
    nproc_per_node: int = 1
    rdzv_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class RankEnd:
    """How one process ended. `exit_code` is as subprocess gives it: negative for a signal."""

    rank: int
    pid: int
    exit_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the training on this host ended. `by_peer`: only since a process elsewhere was lost; `told`: rank 0 has
    recorded it itself.
    """

    code: int
    what: str = ""
    by_peer: bool = False
    told: bool = False


class Stop:
    """Remembers SIGTERM and SIGINT, and passes them on to the training processes once there are some."""

    def __init__(self) -> None:
        self.received = 0

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        threading.Thread(target=self._pass_on, args=(number,), daemon=True).start()

    def _pass_on(self, number: int) -> None:
        while not (children := psutil.Process().children()):
            time.sleep(_LOOK_EVERY)
        for child in children:
            child.send_signal(number)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="finetui_core.train.launcher")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--node", type=int, default=0)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    redact_output()
    paths = RunPaths(options.run.absolute())
    resolved = msgspec.json.decode(content_of(paths.resolved_recipe), type=dict[str, Any])
    launch = resolved.get("launch", {})
    group = Group(
        options.node,
        int(launch.get("nnodes", 1)),
        int(launch.get("nproc_per_node", 1)),
        os.environ.get(ENDPOINT) or launch.get("rdzv_endpoint"),
    )
    stop = Stop()
    stop.listen()
    try:
        if group.node == 0 and not wait_for_hosts(paths, options.attempt, group, stop):
            return exit_codes.DONE
        cause = _launch(paths, options.attempt, group)
    except InputError as error:
        cause = Cause(exit_codes.BAD_INPUT, str(error))
    if stop.received and cause.code == 128 + stop.received:
        signal.signal(stop.received, signal.SIG_DFL)  # it met processes that did not listen yet
        os.kill(os.getpid(), stop.received)
    if cause.code != exit_codes.DONE:
        _tell(paths, options.attempt, group, cause)
    return cause.code


def wait_for_hosts(
    paths: RunPaths, attempt: int, group: Group, stop: Stop, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Wait until every other host has joined this attempt; False if the run is to end before.

    Each announces itself by the record of the attempt on its node. Until then nothing but this writes the run.
    """
    missing = _missing(paths, attempt, group)
    if not missing:
        return True
    writer = RunWriter(paths, attempt)
    try:
        with Heartbeat(paths) as heartbeat:
            heartbeat.update(phase=WAITING)
            writer.event("phase", phase=WAITING, step=0, missing=len(missing))
            while _missing(paths, attempt, group):
                for command in pending(paths):
                    if command.command in ("stop", "abort"):
                        finish(paths, command)
                        asked = {"id": command.id, "command": command.command, "note": ""}
                        writer.event("control", **asked, status="done")
                        stop.received = signal.SIGTERM
                if stop.received:
                    writer.event("finished", reason="aborted", step=0)
                    return False
                sleep(_LOOK_EVERY)
    finally:
        writer.close()
    return True


def _missing(paths: RunPaths, attempt: int, group: Group) -> list[int]:
    return [node for node in range(1, group.nnodes) if not paths.node_attempt(attempt, node).exists()]


def _launch(paths: RunPaths, attempt: int, group: Group) -> Cause:
    """Run this host's processes to their end. Raises InputError where the hosts cannot meet at the endpoint."""
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    address, port, listening = LOOPBACK, 0, None
    if group.rdzv_endpoint is not None and group.nnodes > 1:
        address, port = resolve(group.rdzv_endpoint)
    if group.node == 0:
        listening = listen(address, port, group)
        port = listening.getsockname()[1]
        # The server inside torchrun is found by its port and shares this one, which listens on one address only.
        store = dist.TCPStore(
            address,
            port,
            is_master=True,
            timeout=timedelta(seconds=_MEET_WITHIN),
            wait_for_workers=False,
            multi_tenant=True,
            master_listen_fd=listening.detach(),
        )
    interface = interface_of(own_address(address))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    kills_before = oom_kills()
    try:
        with tempfile.TemporaryDirectory(prefix="ftui-torchrun-") as folder:
            run(
                parse_args([f"--log-dir={folder}", *torchrun_arguments(paths, attempt, group, address, port)])
            )
    except ChildFailedError as error:
        ends = [
            RankEnd(rank, one.pid, one.exitcode, _text(one.message)) for rank, one in error.failures.items()
        ]
        cause = cause_of(ends, host_name(), oom=oom_kills() > kills_before)
        if cause.by_peer and group.nnodes > 1 and group.node == 0:
            return _with_what_others_say(paths, attempt, group, cause)
        return cause
    except RuntimeError as error:  # of the store: torch's DistError is one
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = f"the hosts of this run did not meet at {address}:{port} within {_MEET_WITHIN:g} s: {first}"
        return Cause(exit_codes.LOST_PEER, what, by_peer=True)
    if group.node == 0:
        del store
    return Cause(exit_codes.DONE)


def torchrun_arguments(paths: RunPaths, attempt: int, group: Group, address: str, port: int) -> list[str]:
    """torchrun's arguments. The static rendezvous gives each host its number for good and compares no clocks."""
    return [
        f"--nnodes={group.nnodes}",
        f"--nproc-per-node={group.nproc_per_node}",
        f"--node-rank={group.node}",
        "--rdzv-backend=static",
        f"--master-addr={address}",
        f"--master-port={port}",
        f"--rdzv-id={paths.id}-{attempt}",
        f"--rdzv-conf=timeout={_MEET_WITHIN:.0f}",
        "--max-restarts=0",
        "--signals-to-handle=SIGQUIT",
        "-m",
        "finetui_core.train",
        str(paths.root),
        "--attempt",
        str(attempt),
    ]


def cause_of(ends: Sequence[RankEnd], host: str, *, oom: bool = False) -> Cause:
    """The cause among the ends of this host's processes, in torchrun's order: the first is what it met first.

    Those after it were mostly ended by torchrun itself. What rank 0 met on its own, it has recorded itself.
    """
    own = next((end for end in ends if end.rank == 0 and 0 < end.exit_code != exit_codes.LOST_PEER), None)
    first = ends[0] if ends[0].exit_code < 0 or own is None else own
    who = f"rank {first.rank} (pid {first.pid}) on {host}"
    if -first.exit_code in (signal.SIGTERM, signal.SIGINT):
        return Cause(128 - first.exit_code, f"{who} was ended by {signal_name(-first.exit_code)}")
    if first.exit_code < 0:
        memory = ", since the kernel had no memory left" if oom and first.exit_code == -signal.SIGKILL else ""
        what = f"{who} was killed by {signal_name(-first.exit_code)}{memory}"
        # NCCL ends its process by SIGABRT when it meets a lost connection: another host may know more.
        return Cause(exit_codes.LOST_PEER, what, by_peer=first.exit_code == -signal.SIGABRT)
    if first.exit_code == exit_codes.LOST_PEER:
        return Cause(exit_codes.LOST_PEER, first.message, by_peer=True, told=first.rank == 0)
    return Cause(first.exit_code, f"{who}: {first.message}", told=first.rank == 0)


def resolve(endpoint: str) -> tuple[str, int]:
    """(address, port) of `host:port`. Raises InputError where the name has no address."""
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise InputError(
            Problem(
                f"launch.rdzv_endpoint cannot be found: {error}",
                where=endpoint,
                hint="Write the address of the host that starts the run, as 10.0.0.1:29400.",
            )
        ) from error
    return str(found[0][4][0]), int(port)


def listen(address: str, port: int, group: Group) -> socket.socket:
    """The socket of the store: on this address alone, never on all of the host's. Raises InputError."""
    if group.nnodes > 1 and address.startswith("127."):
        raise InputError(
            Problem(
                f"launch.rdzv_endpoint means {address} here, which no other host can reach",
                where=str(group.rdzv_endpoint),
                hint="Write the host's address in the network, not its name.",
            )
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise InputError(
            Problem(
                f"the processes cannot meet at {address}:{port}: {error.strerror}",
                where=group.rdzv_endpoint or "launch.nproc_per_node",
                hint="Name an address of the host that starts the run, and a port that is free there.",
            )
        ) from error
    return listening


def own_address(address: str) -> str:
    """The address of this host from which `address` is reached; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError as error:
            raise InputError(
                Problem(
                    f"{address} cannot be reached from {host_name()}: {error.strerror}",
                    where="launch.rdzv_endpoint",
                    hint="Check the network between the hosts.",
                )
            ) from error
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The network interface that has the address, so that gloo and NCCL use no other; "lo" where none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address.partition("%")[0] == address for one in addresses):
            return str(name)
    return "lo"


def _with_what_others_say(paths: RunPaths, attempt: int, group: Group, cause: Cause) -> Cause:
    """The cause with what another host has recorded of its own end, if it can in a few seconds."""
    deadline = time.monotonic() + _OTHERS_SAY_WITHIN
    while True:
        for node in range(1, group.nnodes):
            end = read_small(paths.node_end(attempt, node), NodeEnd)
            if end is not None and not end.by_peer:
                return Cause(end.exit_code, end.what)
        if time.monotonic() > deadline:
            return cause
        time.sleep(_LOOK_EVERY)


def _tell(paths: RunPaths, attempt: int, group: Group, cause: Cause) -> None:
    """Record the cause: on node 0 as the run's last error, elsewhere in the node's own file."""
    print(cause.what, file=sys.stderr)
    if group.node != 0:
        end = NodeEnd(cause.code, cause.what, cause.by_peer)
        with suppress(OSError):
            write_atomically(paths.node_end(attempt, group.node), msgspec.json.encode(end))
        return None
    if cause.told and _has_said_why(paths, attempt):
        return None
    kinds = {exit_codes.LOST_PEER: "lost_peer", exit_codes.BAD_INPUT: "input"}
    problem = {"what": cause.what, "where": "", "hint": ""}
    writer = RunWriter(paths, attempt)  # rank 0, which wrote before, has ended
    writer.event("error", kind=kinds.get(cause.code, "crash"), problems=[problem])
    return writer.close()


def _has_said_why(paths: RunPaths, attempt: int) -> bool:
    """Whether rank 0 recorded its error: where it waited in a message of torch's own it could only end."""
    events = read_records(paths.events)
    return any(one.get("type") == "error" and one.get("attempt") == attempt for one in events)


def _text(message: object) -> str:
    """What a process left in its error file; torch's own form is a mapping."""
    if isinstance(message, dict):
        message = message.get("message", "")
    return str(message)


if __name__ == "__main__":
    sys.exit(main())
