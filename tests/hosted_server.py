"""A provider of fine-tuning on this machine: what the API promises, and every way in which it may not keep it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-test-" + "0123456789abcdef" * 2
KEY_VARIABLE = "HOSTED_TEST_VARIABLE"
"""A name that does not look like that of a secret, so that only hosted's own care keeps the value out of files."""

Trouble = Callable[[Any], bool]
"""Answers a request in place of the provider; False where it lets it through."""


@dataclass
class Provider:
    """The state of the server. `troubles` are asked before each request; each may answer it instead."""

    url: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checkpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    on_retrieve: Callable[[dict[str, Any]], None] = lambda job: None
    page: int = 100
    let_go: threading.Event = field(default_factory=threading.Event)

    def job(self, **fields: Any) -> dict[str, Any]:
        """Add a job, running by default."""
        number = len(self.jobs) + 1
        job = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": 1_790_000_000 + number,
            "model": "gpt-4o-mini-2024-07-18",
            "status": "running",
            "training_file": "file-1",
            "validation_file": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "trained_tokens": None,
            "error": {},
            "hyperparameters": {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.8},
            "seed": 7,
            "metadata": {},
            **fields,
        }
        self.jobs[job["id"]] = job
        self.events.setdefault(job["id"], [])
        return job

    def happen(self, job: dict[str, Any], message: str, level: str = "info", **data: Any) -> None:
        """Add an event to a job; with `data`, the metrics of a step."""
        events = self.events[job["id"]]
        events.append(
            {
                "id": f"ftevent-{len(events) + 1:04d}",
                "object": "fine_tuning.job.event",
                "created_at": job["created_at"] + len(events),
                "level": level,
                "message": message,
                "type": "metrics" if data else "message",
                "data": data or None,
            }
        )

    def train(self, job: dict[str, Any], steps: int, total: int) -> None:
        """Let a job do its next `steps` steps."""
        done = sum(event["type"] == "metrics" for event in self.events[job["id"]])
        for step in range(done + 1, done + steps + 1):
            data: dict[str, Any] = {"step": step, "total_steps": total, "train_loss": 3.0 / step}
            data["train_mean_token_accuracy"] = 0.5
            if step % 5 == 0:
                data |= {"valid_loss": 3.5 / step, "full_valid_loss": 3.4 / step}
            self.happen(job, f"Step {step}/{total}: training loss={3.0 / step:.2f}", **data)

    def succeed(self, job: dict[str, Any], tokens: int = 1_000_000) -> None:
        job |= {"status": "succeeded", "trained_tokens": tokens, "finished_at": job["created_at"] + 600}
        job["fine_tuned_model"] = "ft:gpt-4o-mini-2024-07-18:me::abc"
        self.happen(job, "The job has successfully completed")


def send(handler: Any, body: bytes | Any, status: int = 200, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {
        "Content-Length": str(len(content)),
        "Content-Type": "application/json",
        **headers,
    }.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}


def once(answer: Callable[[Any], None], path: str = "", method: str = "") -> Trouble:
    """A trouble that meets the next request whose path has `path` in it, and no other."""
    left = [1]

    def meet(handler: Any) -> bool:
        if not left[0] or path not in handler.path or method not in handler.command:
            return False
        left[0] = 0
        answer(handler)
        return True

    return meet


def always(answer: Callable[[Any], None], path: str = "") -> Trouble:
    def meet(handler: Any) -> bool:
        if path not in handler.path:
            return False
        answer(handler)
        return True

    return meet


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that answers on 127.0.0.1 until the block ends."""
    state = Provider()

    class Handler(_Handler):
        provider = state

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield state
    finally:
        state.let_go.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    provider: Provider
    body: bytes = b""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *arguments: Any) -> None: ...

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.provider.asked.append(f"{self.command} {self.path}")
        self.provider.keys.append(self.headers.get("Authorization"))
        if any(trouble(self) for trouble in self.provider.troubles):
            return
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            send(self, error(f"Incorrect API key provided: {self.headers.get('Authorization')}"), 401)
            return
        path = urlsplit(self.path).path.removeprefix("/v1")
        for pattern, method, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                answer(self, *found.groups())
                return
        send(self, error(f"Unknown request URL: {path}"), 404)

    def _listed(self, entries: list[dict[str, Any]]) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        limit = min(int(asked.get("limit", ["20"])[0]), self.provider.page)
        after = asked.get("after", [""])[0]
        start = next((at + 1 for at, one in enumerate(entries) if one["id"] == after), 0)
        part = entries[start : start + limit]
        send(self, {"object": "list", "data": part, "has_more": start + limit < len(entries)})

    def _files(self) -> None:
        self._listed(list(self.provider.files.values()))

    def _upload(self) -> None:
        name = re.search(rb'filename="([^"]+)"', self.body)
        assert name is not None and b'name="purpose"' in self.body
        start = self.body.index(b"\r\n\r\n", self.body.index(b"filename=")) + 4
        content = self.body[start : self.body.index(b"\r\n--", start)]
        number = len(self.provider.files) + 1
        file = {
            "id": f"file-{number}",
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "status": "processed",
        }
        file |= {"filename": name[1].decode(), "purpose": "fine-tune"}
        self.provider.files[file["id"]] = file
        self.provider.contents[file["id"]] = content
        send(self, file)

    def _jobs(self) -> None:
        self._listed(list(reversed(self.provider.jobs.values())))

    def _create(self) -> None:
        wanted = json.loads(self.body)
        self.provider.bodies.append(wanted)
        fields = {
            "status": "validating_files",
            "model": wanted["model"],
            "metadata": wanted.get("metadata", {}),
        }
        fields |= {"training_file": wanted["training_file"], "validation_file": wanted.get("validation_file")}
        job = self.provider.job(**fields, hyperparameters={"n_epochs": "auto"})
        self.provider.happen(job, f"Created fine-tuning job: {job['id']}")
        send(self, job)

    def _unknown(self, job_id: str) -> None:
        send(self, error(f"Could not find fine tune: {job_id}", "fine_tune_not_found"), 404)

    def _job(self, job_id: str) -> None:
        job = self.provider.jobs.get(job_id)
        if job is None:
            self._unknown(job_id)
            return
        self.provider.on_retrieve(job)
        send(self, job)

    def _cancel(self, job_id: str) -> None:
        job = self.provider.jobs.get(job_id)
        if job is None:
            self._unknown(job_id)
            return
        if job["status"] in ("succeeded", "failed", "cancelled"):
            send(self, error(f"Job has already completed: {job_id}", "invalid_state"), 400)
            return
        job["status"] = "cancelled"
        self.provider.happen(job, "The job was cancelled")
        send(self, job)

    def _events(self, job_id: str) -> None:
        self._listed(list(reversed(self.provider.events[job_id])))

    def _checkpoints(self, job_id: str) -> None:
        self._listed(list(reversed(self.provider.checkpoints.get(job_id, []))))


_ROUTES: list[tuple[str, str, Any]] = [
    ("/files", "GET", _Handler._files),
    ("/files", "POST", _Handler._upload),
    ("/fine_tuning/jobs", "GET", _Handler._jobs),
    ("/fine_tuning/jobs", "POST", _Handler._create),
    ("/fine_tuning/jobs/([^/]+)", "GET", _Handler._job),
    ("/fine_tuning/jobs/([^/]+)/cancel", "POST", _Handler._cancel),
    ("/fine_tuning/jobs/([^/]+)/events", "GET", _Handler._events),
    ("/fine_tuning/jobs/([^/]+)/checkpoints", "GET", _Handler._checkpoints),
]
