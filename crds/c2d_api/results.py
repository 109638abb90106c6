"""The results of a job in a store: keys, and the manifest that names what they hold.

Keys are made of the job's uid and a number, safe for every store; the true names stand in the
manifest, which is written last: what it names is there, and without it there are no results.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

MANIFEST = "manifest.json"
FileType = Literal["output", "algorithmLog"]


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
    """The list of a job's results, with who may read them."""

    job: str
    namespace: str
    uid: str
    owner: str | None
    viewers: tuple[str, ...]
    outcome: str
    files: tuple[ResultFile, ...]
    skipped: tuple[str, ...] = ()
    version: int = 1

    def encode(self) -> bytes:
        """Write the manifest in the form that is stored and digested."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()


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
