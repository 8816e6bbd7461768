"""What the rules find in one row under a recipe: its tokens, its mask and its length, as training has them."""

from finetui_core.data.check.findings import Hit
from finetui_core.data.check.specials import Specials, doubled, ends_learned, misses_start, written_specials
from finetui_core.data.conversation import Conversation, Row
from finetui_core.data.render import TEMPLATE_REFUSES
from finetui_core.data.stages import Fitted
from finetui_core.errors import Problem


def recipe_hits(row: Row, result: Fitted | Problem, specials: Specials) -> list[Hit]:
    """Everything that is found in a row once it is rendered and fitted."""
    hits = recipe_errors(row, result, specials)
    if isinstance(result, Problem):
        return hits + written_specials(row, specials)
    if result.is_long:
        hits.append(Hit("overlength", "", f"{len(result.whole.ids):,} tokens"))
    ids, mask = result.whole.ids, result.whole.mask
    twice = doubled(ids, mask, specials)
    if twice is not None:
        hits.append(Hit("doubled_special", "", 2 * specials.tokenizer.convert_ids_to_tokens(twice)))
    if misses_start(ids, specials):
        hits.append(Hit("missing_start"))
    return hits + written_specials(row, specials)


def recipe_errors(row: Row, result: Fitted | Problem, specials: Specials) -> list[Hit]:
    """Only what keeps a run from starting; training looks for it in every row.

    Whether the end is learned is judged before a cut: a row that is cut loses its end, and is reported as cut.
    """
    if isinstance(result, Problem):
        return [Hit("template_error", "", result.what.removeprefix(TEMPLATE_REFUSES)[:80])]
    hits = []
    if result.teaches_nothing:
        hits.append(Hit("nothing_supervised", "", "the answer lies after the cut" if result.is_cut else ""))
    whole = result.whole
    if (
        isinstance(row, Conversation)
        and whole.mask.any()
        and not ends_learned(whole.ids, whole.mask, specials)
    ):
        hits.append(Hit("end_not_learned"))
    return hits
