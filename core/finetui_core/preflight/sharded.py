"""What one of several processes holds where the weights are sharded (`launch.sharding`).

Simple arithmetic, not a measurement: lasting tensors are divided by the number of processes. What is put together
for use comes on top: what is outside of the layers, and two layers, of which one is on its way while the other
computes.
"""

from msgspec.structs import replace

from finetui_core.preflight.figures import Kind, Memory, Phase, Workload
from finetui_core.preflight.shape import layer_parameters, parameters
from finetui_core.preflight.workload import held_bytes

_DIVIDED: frozenset[Kind] = frozenset({"weights", "adapter", "gradients", "optimizer"})
NOTE = "the share of each process in sharded weights is reckoned, not measured"


def is_sharded(work: Workload) -> bool:
    return work.recipe.launch.is_sharded


def of_one_process(memory: Memory, work: Workload) -> Memory:
    """The peaks of a process that holds its part of what `memory` counts whole; unchanged where nothing is sharded.

    The merge of an adapter runs after training, in a process that has all.
    """
    if not is_sharded(work):
        return memory
    count, shape = work.recipe.launch.world_size, work.shape
    layer = layer_parameters(shape)
    together = held_bytes(work) * (parameters(shape) - shape.layers * layer + 2 * layer)
    peaks: dict[Phase, dict[Kind, int]] = {}
    for phase, kinds in memory.peaks.items():
        share = 1 if phase == "merge" else count
        peaks[phase] = {
            kind: -(-amount // share) if kind in _DIVIDED else amount for kind, amount in kinds.items()
        }
        if phase in ("train", "evaluate"):
            peaks[phase]["weights"] = peaks[phase].get("weights", 0) + together
    return replace(memory, peaks=peaks, note="; ".join(filter(None, (memory.note, NOTE))))
