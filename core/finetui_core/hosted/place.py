"""Which provider is meant, and where its key is: the key itself is read from the environment and kept nowhere."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from finetui_core.errors import InputError, Problem

OPENAI = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Place:
    """`base_url` is what comes before /fine_tuning/jobs; `key_variable` names the variable that holds the key."""

    base_url: str
    key_variable: str

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()


def place_at(base_url: str, key_variable: str) -> Place:
    """The provider that a user names. Raises InputError with all that is wrong; never quotes what may be a key."""
    problems = [*_of_address(base_url)]
    if not _VARIABLE.fullmatch(key_variable):
        what = "this is not the name of a variable (the key itself belongs into one, not on the command line)"
        problems.append(Problem(what, "--key-env", f"export {KEY_VARIABLE}=…, then leave --key-env out"))
    elif not (key := os.environ.get(key_variable, "").strip()):
        problems.append(
            Problem(f"the variable {key_variable} is not set", "--key-env", f"export {key_variable}=…")
        )
    elif not key.isascii() or not key.isprintable() or " " in key:
        what = f"the variable {key_variable} holds characters that no key has"
        problems.append(Problem(what, "--key-env", f"export {key_variable}=…"))
    if problems:
        raise InputError(problems)
    return Place(base_url.rstrip("/"), key_variable)


def _of_address(url: str) -> list[Problem]:
    where = "--base-url"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        return [Problem("this is no address of an API", where, f"It looks like {OPENAI}.")]
    if parts.username or parts.password or parts.query or parts.fragment:
        hint = "Put the key into a variable of the environment, and name that with --key-env."
        return [Problem("the address holds more than a host and a path", where, hint)]
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        hint = "Use https, or a tunnel that ends at 127.0.0.1."
        return [Problem("http would send the key and the data in the clear", where, hint)]
    return []


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
