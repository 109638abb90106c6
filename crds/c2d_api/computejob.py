"""The ComputeJob resource as frozen dataclasses; `crds/computejob.yaml` is its schema.

The API server has checked a body against the schema before it gets here, so parsing only
names things. `status` is parsed as the operator wrote it; what is absent has its default.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from c2d_api.computeenvironment import Terms
from c2d_api.progress import Tally
from c2d_api.times import parse_time

GROUP = "computetodata.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ComputeJob"

JOB_LABEL = f"{GROUP}/job"
JOB_UID_LABEL = f"{GROUP}/job-uid"
PHASE_LABEL = f"{GROUP}/phase"
ATTEMPT_LABEL = f"{GROUP}/attempt"
ENVIRONMENT_LABEL = f"{GROUP}/environment"
NETWORK_LABEL = f"{GROUP}/network"
PUBLIC_NETWORK = "public"
"""The value of the label on an algorithm's pod that may reach public addresses."""

SEAL_ANNOTATION = f"{GROUP}/seal"
OFFERED_LABEL = f"{GROUP}/offered"
"""Set to "true" on a Secret or claim, it lets jobs of the namespace name it as a source."""

Json = Mapping[str, Any]
ConditionStatus = Literal["True", "False", "Unknown"]
StopReason = Literal["Requested", "AdminRequested", "OrderRemoved"]


@dataclass(frozen=True)
class S3Object:
    """An object of a bucket; one of a job's own resource has no credentials."""

    bucket: str
    key: str
    endpoint: str
    region: str = "us-east-1"
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class IpfsFile:
    """A file of IPFS: its identifier, or that of a folder and the path below it."""

    cid: str
    path: str = ""


@dataclass(frozen=True)
class File:
    """One file of a source: content given inline, or where to fetch it from.

    `arweave` is the transaction that stored it.
    """

    url: str | None = None
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    inline: str | None = None
    sha256: str | None = None
    max_bytes: int | None = None
    s3: S3Object | None = None
    ipfs: IpfsFile | None = None
    arweave: str | None = None


@dataclass(frozen=True)
class Claimed:
    """A claim of the job's namespace that holds a dataset; `path` is its folder, "" for all."""

    name: str
    path: str = ""


@dataclass(frozen=True)
class Order:
    """The purchase that pays for an asset; `valid_until` is in seconds of the epoch.

    The transaction is `0x` and lower-case hexadecimal. A job that is created after `valid_until`
    gets nothing for it.
    """

    chain_id: int
    transaction: str
    valid_until: int


@dataclass(frozen=True)
class Dataset:
    """One dataset of a job; `id` is a DID or a name.

    `from_provider` says that its files, none of which are listed then, come from the provider;
    `secret` names the Secret that describes them instead, `claim` the claim that holds them.
    """

    id: str
    service_id: str
    files: tuple[File, ...]
    ddo: str | None = None
    from_provider: bool = False
    order: Order | None = None
    user_data: str | None = None
    secret: str | None = None
    claim: Claimed | None = None
    allow_network_access: bool = False


@dataclass(frozen=True)
class Container:
    """The consumer's image and the shell line that starts the algorithm in it."""

    image: str
    tag: str | None
    digest: str | None
    entrypoint: str

    @property
    def reference(self) -> str:
        """Name what the kubelet pulls; a digest outranks a tag."""
        return f"{self.image}@{self.digest}" if self.digest else f"{self.image}:{self.tag}"


@dataclass(frozen=True)
class Algorithm:
    """The algorithm of a job: its code, from a source or as it is, and where it runs.

    `secret` names the Secret that describes its files.
    """

    id: str
    container: Container
    raw_code: str | None = None
    files: tuple[File, ...] = ()
    ddo: str | None = None
    custom_data: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    service_id: str = ""
    from_provider: bool = False
    order: Order | None = None
    user_data: str | None = None
    secret: str | None = None


@dataclass(frozen=True)
class Resources:
    """Kubernetes quantities that a job asks for; None where the environment's default holds."""

    cpu: str | None = None
    memory: str | None = None
    disk: str | None = None


