"""The highest memory use of a phase, against blocks of a known size."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from finetui_core.train.peaks import HostPeaks, Peaks, SampledPeaks, peaks_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems keep freed memory as they like"
)
BLOCK = 64 << 20
SLACK = 4 << 20


def block(size: int) -> np.ndarray:
    return np.ones(size, np.uint8)  # ones, so that its pages are taken and not only promised


@pytest.mark.parametrize("kind", [HostPeaks, SampledPeaks])
def test_each_phase_has_its_own_peak_over_what_was_there_before(kind: Callable[[], Peaks]) -> None:
    before = block(BLOCK)
    peaks = kind()
    peaks.begin()
    assert peaks.peak() < SLACK
    kept = block(BLOCK)
    assert peaks.peak() == pytest.approx(BLOCK, abs=SLACK)
    peaks.reset()
    passing = block(2 * BLOCK)
    assert peaks.peak() == pytest.approx(3 * BLOCK, abs=SLACK)
    del passing
    peaks.reset()
    assert peaks.peak() == pytest.approx(BLOCK, abs=SLACK)
    assert before.all() and kept.all()


def test_the_mark_of_the_system_remembers_what_has_passed() -> None:
    peaks = peaks_of(torch.device("cpu"))
    peaks.begin()
    block(BLOCK)
    assert isinstance(peaks, HostPeaks)
    assert peaks.peak() == pytest.approx(BLOCK, abs=SLACK)
