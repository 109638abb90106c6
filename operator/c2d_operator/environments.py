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
from c2d_api.computejob import ENVIRONMENT_LABEL, PHASE_LABEL, Condition, ConditionStatus
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
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    ),
    "::/0": ("::/96", "64:ff9b::/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
}
"""Ranges that are not public, by the address family they are cut out of."""

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


PROVIDER_LABELS = {"app.kubernetes.io/name": "c2d-provider"}
"""What the provider's pods are labelled with, in the namespace of the programs."""


@dataclass(frozen=True)
class Provider:
    """Where loaders ask for assets, and the namespace that its pods are in; "" for nowhere."""

    url: str
    namespace: str


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


def desired(environment: Environment, provider: Provider | None = None) -> tuple[Manifest, ...]:
    """Describe the standing objects of an environment."""
    accounts = (_account(environment, name) for name in POD_NAMES.values())
    return (*accounts, *(_policy(environment, phase, provider) for phase in POD_NAMES))


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


def _policy(environment: Environment, phase: str, provider: Provider | None) -> Manifest:
    spec: Manifest = {
        "podSelector": {"matchLabels": {ENVIRONMENT_LABEL: environment.name, PHASE_LABEL: phase}},
        "policyTypes": ["Ingress", "Egress"],
    }
    egress = _egress(environment, phase, provider)
    if egress:
        spec["egress"] = egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(environment, POD_NAMES[phase]),
        "spec": spec,
    }


def _egress(environment: Environment, phase: str, provider: Provider | None) -> list[Manifest]:
    dns = {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
    if phase == "loading":
        asked = [_to_provider(provider)] if provider and provider.url else []
        listed = [_to(address) for address in environment.egress]
        return [dns, _public(None), *asked, *listed]
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


def _to_provider(provider: Provider) -> Manifest:
    """Open the way to the provider: its address where the URL has one, else its pods.

    A policy sees the port of the pod, which the Service in front of it may number differently.
    """
    address = _literal_address(provider.url)
    if address:
        return _to(address)
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": provider.namespace}}
    pods = {"matchLabels": dict(PROVIDER_LABELS)}
    return {"to": [{"namespaceSelector": namespace, "podSelector": pods}]}


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


def judge(environment: Environment, classes: Iterable[Json]) -> Verdict:
    """Say whether jobs may be admitted, given the cluster's StorageClasses."""
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
    now: datetime,
) -> Manifest:
    """Write the status of an environment; equal facts give an equal status.

    `in_use` has what each job with a place was given.
    """
    ready = _condition(environment, READY, ("True" if verdict.ready else "False"), verdict, now=now)
    isolated = _condition(
        environment,
        NETWORK_ISOLATED,
        "Unknown",
        Verdict(
            ready=False,
            reason="NotVerified",
            message="no algorithm has shown yet whether the NetworkPolicies are enforced",
        ),
        now=now,
    )
    return {
        "observedGeneration": environment.generation,
        "runningJobs": len(in_use),
        "queuedJobs": queued,
        "inUse": {
            "cpu": total_cpu(held.cpu for held in in_use),
            "memory": total_size(held.memory for held in in_use),
            "disk": total_size(held.disk for held in in_use),
        },
        "conditions": [condition_dict(ready), condition_dict(isolated)],
    }


def _condition(
    environment: Environment,
    type_: str,
    value: ConditionStatus,
    verdict: Verdict,
    *,
    now: datetime,
) -> Condition:
    before: Json = next(
        (c for c in environment.status.get("conditions", ()) if c["type"] == type_), {}
    )
    since = parse_time(before["lastTransitionTime"]) if before.get("status") == value else now
    return Condition(type_, value, verdict.reason, verdict.message, since, environment.generation)


def headline(environment: Environment, after: Manifest) -> tuple[str, str, bool] | None:
    """Tell reason, message and gravity of a change of readiness worth an event, if there is one."""
    ready = after["conditions"][0]
    before: Json = next(
        (c for c in environment.status.get("conditions", ()) if c["type"] == READY), {}
    )
    if (before.get("status"), before.get("reason")) == (ready["status"], ready["reason"]):
        return None
    return ready["reason"], ready["message"], ready["status"] != "True"