@dataclass(frozen=True)
class Spec:
    """What a ComputeJob asks for."""

    environment: str
    datasets: tuple[Dataset, ...]
    algorithm: Algorithm
    consumer: str | None = None
    additional_viewers: tuple[str, ...] = ()
    resources: Resources = Resources()
    max_duration: int | None = None
    max_queue_duration: int | None = None
    suspend: bool = False
    stop: StopReason | None = None
    ttl_seconds_after_finished: int | None = None
    allow_network_access: bool = False

    @property
    def asks_provider(self) -> bool:
        """Say whether any asset comes from the provider."""
        return self.algorithm.from_provider or any(d.from_provider for d in self.datasets)

    @property
    def listed_files(self) -> Iterator[File]:
        """List the files that the job itself describes."""
        yield from self.algorithm.files
        for dataset in self.datasets:
            yield from dataset.files


@dataclass(frozen=True)
class Condition:
    """One entry of `status.conditions`, as the API conventions define it."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int


@dataclass(frozen=True)
class Results:
    """What the publisher reported: how many files, and the digest of their manifest."""

    count: int
    total_bytes: int
    manifest_digest: str
    files: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Termination:
    """How the algorithm's container ended."""

    exit_code: int
    oom_killed: bool


@dataclass(frozen=True)
class Status:
    """What the operator has recorded; an empty one is that of a job never seen.

    `ocean` is the number and text that the operator derived from all the rest.
    """

    conditions: tuple[Condition, ...] = ()
    environment: Terms | None = None
    claim_uid: str | None = None
    algorithm_uid: str | None = None
    algorithm_started: datetime | None = None
    loading_attempt: int = 0
    publishing_attempt: int = 0
    loading: Tally | None = None
    termination: Termination | None = None
    results: Results | None = None
    start_time: datetime | None = None
    resume_time: datetime | None = None
    completion_time: datetime | None = None
    observed_generation: int = 0
    ocean: Json = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def condition(self, type_: str) -> Condition | None:
        """Find a condition by its type."""
        return next((c for c in self.conditions if c.type == type_), None)


