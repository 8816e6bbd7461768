"""What a provider says when it does not do what it was asked, each as one sentence."""

from typing import Literal

import msgspec

from finetui_core.secrets import redact

FaultKind = Literal["key", "quota", "rate", "refused", "absent", "server", "malformed", "slow", "unreachable"]
PASSING: frozenset[FaultKind] = frozenset({"rate", "server", "malformed", "slow", "unreachable"})
"""Faults after which the same request may succeed."""
IN_DOUBT: frozenset[FaultKind] = frozenset({"server", "malformed", "slow", "unreachable"})
"""Faults after which the request may have been carried out all the same."""
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_LONGEST_WAIT = 3600.0
_LONGEST_DETAIL = 300


class ProviderFault(Exception):
    """Why there is no answer. `after` are the seconds that the provider asks to wait, where it does."""

    def __init__(self, kind: FaultKind, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.kind, self.after = kind, after

    @property
    def passing(self) -> bool:
        return self.kind in PASSING


def of_status(status: int, content: bytes, retry_after: str, key_variable: str) -> ProviderFault:
    """The fault of an answer with an HTTP status other than 2xx."""
    code, said = _detail(content)
    detail = f": {said}" if said else ""
    if status == 401:
        return ProviderFault("key", f"the provider refuses the key in {key_variable} (401{detail})")
    if status == 403:
        return ProviderFault("key", f"the key in {key_variable} may not do this (403{detail})")
    if status == 429 and code in _QUOTA:
        return ProviderFault("quota", f"the account's quota is used up (429{detail})")
    if status == 402:
        return ProviderFault("quota", f"the account cannot pay (402{detail})")
    if status == 429:
        return ProviderFault(
            "rate", f"the provider asks to come back later (429{detail})", _seconds(retry_after)
        )
    if status == 404:
        return ProviderFault("absent", f"the provider does not know it (404{detail})")
    if status == 408 or status >= 500:
        return ProviderFault(
            "server", f"the provider is in trouble ({status}{detail})", _seconds(retry_after)
        )
    if 300 <= status < 400:
        what = f"the address leads elsewhere ({status}), which is not followed: name that address with --base-url"
        return ProviderFault("refused", what)
    return ProviderFault("refused", f"the provider refuses this ({status}{detail})")


def malformed(content: bytes, why: str) -> ProviderFault:
    """The fault of an answer that is not what the API promises."""
    if content.lstrip()[:1] == b"<":
        return ProviderFault("malformed", "the answer is a web page: the address may lack /v1")
    return ProviderFault("malformed", f"the answer is not what this API gives: {why}")


def _seconds(retry_after: str) -> float | None:
    """The header Retry-After in its form of seconds; its form of a date is not read."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return None
    return min(seconds, _LONGEST_WAIT) if seconds >= 0 else None


def _detail(content: bytes) -> tuple[str, str]:
    """The error's code and its first words, where they are given as JSON."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    error = value.get("error", value) if isinstance(value, dict) else None
    if isinstance(error, str):
        return "", _short(error)
    if not isinstance(error, dict):
        return "", ""
    code = error.get("code") or error.get("type")
    message = error.get("message")
    return (code if isinstance(code, str) else ""), (_short(message) if isinstance(message, str) else "")


def _short(text: str) -> str:
    words = redact(" ".join(text.split()))
    return words if len(words) <= _LONGEST_DETAIL else f"{words[: _LONGEST_DETAIL - 1]}…"
