"""Environments: their standing objects, whether they are ready, and what their status tells.

Pure. The standing objects are the ServiceAccounts and NetworkPolicies of the three kinds of pods:
there before any pod is, restored when they are changed or deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from c2d_api.computeenvironment import Address, Environment, Quantities, Store
from c2d_api.computejob import (
    ENVIRONMENT_LABEL,
    NETWORK_LABEL,
    PHASE_LABEL,
    PUBLIC_NETWORK,
    ComputeJob,
    Condition,
    ConditionStatus,
    Status,
)
from c2d_api.exits import LauncherExit
from c2d_api.guard import is_allowed
from c2d_api.quantities import total_cpu, total_size
from c2d_api.times import parse_time
from c2d_operator.children import POD_NAMES
from c2d_operator.status import condition_dict

Json = Mapping[str, Any]
Manifest = dict[str, Any]

READY = "Ready"
NETWORK_ISOLATED = "NetworkIsolated"
NOT_PUBLIC = {
    "0.0.0.0/0": (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    ),
    "::/0": (
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ),
}
"""Ranges that are not public, by the address family they are cut out of."""

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


PROVIDER_LABELS = {"app.kubernetes.io/name": "c2d-provider"}
CANARY_LABELS = {"app.kubernetes.io/name": "c2d-canary"}
"""What the pods of the programs are labelled with, in their namespace."""


@dataclass(frozen=True)
class Programs:
    """What loaders reach: the provider, and the canary as host and port; "" for none.

    Their pods are in `namespace`.
    """

    namespace: str
    provider_url: str = ""
    canary: str = ""


@dataclass(frozen=True)
class Standing:
    """A standing object as it was last seen."""

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    environment: str
    content: Json


@dataclass(frozen=True)
class Verdict:
    """Whether an environment takes jobs, and what stands in the way."""

    ready: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Proof:
    """What an algorithm's end showed: whether its network was closed, and in which job."""

    is_closed: bool
    job: str


_CLOSED = Verdict(
    ready=True, reason="Verified", message="the last algorithm reached nothing that is closed to it"
)
_SIGNALS = 128
_DNS = 53


def parse_standing(kind: str, body: Json) -> Standing:
    """Turn the body of a standing object into what comparing it needs."""
    meta = body["metadata"]
    return Standing(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        environment=meta.get("labels", {}).get(ENVIRONMENT_LABEL, ""),
        content=_content(kind, body),
    )


def _content(kind: str, body: Json) -> Json:
    labels = dict(body["metadata"].get("labels", {}))
    if kind == "ServiceAccount":
        return {"labels": labels, "automount": body.get("automountServiceAccountToken")}
    return {"labels": labels, "spec": body["spec"]}


def desired(environment: Environment, programs: Programs | None = None) -> tuple[Manifest, ...]:
    """Describe the standing objects of an environment."""
    accounts = (_account(environment, name) for name in POD_NAMES.values())
    policies = (_policy(environment, phase, programs) for phase in POD_NAMES)
    return (*accounts, *policies, _network_policy(environment))


def unlike(
    wanted: Iterable[Manifest], observed: Mapping[tuple[str, str], Standing]
) -> list[Manifest]:
    """Pick the standing objects that are missing or were changed."""
    return [
        manifest
        for manifest in wanted
        if (seen := observed.get((manifest["kind"], manifest["metadata"]["name"]))) is None
        or seen.content != _content(manifest["kind"], manifest)
    ]


def _metadata(environment: Environment, name: str) -> Manifest:
    return {
        "name": f"{environment.name}-{name}",
        "namespace": environment.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "c2d-operator",
            ENVIRONMENT_LABEL: environment.name,
        },
    }


def _account(environment: Environment, name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(environment, name),
        "automountServiceAccountToken": False,
    }


def _policy(environment: Environment, phase: str, programs: Programs | None) -> Manifest:
    spec: Manifest = {
        "podSelector": {"matchLabels": {ENVIRONMENT_LABEL: environment.name, PHASE_LABEL: phase}},
        "policyTypes": ["Ingress", "Egress"],
    }
    egress = _egress(environment, phase, programs)
    if egress:
        spec["egress"] = egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(environment, POD_NAMES[phase]),
        "spec": spec,
    }


