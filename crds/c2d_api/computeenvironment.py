"""The ComputeEnvironment resource; `crds/computeenvironment.yaml` is its schema.

`Terms` is what a job takes from its environment: it is copied into the job's status when the job
is admitted, so that later changes of the environment concern later jobs only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self

KIND = "ComputeEnvironment"
MAX_FILES, MAX_BYTES = 10_000, 64 * 2**30
Json = Mapping[str, Any]
NetworkIsolation = Literal["Verified", "CanaryOnly", "Unverified"]
"""What each job shows before its algorithm's first line: that canary and API server cannot be
reached, that the canary cannot, or nothing."""


@dataclass(frozen=True)
class Store:
    """Where results go: a store's URL and, for S3, its endpoint, region and credentials."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    credentials_secret: str | None = None


@dataclass(frozen=True)
class Address:
    """An address range and a port that loaders may reach beside public addresses."""

    cidr: str
    port: int


@dataclass(frozen=True)
class Consumer:
    """Who stands for an environment in orders, and the Secret with its key, if there is one."""

    address: str
    key_secret: str | None = None


@dataclass(frozen=True)
class Price:
    """What a minute costs in one token of one chain, in whole tokens as decimal text."""

    chain_id: int
    token: str
    per_minute: str
    decimals: int = 18


@dataclass(frozen=True)
class Deadlines:
    """How long each phase may take, in seconds."""

    volumes: int = 300
    loading: int = 3600
    starting: int = 600
    publishing: int = 14400
    cleanup: int = 300


@dataclass(frozen=True)
class PodSettings:
    """Where and as whom the pods of a job run; None where the cluster assigns it."""

    run_as_user: int | None = 1000
    run_as_group: int | None = 1000
    fs_group: int | None = 1000
    runtime_class_name: str | None = None
    priority_class_name: str | None = None
    node_selector: Json = field(default_factory=lambda: MappingProxyType({}))
    tolerations: tuple[Json, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quantities:
    """CPU, memory and disk as Kubernetes quantities."""

    cpu: str
    memory: str
    disk: str


@dataclass(frozen=True)
class Terms:
    """What a job takes from its environment at admission, with its own wishes applied.

    `allow_network_access` says that its algorithm has the network, with `nameservers` for names.
    """

    name: str
    uid: str
    resources: Quantities
    max_duration: int
    store: Store
    deadlines: Deadlines = Deadlines()
    pods: PodSettings = PodSettings()
    egress: tuple[Address, ...] = ()
    storage_class_name: str | None = None
    consumer: str | None = None
    retention: int | None = None
    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES
    network_isolation: NetworkIsolation = "Verified"
    allow_network_access: bool = False
    nameservers: tuple[str, ...] = ()

    @property
    def proves_isolation(self) -> bool:
        """Say whether a job shows that its network is closed before its algorithm begins."""
        return self.network_isolation != "Unverified"

    def as_dict(self) -> dict[str, Any]:
        """Write the form that `status.environment` has."""
        return _without_none(
            {
                "name": self.name,
                "uid": self.uid,
                "resources": asdict(self.resources),
                "maxDuration": self.max_duration,
                "results": {
                    "store": self.store.url,
                    "endpoint": self.store.endpoint,
                    "region": self.store.region,
                    "credentialsSecret": self.store.credentials_secret,
                    "retention": self.retention,
                    "maxFiles": self.max_files,
                    "maxBytes": self.max_bytes,
                },
                "deadlines": asdict(self.deadlines),
                "pods": _pods_dict(self.pods),
                "egress": [asdict(address) for address in self.egress],
                "storageClassName": self.storage_class_name,
                "consumer": self.consumer,
                "networkIsolation": self.network_isolation,
                "allowNetworkAccess": self.allow_network_access,
                "nameservers": list(self.nameservers),
            }
        )

    @classmethod
    def parse(cls, body: Json) -> Self:
        """Read what `as_dict` wrote."""
        return cls(
            name=body["name"],
            uid=body["uid"],
            resources=Quantities(**body["resources"]),
            max_duration=body["maxDuration"],
            store=_store(body["results"]),
            deadlines=Deadlines(**body["deadlines"]),
            pods=_pods(body["pods"]),
            egress=_egress(body),
            storage_class_name=body.get("storageClassName"),
            consumer=body.get("consumer"),
            retention=body["results"].get("retention"),
            max_files=body["results"].get("maxFiles", MAX_FILES),
            max_bytes=body["results"].get("maxBytes", MAX_BYTES),
            # a job that was admitted before there was a proof goes on without one
            network_isolation=body.get("networkIsolation", "Unverified"),
            allow_network_access=body.get("allowNetworkAccess", False),
            nameservers=tuple(body.get("nameservers", ())),
        )


def _pods_dict(pods: PodSettings) -> dict[str, Any]:
    return {
        "user": {
            "runAsUser": pods.run_as_user,
            "runAsGroup": pods.run_as_group,
            "fsGroup": pods.fs_group,
        },
        "runtimeClassName": pods.runtime_class_name,
        "priorityClassName": pods.priority_class_name,
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [dict(toleration) for toleration in pods.tolerations],
        "imagePullSecrets": list(pods.image_pull_secrets),
    }


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in body.items()
        if value is not None
    }


