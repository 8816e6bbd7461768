"""hosted.json: of which job, at which provider, a run directory tells, and at which price."""

import msgspec

from finetui_core.hosted.place import Place, place_at
from finetui_core.runs.paths import RunPaths
from finetui_core.runs.records import read_small

SCHEMA = 1


class HostedJob(msgspec.Struct, frozen=True):
    """What the follower and the commands need to ask about the job. `price` is in US dollars for a million tokens.

    `key_variable` names the variable of the environment with the key; the key is in no file.
    """

    job: str
    base_url: str
    key_variable: str
    model: str = ""
    price: float | None = None
    price_source: str = ""
    file_sha256: str = ""
    schema: int = SCHEMA


def read_record(paths: RunPaths) -> HostedJob | None:
    """None where the run is no hosted job."""
    return read_small(paths.hosted, HostedJob)


def place_of(record: HostedJob) -> Place:
    """Raises InputError where the address is none any more, or the key is not in the environment."""
    return place_at(record.base_url, record.key_variable)
