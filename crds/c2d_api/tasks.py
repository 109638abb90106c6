"""What the operator tells its pods: one JSON document a pod, mounted from its annotation.

Nothing in a task is secret: credentials are mounted from Secrets, never written here.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from c2d_api.computeenvironment import MAX_BYTES, MAX_FILES, Address, Store
from c2d_api.computejob import Claimed, Dataset, File, IpfsFile, S3Object

TASK_ANNOTATION = "computetodata.io/task"
TASK_MOUNT = "/etc/c2d/task"
TASK_FILE = "task.json"
CREDENTIALS_MOUNT = "/etc/c2d/credentials"
SOURCES_MOUNT = "/etc/c2d/sources"
SOURCE_FILE = "files.json"
MAX_TASK_BYTES = 240 * 1024


@dataclass(frozen=True)
class Gateways:
    """Base URLs by which files of IPFS and Arweave are fetched; "" where there is none."""

    ipfs: str = ""
    arweave: str = ""


NO_GATEWAYS = Gateways()


def secrets_of(datasets: Iterable[Dataset], algorithm_secret: str | None) -> tuple[str, ...]:
    """List the Secrets that describe files, each once; the n-th is mounted in folder n."""
    named = (*(dataset.secret for dataset in datasets), algorithm_secret)
    return tuple(dict.fromkeys(name for name in named if name is not None))


@dataclass(frozen=True)
class Endpoint:
    """Where something listens: an address, which is no name, and a TCP port."""

    address: str
    port: int


@dataclass(frozen=True)
class LoaderTask:
    """The assets of a job and the addresses that may be reached beside public ones.

    `provider_url` is where assets of the provider are asked for, for this `attempt`. The loader
    must reach the `canary`; the algorithm must reach none of what is `closed`.
    """

    job: str
    datasets: tuple[Dataset, ...]
    algorithm_id: str
    algorithm_files: tuple[File, ...]
    raw_code: str | None
    algorithm_ddo: str | None
    custom_data: str | None
    egress: tuple[Address, ...]
    namespace: str = ""
    attempt: int = 0
    algorithm_from_provider: bool = False
    provider_url: str = ""
    algorithm_secret: str | None = None
    gateways: Gateways = NO_GATEWAYS
    canary: tuple[Endpoint, ...] = ()
    closed: tuple[Endpoint, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The Secrets that describe files, in the order of their folders."""
        return secrets_of(self.datasets, self.algorithm_secret)

    @property
    def asks_provider(self) -> bool:
        """Say whether any asset comes from the provider."""
        return self.algorithm_from_provider or any(d.from_provider for d in self.datasets)

    def encode(self) -> str:
        """Write the task as JSON; who paid, and what for, is not a loader's to know."""
        bare = (replace(d, order=None, user_data=None) for d in self.datasets)
        body = asdict(replace(self, datasets=tuple(bare)))
        body["algorithm_files"] = _short(body["algorithm_files"])
        for dataset in body["datasets"]:
            dataset["files"] = _short(dataset["files"])
        return json.dumps(body, separators=(",", ":"))


@dataclass(frozen=True)
class PublisherTask:
    """Whose results these are, where they go, and for how many seconds; None is for ever.

    Of what the algorithm leaves, `max_files` with `max_bytes` altogether are published at most.
    `attempt` counts from 0.
    """

    job: str
    namespace: str
    uid: str
    owner: str | None
    viewers: tuple[str, ...]
    outcome: str
    store: Store
    retention: int | None = None
    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES
    attempt: int = 0

    def encode(self) -> str:
        """Write the task as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def decode_loader_task(text: str) -> LoaderTask:
    """Read what `LoaderTask.encode` wrote."""
    body = json.loads(text)
    return LoaderTask(
        job=body["job"],
        datasets=tuple(_dataset(dataset) for dataset in body["datasets"]),
        algorithm_id=body["algorithm_id"],
        algorithm_files=_files(body["algorithm_files"]),
        raw_code=body["raw_code"],
        algorithm_ddo=body["algorithm_ddo"],
        custom_data=body["custom_data"],
        egress=tuple(Address(**address) for address in body["egress"]),
        namespace=body["namespace"],
        attempt=body["attempt"],
        algorithm_from_provider=body["algorithm_from_provider"],
        provider_url=body["provider_url"],
        algorithm_secret=body["algorithm_secret"],
        gateways=Gateways(**body["gateways"]),
        canary=tuple(Endpoint(**endpoint) for endpoint in body["canary"]),
        closed=tuple(Endpoint(**endpoint) for endpoint in body["closed"]),
    )


def decode_publisher_task(text: str) -> PublisherTask:
    """Read what `PublisherTask.encode` wrote."""
    body = json.loads(text)
    return PublisherTask(
        **{**body, "viewers": tuple(body["viewers"]), "store": Store(**body["store"])}
    )


def _dataset(body: dict[str, Any]) -> Dataset:
    return Dataset(
        id=body["id"],
        service_id=body["service_id"],
        files=_files(body["files"]),
        ddo=body["ddo"],
        from_provider=body["from_provider"],
        secret=body["secret"],
        claim=Claimed(**body["claim"]) if body["claim"] else None,
    )


def _short(files: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is at its default: a task has a limit, and a job thousands of files."""
    return [
        {name: value for name, value in file.items() if value != getattr(File, name)}
        for file in files
    ]


def _files(entries: list[dict[str, Any]]) -> tuple[File, ...]:
    return tuple(_file(entry) for entry in entries)


def _file(entry: dict[str, Any]) -> File:
    s3, ipfs = entry.get("s3"), entry.get("ipfs")
    return File(
        **{
            **entry,
            "headers": tuple((name, value) for name, value in entry.get("headers", ())),
            "s3": S3Object(**s3) if s3 else None,
            "ipfs": IpfsFile(**ipfs) if ipfs else None,
        }
    )
