"""A chat model behind an address that the user names, in the form that OpenAI's API made common.

The server is not trusted: it may hang, drip, redirect, answer with HTML or without end. Only what is asked goes
there, and the key only to the host that was named; it is read from the environment and written nowhere.
"""

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from finetui_core.errors import InputError, Problem
from finetui_core.evaluate.figures import Answer, Decoding, Ended, Prompt
from finetui_core.secrets import redact

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
MOST_BYTES = 4_000_000
TRIES, PAUSE_SECONDS, LONGEST_PAUSE = 4, 1.0, 30.0
ERRORS_IN_A_ROW = 5
_CHUNK = 65536
_SHORTEST_KEY = 12
"""Characters of a key that is a secret; local servers take words such as EMPTY."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect and for the whole answer; `sleep` waits between tries."""

    connect: float = CONNECT_SECONDS
    answer: float = ANSWER_SECONDS
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is what comes before /chat/completions; `key_variable` names the variable with the key, None for none."""

    url: str
    model: str
    key_variable: str | None = None
    limits: Limits = Limits()


class EndpointFault(Exception):
    """Why there is no answer, in a sentence."""


class _TryAgain(EndpointFault):
    """A fault that may pass; `after` are the seconds that the server asks for, if it does."""

    def __init__(self, message: str, after: float | None) -> None:
        super().__init__(message)
        self.after = after


def endpoint_at(
    url: str, model: str, key_variable: str | None = None, limits: Limits | None = None
) -> Endpoint:
    """The endpoint that a user names. Raises InputError with all that is wrong with it."""
    problems = []
    where = "--endpoint"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if parts.username or parts.password:
            hint = "Put the key into a variable of the environment and name that with --endpoint-key-env."
            problems.append(Problem("the address holds a user name or a password", where, hint))
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        hint = "It looks like http://127.0.0.1:8000/v1."
        problems.append(Problem("this is no address of an endpoint", where, hint))
    if not model.strip():
        hint = "Ask the server for its names: GET /v1/models."
        problems.append(Problem("the endpoint's model is not named", "--endpoint-model", hint))
    if key_variable is not None:
        key = os.environ.get(key_variable, "")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            what = "is not set" if not key else "holds characters that no key has"
            problems.append(
                Problem(
                    f"the variable {key_variable} {what}", "--endpoint-key-env", f"export {key_variable}=…"
                )
            )
    if problems:
        raise InputError(problems)
    base = url.split("?")[0].split("#")[0].rstrip("/").removesuffix("/chat/completions")
    return Endpoint(base, model, key_variable, limits or Limits())


def answer_by_endpoint(
    endpoint: Endpoint, prompts: Sequence[Prompt], decoding: Decoding, on_answer: Callable[[Answer], None]
) -> None:
    """Ask for each prompt and hand over one Answer for each, in order. What went wrong is told in the answer.

    After five errors in a row the rest is not asked. No likelihoods: endpoints do not give those of a reference.
    """
    errors = 0
    for prompt in prompts:
        if errors >= ERRORS_IN_A_ROW:
            on_answer(_failed(prompt.index, f"not asked, after {ERRORS_IN_A_ROW} errors in a row", 0.0))
            continue
        began = time.monotonic()
        try:
            reply = chat(endpoint, prompt.messages, decoding.max_new_tokens)
        except EndpointFault as fault:
            errors += 1
            on_answer(_failed(prompt.index, str(fault), time.monotonic() - began))
            continue
        errors = 0
        seconds = time.monotonic() - began
        ended: Ended = "length" if reply.cut else "end"
        on_answer(Answer(prompt.index, reply.text, ended, reply.prompt_tokens, reply.new_tokens, seconds))


def _failed(index: int, why: str, seconds: float) -> Answer:
    return Answer(index, "", "error", 0, 0, seconds, error=why)


@dataclass(frozen=True, slots=True)
class Reply:
    """`cut` where the longest answer was reached; tokens are 0 where the server does not count them."""

    text: str
    cut: bool
    prompt_tokens: int
    new_tokens: int


def chat(endpoint: Endpoint, messages: Sequence[Any], max_new_tokens: int) -> Reply:
    """One answer, the likeliest. Raises EndpointFault."""
    body = {
        "model": endpoint.model,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": max_new_tokens,
        "stream": False,
    }
    request = json.dumps(body).encode()
    for attempt in range(TRIES):
        try:
            return _reply(_posted(endpoint, request))
        except _TryAgain as fault:
            if attempt == TRIES - 1:
                raise EndpointFault(f"{fault}, {TRIES} times") from fault
            pause = fault.after if fault.after is not None else PAUSE_SECONDS * 2**attempt
            endpoint.limits.sleep(min(max(pause, 0.0), LONGEST_PAUSE))
    raise AssertionError


def _posted(endpoint: Endpoint, request: bytes) -> bytes:
    """The body of a good response. Redirects are not followed: the key is for the host that was named."""
    parts = urlsplit(endpoint.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=endpoint.limits.connect)
    late = threading.Event()

    def end() -> None:  # a socket's own limit starts anew with each byte
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(endpoint.limits.answer, end)
    clock.daemon = True
    clock.start()
    try:
        connection.connect()
        connection.sock.settimeout(endpoint.limits.answer)
        connection.request("POST", f"{parts.path}/chat/completions", request, _headers(endpoint))
        response = connection.getresponse()
        content = _body(response)
        if late.is_set():
            raise TimeoutError
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise EndpointFault(_why(error, late=late.is_set(), endpoint=endpoint)) from error
    finally:
        clock.cancel()
        connection.close()
    return _checked(response, _without_key(content, endpoint))


def _without_key(content: bytes, endpoint: Endpoint) -> bytes:
    """Servers repeat keys that they refuse."""
    key = os.environ.get(endpoint.key_variable or "", "")
    return content.replace(key.encode(), b"***") if len(key) >= _SHORTEST_KEY else content


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "ftui"}
    if endpoint.key_variable:
        headers["Authorization"] = f"Bearer {os.environ.get(endpoint.key_variable, '')}"
    return headers


def _body(response: http.client.HTTPResponse) -> bytes:
    content = b""
    while chunk := response.read1(_CHUNK):
        content += chunk
        if len(content) > MOST_BYTES:
            raise EndpointFault(f"the endpoint's answer is longer than {MOST_BYTES // 1_000_000} MB")
    return content


def _why(error: Exception, *, late: bool, endpoint: Endpoint) -> str:
    if late or isinstance(error, TimeoutError):
        return f"the endpoint did not answer within {endpoint.limits.answer:g} seconds"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {endpoint.url}"
    if isinstance(error, http.client.HTTPException):
        return f"the endpoint does not speak HTTP ({type(error).__name__})"
    return f"the endpoint cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}"


def _checked(response: http.client.HTTPResponse, content: bytes) -> bytes:
    status = response.status
    if status == 429 or status >= 500:
        said = response.headers.get("Retry-After", "")
        after = float(said) if said.isascii() and said.isdigit() else None
        raise _TryAgain(f"the endpoint answered with {status}{_detail(content)}", after)
    if 300 <= status < 400:
        raise EndpointFault(
            f"the endpoint redirects ({status}), which is not followed: name the address it leads to"
        )
    if status != 200:
        raise EndpointFault(f"the endpoint answered with {status}{_detail(content)}")
    return content


def _detail(content: bytes) -> str:
    """The first words of an error, where the server gives some as JSON."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    error = value.get("error", value) if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f": {redact(' '.join(message.split()))[:200]}" if isinstance(message, str) and message else ""


def _reply(content: bytes) -> Reply:
    if content.lstrip()[:1] == b"<":
        raise EndpointFault("the endpoint answered with a web page: the address may lack /v1")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EndpointFault("the endpoint's answer is not valid JSON") from error
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise EndpointFault("the endpoint's answer has no choices")
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else None
    if isinstance(text, list):
        text = "".join(
            part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    if not isinstance(text, str):
        raise EndpointFault("the endpoint's answer holds no text")
    usage = value.get("usage")
    cut = choices[0].get("finish_reason") == "length"
    return Reply(text.strip(), cut, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: Any, key: str) -> int:
    number = usage.get(key) if isinstance(usage, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**53 else 0
