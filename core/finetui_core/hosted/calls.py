"""What is asked of a provider, one function for each request."""

from collections.abc import Callable
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from finetui_core.hosted.client import Client, ask
from finetui_core.hosted.shapes import Checkpoint, Event, File, Job, Page

PAGE = 100
MOST_PAGES = 200
_SLOWEST = 50_000
"""Bytes a second below which an upload is given up."""


def get_job(client: Client, job_id: str) -> Job:
    return ask(client, lambda api: api.fine_tuning.jobs.with_raw_response.retrieve(job_id), Job)


def cancel_job(client: Client, job_id: str) -> Job:
    return ask(client, lambda api: api.fine_tuning.jobs.with_raw_response.cancel(job_id), Job)


def create_job(client: Client, wanted: dict[str, Any]) -> Job:
    """`wanted` are the arguments of the request, as the package names them."""
    return ask(client, lambda api: api.fine_tuning.jobs.with_raw_response.create(**wanted), Job)


def newest_jobs(client: Client, most: int) -> list[Job]:
    """The newest jobs of the account, as the provider orders them."""
    page = ask(client, lambda api: api.fine_tuning.jobs.with_raw_response.list(limit=most), Page[Job])
    return page.data[:most]


def new_events(client: Client, job_id: str, known: Callable[[str], bool]) -> list[Event]:
    """The events that are not known yet, oldest first. Providers list the newest first; another order costs more."""

    def page(after: str) -> Page[Event]:
        more = {"after": after} if after else {}
        return ask(
            client,
            lambda api: api.fine_tuning.jobs.with_raw_response.list_events(job_id, limit=PAGE, **more),
            Page[Event],
        )

    found: list[Event] = []
    after = ""
    for _ in range(MOST_PAGES):
        part = page(after)
        found += [event for event in part.data if not known(event.id)]
        newest_first = bool(part.data) and part.data[0].created_at >= part.data[-1].created_at
        reached = newest_first and any(known(event.id) for event in part.data)
        if reached or not part.has_more or not part.data or part.data[-1].id == after:
            break
        after = part.data[-1].id
    if found and found[0].created_at >= found[-1].created_at:
        found.reverse()
    return sorted(found, key=lambda event: event.created_at)


def checkpoints(client: Client, job_id: str) -> list[Checkpoint]:
    """The checkpoints that can be asked, by step."""
    page = ask(
        client,
        lambda api: api.fine_tuning.jobs.checkpoints.with_raw_response.list(job_id, limit=PAGE),
        Page[Checkpoint],
    )
    return sorted(page.data, key=lambda one: one.step_number)


def find_file(client: Client, name: str, size: int) -> File | None:
    """An uploaded file of this name and size; names that hold the hash of the content say that it is the same."""
    after = ""
    for _ in range(MOST_PAGES):
        part = _files(client, after)
        for file in part.data:
            if (file.filename, file.bytes) == (name, size) and file.status != "error":
                return file
        if not part.has_more or not part.data or part.data[-1].id == after:
            return None
        after = part.data[-1].id
    return None


def _files(client: Client, after: str) -> Page[File]:
    more: dict[str, Any] = {"after": after} if after else {}
    return ask(
        client,
        lambda api: api.files.with_raw_response.list(purpose="fine-tune", limit=PAGE, **more),
        Page[File],
    )


class _Counted(BufferedReader):
    """A file of which each read is told: the package takes nothing but a file."""

    on_read: Callable[[int], None]

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.on_read(self.tell())
        return piece


def upload(client: Client, path: Path, name: str, on_sent: Callable[[int], None]) -> File:
    """Send a file under a name; `on_sent` is told how many bytes have gone."""
    with _Counted(FileIO(path)) as file:
        file.on_read = on_sent
        seconds = client.seconds + path.stat().st_size / _SLOWEST
        return ask(
            client,
            lambda api: api.files.with_raw_response.create(file=(name, file), purpose="fine-tune"),
            File,
            seconds,
        )
