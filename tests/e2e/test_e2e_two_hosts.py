"""Two processes and two hosts under torchrun: the proofs in short (make test-slow)."""

from pathlib import Path

import pytest

from network_hosts import can_part_networks
from proofs.two_hosts import prove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_killed_process_ends_the_run_cleanly_and_it_resumes_exactly(tmp_path: Path) -> None:
    (trial,) = prove(1, 1, (False,), tmp_path, only="one host: rank 1 killed")
    assert trial.faults == ()
    assert trial.death.kept == trial.death.step


@pytest.mark.skipif(not can_part_networks(), reason="needs network namespaces")
@pytest.mark.parametrize("what", ["host 2 killed", "network cut"])
def test_a_lost_host_ends_the_run_cleanly_and_it_resumes_exactly(tmp_path: Path, what: str) -> None:
    (trial,) = prove(1, 1, (False,), tmp_path, only=f"two hosts: {what}")
    assert trial.faults == ()
