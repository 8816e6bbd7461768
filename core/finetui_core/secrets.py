"""Keys, tokens and passwords, and how they are kept out of everything that ftui writes and shows.

A secret is known by the name that it goes by, by its value, where a variable of the environment with such a name has
it, and by the forms that vendors give their keys. Rows of a data set are not looked through here: they are the user's
own, and the data check tells what they hold.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, quote_plus

import msgspec

SHORTEST = 8
"""Characters of a value that can be a secret: shorter ones, such as EMPTY, are words of other texts as well."""
_SHORTEST_LINE = 16  # of a value that has several, such as a private key

_WORDS = (
    r"(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIALS?|AUTHORIZATION|AUTH"
    r"|CONNECTION_STRING|DSN|COOKIE|WEBHOOK)(?:_ID|_URL|_[A-Z]|_?\d+)?"
)
_VARIABLE = rf"(?:^|_){_WORDS}$"
_NO_VARIABLE = frozenset({"PWD", "OLDPWD"})
_FIELD = (
    r"(?:(?:api|access|secret|private|auth|account|signing|encryption|client)[-_]?(?:key|token|secret)"
    r"|(?:hf|hub|wandb|refresh|bearer|session|github)[-_]?token|secret|password|passwd|passphrase|credentials?"
    r"|authorization|apikey)"
)
"""Names of fields, flags and headers. "token" alone is none: models have a pad_token and an eos_token."""

_ = r"(?<![A-Za-z0-9_-])"  # nothing before that would make it a part of a word
_FORMS = {
    "private key": (
        "-----BEGIN",
        r"-----BEGIN (?:[A-Z0-9]{2,12} )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]|-(?!----)){0,16000}-----END [A-Z0-9 ]{1,40}-----|[A-Za-z0-9+/=\s\\]*)",
    ),
    "JWT": ("eyJ", rf"{_}eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]{{8,}}"),
    "Anthropic key": ("sk-ant-", rf"{_}sk-ant-[\w-]{{20,}}"),
    "OpenAI key": ("sk-", rf"{_}sk-(?=[\w-]*\d)(?:proj-|svcacct-|admin-|or-v1-)?[\w-]{{20,}}"),
    "Hugging Face token": ("hf_ api_org_", rf"{_}(?:hf|api_org)_[A-Za-z0-9]{{20,}}"),
    "GitHub token": (
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        rf"{_}(?:gh[pousr]_[A-Za-z0-9]{{20,}}|github_pat_\w{{20,}})",
    ),
    "GitLab token": ("glpat- gldt- glrt- glptt- glcbt-", rf"{_}gl(?:pat|dt|rt|ptt|cbt)-[\w-]{{16,}}"),
    "AWS access key": ("AKIA ASIA", rf"{_}(?:AKIA|ASIA)[A-Z0-9]{{16}}(?![A-Za-z0-9])"),
    "Google key": ("AIza GOCSPX- ya29.", rf"{_}(?:AIza[\w-]{{35}}|GOCSPX-[\w-]{{20,}}|ya29\.[\w-]{{20,}})"),
    "Slack token": (
        "xox hooks.slack.com",
        rf"{_}xox[abeoprs]-[\w-]{{10,}}|(?<=hooks\.slack\.com/services/)[\w/]{{20,}}",
    ),
    "Azure key": (
        "AccountKey= SharedAccessKey= sig=",
        r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}|(?<=SharedAccessKey=)[A-Za-z0-9+/]{30,}={0,2}"
        r"|(?<=[?&]sig=)[\w%+/-]{20,}={0,2}",
    ),
    "Stripe key": ("k_live_ k_test_", rf"{_}[sr]k_(?:live|test)_[A-Za-z0-9]{{16,}}"),
    "SendGrid key": ("SG.", rf"{_}SG\.[\w-]{{16,}}\.[\w-]{{16,}}"),
    "npm token": ("npm_", rf"{_}npm_[A-Za-z0-9]{{30,}}"),
    "PyPI token": ("pypi-", rf"{_}pypi-[\w-]{{40,}}"),
    "vendor key": (
        "gsk_ r8_ dop_v1 doo_v1 shpat shpss dckr_pat nvapi pplx tgp_v1",
        rf"{_}(?:gsk|r8|dop_v1|doo_v1|shpat|shpss|dckr_pat|nvapi|pplx|tgp_v1)[_-](?=[\w-]*\d)[\w-]{{20,}}",
    ),
    "header": (
        "Bearer Basic",
        r"(?<=Bearer )(?=\S*\d)[A-Za-z0-9._~+/-]{16,}=*|(?<=Basic )(?=\S*[0-9=])[A-Za-z0-9+/]{12,}={0,2}",
    ),
    "password": ("://", r"(?<=://)(?:[^\s:/@\"'<>]{0,64}):[^\s:/@\"'<>]{3,256}(?=@)"),
}
"""By kind: texts of which one stands in each secret of that kind, and its pattern."""
_ASSIGNED = (
    rf"(?P<before>(?P<name>\b[A-Z][A-Z0-9_]{{0,40}}_{_WORDS}\b|(?<![A-Za-z0-9])(?i:{_FIELD})\b)"
    r"[\"']?\s{0,2}[=:]\s{0,2}[\"']?(?i:Bearer |Basic )?)(?!\[redacted)(?P<value>[^\s\"',;&}\]]{8,})"
)
_NAMES = (
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    "credential",
    "auth",
    "connection_string",
    "dsn",
    "cookie",
    "webhook",
)
"""One of these stands in each name of a secret, in small letters."""
_BASE64_LINE = r"[A-Za-z0-9+/=\s]*"
del _
_compiled = lru_cache(maxsize=None)(re.compile)
"""Compiled when they are first asked: most processes never need most of them, and the screens start faster."""


def is_secret_name(name: str) -> bool:
    """Whether a variable of the environment of this name holds a secret."""
    return name.upper() not in _NO_VARIABLE and _compiled(_VARIABLE).search(name.upper()) is not None


def is_secret_field(name: str) -> bool:
    """Whether a field, a flag or a header of this name holds a secret."""
    return _compiled(_FIELD, re.IGNORECASE).search(name) is not None or (
        name.isupper() and is_secret_name(name)
    )


def redact(text: str) -> str:
    """`text` with every secret that is known by value, form or name replaced by "[redacted NAME]"."""
    return _without_forms(redact_values(text))


def redact_values(text: str) -> str:
    """`text` with the values of secret variables of the environment replaced: for texts that are the user's own."""
    found = _known().pattern
    return found.sub(_named, text) if found else text


