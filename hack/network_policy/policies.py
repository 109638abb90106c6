"""NetworkPolicies, pods and namespaces as the rules need them, read from the API's objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

Json = Mapping[str, Any]
Network = IPv4Network | IPv6Network
Key = tuple[str, str]

PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True)
class Requirement:
    """One expression of a selector."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels fulfil it."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        raise ValueError(f"a selector cannot ask for {self.operator}")


@dataclass(frozen=True)
class Selector:
    """Labels that must be there; an empty one selects all."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Say whether all requirements hold."""
        return all(requirement.holds(labels) for requirement in self.requirements)


@dataclass(frozen=True)
class Block:
    """A range of addresses, without those that are taken out of it."""

    network: Network
    exceptions: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Peers:
    """Pods, by their labels and by those of their namespaces.

    Without `namespaces` they are in the policy's own one; without `pods` they are all there.
    """

    pods: Selector
    namespaces: Selector | None


@dataclass(frozen=True)
class Port:
    """A port, a range of ports, or the name of a pod's port; without one, a whole protocol."""

    protocol: str
    first: int | str | None = None
    last: int | None = None


@dataclass(frozen=True)
class Rule:
    """What is allowed: with whom, and on which ports. Empty means any."""

    peers: tuple[Peers | Block, ...] = ()
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What some pods of a namespace may receive and send; None where it does not say."""

    namespace: str
    name: str
    pods: Selector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None


@dataclass(frozen=True)
class Pod:
    """A pod with its addresses; `ports` are those that its containers have names for."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    ports: tuple[tuple[str, str, int], ...] = ()

    def port(self, protocol: str, name: str) -> int | None:
        """Find the number of a port by protocol and name."""
        found = (number for kind, known, number in self.ports if (kind, known) == (protocol, name))
        return next(found, None)


def read_policy(body: Json) -> Policy:
    """Read a NetworkPolicy.

    One without types is for ingress, and for egress too if it has rules for that.
    """
    meta, spec = body["metadata"], body["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return Policy(
        meta["namespace"],
        meta["name"],
        _selector(spec.get("podSelector") or {}),
        _rules(spec.get("ingress"), "from") if "Ingress" in types else None,
        _rules(spec.get("egress"), "to") if "Egress" in types else None,
    )


def read_pod(body: Json) -> Pod | None:
    """Read a pod; None for one that has the node's network, or whose containers have ended."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    listed = status.get("podIPs") or []
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    ports = tuple(
        (port.get("protocol", "TCP"), port["name"], port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if "name" in port
    )
    labels = dict(meta.get("labels") or {})
    addresses = tuple(one["ip"] for one in listed)
    return Pod(meta["namespace"], meta["name"], labels, addresses, ports)


def still_added(bodies: Mapping[Key, Json], added: Mapping[Key, Pod]) -> dict[Key, Pod]:
    """Keep the pods whose networks were made, but whose objects do not say so yet."""

    def is_awaited(key: Key) -> bool:
        if key not in bodies:
            return True
        pod = read_pod(bodies[key])
        return pod is not None and not pod.addresses

    return {key: pod for key, pod in added.items() if is_awaited(key)}


def placed(bodies: Mapping[Key, Json], added: Mapping[Key, Pod]) -> tuple[Pod, ...]:
    """List the pods that have addresses, each address with the latest pod that was given it.

    An address is given again as soon as a pod's network is gone, before its object says so.
    `added` are pods whose networks were just made: they are later than all others.
    """
    made = {key: str(body["metadata"].get("creationTimestamp")) for key, body in bodies.items()}
    pods = {key: pod for key, body in bodies.items() if (pod := read_pod(body))}
    pods |= {
        key: replace(pods.get(key, pod), addresses=pod.addresses) for key, pod in added.items()
    }
    owners: dict[str, Key] = {}
    for key in sorted(pods, key=lambda key: (key in added, made.get(key, ""), key)):
        owners |= dict.fromkeys(pods[key].addresses, key)
    owned = {
        key: tuple(address for address in pod.addresses if owners[address] == key)
        for key, pod in pods.items()
    }
    return tuple(replace(pods[key], addresses=owned[key]) for key in sorted(pods) if owned[key])


def _rules(listed: Any, side: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(_peer(peer) for peer in rule.get(side) or ()),
            tuple(_port(port) for port in rule.get("ports") or ()),
        )
        for rule in listed or ()
    )


def _peer(body: Json) -> Peers | Block:
    if block := body.get("ipBlock"):
        exceptions = tuple(ip_network(one) for one in block.get("except") or ())
        return Block(ip_network(block["cidr"]), exceptions)
    namespaces = body.get("namespaceSelector")
    return Peers(
        _selector(body.get("podSelector") or {}),
        None if namespaces is None else _selector(namespaces),
    )


def _port(body: Json) -> Port:
    return Port(body.get("protocol", "TCP"), body.get("port"), body.get("endPort"))


def _selector(body: Json) -> Selector:
    labels = (body.get("matchLabels") or {}).items()
    expressions = body.get("matchExpressions") or ()
    return Selector(
        (
            *(Requirement(key, "In", frozenset([value])) for key, value in labels),
            *(
                Requirement(one["key"], one["operator"], frozenset(one.get("values") or ()))
                for one in expressions
            ),
        )
    )
