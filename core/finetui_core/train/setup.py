"""From a recipe to everything a run needs: data, model, optimizer, and the state to continue from."""

import atexit
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import set_seed

from finetui_core.data.prepare import Prepared, prepare
from finetui_core.data.reading import context_length, read_with
from finetui_core.errors import first_line
from finetui_core.recipe.defaults import fill_defaults, packed_tokens, total_steps, warmup_step_count
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import Checkpoint
from finetui_core.runs.consent import accepts_data_errors
from finetui_core.runs.paths import RunPaths
from finetui_core.train.batches import Schedule
from finetui_core.train.checkpoint import Progress, configuration, read_progress, read_state
from finetui_core.train.circumstances import Difference, circumstances, differences, refuse
from finetui_core.train.evaluation import (
    ALONE,
    Documents,
    Processes,
    evaluation_layout,
    fixed_subset,
    probe_text,
)
from finetui_core.train.forward import Layout
from finetui_core.train.freed_memory import keep_freed_memory
from finetui_core.train.layout import choose_layout, fuse_proven
from finetui_core.train.model import (
    add_adapters,
    best_device,
    causal_model,
    compute_dtype,
    load_model,
)
from finetui_core.train.optimizer import build_optimizer
from finetui_core.train.peers import LostPeer, Peers
from finetui_core.train.replay import with_replay
from finetui_core.train.shards import shard

_COLLECTIVE_WITHIN = timedelta(hours=2)
"""The last resort. The death of a process is seen by `peers`, one that hangs by its watchdog; and one that saves or
evaluates alone may keep the others waiting for long."""
_STORE_WITHIN = timedelta(seconds=10)
_SHORTEST_LOOK, _LONGEST_LOOK = 2e-5, 5e-4
"""Seconds between two looks at a collective that is under way."""


@dataclass(frozen=True, slots=True)
class Session:
    """All that the loop works with; built once, never changed (the model and optimizer change inside).

    The first `own_rows` rows of `data.train` are the recipe's, those after them are replayed. `configuration` are the
    files of a checkpoint that never change, by name; `inexact` is in what the circumstances differ from those of the
    checkpoint that it goes on from.
    """

    paths: RunPaths
    recipe: Recipe
    device: torch.device
    processes: Processes
    autocast: Callable[[], Any]
    tokenizer: Any
    model: Any
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    layout: Layout
    layout_note: str
    data: Prepared
    own_rows: int
    val_rows: list[int]
    probe: Documents | None
    schedule: Schedule
    warmup_steps: int
    facts: dict[str, Any]
    template_origin: str
    configuration: Mapping[str, bytes]
    inexact: tuple[Difference, ...] = ()

    @property
    def evaluation_layout(self) -> Layout:
        return evaluation_layout(self.recipe, self.layout, self.device)


def start_processes(recipe: Recipe) -> tuple[Accelerator, Processes]:
    """Join the run's other processes, if it has any, and choose this one's device and precision."""
    device = best_device()
    dtype = compute_dtype(recipe.model.dtype, device)
    precision = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    peers = _peers_of_torchrun()
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_COLLECTIVE_WITHIN)],
    )
    if peers is None or accelerator.num_processes == 1:
        return accelerator, ALONE

    def add(tensor: torch.Tensor) -> torch.Tensor:
        return _sum(tensor.to(accelerator.device), peers)

    add(
        torch.zeros(1)
    )  # the first message connects the processes, which may wait where nothing interrupts it
    peers.blocked = recipe.launch.sharding == "full"  # then torch itself sends messages, and waits for them
    count = accelerator.num_processes
    return accelerator, Processes(accelerator.process_index, count, add, lost=peers.roll_call)


