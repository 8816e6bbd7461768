"""Matrix products of float32 on a processor, by the library that is faster on it.

torch.mm goes to MKL. On AMD's processors oneDNN is faster where they have AVX-512 (Zen 4: 100 to 107 GFLOP/s a core
against 79 to 95), and slower where they have not (Zen 3: 61 to 90 against 73 to 93). Which one is used follows from
the machine alone, never from a trial, so that the same machine rounds in the same way in every run.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

_CPU_FACTS = Path("/proc/cpuinfo")


@cache
def uses_onednn() -> bool:
    """Whether products of float32 go to oneDNN here: where torch has MKL, and AMD's processor AVX-512."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and hasattr(torch.ops.mkldnn, "_linear_pointwise") and _vendor() == "AuthenticAMD"


def _vendor() -> str:
    """The maker of the processor, as it names itself; "" where the system does not say."""
    try:
        with _CPU_FACTS.open(encoding="utf-8", errors="replace") as lines:
            return next(
                (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), ""
            )
    except OSError:
        return ""


def product_library() -> str:
    """The library of a processor's float32 products, as a run notes it."""
    return "oneDNN" if uses_onednn() else "torch"


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weight.T + bias` without a gradient: (rows, inputs) and (outputs, inputs) give (rows, outputs).

    Either may be a transposed view.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu" and uses_onednn():
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return product
    return F.linear(x, weight, bias)
