"""What a set of this size can teach, and what a validation set of its size can show, in words about this set."""

import math
from typing import Literal

import msgspec

from finetui_core.evaluate.intervals import wilson
from finetui_core.recipe.options import Method
from finetui_core.wording import count, percent

Tier = Literal["too_few", "trial", "small", "usual", "large"]

_Z_95 = 1.96
_Z_POWER = 1.96 + 0.84  # two-sided 5 %, power 80 %
_BASE_RATE = 0.5  # where an interval is widest
_DISCORDANT = 0.25  # share of rows on which two models differ; the middle of the table of sources
_FEW_VALIDATION_ROWS = 200
_REPEATED = 0.1  # share of rows that repeat another, from which it is said
_BITS_PER_TOKEN, _PARAMETERS_PER_RANK, _BITS_PER_PARAMETER, _RANK = 1, 2.62e6, 2, 16

GUIDE = "the usual guide: 50–100 rows show an effect, 500–1,000 do for a task, 5,000 and more for a hard one"
OPENAI = "OpenAI, fine-tuning guide: 10 rows at least, clear gains at 50–100; if 50 change nothing, rethink"
LIMA = "LIMA (Zhou et al. 2023): 1,000 curated rows tuned a 65B model; one base model, chosen by hand"
LIMIT = "LIMIT (2023): 1,000–6,000 rows, styles mixed, did for both benchmarks and free answers"
ALPAGASUS = "AlpaGasus (Chen et al. 2023): 9,000 filtered rows beat all 52,000 of Alpaca"
LONGEST = "Zhao et al. 2024: the 1,000 longest answers beat what LIMA and AlpaGasus chose"
POOLS = "Ivison et al. 2025: many ways of choosing rows do worse than chance as the pool grows"
FACTS = "FineTuneBench (2024): tuned models answered 37 % of questions on new facts they had been trained on"
LORA = (
    "LoRA Without Regret (2025): about 2 bits for each parameter of an adapter, 1 bit for each learned token"
)
ERROR_BARS = "Adding Error Bars to Evals (Miller 2024): intervals and paired differences"
MCNEMAR = "paired comparison (McNemar), two-sided 5 %, power 80 %, if the two models differ on a quarter of the rows"


class Said(msgspec.Struct, frozen=True):
    """A sentence about this set, and where it is from."""

    text: str
    source: str


class SizeGuide(msgspec.Struct, frozen=True):
    """`interval` is half the width of a 95 % interval on a share near one half, measured on the validation rows,
    and `smallest_difference` the smallest change of such a share that they would probably show; None where
    there are no rows, or too few to show any."""

    tier: Tier
    rows: int
    distinct_rows: int
    distinct_prompts: int
    val_rows: int
    interval: float | None
    smallest_difference: float | None
    sentences: tuple[Said, ...]


def size_guide(
    rows: int,
    distinct_rows: int,
    distinct_prompts: int,
    val_rows: int,
    supervised_tokens: int | None,
    method: Method,
) -> SizeGuide:
    """`rows` are those of the training file; `supervised_tokens` those that an epoch learns, None if not known."""
    tier = _tier(distinct_rows)
    said = [_what_it_can_teach(tier, rows, distinct_rows)]
    said += _repeats(rows, distinct_rows, distinct_prompts)
    said += _choice(tier)
    if supervised_tokens is not None:
        said += _capacity(distinct_rows, supervised_tokens, method)
    interval = wilson(_BASE_RATE * val_rows, val_rows).high - _BASE_RATE if val_rows else None
    difference = smallest_difference(val_rows)
    said += _validation(val_rows, interval, difference)
    return SizeGuide(tier, rows, distinct_rows, distinct_prompts, val_rows, interval, difference, tuple(said))


def smallest_difference(rows: int, discordant: float = _DISCORDANT) -> float | None:
    """The smallest gain in accuracy that a paired comparison on so many rows shows in four of five cases.

    McNemar's test in its usual approximation: (1.96 sqrt(d) + 0.84 sqrt(d - gain²))² = rows gain², with d the
    share of rows on which the two models differ. None where even a gain of all of d is not shown.
    """
    low, high = 0.0, discordant
    if rows <= 0 or not _is_shown(rows, high, discordant):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _is_shown(rows, middle, discordant) else (middle, high)
    return high


