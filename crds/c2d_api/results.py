"""The results of a job in a store: keys, and the manifest that names what they hold.

Keys are made of the job's uid and a number, safe for every store; the true names stand in the
manifest, which is written last: what it names is there, and without it there are no results.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from c2d_api.times import format_time, parse_time

MANIFEST = "manifest.json"
FileType = Literal["output", "algorithmLog", "publishLog"]


@dataclass(frozen=True)
class ResultFile:
    """One published file: its place in the list is its index for consumers."""

    name: str
    type: FileType
    size: int
    sha256: str
    key: str


@dataclass(frozen=True)
class Manifest:
    """The list of a job's results, with who may read them, and until when (RFC 3339) they are kept.

    `skipped` names the first of the entries that are not published, or not whole; there are
    `omitted` of them. Without `expires` results are kept for ever.
    """

    job: str
    namespace: str
    uid: str
    owner: str | None
    viewers: tuple[str, ...]
    outcome: str
    files: tuple[ResultFile, ...]
    skipped: tuple[str, ...] = ()
    version: int = 1
    expires: str | None = None
    omitted: int = 0

    def encode(self) -> bytes:
        """Write the manifest in the form that is stored and digested."""
        body = asdict(self)
        if self.expires is None:
            del body["expires"]
        if not self.omitted:
            del body["omitted"]
        return json.dumps(body, indent=1, sort_keys=True).encode()

    def is_expired(self, now: datetime, margin: timedelta = timedelta(0)) -> bool:
        """Say whether the results' time is over, by a margin for clocks that differ."""
        return self.expires is not None and now - margin >= parse_time(self.expires)


def expiry(now: datetime, retention: int | None) -> str | None:
    """Tell until when results that are published now are kept; None is for ever."""
    return None if retention is None else format_time(now + timedelta(seconds=retention))


def decode_manifest(data: bytes) -> Manifest:
    """Read what `Manifest.encode` wrote."""
    body = json.loads(data)
    return Manifest(
        **{
            **body,
            "viewers": tuple(body["viewers"]),
            "skipped": tuple(body["skipped"]),
            "files": tuple(ResultFile(**entry) for entry in body["files"]),
        }
    )


def digest(data: bytes) -> str:
    """Name bytes by their sha256, in the form images and manifests use."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_key(uid: str) -> str:
    """Name the manifest of a job in the store."""
    return f"{uid}/{MANIFEST}"


def result_key(uid: str, index: int) -> str:
    """Name the file with this index in the store."""
    return f"{uid}/results/{index:05d}"


def admin_log_key(uid: str, name: Literal["loading.log", "publishing.log"]) -> str:
    """Name an admin log in the store; consumers are never served these."""
    return f"{uid}/adminlogs/{name}"
