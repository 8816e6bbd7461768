"""What in a recipe would lower its peak: every such change with what it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from finetui_core.preflight.figures import (
    Change,
    Device,
    Fit,
    Knob,
    Memory,
    Phase,
    RowLengths,
    Shape,
    Stage,
)
from finetui_core.preflight.history import NO_CALIBRATION, Calibration
from finetui_core.preflight.shape import linears
from finetui_core.preflight.verdict import highest_in_run, judge
from finetui_core.recipe.options import Recipe

FormulaOf = Callable[[Recipe], Memory]

_LEAST_GAIN = 0.01  # share of the peak below which a change is not worth a line
_OF_ROWS = frozenset({"activations", "logits"})
_METHOD = frozenset({"method", "quantize"})
_SHORT = 1.2
"""A trace as a multiple of the formula, of activations and logits: at worst 15 % of the whole over 260 runs."""
_LEAST_RANK = 8
_SHORTEST = 8  # tokens; the least that data.max_length may be
_RANK: dict[Fit, int] = {"fits": 0, "tight": 1, "does_not_fit": 2}


@dataclass(frozen=True, slots=True)
class _Step:
    """One way to lower the peak: the mildest form comes first, the last is as far as it goes."""

    name: str
    costs: str
    forms: tuple[tuple[Change, ...], ...]


def knobs(
    recipe: Recipe,
    device: Device,
    formula_of: FormulaOf,
    *,
    found: Memory | None = None,
    shape: Shape | None = None,
    lengths: RowLengths | None = None,
    calibration: Calibration = NO_CALIBRATION,
) -> tuple[Knob, ...]:
    """The changes that lower the peak of `recipe`: those that make it fit first, and then by what they cost.

    `recipe` has every default filled in; `formula_of` is the memory of a recipe by the formula, and `found` that of
    `recipe` itself by a slower stage. Where no single change makes the run fit, or only one that is dearer than all
    of a chain, the cheapest chain that does comes first, as one.
    """
    ratios = _ratios(found, formula_of(recipe)) if found is not None else {}
    stages: tuple[Stage, ...] = ("formula",) if found is None else ("formula", found.stage)
    now = highest_in_run(found or formula_of(recipe))[1]
    asked = _Asked(device, formula_of, ratios, stages, calibration, now)
    steps = list(_steps(recipe, device, shape, lengths))
    tried = [(step, asked.mildest(recipe, step)) for step in steps]
    single = [knob for _, knob in tried if knob is not None]
    best = min((_RANK[knob.fit] for knob in single), default=_RANK["does_not_fit"])
    enough = [place for place, (_, knob) in enumerate(tried) if knob is not None and _RANK[knob.fit] == best]
    cheaper = steps[: enough[0]] if best == _RANK["fits"] else steps
    chain = asked.chain(recipe, cheaper)
    if chain is not None and (_RANK[chain.fit] < best or chain.fit == "fits"):
        return (chain, *single)
    return tuple(sorted(single, key=lambda knob: knob.fit == "does_not_fit"))


def apply(recipe: Recipe, changes: Sequence[Change]) -> Recipe:
    """The recipe with `changes` made."""
    for change in changes:
        options = getattr(recipe, change.table).model_copy(update={change.key: change.value})
        recipe = recipe.model_copy(update={change.table: options})
    return recipe


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every knob is measured by: the device, and the peak that the recipe has now.

    `ratios` are what a slower stage found as a multiple of the formula, by phase. With a knob applied the ratio may
    be another one, and the next verdict is the formula's or that of a trace. So the promise is the worst of them: no
    phase takes less than the formula has it, the range is the widest of the `stages`, and of another method, of which
    nothing was found, what depends on the rows may take a fifth more.
    """

    device: Device
    formula_of: FormulaOf
    ratios: Mapping[Phase, float]
    stages: tuple[Stage, ...]
    calibration: Calibration
    now: int

    def knob(self, recipe: Recipe, name: str, changes: tuple[Change, ...], costs: str) -> Knob:
        memory = self.formula_of(apply(recipe, changes))
        peak = highest_in_run(_scaled(memory, self.ratios))[1]
        is_another = bool(self.ratios) and any(change.key in _METHOD for change in changes)
        at_least = {phase: max(1.0, ratio) for phase, ratio in self.ratios.items()}
        safe = _scaled(memory, at_least, _SHORT if is_another else 1.0)
        fits = [judge(replace(safe, stage=one), self.device, self.calibration).fit for one in self.stages]
        return Knob(name, changes, costs, peak, self.now - peak, max(fits, key=_RANK.__getitem__))

    def mildest(self, recipe: Recipe, step: _Step) -> Knob | None:
        """The mildest form of a step that makes the recipe fit, else the strongest; None where it gains nothing."""
        found = self._first_fitting(recipe, step)
        return found if found.gain > self.now * _LEAST_GAIN else None

    def _first_fitting(self, recipe: Recipe, step: _Step) -> Knob:
        """A stronger form never takes more, so the forms are searched by halves."""

        def of(place: int) -> Knob:
            return self.knob(recipe, _named(step, step.forms[place]), step.forms[place], step.costs)

        strongest = of(len(step.forms) - 1)
        low, high, found = 0, len(step.forms) - 1, strongest
        while low < high:
            middle = (low + high) // 2
            one = of(middle)
            if _RANK[one.fit] <= _RANK[strongest.fit]:
                high, found = middle, one
            else:
                low = middle + 1
        return found if strongest.fit == "fits" else strongest

    def chain(self, recipe: Recipe, steps: Sequence[_Step]) -> Knob | None:
        """The cheapest steps that together make it fit, or at least tight; None where all together do not.

        Steps are added from the cheapest on until it fits, what turns out not to be needed is taken out again, the
        dearest first, and the rest is made as mild as it may be.
        """
        wanted = self._joined(recipe, [(step, -1) for step in steps]).fit if steps else "does_not_fit"
        if wanted == "does_not_fit":
            return None
        taken: list[tuple[_Step, int]] = []
        for step in steps:
            taken.append((step, -1))
            if self._is_enough(recipe, taken, wanted):
                break
        for one in list(reversed(taken)):
            fewer = [other for other in taken if other is not one]
            if self._is_enough(recipe, fewer, wanted):
                taken = fewer
        for place, (step, _) in enumerate(taken):
            taken[place] = (step, self._mildest_form(recipe, taken, place, wanted))
        return self._joined(recipe, taken) if len(taken) > 1 else None

    def _mildest_form(
        self, recipe: Recipe, taken: Sequence[tuple[_Step, int]], place: int, wanted: Fit
    ) -> int:
        """The first form of one step of a chain with which the chain is still enough."""
        low, high = 0, len(taken[place][0].forms) - 1
        while low < high:
            middle = (low + high) // 2
            tried = [*taken[:place], (taken[place][0], middle), *taken[place + 1 :]]
            low, high = (low, middle) if self._is_enough(recipe, tried, wanted) else (middle + 1, high)
        return low

    def _is_enough(self, recipe: Recipe, taken: Sequence[tuple[_Step, int]], wanted: Fit) -> bool:
        return bool(taken) and _RANK[self._joined(recipe, taken).fit] <= _RANK[wanted]

    def _joined(self, recipe: Recipe, taken: Sequence[tuple[_Step, int]]) -> Knob:
        changes = tuple(change for step, form in taken for change in step.forms[form])
        names = " + ".join(_named(step, step.forms[form]) for step, form in taken)
        costs = "; ".join(dict.fromkeys(step.costs for step, _ in taken))
        return self.knob(recipe, names, changes, costs)


