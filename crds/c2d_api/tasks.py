"""What the operator tells its pods: one JSON document a pod, mounted from its annotation.

Nothing in a task is secret: credentials are mounted from Secrets, never written here.
"""

import json
from dataclasses import asdict, dataclass, replace

from c2d_api.computeenvironment import Address, Store
from c2d_api.computejob import Dataset, File

TASK_ANNOTATION = "computetodata.io/task"
TASK_MOUNT = "/etc/c2d/task"
TASK_FILE = "task.json"
CREDENTIALS_MOUNT = "/etc/c2d/credentials"
MAX_TASK_BYTES = 240 * 1024


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
    canary: tuple[Endpoint, ...] = ()
    closed: tuple[Endpoint, ...] = ()

    @property
    def asks_provider(self) -> bool:
        """Say whether any asset comes from the provider."""
        return self.algorithm_from_provider or any(d.from_provider for d in self.datasets)

    def encode(self) -> str:
        """Write the task as JSON; who paid, and what for, is not a loader's to know."""
        bare = (replace(d, order=None, user_data=None) for d in self.datasets)
        body = asdict(replace(self, datasets=tuple(bare)))
        return json.dumps(body, separators=(",", ":"))


@dataclass(frozen=True)
class PublisherTask:
    """Whose results these are, where they go, and for how many seconds; None is for ever."""

    job: str
    namespace: str
    uid: str
    owner: str | None
    viewers: tuple[str, ...]
    outcome: str
    store: Store
    retention: int | None = None

    def encode(self) -> str:
        """Write the task as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def decode_loader_task(text: str) -> LoaderTask:
    """Read what `LoaderTask.encode` wrote."""
    body = json.loads(text)
    return LoaderTask(
        job=body["job"],
        datasets=tuple(
            Dataset(d["id"], d["service_id"], _files(d["files"]), d["ddo"], d["from_provider"])
            for d in body["datasets"]
        ),
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
        canary=tuple(Endpoint(**endpoint) for endpoint in body["canary"]),
        closed=tuple(Endpoint(**endpoint) for endpoint in body["closed"]),
    )


def decode_publisher_task(text: str) -> PublisherTask:
    """Read what `PublisherTask.encode` wrote."""
    body = json.loads(text)
    return PublisherTask(
        **{**body, "viewers": tuple(body["viewers"]), "store": Store(**body["store"])}
    )


def _files(entries: list[dict[str, object]]) -> tuple[File, ...]:
    return tuple(
        File(**{**entry, "headers": tuple(tuple(pair) for pair in entry["headers"])})  # type: ignore[arg-type, attr-defined]  # asdict wrote exactly these fields
        for entry in entries
    )