def _peers_of_torchrun() -> Peers | None:
    """The other processes, watched from now on; None where torchrun started this one alone, or not at all."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, timeout=_STORE_WITHIN, wait_for_workers=False)
    peers = Peers(store, int(os.environ["RANK"]), count)
    peers.start()
    atexit.register(peers.leave)
    return peers


def _sum(shared: torch.Tensor, peers: Peers) -> torch.Tensor:
    """Sum `shared` over all processes, in place. Raises LostPeer, naming it, when one is lost meanwhile."""
    pause = _SHORTEST_LOOK
    try:
        work: Any = dist.all_reduce(shared, async_op=True)
        while not work.is_completed():
            if lost := peers.lost():
                peers.wake()
                raise LostPeer(lost)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        work.wait()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # what gloo and NCCL raise when a connection ends
        broken = f"a connection to another process broke, though all live: {first_line(error)}"
        raise LostPeer(peers.roll_call() or broken) from error
    return shared


def build_session(
    paths: RunPaths,
    recipe: Recipe,
    accelerator: Accelerator,
    processes: Processes,
    checkpoint: Checkpoint | None,
    announce: Callable[[str], None],
    *,
    inexact: bool = False,
) -> tuple[Session, Progress]:
    """Prepare data, model and optimizer, continued from `checkpoint` if there is one.

    `announce` is told each phase as it begins. Raises InputError for everything that the user can mend; for
    circumstances in which the continuation is not exact only where nobody asked for an `inexact` one.
    """
    announce("preparing")
    reading = read_with(recipe)
    config, tokenizer, max_length = reading.config, reading.tokenizer, reading.max_length
    data = prepare(
        recipe.data,
        tokenizer,
        max_length,
        recipe.train.seed,
        accept_errors=accepts_data_errors(paths, resumes=checkpoint is not None),
        reading=reading.key,
    )
    facts = circumstances(recipe, data, accelerator.device, processes)
    differing = () if checkpoint is None else differences(facts, checkpoint)
    if checkpoint is not None and differing and not inexact:
        refuse(paths.id, checkpoint, differing)

    announce("loading")
    set_seed(recipe.train.seed)
    dtype = compute_dtype(recipe.model.dtype, accelerator.device)
    is_full = recipe.train.method == "full"
    weights = checkpoint.path if checkpoint is not None and is_full else None
    is_sharded = recipe.launch.sharding == "full" and processes.count > 1
    loaded_on = torch.device("cpu") if is_sharded else accelerator.device
    model = load_model(recipe, loaded_on, dtype, weights)
    recipe = fill_defaults(
        recipe,
        train_rows=len(data.train),
        hidden_size=config.get_text_config().hidden_size,
        model_type=config.model_type,
        parameters=model.num_parameters(),
        context_length=context_length(config),
    )
    if not is_full:
        model = add_adapters(model, recipe)
    kept = configuration(model, tokenizer, paths.checkpoints) if processes.index == 0 else {}
    with accelerator.autocast():
        fusion_note = "" if is_sharded else fuse_proven(model)
    own_rows = len(data.train)
    if recipe.data.replay:
        with accelerator.autocast():
            train = with_replay(
                paths, recipe, data, tokenizer, model, processes, begun=checkpoint is not None
            )
        data = replace(data, train=train)
    if is_sharded:
        processes = replace(processes, run=shard(model, accelerator.device, processes.count))
    with accelerator.autocast():
        chosen = choose_layout(
            model,
            packing=recipe.data.packing,
            rows_per_pass=recipe.train.per_device_train_batch_size,
            tokens_per_pass=packed_tokens(
                recipe.train.per_device_train_batch_size, max_length, accelerator.device.type
            ),
            processes=processes,
        )
    optimizer = build_optimizer(model, recipe)
    scaler = torch.amp.GradScaler(accelerator.device.type, enabled=dtype == torch.float16)
    progress = Progress()
    if checkpoint is not None:
        read_state(checkpoint.path, model, optimizer, scaler)
        progress = read_progress(checkpoint.path)
    schedule = _schedule(recipe, len(data.train), processes.count)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    probe_path = recipe.eval.forgetting_probe
    return (
        Session(
            paths=paths,
            recipe=recipe,
            device=accelerator.device,
            processes=processes,
            autocast=accelerator.autocast,
            tokenizer=tokenizer,
            model=model,
            optimizer=optimizer,
            scaler=scaler,
            layout=chosen.layout,
            layout_note="; ".join(filter(None, (chosen.note, fusion_note))),
            data=data,
            own_rows=own_rows,
            val_rows=fixed_subset(len(data.val), recipe.eval.max_rows, recipe.train.seed),
            probe=probe_text(Path(probe_path), tokenizer, max_length) if probe_path else None,
            schedule=schedule,
            warmup_steps=warmup_step_count(recipe.train.warmup_steps, schedule.total_steps),
            facts=facts,
            template_origin=reading.template_origin,
            configuration=kept,
            inexact=differing,
        ),
        progress,
    )


def _schedule(recipe: Recipe, rows: int, processes: int) -> Schedule:
    train = recipe.train
    batch_size = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    steps = total_steps(rows, batch_size, train.num_train_epochs or 1, train.max_steps)
    return Schedule(rows, batch_size, train.seed, steps)


def inner_model(session: Session) -> Any:
    """The transformers model that the passes run through."""
    return causal_model(session.model)
