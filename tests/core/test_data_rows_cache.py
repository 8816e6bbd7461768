"""Tokenised rows that are kept between runs: found again, and believed only where they are one's own and whole."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from finetui_core.data import prepare, rows_cache
from finetui_core.data.conversation import Conversation, Message, TextDocument
from finetui_core.data.file_rows import Fitting, tokenize
from finetui_core.data.prepare import Prepared
from finetui_core.data.reading import read_with
from finetui_core.data.render import BatchRenderer, Example, ensure_template, renderer
from finetui_core.data.rows_cache import key_of, rows_folder
from finetui_core.data.token_rows import TokenRows
from finetui_core.errors import InputError
from finetui_core.recipe.options import DataOptions, Recipe
from tiny_models import save_tokenizer
from tiny_tokenizers import byte_level

READING = "a" * 64
FITTING = Fitting("assistant", 60, "drop")
CONFIG = {"model_type": "llama", "vocab_size": 300, "max_position_embeddings": 256}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    built = byte_level()
    ensure_template(built, None)
    return built


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return rows_folder()


def rows_file(folder: Path, count: int = 30, *, faulty: int = 0) -> str:
    """Chats of one and two turns; the answers of the last `faulty` lie after the cut."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        turns = [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": "yes " * (1 + number % 7)},
        ]
        rows.append({"messages": turns * (1 + number % 2)})
    rows += [{"messages": [{"role": "user", "content": "q " * 200}, turns[1]]} for _ in range(faulty)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prepared(source: str, tokenizer: Any, reading: str | None = READING, **more: Any) -> Prepared:
    options = DataOptions.model_validate({"train": source, "overlength": "truncate", "val_fraction": 0.2})
    return prepare.prepare(options, tokenizer, 60, 42, reading=reading, **more)


def same_row(left: TokenRows, right: TokenRows, number: int) -> bool:
    is_equal = map(np.array_equal, left[number], right[number])
    return left.sources[number] == right.sources[number] and all(is_equal)


def same(one: Prepared, other: Prepared) -> bool:
    return one.report == other.report and all(
        len(left) == len(right) and all(same_row(left, right, number) for number in range(len(left)))
        for left, right in ((one.train, other.train), (one.val, other.val))
    )


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_a_second_run_reads_what_the_first_one_made(
    tmp_path: Path, cache: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = rows_file(tmp_path)
    without = prepared(source, tokenizer, None)
    assert without.how == ("tokenised",) and not cache.exists()
    first = prepared(source, tokenizer)
    monkeypatch.setattr(prepare, "tokenize", lambda *_, **__: pytest.fail("tokenised again"))
    second = prepared(source, tokenizer)
    assert (first.how, second.how) == (("tokenised",), ("kept",))
    assert same(without, first) and same(first, second)
    (entry,) = entries(cache)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600 and stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert load_file(entry)["lines"].tolist() == list(range(1, 31))  # any program can read it


def test_another_seed_or_share_needs_no_second_tokenising(tmp_path: Path, tokenizer: Any) -> None:
    source = rows_file(tmp_path)
    prepared(source, tokenizer)
    for seed, share in ((1, 0.2), (42, 0.4)):
        options = DataOptions.model_validate(
            {"train": source, "overlength": "truncate", "val_fraction": share}
        )
        kept, new = (
            prepare.prepare(options, tokenizer, 60, seed, reading=reading) for reading in (READING, None)
        )
        assert kept.how == ("kept",) and same(kept, new)


def test_errors_are_told_from_what_was_kept_as_they_are_found_anew(tmp_path: Path, tokenizer: Any) -> None:
    source = rows_file(tmp_path, faulty=3)
    said = []
    for reading in (None, READING, READING):
        with pytest.raises(InputError) as refused:
            prepared(source, tokenizer, reading)
        said.append(str(refused.value))
        accepted = prepared(source, tokenizer, reading, accept_errors=True)
        assert accepted.report.errors == {"nothing_supervised": 3}
    assert accepted.how == ("kept",) and len(set(said)) == 1 and "nothing_supervised" in said[0]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_one_wrong_byte_anywhere_is_found(
    tmp_path: Path, cache: Path, tokenizer: Any, place: float, flip: int
) -> None:
    source = rows_file(tmp_path)
    whole = prepared(source, tokenizer, None)
    prepared(source, tokenizer)
    (entry,) = entries(cache)
    content = bytearray(entry.read_bytes())
    at = int(place * len(content))
    is_padding = (
        content[at : 8 + 2048].strip() == b"" and at >= 8 and flip in (0x29, 0x2A, 0x2D)
    )  # other blanks
    content[at] ^= flip
    entry.write_bytes(content)
    again = prepared(source, tokenizer)
    assert same(whole, again) and (again.how == ("damaged",) or is_padding)
    assert prepared(source, tokenizer).how == ("kept",)


def _cut(entry: Path) -> None:
    os.truncate(entry, entry.stat().st_size // 2)


def _link(entry: Path) -> None:
    other = entry.with_name("other")
    entry.rename(other)
    entry.symlink_to(other)


def _pipe(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry)


@pytest.mark.parametrize("harm", [_cut, _link, _pipe, lambda entry: entry.chmod(0o666)])
def test_what_is_not_a_whole_file_of_this_users_own_is_made_anew(
    tmp_path: Path, cache: Path, tokenizer: Any, harm: Any
) -> None:
    source = rows_file(tmp_path)
    whole = prepared(source, tokenizer, None)
    prepared(source, tokenizer)
    harm(entries(cache)[0])
    again = prepared(source, tokenizer)
    assert again.how == ("damaged",) and same(whole, again)
    assert prepared(source, tokenizer).how == ("kept",)


def test_an_entry_under_another_name_is_not_believed(tmp_path: Path, cache: Path, tokenizer: Any) -> None:
    source = rows_file(tmp_path)
    prepared(source, tokenizer)
    (entry,) = entries(cache)
    key = key_of("b" * 64, source, "auto", Fitting("assistant", 60, "truncate"))
    shutil.copy(entry, entry.with_name(f"{key}.safetensors"))
    assert prepared(source, tokenizer, "b" * 64).how == ("damaged",)


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path, cache: Path, tokenizer: Any) -> None:
    source = rows_file(tmp_path)
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in its place")
    for _ in range(2):
        again = prepared(source, tokenizer)
        assert again.how == ("tokenised",) and same(again, prepared(source, tokenizer, None))


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from finetui_core.data import prepare, rows_cache
from finetui_core.data.render import ensure_template
from finetui_core.recipe.options import DataOptions
from tiny_tokenizers import byte_level
tokenizer, written = byte_level(), rows_cache.RowsFile.write
ensure_template(tokenizer, None)
def write(self, content, left=[10]):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    written(self, content)
rows_cache.RowsFile.write = write
options = DataOptions.model_validate({"train": sys.argv[1], "overlength": "truncate", "val_fraction": 0.2})
prepare.prepare(options, tokenizer, 60, 42, reading="a" * 64)
"""


def test_a_process_killed_while_it_writes_leaves_nothing_that_harms(
    tmp_path: Path, cache: Path, tokenizer: Any
) -> None:
    source = rows_file(tmp_path)
    tests = str(Path(__file__).parents[1])
    ended = subprocess.run([sys.executable, "-c", KILLED, source, tests], check=False)
    assert ended.returncode == -signal.SIGKILL and not entries(cache)
    left = [path for path in cache.iterdir() if ".lock" not in path.name and path.name.startswith(".")]
    assert len(left) == 1
    again = prepared(source, tokenizer)
    assert again.how == ("tokenised",) and same(again, prepared(source, tokenizer, None))
    os.utime(left[0], (0, 0))
    other = rows_file(tmp_path, 31)
    prepared(other, tokenizer)
    assert not left[0].exists() and len(entries(cache)) == 2


def test_the_entries_that_were_not_asked_for_the_longest_go_first(
    tmp_path: Path, cache: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for number in range(3):
        prepared(rows_file(tmp_path, 30 + number), tokenizer)
        made += [path for path in entries(cache) if path not in made]
        os.utime(made[-1], (1000 + number, 1000 + number))
    rows_file(tmp_path, 30)
    assert prepared(str(tmp_path / "rows.jsonl"), tokenizer).how == (
        "kept",
    )  # the oldest was asked for again
    monkeypatch.setattr(rows_cache, "MOST_BYTES", 3 * made[0].stat().st_size)
    prepared(rows_file(tmp_path, 33), tokenizer)
    left = entries(cache)
    assert (
        made[0] in left
        and made[1] not in left
        and sum(one.stat().st_size for one in left) <= rows_cache.MOST_BYTES
    )


def model(folder: Path) -> Recipe:
    folder.mkdir(exist_ok=True)
    save_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return Recipe.model_validate(
        {"model": {"name": str(folder)}, "data": {"train": str(folder / "rows.jsonl")}}
    )


def test_the_trial_of_a_tokenizer_and_a_template_is_not_repeated_but_for_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = model(tmp_path / "model")
    first = read_with(recipe)

    def never(*_: Any) -> None:
        raise AssertionError("tried again")

    monkeypatch.setattr("finetui_core.data.reading.Trial", never)
    second = read_with(recipe)
    assert first.key == second.key and second.tokenizer.chat_template == first.tokenizer.chat_template
    config = tmp_path / "model" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"padding_side": "left"}))
    with pytest.raises(AssertionError, match="tried again"):
        read_with(recipe)


def test_every_input_that_matters_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, template = tmp_path / "model", tmp_path / "t.jinja"
    recipe = model(folder)
    template.write_text("{{ messages[0].content }}")
    source = rows_file(folder)
    seen: dict[str, str] = {}

    def note(what: str, recipe: Recipe = recipe, fitting: Fitting = FITTING) -> None:
        reading = read_with(recipe).key
        assert reading is not None
        for format in ("auto", "messages"):
            key = key_of(reading, source, format, fitting)
            assert key is not None and key not in seen, f"{what} gives the key of {seen.get(key)}"
            seen[key] = what

    note("nothing")
    note("train_on", fitting=Fitting("all", 60, "drop"))
    note("max_length", fitting=Fitting("assistant", 61, "drop"))
    note("overlength", fitting=Fitting("assistant", 60, "truncate"))
    with_template = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"chat_template": str(template)})}
    )
    note("a template file", with_template)
    template.write_text("{{ messages[0].content }} ")
    note("its content", with_template)
    Path(source).write_bytes(Path(source).read_bytes() + b"\n")
    note("the rows")
    (folder / "chat_template.jinja").write_text("{{ messages[0].role }}")
    note("the model's template")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "max_position_embeddings": 255}))
    note("the model's configuration")
    tokens = json.loads((folder / "tokenizer.json").read_text())
    tokens["added_tokens"][0]["lstrip"] = True
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    note("the tokenizer")
    monkeypatch.setattr("finetui_core.data.reading.version", lambda name: "0")
    note("the libraries")
    monkeypatch.setattr("finetui_core.data.reading.code_digest", lambda: "0")
    note("the code")


TURN = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
CHATS = st.lists(st.lists(TURN, min_size=2, max_size=6), min_size=1, max_size=5)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.lists(TURN, min_size=2, max_size=6), min_size=1, max_size=5),
    st.sampled_from(["assistant", "last", "all"]),
)
def test_rows_rendered_together_are_those_rendered_one_by_one(
    tokenizer: Any, chats: list[list[str]], train_on: str
) -> None:
    rows: list[Any] = [TextDocument(chats[0][0], "f:0")]
    for number, turns in enumerate(chats, 1):
        roles = ("user", "assistant") * 3
        messages = tuple(Message(role, text) for role, text in zip(roles, turns, strict=False))
        rows.append(Conversation(messages, None, f"f:{number}"))
    together, one = BatchRenderer(tokenizer, train_on), renderer(tokenizer, train_on)
    rendered = together.texts(rows)
    for row, result in zip(rows, together.finish(rendered, together.encode(rendered)), strict=True):
        expected: Any = one(row)
        if isinstance(result, Example):
            assert np.array_equal(result.ids, expected.ids) and np.array_equal(result.mask, expected.mask)
        else:
            assert result == expected


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = rows_file(tmp_path)

    class Sink(rows_cache.RowsFile):
        def write(self, content: bytes) -> None:
            os.utime(source, (1, 1))

    with (
        (tmp_path / "sink").open("w+b") as file,
        pytest.raises(InputError, match="changed while it was read"),
    ):
        tokenize(source, "auto", tokenizer, Fitting("assistant", 60, "truncate"), Sink(file))
