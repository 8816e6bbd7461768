"""Two hosts on one machine, for proofs: a network namespace and a host name each, a cable between them, root needed.

They see the same files and the same processes; the network alone is parted, and it can be cut.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PORT = 29400


@dataclass(frozen=True, slots=True)
class Host:
    """One of the two. `namespace` is its name for `ip netns`, `address` its own in the network between them."""

    name: str
    namespace: str
    address: str

    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a command on this host, as a user's login there would."""
        inside = ["sh", "-c", 'hostname "$0" && exec "$@"', self.name, *command]
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", "--uts", *inside],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def pids(self) -> list[int]:
        """All processes of this host."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def kill(self) -> None:
        """Kill every process of this host at once, its supervisors first, so that none can tell."""
        while pids := self.pids():
            for pid in sorted(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self.namespace, "link", "set", "cable", "down")

    def mend(self) -> None:
        """Put it back."""
        _ip("-n", self.namespace, "link", "set", "cable", "up")


def can_part_networks() -> bool:
    """Whether this machine lets us make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"ftui-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return made


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with a cable between them; whatever happens, their processes and networks are gone afterwards."""
    names = [f"ftui-{letter}-{os.getpid()}" for letter in "ab"]
    hosts = tuple(
        Host(f"host-{letter}", name, f"10.213.7.{number}")
        for number, (letter, name) in enumerate(zip("ab", names, strict=True), start=1)
    )
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
        _ip(
            "link",
            "add",
            "cable",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            names[1],
        )
        for host in hosts:
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.namespace, "link", "set", "cable", "up")
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            host.kill()
            subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
