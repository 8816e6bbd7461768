"""A model behind an address: what it answers, and every way in which it may not."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from finetui_core.errors import InputError
from finetui_core.evaluate.endpoint import Endpoint, Limits, answer_by_endpoint, endpoint_at
from finetui_core.evaluate.figures import Answer, Decoding, Prompt
from finetui_core.evaluate.judge import Judged, Pair, judge_pairs

KEY = "sk-very-secret-0123456789"


@dataclass
class Server:
    """A server on this machine whose replies are `reply(handler, request)`; it keeps what it was asked."""

    url: str = ""
    reply: Callable[[Any, dict[str, Any]], None] = lambda handler, request: None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def endpoint(self, answer: float = 5.0, key_variable: str | None = None) -> Endpoint:
        limits = Limits(connect=2.0, answer=answer, sleep=self.slept.append)
        return endpoint_at(self.url, "tiny", key_variable, limits)

    def answers(self, rows: int = 1, **settings: Any) -> list[Answer]:
        prompts = [Prompt(at, ({"role": "user", "content": f"question {at}"},)) for at in range(rows)]
        found: list[Answer] = []
        answer_by_endpoint(self.endpoint(**settings), prompts, Decoding(max_new_tokens=7), found.append)
        assert [one.index for one in found] == list(range(rows))
        return found


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append(request | {"path": self.path})
            state.keys.append(self.headers.get("Authorization"))
            state.reply(self, request)

        def log_message(self, *arguments: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def send(handler: Any, body: bytes | Any, status: int = 200, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def said(text: Any, finish: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3},
    }


def test_answers_are_asked_for_one_by_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.reply = lambda handler, request: send(
        handler,
        said(request["messages"][0]["content"].upper() + " ", "length" if len(server.asked) == 2 else "stop"),
    )
    found = server.answers(2, key_variable="MY_KEY")
    assert [(one.text, one.ended) for one in found] == [("QUESTION 0", "end"), ("QUESTION 1", "length")]
    assert (found[0].prompt_tokens, found[0].new_tokens, found[0].nll) == (11, 3, None)
    assert server.keys == [f"Bearer {KEY}"] * 2
    first = server.asked[0]
    assert first["path"] == "/v1/chat/completions" and first["temperature"] == 0 and first["max_tokens"] == 7
    assert first["model"] == "tiny" and first["stream"] is False
    assert KEY not in repr(server.endpoint(key_variable="MY_KEY"))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda handler, request: send(handler, b" <!DOCTYPE html><html>"), "web page"),
        (lambda handler, request: send(handler, b'{"choices": [tor'), "not valid JSON"),
        (lambda handler, request: send(handler, b"[" * 200_000), "not valid JSON"),
        (lambda handler, request: send(handler, {"choices": []}), "no choices"),
        (lambda handler, request: send(handler, [1]), "no choices"),
        (lambda handler, request: send(handler, said(None)), "holds no text"),
        (
            lambda handler, request: send(handler, {"error": {"message": "no such model"}}, 404),
            "404: no such model",
        ),
        (lambda handler, request: send(handler, b"", 302, Location="http://example.org/"), "redirects (302)"),
        (lambda handler, request: send(handler, b"x" * 5_000_000), "longer than 4 MB"),
        (lambda handler, request: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), "does not speak HTTP"),
        (lambda handler, request: None, "does not speak HTTP"),
        (lambda handler, request: send(handler, {"error": f"bad key {KEY}"}, 401), "401: bad key ***"),
    ],
)
def test_what_is_no_answer_is_told_in_a_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch, reply: Any, why: str
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.reply = reply
    (answer,) = server.answers(key_variable="MY_KEY")
    assert answer.ended == "error" and why in answer.error and answer.text == "" and KEY not in answer.error
    assert server.slept == []


def test_a_server_that_hangs_or_drips_is_left(server: Server) -> None:
    done = threading.Event()

    def hang(handler: Any, request: Any) -> None:
        done.wait(20)

    def drip(handler: Any, request: Any) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2000:
                handler.wfile.write(bytes([byte]))
                if done.wait(0.02):
                    return
        except OSError:
            return

    for reply in (hang, drip):
        server.reply = reply
        began = time.monotonic()
        (answer,) = server.answers(answer=0.3)
        assert answer.error == "the endpoint did not answer within 0.3 seconds"
        assert time.monotonic() - began < 5
    done.set()


def test_a_busy_server_is_asked_again_with_bounded_pauses(server: Server) -> None:
    def busy(handler: Any, request: Any) -> None:
        replies: list[Any] = [(429, {"Retry_After": "9999"}), (503, {}), (200, {})]
        status, headers = replies[len(server.asked) - 1]
        send(handler, said("at last") if status == 200 else {}, status, **headers)

    server.reply = busy
    assert server.answers()[0].text == "at last" and server.slept == [30.0, 2.0]


def test_after_five_errors_in_a_row_the_rest_is_not_asked(server: Server) -> None:
    server.reply = lambda handler, request: send(handler, {"error": {"message": "out of order"}}, 500)
    found = server.answers(8)
    assert all(one.ended == "error" for one in found)
    assert found[4].error == "the endpoint answered with 500: out of order, 4 times"
    assert found[5].error == "not asked, after 5 errors in a row" and len(server.asked) == 5 * 4


def test_nobody_there() -> None:
    found: list[Answer] = []
    nobody = endpoint_at("http://127.0.0.1:9/v1", "tiny")
    answer_by_endpoint(nobody, [Prompt(0, ())], Decoding(), found.append)
    assert found[0].error == "nothing listens at http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("url", "model", "variable", "expected"),
    [
        ("ftp://host/v1", "m", None, "no address"),
        ("http://", "m", None, "no address"),
        ("http://host:99999/v1", "m", None, "no address"),
        ("http://ho st/v1", "m", None, "no address"),
        ("http://me:pw@host/v1", "m", None, "password"),
        (
            "http://host/v1",
            " ",
            "NOT_SET_ANYWHERE",
            "model is not named.*\n.*\n.*NOT_SET_ANYWHERE is not set",
        ),
    ],
)
def test_a_faulty_address_is_refused(url: str, model: str, variable: str | None, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        endpoint_at(url, model, variable)


def test_the_judge_is_asked_in_both_orders(server: Server) -> None:
    def judge(handler: Any, request: dict[str, Any]) -> None:
        text = request["messages"][0]["content"]
        a, b = (text.split(f"<answer_{one}>\n")[1].split("\n")[0] for one in "ab")
        if "silent" in (a, b):
            send(handler, said("I cannot say A or B."))
        elif "first wins" in (a, b):
            send(handler, said("Both are fine.\n\nVerdict: **A**"))
        else:
            send(handler, said("A" if a == "good" else "B"))

    server.reply = judge
    pairs = [
        Pair(0, "q", "r", "good", "bad"),
        Pair(1, "q", "r", "bad", "good"),
        Pair(2, "q", "r", "first wins", "b"),
        Pair(3, "q", "r", "same", "same "),
        Pair(4, "q", "r", "silent", "b"),
    ]
    found: list[Judged] = []
    judge_pairs(server.endpoint(), pairs, found.append)
    assert [one.winner for one in found] == ["first", "second", "tie", "tie", None]
    assert found[4].error == "the judge gave no verdict" and len(server.asked) == 7
