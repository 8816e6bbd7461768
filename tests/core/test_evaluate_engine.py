"""The model's own answers and likelihoods: the same in every batch, kept, and by the weights asked for."""

import json
import math
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetui_core.data.template import ensure_template
from finetui_core.errors import InputError
from finetui_core.evaluate import engine, figures
from finetui_core.evaluate.answers_file import read_answers
from finetui_core.evaluate.engine import Loaded, Which, answer_arm, load
from finetui_core.evaluate.figures import Answer, Decoding, Prompt
from finetui_core.evaluate.rendering import length_of, prompt_renderer, turn_ends
from finetui_core.recipe.load import load_recipe
from finetui_core.recipe.options import Recipe
from finetui_core.runs.checkpoints import best_or_newest
from finetui_core.runs.paths import RunPaths
from finetui_core.train.model import add_adapters
from tiny_models import ARCHITECTURES
from tiny_tokenizers import byte_level
from training import ANSWERS, QUESTIONS, Killed, new_run, train_here, write_project

CPU = torch.device("cpu")
DECODING = Decoding(max_new_tokens=12)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def any_recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return load_recipe(write_project(tmp_path_factory.mktemp(request.param), architecture=request.param))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def trained(project: Path) -> Callable[[str], tuple[Recipe, RunPaths]]:
    """A finished run of each method, trained when it is first asked for."""
    runs: dict[str, tuple[Recipe, RunPaths]] = {}

    def of(method: str) -> tuple[Recipe, RunPaths]:
        if method not in runs:
            paths = new_run(project, f'train.method="{method}"', "train.num_train_epochs=1")
            assert train_here(paths) == 0
            runs[method] = Recipe.model_validate_json(paths.resolved_recipe.read_bytes()), paths
        return runs[method]

    return of


def asked(count: int = 10) -> tuple[list[Prompt], list[figures.TestRow]]:
    """Prompts of different lengths."""
    rows = []
    for index in range(count):
        question = {"role": "user", "content": f"{QUESTIONS[index % 4]} " * (1 + index % 5)}
        rows.append(figures.TestRow(index, f"val.jsonl:{index + 1}", (question,), ANSWERS[index % 4]))
    return [Prompt(row.index, row.prompt) for row in rows], rows


def answered(loaded: Loaded, which: Which, file: Path, *arguments: Any) -> dict[int, Answer]:
    prompts, rows = arguments or asked()
    answer_arm(loaded, which, prompts, rows, DECODING, file, lambda done: None)
    return read_answers(file)


def said(answers: dict[int, Answer]) -> list[tuple[Any, ...]]:
    """What an answer is, without the time it took."""
    return [
        (one.text, one.ended, one.prompt_tokens, one.new_tokens, one.reference_tokens, one.error)
        for _, one in sorted(answers.items())
    ]


def nats(answers: dict[int, Answer]) -> list[float | None]:
    return [one.nll for _, one in sorted(answers.items())]


def test_answers_and_likelihoods_do_not_depend_on_the_batch(
    any_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(any_recipe, None, CPU)
    results = {}
    for rows in (1, 8):
        monkeypatch.setitem(engine.ROWS_PER_BATCH, "cpu", rows)
        results[rows] = answered(loaded, "base", tmp_path / f"{rows}.jsonl")
    assert said(results[1]) == said(results[8])
    assert nats(results[1]) == pytest.approx(nats(results[8]), rel=1e-5)
    assert {one.ended for one in results[1].values()} <= {"end", "length"}

    model: Any = AutoModelForCausalLM.from_pretrained(any_recipe.model.name).eval()
    tokenizer = AutoTokenizer.from_pretrained(any_recipe.model.name)
    ensure_template(tokenizer, None)
    render, (prompts, rows_) = prompt_renderer(tokenizer), asked()
    for prompt, row in list(zip(prompts, rows_, strict=True))[:3]:
        rendered = render(prompt, row)
        assert not isinstance(rendered, str) and rendered.whole is not None
        ids = torch.from_numpy(rendered.whole.ids.astype(np.int64))[None]
        labels = torch.where(torch.from_numpy(rendered.whole.mask)[None], ids, -100)
        with torch.no_grad():
            mean = float(model(input_ids=ids, labels=labels).loss)
        answer = results[8][row.index]
        assert answer.nll == pytest.approx(mean * answer.reference_tokens, rel=1e-4)
        assert answer.prompt_tokens == length_of(tokenizer)(prompt.messages)
        assert rendered.whole.ids[: len(rendered.prompt)].tolist() == rendered.prompt.tolist()
        learned = rendered.whole.ids[rendered.whole.mask]
        assert answer.reference_tokens == len(learned)
        assert tokenizer.decode(learned[:-1]).strip() == row.reference
        assert learned[-1] == tokenizer.eos_token_id


def test_an_untouched_adapter_changes_nothing(project: Path, tmp_path: Path) -> None:
    recipe = load_recipe(project)
    folder = tmp_path / "checkpoint"
    base: Any = AutoModelForCausalLM.from_pretrained(recipe.model.name)
    no_dropout = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"lora_dropout": 0.0})})
    add_adapters(base, no_dropout).save_pretrained(folder)
    loaded = load(recipe, folder, CPU)
    results = [answered(loaded, which, tmp_path / which) for which in ("base", "tuned")]
    assert said(results[0]) == said(results[1])
    assert nats(results[0]) == nats(results[1])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_tuned_weights_are_those_of_the_best_checkpoint(
    trained: Callable[[str], tuple[Recipe, RunPaths]], tmp_path: Path, method: str
) -> None:
    recipe, paths = trained(method)
    checkpoint = best_or_newest(paths)
    assert checkpoint.path.name == paths.best.read_text().strip()
    loaded = load(recipe, checkpoint.path, CPU)
    tuned = answered(loaded, "tuned", tmp_path / "tuned")
    base = answered(loaded, "base", tmp_path / "base")
    plain = answered(load(recipe, None, CPU), "base", tmp_path / "plain")
    assert said(base) == said(plain)
    assert nats(base) == nats(plain)
    assert sum(one or math.inf for one in nats(tuned)) < sum(one or 0 for one in nats(base))
    again = answered(loaded, "tuned", tmp_path / "again")
    assert (said(again), nats(again)) == (said(tuned), nats(tuned))


