"""Keys and tokens in a text.

Only forms that a vendor gives its keys are looked for: rules on entropy alone are wrong more often than right
(Basak et al. 2023, arXiv 2307.00714: precision .46 for Gitleaks).
"""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from finetui_core.data.check.traces import traces_of


class Place(NamedTuple):
    """Something that must not be shown: `kind` in words, `[start, end)` in the text."""

    kind: str
    start: int
    end: int


class _Form(NamedTuple):
    """A vendor's form. `literal` stands in each key of it; group 1 of `pattern` is the part that is secret,
    group 2, where there is one, the random part that placeholders are told by."""

    kind: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    sound: Callable[[str], bool] | None = None


def _form(kind: str, literals: str, pattern: str, sound: Callable[[str], bool] | None = None) -> _Form:
    return _Form(kind, tuple(literals.split()), re.compile(pattern), sound)


_PLACEHOLDER = re.compile(
    r"example|sample|dummy|fake|placeholder|your|insert|replace|redacted|secret|token|xxx|\*\*\*|\.\.\.|…|<|\{|\$"
    r"|(.)\1{4}|01234|12345|23456|34567|45678|56789|abcdef|bcdefg|cdefgh|qwerty",
    re.IGNORECASE,
)
_ENTROPY = 0.75
"""Share of the highest entropy that a text of its length and kind of characters can have."""


def _is_random(body: str) -> bool:
    """Whether `body` can be a key: no placeholder, and as mixed as drawn characters are."""
    if _PLACEHOLDER.search(body):
        return False
    if not any(char.isdigit() for char in body) or not any(char.isalpha() for char in body):
        return False
    counts = Counter(body)
    entropy = -sum(n / len(body) * math.log2(n / len(body)) for n in counts.values())
    alphabet = 16 if re.fullmatch("[0-9a-fA-F]+", body) else 36
    return entropy >= _ENTROPY * math.log2(min(len(body), alphabet))


def _is_random_base64(body: str) -> bool:
    return _is_random(body) and any(char.isupper() for char in body) and any(char.islower() for char in body)


def _is_aws_id(body: str) -> bool:
    """An id has 16 of A-Z and 2-7; a digit may be missing by chance."""
    return not _PLACEHOLDER.search(body) and len(set(body)) >= 8


def _is_jwt(token: str) -> bool:
    head, payload, signature = token.split(".")
    try:
        named = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    except (ValueError, binascii.Error):
        return False
    return isinstance(named, dict) and "alg" in named and b"1234567890" not in claims and len(signature) >= 20


_WEAK_PASSWORD = re.compile(
    r"(?:my|db|the|your|some|user)?[-_]?(?:pass(?:word|wd|phrase)?|pwd?|secret|token|changeme|user|root|admin|test"
    r"|guest|postgres|mysql|mongo|redis|rabbit|example|hunter|letmein|qwerty|key|api_?key)[-_]?\d{0,4}!?",
    re.IGNORECASE,
)


def _is_password(password: str) -> bool:
    return (
        len(password) >= 6
        and not _WEAK_PASSWORD.fullmatch(password)
        and not re.search(r"xxx|\*\*|\.\.\.|…|[<>{}$%\[\]]|your|password|example", password, re.IGNORECASE)
        and len(set(password)) >= 5
        and (not password.isalpha() or not (password.islower() or password.isupper() or password.istitle()))
    )


def _is_pem(body: str) -> bool:
    letters = re.sub(r"\\n|[^A-Za-z0-9+/=]", "", body)
    return len(letters) >= 64 and len(set(letters)) >= 24