def _ratios(found: Memory, formula: Memory) -> dict[Phase, float]:
    """By phase; of a phase that was not found, that of the highest."""
    sums = {phase: sum(kinds.values()) for phase, kinds in formula.peaks.items()}
    usual = highest_in_run(found)[1] / max(1, highest_in_run(formula)[1])
    return {
        phase: sum(found.peaks[phase].values()) / taken if phase in found.peaks and taken else usual
        for phase, taken in sums.items()
    }


def _scaled(memory: Memory, ratios: Mapping[Phase, float], of_rows: float = 1.0) -> Memory:
    """Each phase times its ratio; what depends on the rows times `of_rows` too."""
    peaks = {
        phase: {
            kind: round(taken * ratios.get(phase, 1.0) * (of_rows if kind in _OF_ROWS else 1.0))
            for kind, taken in kinds.items()
        }
        for phase, kinds in memory.peaks.items()
    }
    return replace(memory, peaks=peaks)


def _steps(
    recipe: Recipe, device: Device, shape: Shape | None, lengths: RowLengths | None
) -> Iterator[_Step]:
    """Every step there is, cheapest first: for nothing, for time, for quality or data."""
    train, data, lora = recipe.train, recipe.data, recipe.lora
    splits = _splits(train.per_device_train_batch_size, train.gradient_accumulation_steps)
    if splits:
        yield _Step("smaller micro-batches", "nothing: the batch and the loss stay as they are", splits)
    evaluated = _halved(recipe.eval.per_device_eval_batch_size, 1)
    if evaluated:
        forms = tuple((Change("eval", "per_device_eval_batch_size", count),) for count in evaluated)
        yield _Step("smaller evaluation passes", "nothing: the losses stay the same", forms)
    if not data.packing:
        yield _Step(
            "packing",
            "nothing: the same loss without padding, where the model can pack",
            ((Change("data", "packing", True),),),
        )
    needed = _needed_length(recipe, lengths)
    if needed is not None:
        yield _Step(
            "shorter max_length",
            f"nothing: the longest row has {lengths.longest if lengths else needed:,} tokens",
            ((Change("data", "max_length", needed),),),
        )
    if recipe.eval.samples > 1:
        forms = tuple((Change("eval", "samples", count),) for count in range(recipe.eval.samples - 1, 0, -1))
        yield _Step("fewer sample answers", "nothing of the training: fewer answers to read", forms)
    if not train.gradient_checkpointing:
        more = "a third" if train.method == "full" else "half"
        yield _Step(
            "gradient checkpointing",
            f"time: steps take up to {more} longer, the result is the same",
            ((Change("train", "gradient_checkpointing", True),),),
        )
    if train.method == "lora" and device.kind == "cuda":
        nf4 = (Change("train", "method", "qlora"), Change("model", "quantize", "nf4"))
        yield _Step("qlora", "quality: a base in 4 bits, and slower steps", (nf4,))
    if train.method == "qlora" and recipe.model.quantize != "nf4":
        yield _Step(
            "nf4", "quality: a base in 4 bits in place of 8", ((Change("model", "quantize", "nf4"),),)
        )
    if train.method != "full":
        ranks = _halved(lora.r, _LEAST_RANK)
        if ranks:
            forms = tuple((Change("lora", "r", rank),) for rank in ranks)
            yield _Step("lower rank", "capacity: smaller adapters hold less", forms)
        if shape is not None and lora.target_modules == "all-linear":
            forms = ((Change("lora", "target_modules", _few_modules(shape)),),)
            yield _Step("fewer modules", "quality: adapters on all layers learn better", forms)
    else:
        costs = "capacity: adapters learn less from large data, and want ten times the learning rate"
        yield _Step("lora", costs, ((Change("train", "method", "lora"),),))
        if device.kind == "cuda":
            nf4 = (Change("train", "method", "qlora"), Change("model", "quantize", "nf4"))
            yield _Step("qlora", f"{costs}; a base in 4 bits", (nf4,))