def redacted(value: Any, *, forms: bool = True) -> Any:
    """Built-in values with the secrets in their texts replaced, and all of a field whose name says that it is one.

    Without `forms` only values of the environment are.
    """
    if isinstance(value, str):
        return redact(value) if forms else redact_values(value)
    if isinstance(value, Mapping):
        return {
            redacted(key, forms=forms): f"[redacted {key}]"
            if forms and isinstance(part, str) and part and isinstance(key, str) and is_secret_field(key)
            else redacted(part, forms=forms)
            for key, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(part, forms=forms) for part in value]
    return value


def redacted_line(line: bytes) -> bytes:
    """A line of JSON without the values of secret variables in its texts; what is no JSON stays as it is."""
    known = _known()
    if not known.pattern or not any(needle in line for needle in known.needles):
        return line
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line
    return msgspec.json.encode(redacted(value, forms=False)) + b"\n"


def redacted_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line with its secrets replaced: also what follows a flag that names one."""
    shown: list[str] = []
    for at, argument in enumerate(arguments):
        before = arguments[at - 1] if at else ""
        named = before.startswith("-") and "=" not in before and is_secret_field(before.lstrip("-"))
        told = before.lower().endswith(("-env", "-file", "-path"))  # says where the secret is
        shown.append(f"[redacted {before.lstrip('-')}]" if named and not told else redact(argument))
    return shown


def secrets_in(text: str) -> list[tuple[int, str]]:
    """Where each secret in a text begins that is known by its value or form, and what it is."""
    known = _known()
    places = [
        (found.start(), f"the value of {known.names[found[0]]}") for found in _matches(known.pattern, text)
    ]
    places += [(found.start(), kind) for kind, form in _forms_in(text) for found in form.finditer(text)]
    return sorted(places)


def _matches(pattern: "re.Pattern[str] | None", text: str) -> "Iterator[re.Match[str]]":
    return pattern.finditer(text) if pattern else iter(())


class RedactedStream:
    """A text stream that lets no secret through to another one.

    Text waits for the end of its line, since a secret may come in two pieces, or for a flush. Everything else that is
    asked of a stream is that of the other one; who writes to its buffer or descriptor writes past this.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting = ""
        self._in_key = False

    def write(self, text: str) -> int:
        self._waiting += text
        cut = max(self._waiting.rfind("\n"), self._waiting.rfind("\r")) + 1
        if cut or len(self._waiting) > 1 << 16:
            self._let_through(cut or len(self._waiting))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._let_through(len(self._waiting))
        self._stream.flush()

    def _let_through(self, cut: int) -> None:
        text, self._waiting = self._waiting[:cut], self._waiting[cut:]
        if self._in_key:  # the lines of a private key that began in an earlier text
            key = _compiled(_BASE64_LINE).match(text)
            text = text[key.end() if key else 0 :]
            self._in_key = not text
        if text:
            begun, ended = text.rfind("-----BEGIN "), text.rfind("-----END ")
            self._in_key = begun > ended and "PRIVATE KEY" in text[begun:]
            self._stream.write(redact(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output() -> None:
    """Let no secret out on this process's sys.stdout and sys.stderr until it ends.

    What goes to the descriptors themselves, as a dump of faulthandler does, is not changed.
    """
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)  # type: ignore[assignment]


@contextmanager
def redacted_stderr() -> Iterator[None]:
    """Let no secret out on sys.stderr for as long as this lasts."""
    stream = sys.stderr
    sys.stderr = RedactedStream(stream)  # type: ignore[assignment]
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # it may be closed
            sys.stderr.flush()
        sys.stderr = stream


class _Known:
    """The values of secret variables: by each of the ways in which they are written, the name of the variable."""

    def __init__(self, variables: Sequence[tuple[str, str]]) -> None:
        self.names = {way: name for name, value in variables for way in _ways(value)}
        longest_first = sorted(self.names, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first))) if self.names else None
        self.needles = tuple(
            msgspec.json.encode(way.encode("utf-8", "replace").decode())[1:-1] for way in self.names
        )