_ = r"(?<![A-Za-z0-9_-])"  # nothing before that would make it a part of a word
_END = r"(?![A-Za-z0-9])"
_FORMS = (
    _form("Anthropic key", "sk-ant-", rf"{_}(sk-ant-[a-z]+\d\d-([A-Za-z0-9_-]{{80,120}}))", _is_random_base64),
    _form("OpenRouter key", "sk-or-v1-", rf"{_}(sk-or-v1-([0-9a-f]{{64}})){_END}", _is_random),
    _form(
        "OpenAI key",
        "sk-",
        rf"{_}(sk-(?:proj-|svcacct-|admin-)?([A-Za-z0-9_-]{{20,90}}T3BlbkFJ[A-Za-z0-9_-]{{20,90}}))",
        _is_random_base64,
    ),
    _form("OpenAI key", "sk-", rf"{_}(sk-(?:proj|svcacct|admin)-([A-Za-z0-9_-]{{40,200}}))", _is_random_base64),
    _form("sk- key", "sk-", rf"{_}(sk-([A-Za-z0-9]{{32,64}})){_END}", _is_random),
    _form("Hugging Face token", "hf_", rf"{_}(hf_([A-Za-z]{{34}})){_END}", lambda body: len(set(body)) >= 14),
    _form("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_}(gh[pousr]_([A-Za-z0-9]{{36,255}})){_END}", _is_random),
    _form("GitHub token", "github_pat_", rf"{_}(github_pat_([A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}})){_END}", _is_random),
    _form("GitLab token", "glpat-", rf"{_}(glpat-([A-Za-z0-9_-]{{20,64}}))", _is_random),
    _form("AWS access key id", "AKIA ASIA", rf"{_}((?:AKIA|ASIA)([A-Z2-7]{{16}})){_END}", _is_aws_id),
    _form(
        "AWS secret key",
        "ecret_access_key ecretAccessKey ECRET_ACCESS_KEY",
        r"(?i:secret_?access_?key)[\"'\\]{0,4}\s{0,3}[=:]\s{0,3}[\"'\\]{0,4}(([A-Za-z0-9/+]{40}))(?![A-Za-z0-9/+=])",
        _is_random_base64,
    ),
    _form("Google API key", "AIza", rf"{_}(AIza([A-Za-z0-9_-]{{35}}))(?![A-Za-z0-9_-])", _is_random),
    _form("Google client secret", "GOCSPX-", rf"{_}(GOCSPX-([A-Za-z0-9_-]{{28}}))", _is_random),
    _form("Slack token", "xox", rf"{_}(xox[abeoprs]-(\d{{8,}}-[A-Za-z0-9-]{{16,}}))", _is_random),
    _form(
        "Slack webhook",
        "hooks.slack.com",
        r"(hooks\.slack\.com/(?:services|workflows)/(T[A-Z0-9]{6,}/[AB][A-Z0-9]{6,}/[A-Za-z0-9]{20,}))",
        _is_random,
    ),
    _form("Stripe key", "sk_live_ rk_live_", rf"{_}([sr]k_live_([A-Za-z0-9]{{24,120}})){_END}", _is_random),
    _form("Twilio key", "SK", rf"{_}(SK([0-9a-f]{{32}})){_END}", _is_random),
    _form("SendGrid key", "SG.", rf"{_}(SG\.([A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}))", _is_random_base64),
    _form("npm token", "npm_", rf"{_}(npm_([A-Za-z0-9]{{36}})){_END}", _is_random),
    _form("PyPI token", "pypi-", rf"{_}(pypi-(AgEIcHlwaS5vcmc[A-Za-z0-9_-]{{50,}}))", _is_random_base64),
    _form("DigitalOcean token", "dop_v1_ doo_v1_", rf"{_}(do[op]_v1_([0-9a-f]{{64}})){_END}", _is_random),
    _form("Groq key", "gsk_", rf"{_}(gsk_([A-Za-z0-9]{{52}})){_END}", _is_random),
    _form("Replicate token", "r8_", rf"{_}(r8_([A-Za-z0-9]{{37}})){_END}", _is_random),
    _form("Shopify token", "shpat_ shpss_ shpca_", rf"{_}(shp(?:at|ss|ca)_([0-9a-fA-F]{{32}})){_END}", _is_random),
    _form("Docker token", "dckr_pat_", rf"{_}(dckr_pat_([A-Za-z0-9_-]{{27}}))", _is_random),
    _form("Azure storage key", "AccountKey", r"AccountKey=(([A-Za-z0-9+/]{86}==))", _is_random_base64),
    _form("JWT", "eyJ", rf"{_}((eyJ[A-Za-z0-9_-]{{10,}}\.eyJ[A-Za-z0-9_-]{{10,}}\.[A-Za-z0-9_-]{{20,}}))", _is_jwt),
    _form(
        "private key",
        "PRIVATE",
        r"(-----BEGIN (?:[A-Z]{2,12} )?PRIVATE KEY(?: BLOCK)?-----([^-]{64,8000}(?:-----END [A-Z ]{1,30}-----)?))",
        _is_pem,
    ),
    _form(
        "password in an address",
        "://",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>{}$]{1,64}:(([^\s:/@\"'<>]{3,80}))"
        r"@(?!localhost|127\.|0\.0\.0\.0|example\.|[a-z0-9.-]*\.?example\b|[<{$\[])",
        _is_password,
    ),
)  # fmt: skip
del _


def _by_mark() -> dict[str, tuple[str, ...]]:
    """The literals of all forms by what `traces_of` leaves of them; where that holds another mark, by the other."""
    left = {literal: traces_of(literal.encode()) for form in _FORMS for literal in form.literals}
    marks = {
        mark for mark in left.values() if not any(other in mark for other in left.values() if other != mark)
    }
    return {
        mark: tuple(literal for literal, trace in left.items() if mark in trace) for mark in sorted(marks)
    }


_LITERALS = _by_mark()
_MARK = re.compile("|".join(map(re.escape, _LITERALS)))


def may_hold_secret(raw: bytes) -> bool:
    """Whether a raw line of JSON can hold the beginning of any vendor's key, or an address: where it cannot, none
    of its texts holds a secret. Personal data is not asked for."""
    return holds_mark(traces_of(raw))


def holds_mark(traces: str) -> bool:
    """Whether these traces of a text hold those of a literal: where they do not, no secret begins in it. A search for
    each mark takes half the time of a pattern for all of them: there is little to search."""
    for mark in _LITERALS:
        if mark in traces:
            break
    else:
        return False
    return True


def begins_secret(traces: str, text: str) -> bool:
    """Whether a text with these traces holds the beginning of any vendor's key, or an address."""
    if not holds_mark(traces):
        return False
    return any(literal in text for mark in set(_MARK.findall(traces)) for literal in _LITERALS[mark])


def secrets_in(text: str) -> list[Place]:
    """Every secret of a known form, in the order of the text."""
    return list(clear_places(_secrets(text)))


def _secrets(text: str) -> Iterator[Place]:
    for form in _FORMS:
        if not any(literal in text for literal in form.literals):
            continue
        for found in form.pattern.finditer(text):
            if form.sound is None or form.sound(found[2]):
                yield Place(form.kind, found.start(1), found.end(1))


def clear_places(places: Iterable[Place]) -> Iterator[Place]:
    """The places in the order of the text, without those that overlap one before; of two that begin together the
    first stays."""
    end = 0
    for place in sorted(places, key=lambda place: place.start):
        if place.start >= end:
            end = place.end
            yield place