@dataclass(frozen=True)
class ComputeJob:
    """A ComputeJob: its identity, what it asks for, and what is recorded of it.

    `seal` is the mark that the provider set when it created the job.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    spec: Spec
    status: Status
    seal: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def parse_job(body: Json) -> ComputeJob:
    """Turn the body of a ComputeJob, as the API server serves it, into its dataclass."""
    meta = body["metadata"]
    return ComputeJob(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 1),
        created=parse_time(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        spec=_spec(body["spec"]),
        status=_status(body.get("status") or {}),
        seal=(meta.get("annotations") or {}).get(SEAL_ANNOTATION),
    )


def _spec(spec: Json) -> Spec:
    resources = spec.get("resources") or {}
    return Spec(
        environment=spec["environment"],
        consumer=spec.get("consumer"),
        additional_viewers=tuple(spec.get("additionalViewers", ())),
        datasets=tuple(_dataset(dataset) for dataset in spec.get("datasets", ())),
        algorithm=_algorithm(spec["algorithm"]),
        resources=Resources(
            *(_quantity(resources.get(name)) for name in ("cpu", "memory", "disk"))
        ),
        max_duration=spec.get("maxDuration"),
        max_queue_duration=spec.get("maxQueueDuration"),
        suspend=spec.get("suspend", False),
        stop=(spec.get("stop") or {}).get("reason"),
        ttl_seconds_after_finished=spec.get("ttlSecondsAfterFinished"),
        allow_network_access=spec.get("allowNetworkAccess", False),
    )


def _quantity(value: object) -> str | None:
    return None if value is None else str(value)


def _dataset(dataset: Json) -> Dataset:
    return Dataset(
        id=dataset["id"],
        service_id=dataset.get("serviceId", ""),
        files=_files(dataset["source"]),
        ddo=dataset.get("ddo"),
        from_provider="provider" in dataset["source"],
        order=_order(dataset),
        user_data=dataset.get("userData"),
        secret=_secret(dataset["source"]),
        claim=_claim(dataset["source"]),
        allow_network_access=dataset.get("allowNetworkAccess", False),
    )


def _secret(source: Json) -> str | None:
    name: str | None = (source.get("secretRef") or {}).get("name")
    return name


def _claim(source: Json) -> Claimed | None:
    claim = source.get("persistentVolumeClaim")
    return Claimed(claim["claimName"], claim.get("path", "")) if claim else None


def _order(asset: Json) -> Order | None:
    order = asset.get("order")
    if order is None:
        return None
    until = parse_time(order["validUntil"])
    return Order(order["chainId"], order["transactionHash"], int(until.timestamp()))


def _files(source: Json) -> tuple[File, ...]:
    return tuple(parse_file(entry) for entry in source.get("files", ()))


def parse_file(entry: Json) -> File:
    """Turn one file object into its dataclass; it has been checked against the schema.

    A job's own file objects have no credentials; those of a Secret may.
    """
    url, ipfs = entry.get("url") or {}, entry.get("ipfs")
    return File(
        url=url.get("url"),
        method=url.get("method", "GET"),
        headers=tuple((header["name"], header["value"]) for header in url.get("headers", ())),
        inline=(entry.get("inline") or {}).get("text"),
        sha256=entry.get("sha256"),
        max_bytes=entry.get("maxBytes"),
        s3=_s3(entry["s3"]) if "s3" in entry else None,
        ipfs=IpfsFile(ipfs["cid"], ipfs.get("path", "")) if ipfs else None,
        arweave=(entry.get("arweave") or {}).get("transactionId"),
    )


def _s3(entry: Json) -> S3Object:
    return S3Object(
        entry["bucket"],
        entry["key"],
        entry["endpoint"],
        entry.get("region", S3Object.region),
        entry.get("accessKeyId"),
        entry.get("secretAccessKey"),
    )


def _algorithm(algorithm: Json) -> Algorithm:
    container, source = algorithm["container"], algorithm.get("source") or {}
    return Algorithm(
        id=algorithm.get("id", ""),
        container=Container(
            container["image"],
            container.get("tag"),
            container.get("digest"),
            container["entrypoint"],
        ),
        raw_code=algorithm.get("rawCode"),
        files=_files(source),
        ddo=algorithm.get("ddo"),
        custom_data=algorithm.get("customData"),
        env=tuple((entry["name"], entry["value"]) for entry in algorithm.get("env", ())),
        service_id=algorithm.get("serviceId", ""),
        from_provider="provider" in source,
        order=_order(algorithm),
        user_data=algorithm.get("userData"),
        secret=_secret(source),
    )


def _status(status: Json) -> Status:
    environment = status.get("environment")
    algorithm = status.get("algorithm") or {}
    attempts = status.get("attempts") or {}
    termination = status.get("terminationDetails")
    results = status.get("results")
    return Status(
        conditions=tuple(_condition(entry) for entry in status.get("conditions", ())),
        environment=Terms.parse(environment) if environment else None,
        claim_uid=(status.get("workspace") or {}).get("uid"),
        algorithm_uid=algorithm.get("podUID"),
        algorithm_started=_time(algorithm.get("startTime")),
        loading_attempt=attempts.get("loading", 0),
        publishing_attempt=attempts.get("publishing", 0),
        loading=_tally(status.get("loading")),
        termination=(
            Termination(termination["exitCode"], termination["oomKilled"]) if termination else None
        ),
        results=(
            Results(
                results["count"],
                results["totalBytes"],
                results["manifestDigest"],
                tuple(MappingProxyType(dict(file)) for file in results.get("files", ())),
            )
            if results
            else None
        ),
        start_time=_time(status.get("startTime")),
        resume_time=_time(status.get("resumeTime")),
        completion_time=_time(status.get("completionTime")),
        observed_generation=status.get("observedGeneration", 0),
        ocean=MappingProxyType(dict(status.get("ocean", {}))),
    )


def _tally(loading: Json | None) -> Tally | None:
    if not loading:
        return None
    return Tally(
        loading["files"], loading["filesTotal"], loading["bytes"], loading.get("bytesTotal")
    )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _condition(entry: Json) -> Condition:
    return Condition(
        entry["type"],
        entry["status"],
        entry["reason"],
        entry.get("message", ""),
        parse_time(entry["lastTransitionTime"]),
        entry.get("observedGeneration", 0),
    )