def _splits(batch: int, accumulation: int) -> tuple[tuple[Change, ...], ...]:
    """Smaller micro-batches, largest first, with so many more of them that their product stays equal."""
    product = batch * accumulation
    sizes = [one for one in range(batch - 1, 0, -1) if product % one == 0]
    return tuple(
        (
            Change("train", "per_device_train_batch_size", one),
            Change("train", "gradient_accumulation_steps", product // one),
        )
        for one in sizes
        if product // one <= 65_536
    )


def _needed_length(recipe: Recipe, lengths: RowLengths | None) -> int | None:
    """The least data.max_length that cuts no row, a multiple of 8; None where it is not known or not less."""
    allowed = recipe.data.max_length
    if lengths is None or not lengths.exact or allowed is None:
        return None
    needed = max(_SHORTEST, -(-lengths.longest // 8) * 8)
    return needed if needed < allowed else None


def _few_modules(shape: Shape) -> list[str]:
    """The query and value projections, as the first paper on LoRA had it, or what holds both."""
    names = [one.name for one in linears(shape)]
    return [name for name in ("q_proj", "v_proj") if name in names] or names[:1]


def _halved(value: int, least: int) -> list[int]:
    values = []
    while value // 2 >= least:
        value //= 2
        values.append(value)
    return values


def _named(step: _Step, changes: Sequence[Change]) -> str:
    if step.name == "smaller micro-batches":
        return f"batch {changes[0].value} x {changes[1].value}"
    if step.name == "smaller evaluation passes":
        return f"evaluation batch {changes[0].value}"
    if step.name == "shorter max_length":
        return f"max_length {changes[0].value}"
    if step.name == "fewer sample answers":
        return f"samples {changes[0].value}"
    if step.name == "lower rank":
        return f"r = {changes[0].value}"
    return step.name
