"""The arms of a comparison, and what each of them is asked: the same questions with different help before them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from finetui_core.data.check.keys import prompt
from finetui_core.data.conversation import Conversation
from finetui_core.data.template import message_dict
from finetui_core.evaluate.documents import Passage
from finetui_core.evaluate.endpoint import Endpoint
from finetui_core.evaluate.figures import Arm, ArmName, Prompt, TestRow
from finetui_core.evaluate.leaks import reference_of
from finetui_core.evaluate.metrics import normalised, task_of
from finetui_core.evaluate.retrieval import retriever

SHOTS, PASSAGES = 4, 5
FORMS: Mapping[ArmName, ArmName] = {
    "tuned": "zero_shot",
    "tuned_retrieved": "retrieved",
    "tuned_documents": "documents",
    "endpoint": "zero_shot",
}
"""Arms that are asked just what another one is asked."""

COSTS: Mapping[ArmName, int] = {
    name: rank
    for rank, name in enumerate(
        (
            "zero_shot",
            "few_shot",
            "retrieved",
            "documents",
            "tuned",
            "tuned_retrieved",
            "tuned_documents",
            "endpoint",
        )
    )
}
"""From the cheapest to have to the dearest.

Fixed examples cost prompt tokens, which a server keeps after the first request; retrieved ones differ for each
question, and need the training rows at hand; documents are longer still and have to be kept current. None of them
has to be trained, and each can be changed in a minute. Tuned weights have the shortest prompts, but must be trained,
again whenever the data or the base changes, and kept and served apart; the tokens that they save pay for that from
some 20 million a month. With retrieval they have both upkeeps. What a request to an endpoint costs is not known here.
"""

_INSTRUCTION = "Answer the question from these passages."
_USUAL_ROLES = ("user", "assistant")

Messages = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Help:
    """What may stand before a question. `room` are the tokens that a whole prompt may have, counted by `length_of`
    (messages and tools); `seed` draws the fixed examples."""

    examples: tuple[Conversation, ...]
    passages: tuple[Passage, ...]
    shots: int
    seed: int
    room: int
    length_of: Callable[..., int]


@dataclass(frozen=True, slots=True)
class Asked:
    """The prompts of an arm in the order of the rows, and how many examples or passages found no room."""

    prompts: tuple[Prompt, ...]
    left_out: int


def arms_for(
    *,
    has_run: bool,
    examples: Sequence[Conversation],
    documents: Path | None = None,
    endpoint: Endpoint | None = None,
    shots: int = SHOTS,
) -> tuple[Arm, ...]:
    """The arms that can be asked, those without training first. Without usable examples there are none with shots."""
    shown = any(_is_plain(row) for row in examples)
    some = f"{shots} examples" if shots > 1 else "an example"
    untrained = [_arm("zero_shot", "the base model without help", "base")]
    if shown:
        untrained += [
            _arm("few_shot", f"the base model, {some} before each question, always the same", "base"),
            _arm("retrieved", f"the base model, {some} most like the question before it", "base"),
        ]
    if documents is not None:
        says = f"the base model, passages of {documents.name or documents} that fit the question before it"
        untrained.append(_arm("documents", says, "base"))
    if endpoint is not None:
        untrained.append(_arm("endpoint", f"{endpoint.model} at {endpoint.url}, without help", "endpoint"))
    tuned = [_arm("tuned", "the tuned model without help", "tuned")]
    if shown:
        tuned.append(
            _arm("tuned_retrieved", f"the tuned model, {some} most like the question before it", "tuned")
        )
    if documents is not None:
        tuned.append(
            _arm("tuned_documents", "the tuned model, passages that fit the question before it", "tuned")
        )
    return (*untrained, *(tuned if has_run else ()))


def _arm(name: ArmName, says: str, weights: Any) -> Arm:
    return Arm(name, says, weights, COSTS[name])


def prompts(arms: Sequence[Arm], rows: Sequence[TestRow], help: Help) -> dict[ArmName, Asked]:
    """What each arm is asked for each row. Help that does not fit into `help.room` is left out whole and counted."""
    makers = {
        "zero_shot": _zero_shot,
        "few_shot": _few_shot,
        "retrieved": _retrieved,
        "documents": _documents,
    }
    forms = dict.fromkeys(FORMS.get(arm.name, arm.name) for arm in arms)
    asked = {form: makers[form](rows, help) for form in forms}
    return {arm.name: asked[FORMS.get(arm.name, arm.name)] for arm in arms}


def _zero_shot(rows: Sequence[TestRow], help: Help) -> Asked:
    return Asked(tuple(Prompt(row.index, tuple(row.prompt)) for row in rows), 0)


def _few_shot(rows: Sequence[TestRow], help: Help) -> Asked:
    shots = fixed_examples(help)
    return _asked(_with_shots(row, shots, help) for row in rows)


def _retrieved(rows: Sequence[TestRow], help: Help) -> Asked:
    """The best examples, the one most like the question next to it; where none has a word of it, the fixed ones."""
    examples = [row for row in help.examples if _is_plain(row)]
    best = retriever([_question(map(message_dict, prompt(row))) for row in examples])
    fixed = fixed_examples(help)

    def one(row: TestRow) -> tuple[Prompt, int]:
        found = [examples[at] for at in best(_question(row.prompt), help.shots)]
        return _with_shots(row, found[::-1] or fixed, help, best_last=bool(found))

    return _asked(one(row) for row in rows)


def _documents(rows: Sequence[TestRow], help: Help) -> Asked:
    best = retriever([f"{passage.title}\n{passage.text}" for passage in help.passages])

    def one(row: TestRow) -> tuple[Prompt, int]:
        found = [help.passages[at] for at in best(_question(row.prompt), PASSAGES)]

        def built(passages: Sequence[Passage]) -> Messages:
            return _with_passages(tuple(row.prompt), passages)

        kept = _fitting(found, built, row, help)
        used = tuple(passage.source for passage in kept)
        return Prompt(row.index, built(kept), used), len(found) - len(kept)

    return _asked(one(row) for row in rows)


def _asked(made: Iterator[tuple[Prompt, int]]) -> Asked:
    pairs = list(made)
    return Asked(tuple(prompt for prompt, _ in pairs), sum(left_out for _, left_out in pairs))


def _with_shots(
    row: TestRow, shots: Sequence[Conversation], help: Help, *, best_last: bool = False
) -> tuple[Prompt, int]:
    step = -1 if best_last else 1  # the best are tried first

    def built(chosen: Sequence[Conversation]) -> Messages:
        systems = next((at for at, one in enumerate(row.prompt) if one["role"] != "system"), len(row.prompt))
        turns = chain.from_iterable(_turns(shot) for shot in chosen[::step])
        return (*row.prompt[:systems], *turns, *row.prompt[systems:])

    kept = _fitting(shots[::step], built, row, help)
    used = tuple(shot.source for shot in kept[::step])
    return Prompt(row.index, built(kept), used), len(shots) - len(kept)


def _fitting(items: Sequence[Any], built: Callable[[Any], Messages], row: TestRow, help: Help) -> list[Any]:
    """Those of `items`, the most wanted first, that fit together with the question."""
    if not items or help.length_of(built(items), row.tools) <= help.room:
        return list(items)
    kept: list[Any] = []
    for item in items:
        if help.length_of(built([*kept, item]), row.tools) <= help.room:
            kept.append(item)
    return kept


def fixed_examples(help: Help) -> list[Conversation]:
    """The same examples for every question, drawn by the seed, with as many different answers as can be.

    Where answers are labels each label comes in turn, the most frequent first. One that alone takes more than its
    share of the room is passed over while there are others.
    """
    plain = [row for row in help.examples if _is_plain(row)]
    order = np.random.default_rng([help.seed, len(plain)]).permutation(len(plain))
    drawn = [plain[at] for at in order]
    answers = [normalised(reference_of(row)) for row in drawn]
    counts = Counter(answers)
    by_answer: dict[str, list[Conversation]] = {}
    for row, answer in zip(drawn, answers, strict=True):
        by_answer.setdefault(answer, []).append(row)
    named = list(by_answer)
    if drawn and task_of([reference_of(row) for row in drawn]) == "labels":
        named.sort(key=lambda answer: -counts[answer])
    in_turn = [
        row for turn in zip_longest(*(by_answer[name] for name in named)) for row in turn if row is not None
    ]
    share = help.room // (help.shots + 1)
    chosen: list[Conversation] = []
    passed_over: list[Conversation] = []
    for row in in_turn:
        if len(chosen) == help.shots:
            break
        (chosen if help.length_of(tuple(_turns(row)), None) <= share else passed_over).append(row)
    return [*chosen, *passed_over][: help.shots]


def _is_plain(row: Conversation) -> bool:
    """Whether a row can be shown as turns of any chat: user and assistant by turns, no tools."""
    turns = [turn for turn in (*prompt(row), *_last(row)) if turn.role != "system"]
    wanted = [_USUAL_ROLES[at % 2] for at in range(len(turns))]
    return (
        not row.tools
        and len(turns) >= 2
        and len(turns) % 2 == 0
        and [turn.role for turn in turns] == wanted
        and not any(turn.tool_calls for turn in turns)
    )


def _last(row: Conversation) -> tuple[Any, ...]:
    return next(((turn,) for turn in reversed(row.messages) if turn.role == "assistant"), ())


def _turns(row: Conversation) -> list[dict[str, Any]]:
    """A row as turns before a question; its system prompt gives way to that of the question."""
    return [message_dict(turn) for turn in (*prompt(row), *_last(row)) if turn.role != "system"]


def _question(messages: Any) -> str:
    """What the user says, which is what is looked for."""
    return "\n".join(str(one.get("content") or "") for one in messages if one["role"] == "user")


def _with_passages(messages: Messages, passages: Sequence[Passage]) -> Messages:
    """The passages and the instruction before the last question of the user."""
    last = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=None)
    if last is None or not passages:
        return messages
    shown = [
        f"[{number}] {passage.title}\n{passage.text}" if passage.title else f"[{number}] {passage.text}"
        for number, passage in enumerate(passages, 1)
    ]
    content = "\n\n".join([_INSTRUCTION, *shown, f"Question: {messages[last].get('content') or ''}"])
    return (*messages[:last], {**messages[last], "content": content}, *messages[last + 1 :])
