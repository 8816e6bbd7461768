"""Why an export does not read as its run did: the likely cause, named from what differs."""

import re
from collections.abc import Sequence

from finetui_core.export.prompts import Asked
from finetui_core.export.side import Read, Side

WRONG_TEMPLATE = "another chat template than the trained one"
MISSING_TEMPLATE = "the chat template is missing"
DOUBLED_BOS = "the start token comes twice"
MISSING_BOS = "the start token is missing"
ADDED_BOS = "a start token that was not trained"
MISSING_END = "the token that ends an answer is missing"
NOT_STOPPING = "the generation settings do not end an answer at the trained token"
SWAPPED_ROLES = "the roles are swapped"
NO_QUESTION_MARK = "the template does not ask for an answer"
LOST_SYSTEM = "the system message is left out"
LOST_TOOLS = "the tools are left out"
ALTERED_TEXT = "the template alters the text of messages"
VOCABULARY = "the vocabulary has another size"
BROKEN_MARK = "a turn mark is no longer one token"
OTHER_TOKENIZER = "another tokenizer"
STALE = "a stale adapter"
STALE_WEIGHTS = "weights of another step"
UNTUNED = "the adapter is not in it: it answers as the base"
SETTINGS = "the adapter has other settings than the trained ones"
ROUNDING = "rounding beyond the tolerance"
MISSING_WEIGHTS = "weights are missing"
OTHER_WEIGHTS = "other weights than the trained ones"
UNREADABLE = "it cannot be loaded"


def cause_in_texts(asked: Asked, trained: Read, shipped: Read, before: Side, after: Side) -> str:
    """Of a prompt whose text or ids differ."""
    if not after.has_template:
        return MISSING_TEMPLATE
    if trained.refused or shipped.refused:
        return WRONG_TEMPLATE
    if trained.prompt_text == shipped.prompt_text and trained.whole_text == shipped.whole_text:
        return _of_tokens(trained, shipped, before, after)
    return _of_texts(asked, trained, shipped, before)


def most_telling(named: Sequence[str]) -> str:
    """The cause to tell of those that the differing prompts have: a lost part only where nothing else differs."""
    lost = (LOST_SYSTEM, LOST_TOOLS)
    others = [cause for cause in named if cause not in lost]
    specific = [cause for cause in others if cause not in (WRONG_TEMPLATE, OTHER_TOKENIZER)]
    return [*specific, *others, *named][0]


def _of_tokens(trained: Read, shipped: Read, before: Side, after: Side) -> str:
    """The texts are the same, their tokens are not."""
    if _is_doubled(trained.prompt_ids, shipped.prompt_ids, before.bos):
        return DOUBLED_BOS
    marks = {
        token
        for token, piece in before.pieces.items()
        if piece and piece in trained.whole_text and piece[:1] in "<[|"
    }
    if any(
        token in trained.whole_ids and token not in shipped.whole_ids
        for token in marks
        if len(before.pieces[token]) > 1
    ):
        return BROKEN_MARK
    return OTHER_TOKENIZER if before.tokens == after.tokens else VOCABULARY


def _is_doubled(trained: Sequence[int], shipped: Sequence[int], bos: int | None) -> bool:
    return bos is not None and list(shipped) == [bos, *trained] and list(trained[:1]) == [bos]


def _of_texts(asked: Asked, trained: Read, shipped: Read, before: Side) -> str:
    bos = before.pieces.get(before.bos, "") if before.bos is not None else ""
    prompt, given = trained.prompt_text, shipped.prompt_text
    if bos and given == bos + prompt:
        return DOUBLED_BOS if prompt.startswith(bos) else ADDED_BOS
    if bos and prompt == bos + given:
        return MISSING_BOS
    if _without_an_end(trained.whole_text, shipped.whole_text, before):
        return MISSING_END
    if _marks_before(asked, trained) == tuple(reversed(_marks_before(asked, shipped))):
        return SWAPPED_ROLES
    if len(given) < len(prompt) and prompt.startswith(given):
        return NO_QUESTION_MARK
    if asked.tools and _TOOL in prompt and _TOOL not in given:
        return LOST_TOOLS
    for message in asked.messages:
        if message["content"] in prompt and message["content"] not in given:
            return LOST_SYSTEM if message["role"] == "system" else ALTERED_TEXT
    return WRONG_TEMPLATE


_TOOL = '"track"'


def _without_an_end(trained: str, shipped: str, before: Side) -> bool:
    """Whether the texts differ only by tokens that end an answer, of which fewer are shipped."""
    for end in (before.pieces.get(token, "") for token in before.ends):
        if (
            end
            and trained.count(end) > shipped.count(end)
            and trained.replace(end, "") == shipped.replace(end, "")
        ):
            return True
    return False


def _marks_before(asked: Asked, read: Read) -> tuple[frozenset[str], frozenset[str]]:
    """The words before a question that are not before an answer, and the other way round."""
    words: dict[str, set[str]] = {"user": set(), "assistant": set(), "system": set()}
    rest = read.whole_text
    for message in (*asked.messages, {"role": "assistant", "content": asked.answer}):
        mark, found, rest = rest.partition(message["content"]) if message["content"] else ("", "", rest)
        if found:
            words[message["role"]] |= set(re.findall(r"\w+", mark))
    return frozenset(words["user"] - words["assistant"]), frozenset(words["assistant"] - words["user"])


def cause_in_plain_text(before: Side, after: Side) -> str:
    """Of a text that is read without a template."""
    if after.plain_ids == [before.bos, *before.plain_ids]:
        return ADDED_BOS
    return MISSING_BOS if before.plain_ids == [before.bos, *after.plain_ids] else OTHER_TOKENIZER


def cause_in_weights(before: Side, after: Side) -> str:
    """What is wrong with the sizes, if that is it."""
    if after.missing:
        return MISSING_WEIGHTS
    return VOCABULARY if before.rows != after.rows else ""
