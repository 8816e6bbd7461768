"""What the errors of the NVIDIA driver mean, by their numbers, and what to do about each.

Source: NVIDIA, "Xid Errors" with its catalogue (docs.nvidia.com/deploy/xid-errors, read 2026-11): descriptions, and
the immediate action there (restart the program, reset the GPU, restart the machine). Whose fault an error is follows
from the same pages; they warn that damaged memory or a bad bus can look like any other error.
"""

from dataclasses import dataclass
from typing import Literal

Fault = Literal["program", "hardware", "driver"]


@dataclass(frozen=True, slots=True)
class Xid:
    """One kind of error: `fault` is what most often causes it."""

    meaning: str
    fault: Fault
    remedy: str


_RESTART = "The run can go on from its last checkpoint."
_PROGRAM = (
    "It is most often the program: try without custom kernels (model.attn_implementation) if it comes again."
)
_RESET = (
    "Reset the GPU (nvidia-smi --gpu-reset, with nothing running on it) or restart the machine, then resume."
)
_REPLACE = "If it comes again, have the GPU checked: it may need to be replaced."
_REBOOT = "Restart the machine, with power off where it can be; look at power, heat and the seat of the card."

XIDS: dict[int, Xid] = {
    13: Xid(
        "a kernel failed on the GPU, as by a wrong address or instruction",
        "program",
        f"{_RESTART} {_PROGRAM}",
    ),
    31: Xid("the program touched GPU memory that is not its own", "program", f"{_RESTART} {_PROGRAM}"),
    32: Xid("the commands to the GPU were damaged on their way", "driver", f"{_RESTART} {_REPLACE}"),
    43: Xid("the GPU stopped the program after an error of the program", "program", f"{_RESTART} {_PROGRAM}"),
    45: Xid(
        "the driver cleared away work of a program that was ended, or that met another error before",
        "program",
        f"Look for an error before this one. {_RESTART}",
    ),
    48: Xid("two bits of GPU memory flipped, which cannot be corrected", "hardware", f"{_RESET} {_REPLACE}"),
    62: Xid("the GPU's own controller has halted", "hardware", f"{_RESET} {_REPLACE}"),
    63: Xid(
        "a row of GPU memory with errors is to be replaced by a spare one",
        "hardware",
        "The run may go on. Reset the GPU when it has ended, so that the spare row is used.",
    ),
    64: Xid("a row of GPU memory with errors could not be replaced", "hardware", f"{_RESET} {_REPLACE}"),
    74: Xid(
        "the link between GPUs (NVLink) failed",
        "hardware",
        f"{_RESET} Look at bridges and switches if it comes again.",
    ),
    79: Xid("the GPU has fallen off the bus", "hardware", f"{_REBOOT} {_REPLACE}"),
    92: Xid("GPU memory has many errors that could still be corrected", "hardware", _REPLACE),
    94: Xid(
        "an error in GPU memory that cannot be corrected ended the program that used it, and no other",
        "hardware",
        f"{_RESTART} Reset the GPU when nothing runs on it.",
    ),
    95: Xid(
        "an error in GPU memory that cannot be corrected may have reached every program on this GPU",
        "hardware",
        f"{_RESET} {_REPLACE}",
    ),
    119: Xid("the driver's firmware on the GPU (GSP) does not answer", "driver", _RESET),
    120: Xid("the driver's firmware on the GPU (GSP) failed", "driver", _RESET),
}
_UNKNOWN = Xid(
    "an error that this list does not know", "driver", "Look it up at docs.nvidia.com/deploy/xid-errors."
)


def xid_of(number: int) -> Xid:
    """What the error of that number means."""
    return XIDS.get(number, _UNKNOWN)
