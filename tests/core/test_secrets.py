"""Secrets are kept out of everything that a run leaves and shows, by name, by value and by form."""

import io
import json
import os
import random
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetui_core import secrets
from finetui_core.runs.writer import RecordFile
from finetui_core.secrets import (
    RedactedStream,
    is_secret_name,
    redact,
    redacted,
    redacted_arguments,
    redacted_line,
    secrets_in,
)
from secret_runs import refusals, said_of, train_telling
from secret_shapes import SHAPELESS, Secret, as_written, drawn_secrets, leaked, texts_below
from training import write_project

SECRETS = drawn_secrets(random.Random(7))
IDS = [secret.shape for secret in SECRETS]


@pytest.fixture(autouse=True)
def no_secrets_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if is_secret_name(name):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("secret", SECRETS, ids=IDS)
def test_every_shape_is_known_by_its_form(secret: Secret) -> None:
    text = f"refused: {as_written(secret)}, see above"
    shown = redact(text)
    assert secret.needle not in shown and "[redacted " in shown
    assert shown.startswith("refused: ") and shown.endswith("see above")
    assert bool(secrets_in(text)) == (secret.shape not in SHAPELESS)


@pytest.mark.parametrize("secret", SECRETS, ids=IDS)
def test_every_shape_is_known_by_the_variable_that_holds_it(
    secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = secret.variable if secret.shape not in ("address", "Azure signature") else "STORE_TOKEN"
    monkeypatch.setenv(name, secret.text)
    written = (secret.text, repr(secret.text), json.dumps(secret.text), secret.text.replace("\n", "\n    "))
    assert leaked([secret], {str(at): redact(text) for at, text in enumerate(written)}) == []
    assert f"[redacted {name}]" in redact(f"it is {secret.text}")
    line = msgspec.json.encode({"t": 1.5, "message": secret.text, "step": 3}) + b"\n"
    shown = json.loads(redacted_line(line))
    assert leaked([secret], {"line": json.dumps(shown)}) == [] and (shown["t"], shown["step"]) == (1.5, 3)


def test_the_search_for_what_is_left_finds_what_is_left() -> None:
    for secret in SECRETS:
        for text in (secret.text, repr(secret.text), json.dumps({"message": secret.text})):
            assert leaked(SECRETS, {"a file": f"before {text} after"}) == [f"{secret.shape} in a file"]


HARMLESS = (
    "step 12: loss 0.51, 1,204 tokens_per_second, pad_token: <|endoftext|>, eos_token_id=2",
    "step-000500 written (37.8 MB, sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08)",
    "models/meta-llama/Llama-3.1-8B-Instruct at revision 0e9e39f249a16976918f6564b8830bc894c89659",
    "basic understanding, bearer of news; https://example.org/a:b/c?d=e@f",
    "the key is train.learning_rate = 0.0002; password managers help",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert redact(text) == text and secrets_in(text) == []


def test_variables_are_secret_by_their_names() -> None:
    secret = (
        "HF_TOKEN API_KEY AWS_ACCESS_KEY_ID MY_SECRET DB_PASSWORD PGPASS_PWD GOOGLE_CREDENTIALS NETRC_AUTH"
    )
    plain = "TOKENIZERS_PARALLELISM PATH PWD OLDPWD KEYBOARD MONKEY SSH_AUTH_SOCK AUTHOR PASSES TOKENS_MAX XAUTHORITY"
    assert all(map(is_secret_name, secret.split()))
    assert not any(map(is_secret_name, plain.split()))


def test_short_values_and_paths_are_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", "EMPTY")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("OTHER_KEY", "/no/such/path")
    text = f"EMPTY {tmp_path} /no/such/path"
    assert redact(text) == f"EMPTY {tmp_path} [redacted OTHER_KEY]"


def test_a_value_of_digits_changes_no_number_of_a_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOOR_KEY", "12345678")
    file = RecordFile(tmp_path / "x.jsonl")
    file.append({"tokens": 12345678, "message": "code 12345678", "t": 1.012345678})
    file.close()
    record = json.loads((tmp_path / "x.jsonl").read_bytes())
    assert record == {"tokens": 12345678, "message": "code [redacted DOOR_KEY]", "t": 1.012345678}


def test_fields_with_a_secret_name_are_kept_back_whatever_they_hold() -> None:
    record = {
        "api_key": "short",
        "hf_token": "x y",
        "eos_token": "</s>",
        "inner": [{"password": "p"}],
        "step": 1,
    }
    assert redacted(record) == {
        "api_key": "[redacted api_key]",
        "hf_token": "[redacted hf_token]",
        "eos_token": "</s>",
        "inner": [{"password": "[redacted password]"}],
        "step": 1,
    }


def test_arguments_after_a_flag_that_names_a_secret_are_kept_back() -> None:
    given = [
        "ftui",
        "x",
        "--hf-token",
        "abc",
        "--api-key=abcdefgh1",
        "--endpoint-key-env",
        "MY_KEY",
        "--name",
        "run",
    ]
    assert redacted_arguments(given) == [
        *("ftui", "x", "--hf-token", "[redacted hf-token]", "--api-key=[redacted api-key]"),
        *("--endpoint-key-env", "MY_KEY", "--name", "run"),
    ]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_redacted_and_twice_is_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([s for s in SECRETS if s.shape not in SHAPELESS]), st.text(" \n=:\"'{}ab", max_size=20)
)
def test_a_secret_is_found_within_any_other_text(secret: Secret, around: str) -> None:
    assert secret.needle not in redact(f"{around} {secret.text} {around}")


def test_a_hostile_text_takes_no_time() -> None:
    began = time.perf_counter()
    for piece in (
        "eyJ",
        "sk-",
        "https://a:",
        "-----BEGIN RSA PRIVATE KEY-----",
        "A_KEY",
        "a-",
        "Bearer ",
        "_TOKEN=",
    ):
        redact(piece * (100_000 // len(piece)))
    assert time.perf_counter() - began < 10


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("abc \n\r", max_size=12), max_size=12))
def test_a_stream_lets_everything_else_through(texts: list[str]) -> None:
    inner = io.StringIO()
    stream = RedactedStream(inner)
    for text in texts:
        assert stream.write(text) == len(text)
    stream.flush()
    assert inner.getvalue() == "".join(texts)


@pytest.mark.parametrize("secret", SECRETS, ids=IDS)
def test_a_stream_waits_for_the_end_of_a_secret(secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_TOKEN", secret.text)
    for cut in range(1, len(secret.text)):
        inner = io.StringIO()
        stream = RedactedStream(inner)
        stream.write(f"with {secret.text[:cut]}")
        stream.write(f"{secret.text[cut:]}\n")
        assert leaked([secret], {"stream": inner.getvalue()}) == [], cut


def test_the_streams_of_a_process_are_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with secrets.redacted_stderr():
        print("token hf_" + "Ab1" * 12, file=sys.stderr)
        assert sys.stderr.isatty() == before.isatty() and sys.stderr.fileno
    assert sys.stderr is before
    assert capsys.readouterr().err == "token [redacted Hugging Face token]\n"


def test_no_secret_is_left_by_a_run_or_told_of_it(tmp_path: Path) -> None:
    """The short form of tests/proofs/no_secrets.py."""
    recipe = write_project(tmp_path / "project")
    environment = {secret.variable: secret.text for secret in SECRETS}
    paths, printed = train_telling(recipe, [secret.text for secret in SECRETS], environment)
    places = {**texts_below(paths.root), "printed": printed, **said_of(paths, environment)}
    assert len(places) >= 19
    assert leaked(SECRETS, places) == []
    assert printed.count("[redacted ") > 5 * len(SECRETS)


@pytest.mark.parametrize("secret", SECRETS, ids=IDS)
def test_a_recipe_or_an_argument_with_a_secret_is_refused(secret: Secret, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nname = "model"\n[data]\ntrain = "train.jsonl"\n')
    environment = {secret.variable: secret.text} if secret.shape in SHAPELESS else {}
    for place, code, said, made in refusals(recipe, secret, environment):
        assert code in (2, 3), place
        assert not made and leaked([secret], {place: said}) == [], place
        assert "secret" in said and ("HF_TOKEN" in said or "another name" in said), (place, said)
