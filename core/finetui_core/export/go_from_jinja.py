"""A Go template that says what a chat template says: made by asking the chat template, and proved by asking it again.

What stands around each message is read off rendered conversations, written down as Go template, and accepted only if
it renders every test conversation to the same text. A template that depends on anything else, such as the date or the
text of a message, fails that proof and has no Go form here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from finetui_core.export.differences import parting
from finetui_core.export.go_template import GoTemplateError, render_go

Message = dict[str, Any]
Show = Callable[[Sequence[Message]], str | None]
"""Renders messages, with what asks for an answer; None where the template refuses them."""

_FAMILIES = (
    ("<|im_start|>", "ChatML"),
    ("<|start_header_id|>", "Llama 3"),
    ("<<SYS>>", "Llama 2"),
    ("[INST]", "Mistral"),
    ("<start_of_turn>", "Gemma"),
    ("<|end|>\n", "Phi"),
    ("<|end|>", "ftui's sample"),
    ("<|user|>\n", "Zephyr"),
    ("### Response:", "Alpaca"),
    ("Assistant:\n", "ftui's default"),
)
_U1, _A1, _U2, _A2, _S = "Uq1kz", "Aw2jx", "Ur3hv", "At4gy", "Sy5fn"


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """`text` leaves the start token to the program that reads it, if `adds_bos`; `family` is its name for a person.

    `shows_system` is False where the trained template refuses system messages, `keeps_spaces` where it cuts white
    space around messages, which Go's cannot do.
    """

    text: str
    family: str
    adds_bos: bool
    shows_system: bool
    keeps_spaces: bool


def go_template(show: Show, bos: str) -> GoTemplate | str:
    """The Go form of a chat template, or why it has none. `bos` is the start token's text, "" where there is none."""
    try:
        return _made(show, bos)
    except _NoForm as error:
        return str(error)


class _NoForm(Exception):
    """Why there is no Go form."""


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _made(show: Show, bos: str) -> GoTemplate:
    talk = [_user(_U1), _assistant(_A1), _user(_U2)]
    plain = _between(show(talk), [_U1, _A1, _U2], "a conversation of three turns")
    if plain is None:
        raise _NoForm("it refuses a conversation of three turns")
    adds_bos = bool(bos) and plain[0].startswith(bos)
    first, asked, answered, last = _without(bos if adds_bos else "", plain)
    told = _between(show([_system(_S), *talk]), [_S, _U1, _A1, _U2], "a system message")
    system: tuple[str, str] | None = None
    if told is not None:
        begun, between, *rest = _without(bos if adds_bos else "", told)
        if rest != [asked, answered, last]:
            raise _NoForm("a system message changes later turns")
        system = begun, between
    text = _written(first, asked, answered, last, system, bos if adds_bos else "")
    _prove(text, show, bos if adds_bos else "", system is not None)
    spaced = [_user("  a\n"), _assistant(" b "), _user("c\n\n")]
    keeps = _shown(text, spaced, bos if adds_bos else "") == show(spaced)
    return GoTemplate(text, _family(text), adds_bos, system is not None, keeps)


def _between(text: str | None, contents: Sequence[str], what: str) -> list[str] | None:
    """What stands before, between and after the contents; None where the template refuses them."""
    if text is None:
        return None
    parts: list[str] = []
    for content in contents:
        before, found, text = text.partition(content)
        if not found:
            raise _NoForm(f"it shows {what} in another order, or changed")
        parts.append(before)
    return [*parts, text]


def _without(bos: str, parts: Sequence[str]) -> list[str]:
    return [parts[0].removeprefix(bos), *parts[1:]]


def _common_start(one: str, other: str) -> str:
    return one[: parting(one, other)]


def _common_end(one: str, other: str) -> str:
    return _common_start(one[::-1], other[::-1])[::-1]