def _is_shown(rows: int, gain: float, discordant: float) -> bool:
    spread = max(0.0, discordant - gain**2)
    return math.sqrt(rows) * gain >= _Z_95 * math.sqrt(discordant) + (_Z_POWER - _Z_95) * math.sqrt(spread)


def _tier(distinct_rows: int) -> Tier:
    if distinct_rows < 50:
        return "too_few"
    if distinct_rows < 200:
        return "trial"
    if distinct_rows < 500:
        return "small"
    return "usual" if distinct_rows < 5_000 else "large"


def _what_it_can_teach(tier: Tier, rows: int, distinct: int) -> Said:
    has = f"{count(distinct)} different rows"
    return {
        "too_few": Said(
            f"{has} are too few to train on: put the best of them into the prompt as examples, "
            f"and collect {count(max(1, 50 - distinct))} more for a first trial.",
            OPENAI,
        ),
        "trial": Said(
            f"{has} can show whether tuning changes anything (tone, format); they will not settle how good it is.",
            GUIDE,
        ),
        "small": Said(
            f"{has} do for a narrow task: a format, a tone, a classification with few labels.", GUIDE
        ),
        "usual": Said(
            f"{has} are the usual size for one task done well, if they are varied and right.",
            f"{GUIDE}; {LIMA}",
        ),
        "large": Said(
            f"{has} are enough for a hard or broad task; what more rows bring is best seen by training on half.",
            GUIDE,
        ),
    }[tier]


def _repeats(rows: int, distinct_rows: int, distinct_prompts: int) -> list[Said]:
    said = []
    repeated = rows - distinct_rows
    if rows and repeated / rows >= _REPEATED:
        said.append(
            Said(
                f"{count(repeated)} of {count(rows)} rows repeat another word for word: they weigh more, "
                "and teach nothing new.",
                "Lee et al. 2022: repeated rows are written out by heart ten times as often",
            )
        )
    if distinct_rows and distinct_prompts <= (1 - _REPEATED) * distinct_rows:
        said.append(
            Said(
                f"There are {count(distinct_prompts)} different prompts for {count(distinct_rows)} different rows: "
                "count the prompts, not the rows, when you ask how much of the task is covered.",
                LIMIT,
            )
        )
    return said


def _choice(tier: Tier) -> list[Said]:
    """What is known of few good rows against many."""
    if tier in ("usual", "large"):
        return [
            Said("Fewer, better rows have done as well as many times more.", ALPAGASUS),
            Said(
                "But a score of quality is a way to sort rows, not to discard them: compare with a random subset "
                "of the same size.",
                f"{LONGEST}; {POOLS}",
            ),
        ]
    if tier == "small":
        return [Said("Up to a few thousand rows, varied in style, each such row is likely to help.", LIMIT)]
    return []


def _capacity(distinct_rows: int, tokens: int, method: Method) -> list[Said]:
    said = [
        Said(
            f"They teach {count(tokens)} tokens an epoch. Facts are learned badly this way, however many: "
            "put facts that must be right into the prompt.",
            FACTS,
        )
    ]
    room = _BITS_PER_PARAMETER * _PARAMETERS_PER_RANK * _RANK / _BITS_PER_TOKEN
    if method != "full" and tokens > room:
        said.append(
            Said(
                f"That is more than the {count(room)} that an adapter of rank {_RANK} on an 8B model holds: "
                "raise lora.r.",
                LORA,
            )
        )
    return said


def _validation(rows: int, interval: float | None, difference: float | None) -> list[Said]:
    if interval is None:
        return [
            Said(
                "There are no validation rows, so nothing will show whether it helped: set data.val, "
                "or data.val_fraction.",
                ERROR_BARS,
            )
        ]
    said = [
        Said(
            f"An accuracy or a win rate of 50 % measured on {count(rows)} validation rows is 50 ± "
            f"{percent(interval)}.",
            ERROR_BARS,
        )
    ]
    if difference is None:
        said.append(Said("They are too few to show that one model is better than another.", MCNEMAR))
    else:
        said.append(
            Said(f"They show a gain of {percent(difference)} or more, and miss most smaller ones.", MCNEMAR)
        )
    if rows < _FEW_VALIDATION_ROWS:
        said.append(
            Said(
                f"{count(_FEW_VALIDATION_ROWS)} validation rows would show "
                f"{percent(smallest_difference(_FEW_VALIDATION_ROWS))}, 1,000 would show "
                f"{percent(smallest_difference(1_000))}.",
                MCNEMAR,
            )
        )
    return said
