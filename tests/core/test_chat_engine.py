"""Answers in a conversation: transformers' own, whatever is kept between turns, by the weights asked for."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import TopPLogitsWarper

from finetui_core.evaluate import chat_engine
from finetui_core.evaluate.chat_engine import Chat, answers, open_chat, shown
from finetui_core.evaluate.chat_protocol import SIDES, Answered, Piece, Sampling, Side, Turn
from finetui_core.evaluate.engine import load, weights_of
from finetui_core.evaluate.sampling import chooser
from finetui_core.evaluate.token_text import TokenText
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import best_or_newest
from tiny_models import ARCHITECTURES, save_tokenizer
from training import new_run, train_here, write_project

CPU = torch.device("cpu")
GREEDY = Sampling(max_new_tokens=12)
DRAWN = Sampling(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=5)
ASKED = ("Where is my order?", "How do I return it? It is far too small.", "Thanks.")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return load_recipe(write_project(tmp_path_factory.mktemp(request.param), architecture=request.param))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Recipe, Path]]:
    """Recipe and best checkpoint of a short run by each method."""
    project = write_project(tmp_path_factory.mktemp("trained"), rows=16)
    runs: dict[str, tuple[Recipe, Path]] = {}

    def of(method: str) -> tuple[Recipe, Path]:
        if method not in runs:
            paths = new_run(project, f'train.method="{method}"', "train.max_steps=2")
            assert train_here(paths) == 0
            recipe = Recipe.model_validate_json(paths.resolved_recipe.read_bytes())
            runs[method] = recipe, best_or_newest(paths).path
        return runs[method]

    return of


def ended(said: Iterable[Piece | Answered]) -> dict[Side, Answered]:
    """The ends of the answers; the pieces before them are each the whole text."""
    texts: dict[Side, str] = {}
    found: dict[Side, Answered] = {}
    for one in said:
        if isinstance(one, Piece):
            assert one.side not in found and one.text
            texts[one.side] = texts.get(one.side, "") + one.text
        else:
            assert one.text == texts.get(one.side, "").strip()
            found[one.side] = one
    return found


def asked(chat: Chat, sampling: Sampling, *sides: Side, turns: tuple[Turn, ...]) -> dict[Side, Answered]:
    return ended(answers(chat, 1, dict.fromkeys(sides, turns), sampling, lambda: False))


def talked(chat: Chat, sampling: Sampling, side: Side) -> list[Answered]:
    """A conversation of several turns."""
    turns: tuple[Turn, ...] = (Turn("system", "Be kind."),)
    found = []
    for question in ASKED:
        turns = (*turns, Turn("user", question))
        answer = asked(chat, sampling, side, turns=turns)[side]
        assert answer.ended in ("end", "length"), answer.error
        turns = (*turns, Turn("assistant", answer.text or "…"))
        found.append(answer)
    return found


def test_the_likeliest_answer_is_that_of_generate(recipe: Recipe) -> None:
    chat = open_chat(recipe, None, ("base",), CPU)
    answer = asked(chat, GREEDY, "base", turns=(Turn("user", ASKED[0]),))["base"]
    loaded = load(recipe, None, CPU)
    ids = torch.tensor([[token for token, _ in shown(chat, 2, (Turn("user", ASKED[0]),)).tokens]])
    with weights_of(loaded, "base") as (model, _), torch.no_grad():
        plain = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
    said = plain[0, ids.shape[1] :]
    assert answer.text == loaded.tokenizer.decode(said, skip_special_tokens=True).strip()
    assert answer.prompt_tokens == ids.shape[1]


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_what_is_kept_changes_no_answer(
    recipe: Recipe, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does reading a prompt in parts; a sliding window that has slid cannot be cut back, and is read again."""
    chat = open_chat(recipe, None, ("base",), CPU)
    kept = talked(chat, sampling, "base")
    assert kept[1].cached > 0 or "mistral" in recipe.model.name
    monkeypatch.setitem(chat_engine.TOKENS_READ, "cpu", 7)
    monkeypatch.setattr(chat_engine, "_common", lambda one, other: 0)
    anew = talked(chat, sampling, "base")
    assert [one.cached for one in anew] == [0, 0, 0]
    assert [one.text for one in anew] == [one.text for one in kept]
    assert [one.prompt_tokens for one in anew] == [one.prompt_tokens for one in kept]


def test_only_the_new_turn_is_read(recipe: Recipe) -> None:
    """Of a conversation whose answer is written as the model wrote it, all but what came after is there."""
    chat = open_chat(recipe, None, ("base",), CPU)
    turns = (Turn("user", ASKED[0]),)
    before = asked(chat, GREEDY, "base", turns=turns)["base"]
    again = asked(chat, GREEDY, "base", turns=turns)["base"]
    assert again.text == before.text
    if "mistral" not in recipe.model.name:
        assert again.cached == before.prompt_tokens - 1