def _known() -> _Known:
    return _known_of(tuple((name, value) for name, value in os.environ.items() if _is_secret(name, value)))


_known_of = lru_cache(maxsize=8)(_Known)


def _is_secret(name: str, value: str) -> bool:
    if len(value) < SHORTEST or not is_secret_name(name):
        return False
    return not (value.startswith(("/", "~", "./")) and Path(value).expanduser().exists())


def _ways(value: str) -> Iterator[str]:
    """How a value is written: as it is, escaped, in an address, in base64, and line by line."""
    value = value.strip()
    plain = value.encode("utf-8", "surrogateescape")
    lines = [
        line for line in value.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith("-----")
    ]
    ways = {
        value,
        repr(value)[1:-1],
        value.replace("\n", "\\n"),
        quote(plain, safe=""),
        quote_plus(plain),
        base64.b64encode(plain).decode().rstrip("="),
        *(lines if len(lines) > 1 else ()),
    }
    return (way for way in ways if len(way) >= SHORTEST)


def _named(found: "re.Match[str]") -> str:
    return f"[redacted {_known().names[found[0]]}]"


def _without_forms(text: str) -> str:
    for kind, form in _forms_in(text):
        text = form.sub(partial(_hidden, kind), text)
    small = text.lower()
    if any(mark in small for mark in _NAMES):
        text = _compiled(_ASSIGNED).sub(lambda found: f"{found['before']}[redacted {found['name']}]", text)
    return text


def _forms_in(text: str) -> "Iterator[tuple[str, re.Pattern[str]]]":
    """The kinds of secrets that there may be in the text, and their patterns."""
    for kind, (marks, pattern) in _FORMS.items():
        if any(mark in text for mark in marks.split()):
            yield kind, _compiled(pattern)


def _hidden(kind: str, found: "re.Match[str]") -> str:
    """What stands in the place of a secret; the user's name before a password in an address is none."""
    kept = f"{found[0].partition(':')[0]}:" if kind == "password" else ""
    return f"{kept}[redacted {kind}]"