def _written(
    first: str, asked: str, answered: str, last: str, system: tuple[str, str] | None, bos: str
) -> str:
    """`first` stands before the first question, `asked` between question and answer, `answered` after that, `last`
    after the last question."""
    before_user = _common_end(first, answered)
    lead = first[: len(first) - len(before_user)]
    after_answer = answered[: len(answered) - len(before_user)]
    after_user = _common_start(asked, last)
    if shared := _common_start(after_user, after_answer):
        after_user = shared
    before_answer, request = asked[len(after_user) :], last[len(after_user) :]
    branches = []
    joins_system = False
    if system is not None:
        begun, between = system
        joins_system = not between.endswith(before_user)
        after_system = between if joins_system else between[: len(between) - len(before_user)]
        branches.append(f'eq .Role "system" }}}}{_text(begun)}{{{{ .Content }}}}{_text(after_system)}')
    user = _text(before_user)
    if joins_system and user:
        user = f'{{{{ if not (and (eq $i 1) (eq (index $.Messages 0).Role "system")) }}}}{user}{{{{ end }}}}'
    if lead:
        user = f"{{{{ if eq $i 0 }}}}{_text(lead)}{{{{ end }}}}{user}"
    branches.append(f'eq .Role "user" }}}}{user}{{{{ .Content }}}}{_text(after_user)}')
    ended = f"{{{{ if not $last }}}}{_text(after_answer)}{{{{ end }}}}" if after_answer else ""
    branches.append(f'eq .Role "assistant" }}}}{_text(before_answer)}{{{{ .Content }}}}{ended}')
    chosen = "{{ if " + "{{ else if ".join(branches) + "{{ end }}"
    asks = f'{{{{ if and $last (ne .Role "assistant") }}}}{_text(request)}{{{{ end }}}}' if request else ""
    return (
        "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        f"{chosen}{asks}{{{{ end }}}}"
    )


def _text(literal: str) -> str:
    """Literal text in a Go template; curly brackets become an action that shows them."""
    return literal.replace("{{", '{{ "{{" }}')


def _prove(text: str, show: Show, bos: str, with_system: bool) -> None:
    for messages in conversations(with_system):
        expected = show(messages)
        if expected is not None and _shown(text, messages, bos) != expected:
            raise _NoForm("it depends on more than the roles and the order of the messages")


def _shown(text: str, messages: Sequence[Message], bos: str) -> str | None:
    """What the runtime makes of the template: the start token, which it adds itself, and the rendered text."""
    try:
        return bos + render_go(text, ollama_values(messages))
    except GoTemplateError as error:
        raise _NoForm(f"what was made of it is no template: {error}") from error


def ollama_values(messages: Sequence[Message]) -> dict[str, Any]:
    """What Ollama gives a template: system messages also joined, and no tools."""
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    shown = [{"Role": one["role"], "Content": one["content"]} for one in messages]
    return {"System": system, "Messages": shown, "Tools": [], "Response": ""}


def conversations(with_system: bool) -> list[list[Message]]:
    """Every order that a chat has, with contents that a template could trip over."""
    long = [
        _user("one"),
        _assistant("two"),
        _user("three"),
        _assistant("four"),
        _user("five"),
        _assistant("six"),
    ]
    contents = (
        "Hello there", "Где? 荷物", "👍🏽 ok", "a {{ .Content }} b", "{% if x %} y", "line\nline\n\nline",
        "[INST] x [/INST]", "<|im_end|> <|end|> </s>", "</think> so", "1204", "a" * 300,
    )  # fmt: skip
    chats = [[*long[: 2 * turns], _user("last")] for turns in range(4)]
    chats += [[_user(one)] for one in contents]
    chats += [[_user("q"), _assistant(one), _user("r")] for one in contents]
    if with_system:
        chats += [[_system(one), *chat] for chat in chats[:5] for one in ("Be brief.", "Two\nlines {{ }}")]
    return chats


def _family(text: str) -> str:
    return next((name for mark, name in _FAMILIES if mark in text), "another")