def _network_policy(environment: Environment) -> Manifest:
    """Let algorithms with network out to public addresses, beside the policy of all algorithms.

    It is there whatever the environment allows: which pod has the label is decided at admission.
    """
    labels = {
        ENVIRONMENT_LABEL: environment.name,
        PHASE_LABEL: "algorithm",
        NETWORK_LABEL: PUBLIC_NETWORK,
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(environment, f"{POD_NAMES['algorithm']}-network"),
        "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [_public(None)],
        },
    }


def _egress(environment: Environment, phase: str, programs: Programs | None) -> list[Manifest]:
    dns = {"ports": [{"protocol": protocol, "port": _DNS} for protocol in ("UDP", "TCP")]}
    if phase == "loading":
        own = _to_programs(environment, programs) if programs else []
        listed = [_to(address) for address in environment.egress]
        return [dns, _public(None), *own, *listed]
    store = _to_store(environment.store) if phase == "publishing" else None
    return [dns, store] if store else []


def _public(port: int | None) -> Manifest:
    rule: Manifest = {
        "to": [{"ipBlock": {"cidr": cidr, "except": list(cut)}} for cidr, cut in NOT_PUBLIC.items()]
    }
    if port:
        rule["ports"] = [{"protocol": "TCP", "port": port}]
    return rule


def _to(address: Address) -> Manifest:
    return {
        "to": [{"ipBlock": {"cidr": address.cidr}}],
        "ports": [{"protocol": "TCP", "port": address.port}],
    }


def _to_programs(environment: Environment, programs: Programs) -> list[Manifest]:
    """Open the ways to the provider and to the canary, as far as they are there and asked."""
    ways = []
    if programs.provider_url:
        ways.append(_to_program(programs, programs.provider_url, PROVIDER_LABELS))
    if programs.canary and environment.proves_isolation:
        ways.append(_to_program(programs, f"tcp://{programs.canary}", CANARY_LABELS))
    return ways


def _to_program(programs: Programs, url: str, labels: Mapping[str, str]) -> Manifest:
    """Open the way to a program: its address where the URL has one, else its pods.

    A policy sees the port of the pod, which the Service in front of it may number differently.
    """
    address = _literal_address(url)
    if address:
        return _to(address)
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": programs.namespace}}
    return {"to": [{"namespaceSelector": namespace, "podSelector": {"matchLabels": dict(labels)}}]}


def _literal_address(url: str) -> Address | None:
    """Read the address and port of a URL whose host is an address."""
    parts = urlsplit(url)
    try:
        address = ip_address(parts.hostname or "")
    except ValueError:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Address(f"{address}/{address.max_prefixlen}", port)


def _to_store(store: Store) -> Manifest | None:
    """Open the way to the store: its address where the URL has one, else its port."""
    if store.url.startswith("file:"):
        return None
    if store.endpoint is None:
        return _public(443)
    address = _literal_address(store.endpoint)
    if address:
        return _to(address)
    parts = urlsplit(store.endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"ports": [{"protocol": "TCP", "port": port}]}


def judge(environment: Environment, classes: Iterable[Json], *, has_canary: bool) -> Verdict:
    """Say whether jobs may be admitted, given the cluster's StorageClasses."""
    if environment.proves_isolation and not has_canary:
        return Verdict(
            ready=False,
            reason="CanaryUnknown",
            message="jobs cannot prove that their network is closed: set the operator's C2D_CANARY,"
            " or networkIsolation to Unverified",
        )
    inner = next((one for one in environment.nameservers if not is_allowed(one, _DNS)), None)
    if inner is not None:
        return Verdict(
            ready=False,
            reason="NameserverNotPublic",
            message=f"nameservers: {inner} is not a public address, and algorithms with network"
            " reach nothing else; name a public resolver, or none",
        )
    name = environment.storage_class_name
    matching = [
        cls for cls in classes if (cls["metadata"]["name"] == name if name else _is_default(cls))
    ]
    matching.sort(key=lambda cls: cls["metadata"]["name"])
    matching.sort(key=lambda cls: cls["metadata"]["creationTimestamp"], reverse=True)
    if not matching:
        return Verdict(
            ready=False,
            reason="StorageClassNotFound",
            message=(
                f"there is no StorageClass {name}"
                if name
                else "the cluster has no default StorageClass; name one in storageClassName"
            ),
        )
    if matching[0].get("reclaimPolicy", "Delete") != "Delete":
        found = matching[0]["metadata"]["name"]
        return Verdict(
            ready=False,
            reason="StorageClassRetains",
            message=f"StorageClass {found} keeps deleted volumes, and with them consumers' data; "
            "choose one whose reclaimPolicy is Delete",
        )
    return Verdict(ready=True, reason="Available", message="jobs are admitted")