@dataclass(frozen=True)
class Environment:
    """A ComputeEnvironment: a class of compute on offer, with its limits.

    Without `prices` it is free on every chain; with them it is offered on theirs only.
    `retention` is for how many seconds results are kept; None is for ever. `max_files` and
    `max_bytes` bound what is published of a job. `nameservers` are for algorithms with network.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    default: Quantities
    maximum: Quantities
    max_jobs: int
    max_job_duration: int
    max_queue_duration: int
    store: Store
    deadlines: Deadlines
    pods: PodSettings
    egress: tuple[Address, ...]
    storage_class_name: str | None
    ready: bool
    status: Json
    description: str = ""
    consumer: Consumer | None = None
    prices: tuple[Price, ...] = ()
    retention: int | None = None
    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES
    network_isolation: NetworkIsolation = "Verified"
    allow_network_access: bool = False
    nameservers: tuple[str, ...] = ()

    @property
    def proves_isolation(self) -> bool:
        """Say whether a job shows that its network is closed before its algorithm begins."""
        return self.network_isolation != "Unverified"

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def parse_environment(body: Json) -> Environment:
    """Turn the body of a ComputeEnvironment, as the API server serves it, into its dataclass."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions", ())
    )
    return Environment(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta["generation"],
        deleting="deletionTimestamp" in meta,
        default=_quantities(spec["resources"]["default"]),
        maximum=_quantities(spec["resources"]["max"]),
        max_jobs=spec["maxJobs"],
        max_job_duration=spec["maxJobDuration"],
        max_queue_duration=spec["maxQueueDuration"],
        store=_store(spec["results"]),
        deadlines=Deadlines(**spec.get("deadlines", {})),
        pods=_pods(spec["pods"]),
        egress=_egress(spec),
        storage_class_name=spec.get("storageClassName"),
        ready=ready,
        status=status,
        description=spec.get("description", ""),
        consumer=_consumer(spec.get("consumer")),
        prices=tuple(
            Price(price["chainId"], price["token"], price["perMinute"], price["decimals"])
            for price in spec.get("prices", ())
        ),
        retention=spec["results"].get("retention"),
        max_files=spec["results"].get("maxFiles", MAX_FILES),
        max_bytes=spec["results"].get("maxBytes", MAX_BYTES),
        network_isolation=spec.get("networkIsolation", "Verified"),
        allow_network_access=spec.get("allowNetworkAccess", False),
        nameservers=tuple(spec.get("nameservers", ())),
    )


def _consumer(body: Json | None) -> Consumer | None:
    return Consumer(body["address"], body.get("keySecret")) if body else None


def _quantities(body: Json) -> Quantities:
    return Quantities(str(body["cpu"]), str(body["memory"]), str(body["disk"]))


def _store(body: Json) -> Store:
    return Store(
        body["store"], body.get("endpoint"), body.get("region"), body.get("credentialsSecret")
    )


def _pods(body: Json) -> PodSettings:
    user = body["user"]
    return PodSettings(
        run_as_user=user.get("runAsUser"),
        run_as_group=user.get("runAsGroup"),
        fs_group=user.get("fsGroup"),
        runtime_class_name=body.get("runtimeClassName"),
        priority_class_name=body.get("priorityClassName"),
        node_selector=MappingProxyType(dict(body.get("nodeSelector", {}))),
        tolerations=tuple(MappingProxyType(dict(item)) for item in body.get("tolerations", ())),
        image_pull_secrets=tuple(body.get("imagePullSecrets", ())),
    )


def _egress(body: Json) -> tuple[Address, ...]:
    return tuple(Address(entry["cidr"], entry["port"]) for entry in body.get("egress", ()))