def test_a_seed_means_one_text_and_another_seed_another() -> None:
    scores = torch.zeros(1000)
    drawn = [[chooser(Sampling(temperature=1, seed=seed))(scores) for _ in range(4)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_both_sides_at_once_say_what_each_says_alone(
    trained: Callable[[str], tuple[Recipe, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("lora", "full"):
        recipe, checkpoint = trained(method)
        turns = (Turn("user", ASKED[0]),)
        chat = open_chat(recipe, checkpoint, SIDES, CPU)
        monkeypatch.setattr(chat_engine, "SLICE_SECONDS", 0.0)  # a token of one, a token of the other
        both = asked(chat, DRAWN, *SIDES, turns=turns)
        alone = {
            side: asked(open_chat(recipe, checkpoint, (side,), CPU), DRAWN, side, turns=turns)[side]
            for side in SIDES
        }
        plain = asked(open_chat(recipe, None, ("base",), CPU), DRAWN, "base", turns=turns)
        assert {side: one.text for side, one in both.items()} == {
            side: one.text for side, one in alone.items()
        }
        assert both["base"].text == plain["base"].text
        assert both["base"].text != both["tuned"].text, method


def test_an_answer_stops_at_once_and_the_next_one_is_whole(recipe: Recipe) -> None:
    chat = open_chat(recipe, None, ("base",), CPU)
    turns = (Turn("user", ASKED[0]),)
    whole = asked(chat, DRAWN, "base", turns=turns)["base"]
    looks = 0

    def stopped() -> bool:
        nonlocal looks
        looks += 1
        return looks > 4

    answer = ended(answers(chat, 1, {"base": turns}, DRAWN, stopped))["base"]
    assert answer.ended == "stopped" or whole.new_tokens < 4
    assert answer.new_tokens <= 4
    assert whole.text.startswith(answer.text)
    assert asked(chat, DRAWN, "base", turns=turns)["base"].text == whole.text


def test_a_full_context_is_told(recipe: Recipe) -> None:
    """The models read 256 tokens."""
    chat = open_chat(recipe, None, ("base",), CPU)
    answer = asked(chat, GREEDY, "base", turns=(Turn("user", "x" * 300),))["base"]
    assert (answer.ended, answer.fault) == ("error", "context")
    assert "the model reads at most 256" in answer.error
    long = Sampling(max_new_tokens=500, temperature=3.0, seed=1)
    answer = asked(chat, long, "base", turns=(Turn("user", "x" * 200),))["base"]
    if answer.ended != "end":
        assert (answer.ended, answer.fault) == ("length", "context")
        assert answer.prompt_tokens + answer.new_tokens == 256
    answer = asked(chat, GREEDY, "base", turns=(Turn("user", "Hello"),))["base"]
    assert answer.fault == ""


def test_a_want_of_memory_is_told_and_passes(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = open_chat(recipe, None, ("base",), CPU)
    turns = (Turn("user", ASKED[0]),)
    whole = asked(chat, GREEDY, "base", turns=turns)["base"]
    real = chat_engine.chooser

    def short(sampling: Sampling) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(chat_engine, "chooser", short)
    answer = asked(chat, GREEDY, "base", turns=turns)["base"]
    assert (answer.ended, answer.fault) == ("error", "memory")
    assert chat.kept["base"].cache is None
    monkeypatch.setattr(chat_engine, "chooser", real)
    assert asked(chat, GREEDY, "base", turns=turns)["base"].text == whole.text


def test_what_the_model_reads_is_shown_token_by_token(recipe: Recipe) -> None:
    chat = open_chat(recipe, None, ("base",), CPU)
    seen = shown(chat, 7, (Turn("user", "Käse? 🧀 日本"),))
    assert seen.number == 7
    assert "".join(piece for _, piece in seen.tokens) == seen.text
    assert "Käse? 🧀 日本" in seen.text


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_pieces_are_the_text_and_no_character_is_broken(tokenizer: Any, text: str) -> None:
    stream = TokenText(tokenizer)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = [stream.add(token) for token in ids]
    assert "".join([*pieces, stream.rest()]) == tokenizer.decode(ids, skip_special_tokens=True)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_make_no_character_are_not_held_back_for_ever(tokenizer: Any) -> None:
    stream = TokenText(tokenizer)
    broken = tokenizer.convert_tokens_to_ids("Ģ")  # the byte 0x80 alone
    pieces = [stream.add(broken) for _ in range(12)]
    assert "\ufffd" in "".join(pieces)


@settings(max_examples=60, deadline=None)
@given(
    tenths=st.lists(st.integers(-80, 80), min_size=2, max_size=12, unique=True),
    temperature=st.floats(0.2, 3),
    top_p=st.floats(0.05, 1),
)
def test_tokens_are_drawn_from_the_likeliest_by_their_shares(
    tenths: list[int], temperature: float, top_p: float
) -> None:
    """The tokens that can come are those of transformers, the most likely one always among them."""
    given_scores = torch.tensor(tenths) / 10
    reached = torch.softmax(given_scores / temperature, -1).sort(descending=True).values.cumsum(-1)
    assume(bool(((reached - top_p).abs() > 1e-4).all()))  # at the edge, rounding decides
    choose = chooser(Sampling(temperature=temperature, top_p=top_p, seed=3))
    scaled = (given_scores / temperature)[None]
    left = TopPLogitsWarper(top_p)(None, scaled) if top_p < 1 else scaled
    shares = torch.softmax(left[0], -1)
    counts = torch.zeros(len(tenths))
    for _ in range(400):
        counts[choose(given_scores)] += 1
    assert counts[shares < 1e-4].sum() <= 4
    error = (counts / 400 - shares).abs()
    assert bool((error <= 5 * (shares * (1 - shares) / 400).sqrt() + 0.01).all())