def _is_default(storage_class: Json) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return bool(annotations.get(_DEFAULT_CLASS) == "true")


def status(
    environment: Environment,
    verdict: Verdict,
    *,
    in_use: Sequence[Quantities],
    queued: int,
    proof: Proof | None,
    now: datetime,
) -> Manifest:
    """Write the status of an environment; equal facts give an equal status.

    `in_use` has what each job with a place was given, `proof` what the last algorithm showed.
    """
    ready = _condition(environment, READY, ("True" if verdict.ready else "False"), verdict, now=now)
    return {
        "observedGeneration": environment.generation,
        "runningJobs": len(in_use),
        "queuedJobs": queued,
        "inUse": {
            "cpu": total_cpu(held.cpu for held in in_use),
            "memory": total_size(held.memory for held in in_use),
            "disk": total_size(held.disk for held in in_use),
        },
        "conditions": [condition_dict(ready), _isolation(environment, proof, now)],
    }


def proof(job: ComputeJob, status: Status) -> Proof | None:
    """Tell what the end of an algorithm shows of its network, if it shows anything.

    The launcher ends before the algorithm's first line where the network is open. A signal may
    have ended it before it came to that.
    """
    terms, termination = status.environment, status.termination
    if terms is None or termination is None or not terms.proves_isolation:
        return None
    if termination.exit_code == LauncherExit.NETWORK_OPEN:
        return Proof(is_closed=False, job=job.name)
    if termination.exit_code in set(LauncherExit) or termination.exit_code > _SIGNALS:
        return None
    return Proof(is_closed=True, job=job.name)


def _isolation(environment: Environment, proof: Proof | None, now: datetime) -> Json:
    """Say what is known of the network; what was known before holds until another proof."""
    before = _before(environment, NETWORK_ISOLATED)
    if proof is None and environment.proves_isolation and before.get("status") in ("True", "False"):
        return before
    value: ConditionStatus = "Unknown"
    verdict = Verdict(
        ready=False,
        reason="NotVerified",
        message="no algorithm has shown yet whether the NetworkPolicies are enforced"
        if environment.proves_isolation
        else "networkIsolation is Unverified, so that no algorithm shows anything",
    )
    if proof is not None and environment.proves_isolation:
        value = "True" if proof.is_closed else "False"
        verdict = _CLOSED if proof.is_closed else _open(proof.job)
    return condition_dict(_condition(environment, NETWORK_ISOLATED, value, verdict, now=now))


def _open(job: str) -> Verdict:
    return Verdict(
        ready=False,
        reason="NetworkOpen",
        message=f"job {job} could reach what the NetworkPolicies close; nothing enforces them, or"
        " another policy opens it",
    )


def _condition(
    environment: Environment,
    type_: str,
    value: ConditionStatus,
    verdict: Verdict,
    *,
    now: datetime,
) -> Condition:
    before = _before(environment, type_)
    since = parse_time(before["lastTransitionTime"]) if before.get("status") == value else now
    return Condition(type_, value, verdict.reason, verdict.message, since, environment.generation)


def _before(environment: Environment, type_: str) -> Manifest:
    conditions = environment.status.get("conditions", ())
    return next((dict(found) for found in conditions if found["type"] == type_), {})


def headline(environment: Environment, after: Manifest) -> tuple[str, str, bool] | None:
    """Tell reason, message and gravity of a change of readiness worth an event, if there is one."""
    ready = after["conditions"][0]
    before = _before(environment, READY)
    if (before.get("status"), before.get("reason")) == (ready["status"], ready["reason"]):
        return None
    return ready["reason"], ready["message"], ready["status"] != "True"
