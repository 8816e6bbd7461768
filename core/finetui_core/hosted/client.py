"""Requests to a provider: the package `openai` makes and sends them, and what comes back is checked here.

The provider is not trusted: it may hang, drip, redirect, answer with HTML or without end, and repeat the key. Each
request has a deadline for the whole of it, each answer a longest length, and the key is struck out of every answer.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from finetui_core.errors import InputError, Problem
from finetui_core.hosted.faults import ProviderFault, malformed, of_status
from finetui_core.hosted.place import Place

if TYPE_CHECKING:
    from openai import OpenAI

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 60.0
MOST_BYTES = 16_000_000
_SHORTEST_KEY = 8
"""Characters of a key that is struck out of answers: shorter ones are words of other texts too."""
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Client:
    """A provider that can be asked. `seconds` is the deadline of a whole request, but for uploads."""

    place: Place
    seconds: float
    api: "OpenAI"
    deadline: "_Deadline"


def connect(place: Place, seconds: float = ANSWER_SECONDS) -> Client:
    """Raises InputError where the package `openai` is not installed. Nothing is asked yet."""
    if find_spec("openai") is None:
        hint = "Install it with: pip install 'finetui[hosted]'"
        raise InputError(Problem("hosted jobs need the package openai, which is not installed", "", hint))
    import httpx2
    import openai

    proxy = None if proxy_bypass(place.host) else getproxies().get(urlsplit(place.base_url).scheme)
    limits = httpx2.Limits(
        max_keepalive_connections=0
    )  # each request connects anew, and can be ended by its socket
    deadline = _Deadline(seconds)
    transport: Any = _Checked(httpx2.HTTPTransport(proxy=proxy, limits=limits), place, deadline)
    http = httpx2.Client(
        transport=transport, timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS), follow_redirects=False
    )
    api = openai.OpenAI(
        api_key=place.key,
        base_url=place.base_url,
        max_retries=0,
        http_client=http,
        default_headers={"Accept-Encoding": "identity", "User-Agent": "ftui"},
    )
    return Client(place, seconds, api, deadline)


def ask(
    client: Client, request: Callable[["OpenAI"], Any], kind: type[Kind], seconds: float | None = None
) -> Kind:
    """The checked answer to a request, which is made with `with_raw_response`. Raises ProviderFault."""
    import openai

    client.deadline.seconds = seconds or client.seconds
    try:
        content = bytes(request(client.api).content)
    except openai.APIStatusError as error:
        headers = error.response.headers
        content = bytes(error.response.content)
        after = headers.get("retry-after", "")
        raise of_status(error.status_code, content, after, client.place.key_variable) from None
    except openai.APITimeoutError:
        raise _late(client) from None
    except openai.APIConnectionError as error:
        raise _unreachable(client, error) from None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(content, str(error)) from None


def _late(client: Client) -> ProviderFault:
    return ProviderFault(
        "slow", f"{client.place.host} did not answer within {client.deadline.seconds:g} seconds"
    )


def _unreachable(client: Client, error: Exception) -> ProviderFault:
    if client.deadline.passed.is_set():
        return _late(client)
    import httpx2

    cause = error.__cause__ or error
    said = str(cause).partition("\n")[0].replace(client.place.key, "***").rstrip(".")
    why = said[:200] or type(cause).__name__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return ProviderFault("unreachable", f"{client.place.host} cannot be reached: {why}")
    return ProviderFault("unreachable", f"the connection to {client.place.host} was lost: {why}")


@dataclass(slots=True)
class _Deadline:
    """Ends a request by its socket: the limits of a library begin anew with each byte."""

    seconds: float
    passed: threading.Event = field(default_factory=threading.Event)
    sockets: list[socket.socket] = field(default_factory=list)

    @contextlib.contextmanager
    def over(self, request: Any) -> Iterator[None]:
        """Hold the block to the deadline; `request` tells of the connections that are made for it."""
        self.passed.clear()
        self.sockets.clear()
        request.extensions = {**request.extensions, "trace": self._note}
        clock = threading.Timer(self.seconds, self._end)
        clock.daemon = True
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _note(self, name: str, info: dict[str, Any]) -> None:
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            made = info["return_value"].get_extra_info("socket")
            if made is not None:
                self.sockets.append(made)

    def _end(self) -> None:
        self.passed.set()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What httpx2 takes for a transport: sends by another one, and lets only plain, short answers in time through."""

    inner: Any
    place: Place
    deadline: _Deadline

    def handle_request(self, request: Any) -> Any:
        import httpx2

        with self.deadline.over(request):
            answer = self.inner.handle_request(request)
            try:
                content = _body(answer)
            finally:
                answer.close()
        if self.deadline.passed.is_set():
            raise httpx2.ReadTimeout("the whole request took too long", request=request)
        if 300 <= answer.status_code < 400:
            raise of_status(answer.status_code, content, "", self.place.key_variable)
        key = self.place.key.encode()
        if len(key) >= _SHORTEST_KEY:
            content = content.replace(key, b"***")
        kept = {
            name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers
        }
        return httpx2.Response(answer.status_code, headers=kept, content=content)

    def close(self) -> None:
        self.inner.close()


def _body(answer: Any) -> bytes:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProviderFault("malformed", "the answer is compressed, which was not asked for")
    content = bytearray()
    for piece in answer.stream:
        content += piece
        if len(content) > MOST_BYTES:
            raise ProviderFault("malformed", f"the answer is longer than {MOST_BYTES // 1_000_000} MB")
    return bytes(content)