def test_a_kill_loses_the_batch_at_most(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine.ROWS_PER_BATCH, "cpu", 3)
    loaded = load(load_recipe(project), None, CPU)
    whole = answered(loaded, "base", tmp_path / "whole.jsonl")
    prompts, rows = asked()
    file = tmp_path / "killed.jsonl"

    def kill_at_six(done: int) -> None:
        if done == 6:
            raise Killed

    with pytest.raises(Killed):
        answer_arm(loaded, "base", prompts, rows, DECODING, file, kill_at_six)
    kept = file.read_bytes()
    assert kept.count(b"\n") == 6
    file.write_bytes(kept[:-20])  # the last line is torn
    told: list[int] = []
    answer_arm(loaded, "base", prompts, rows, DECODING, file, told.append)
    assert told == [5, 8, 10]
    answers = read_answers(file)
    assert said(answers) == said(whole)
    assert nats(answers) == pytest.approx(nats(whole), rel=1e-5)
    lines = file.read_bytes().splitlines()
    assert len(lines) == 11  # five, the torn one, and five more
    again = file.stat().st_mtime_ns
    answer_arm(loaded, "base", prompts, rows, DECODING, file, told.append)
    assert (told[3:], file.stat().st_mtime_ns) == ([10], again)


def test_a_disk_that_refuses_answers_is_told(project: Path, tmp_path: Path) -> None:
    loaded = load(load_recipe(project), None, CPU)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(InputError, match="the disk refuses the answers"):
            answered(loaded, "base", tmp_path / "answers", *asked(5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(answered(loaded, "base", tmp_path / "answers", *asked(5))) == 5


def test_what_cannot_be_answered_says_why(project: Path, tmp_path: Path) -> None:
    """The model reads 256 tokens: one prompt leaves no room, one little, one only none for its reference."""
    loaded = load(load_recipe(project), None, CPU)
    rows = [
        figures.TestRow(0, "val:1", ({"role": "user", "content": "x" * 300},), "yes"),
        figures.TestRow(1, "val:2", ({"role": "user", "content": "x" * 220},), "yes"),
        figures.TestRow(2, "val:3", ({"role": "user", "content": "x"},), "y" * 300),
        figures.TestRow(3, "val:4", ({"role": "nobody", "content": "x"},), "yes"),
    ]
    prompts = [Prompt(row.index, row.prompt) for row in rows]
    answer_arm(loaded, "base", prompts, rows, Decoding(100), tmp_path / "answers", lambda done: None)
    answers = read_answers(tmp_path / "answers")
    assert answers[0].ended == "error"
    assert "tokens, and the model reads at most 256 with the answer" in answers[0].error
    assert answers[1].ended == "length"
    assert answers[1].prompt_tokens + answers[1].new_tokens == 256
    assert answers[1].nll is not None
    assert (answers[2].nll, answers[2].error) == (None, "")
    assert answers[2].reference_bytes == 300
    with pytest.raises(InputError, match="no checkpoint"):
        answer_arm(loaded, "tuned", prompts, rows, DECODING, tmp_path / "tuned", lambda done: None)


def test_memory_that_suffices_for_few_rows_gives_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(load_recipe(project), None, CPU)
    whole = answered(loaded, "base", tmp_path / "whole")
    real = engine.row_losses

    def small(model: Any, rows: Any, numbers: Any, *arguments: Any) -> Any:
        if len(numbers) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, rows, numbers, *arguments)

    monkeypatch.setattr(engine, "row_losses", small)
    assert nats(answered(loaded, "base", tmp_path / "small")) == pytest.approx(nats(whole), rel=1e-5)


def test_the_end_of_a_turn_is_that_of_the_template() -> None:
    """A base model whose end token is another than the template's: answers must end where training taught them to."""
    tokenizer = byte_level()
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    render, (prompts, rows) = prompt_renderer(tokenizer), asked(2)
    rendered = [render(prompt, row) for prompt, row in zip(prompts, rows, strict=True)]
    ends = turn_ends([one for one in rendered if not isinstance(one, str)], tokenizer)
    assert ends == {tokenizer.convert_tokens_to_ids("<|im_end|>")}


def test_only_a_checkpoint_that_verifies_is_taken(
    trained: Callable[[str], tuple[Recipe, RunPaths]], tmp_path: Path
) -> None:
    paths = RunPaths(shutil.copytree(trained("lora")[1].root, tmp_path / "run"))
    best = best_or_newest(paths)
    paths.best.unlink()
    newest = best_or_newest(paths)
    assert newest.path.name == paths.latest.read_text().strip()
    paths.best.write_text(best.path.name)
    (best.path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="best checkpoint is damaged"):
        best_or_newest(paths)
    shutil.rmtree(paths.checkpoints)
    with pytest.raises(InputError) as refused:
        best_or_newest(paths)
    assert "ftui resume" in json.dumps([problem.hint for problem in refused.value.problems])
