"""A chat template that loops without end or eats memory is stopped, wherever rows are rendered, and named once."""

import time
from pathlib import Path

import pytest

from finetui_core.cli.main import main
from finetui_core.data.conversation import Conversation, Message
from finetui_core.data.render import ensure_template, render
from finetui_core.data.template_process import TemplateFault, render_template
from finetui_core.errors import InputError
from tiny_tokenizers import byte_level
from training import new_run, train_here, write_project

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GREEDY = {
    "loop": LOOPS,
    "doubling": "{% set n = namespace(t='a') %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
    "times": "{{ 'a' * 10 ** 10 }}",
    "padding": "{% set x = '%' ~ 10 ** 10 ~ 'd' %}{{ x % 1 }}",
    "power": "{{ 9 ** (9 ** (9 ** 9)) }}",
    "long": "{% for i in range(99999) %}{{ 'abcdefgh' * 99 }}{% endfor %}",
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_greedy_template_is_stopped_within_three_seconds(name: str) -> None:
    render_template("{{ 1 }}", conversations=[])  # the process is there
    began = time.process_time()
    with pytest.raises(InputError, match="the chat template was stopped") as stopped:
        render_template(GREEDY[name], conversations=[[{"role": "user", "content": "a"}]])
    assert len(stopped.value.problems) == 1 and "model.chat_template" in stopped.value.problems[0].hint
    assert time.process_time() - began < 1  # it was not this process that worked
    assert render_template("{{ messages[0].content }}", conversations=[[{"content": "b"}]])[0] == ["b"]


def test_a_loop_that_only_some_row_sets_off_is_stopped(tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role + ':' + m.content }}{% if 'loop' in m.content %}"
        + LOOPS
        + "{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    tokenizer = byte_level()
    ensure_template(tokenizer, str(template))
    for text in ("sound", "loop"):
        row = Conversation((Message("user", text), Message("assistant", "yes")), None, "f:1")
        if text == "sound":
            assert not isinstance(render(row, tokenizer, "assistant"), str)
        else:
            with pytest.raises(InputError, match="takes more than 2 seconds"):
                render(row, tokenizer, "assistant")


def test_errors_and_odd_characters_come_through_unchanged() -> None:
    with pytest.raises(TemplateFault, match="no system role"):
        render_template("{{ raise_exception('no system role') }}", conversations=[[]])
    odd = "a\ud800\x00\n\u2028🦙"
    assert render_template("{{ messages[0].content }}", conversations=[[{"content": odd}]])[0] == [odd]


def test_train_and_data_check_say_it_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_project(tmp_path, rows=12)
    (tmp_path / "endless.jinja").write_text(LOOPS)
    recipe.write_text(recipe.read_text().replace("[data]", 'chat_template = "endless.jinja"\n[data]', 1))
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "--recipe", "recipe.toml", "--no-cache"]) == 2
    said = capsys.readouterr().err
    assert said.count("the chat template was stopped") == 1 and "Traceback" not in said
    assert train_here(new_run(recipe)) == 2
    assert capsys.readouterr().err.count("the chat template was stopped") == 1
