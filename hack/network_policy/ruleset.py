"""From pods, namespaces and policies to a whole nftables table; pure.

Every packet of a new connection passes the sender's chain and then the receiver's. A chain returns
what it allows and refuses the rest; a pod that no policy is about has none. An address of the
pods' range that no pod is known by is refused, and so is whatever else a pod sends from an address
that it is not known by: nothing is allowed before its rules are there, and no family without them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from network_policy.policies import Block, Network, Peers, Pod, Policy, Port, Rule

TABLE = "inet network-policy"
_NEIGHBOURS = "nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit"
_FAMILIES = ("ip", "ip6")
# A reset is sent each time, while the kernel sends few ICMP errors a second to one address.
_RESET = "meta l4proto tcp counter reject with tcp reset"
_REFUSE = "counter reject with icmpx admin-prohibited"

Labels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class View:
    """What the agent knows: pods that have addresses, labels of namespaces, and policies."""

    pods: tuple[Pod, ...]
    namespaces: Labels
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Side:
    """One direction, by nftables' words: where the pod's own address and its peer's are."""

    name: str
    own: str
    peer: str


INGRESS = Side("ingress", "daddr", "saddr")
EGRESS = Side("egress", "saddr", "daddr")


def ruleset(view: View, ranges: Sequence[str], interfaces: str) -> str:
    """Write the commands that replace the table as a whole.

    Args:
        view: What is known.
        ranges: The pods' address ranges.
        interfaces: The pattern of the names of the pods' ends on the node.
    """
    chains = [
        chain
        for pod in view.pods
        for side in (EGRESS, INGRESS)
        for chain in _chain(view, pod, side)
    ]
    body = [*_sets(view, ranges), *chains, *_base(view, ranges, interfaces)]
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *body, "}"]
    return "\n".join(lines) + "\n"


def _base(view: View, ranges: Sequence[str], interfaces: str) -> Iterator[str]:
    """Write the chains that packets enter by: those that are forwarded, and those to the node.

    What the node itself sends to its pods is always allowed, as Kubernetes has it.
    """
    pods = f'iifname "{interfaces}"'
    for hook in ("forward", "input"):
        yield f"chain {hook} {{"
        yield f"type filter hook {hook} priority filter - 5; policy accept;"
        yield f"{pods} fib saddr . iif oif missing counter drop"
        yield f"{pods} icmpv6 type {{ {_NEIGHBOURS} }} accept"
        yield "ct state established,related accept"
        for family in _FAMILIES:
            yield from _refused(f"{pods} {family} saddr != @known-{family}")
        for family in _families(ranges):
            yield from _refused(_unknown(family, "saddr"))
            if hook == "forward":
                yield from _refused(_unknown(family, "daddr"))
        yield from _jumps(view, EGRESS)
        if hook == "forward":
            yield from _jumps(view, INGRESS)
        yield "}"


def _unknown(family: str, address: str) -> str:
    return f"{family} {address} @range-{family} {family} {address} != @known-{family}"


def _refused(match: str = "") -> Iterator[str]:
    yield from (f"{match} {verdict}".lstrip() for verdict in (_RESET, _REFUSE))


def _jumps(view: View, side: Side) -> Iterator[str]:
    """Send each isolated pod's packets to its chain, by one look at a map."""
    for family in _FAMILIES:
        found = [
            f"{address} : jump {_name(pod, side)}"
            for pod in view.pods
            if is_isolated(view, pod, side)
            for address in _of_family(pod.addresses, family)
        ]
        if found:
            yield f"{family} {side.own} vmap {{ {', '.join(found)} }}"


def _chain(view: View, pod: Pod, side: Side) -> Iterator[str]:
    if not is_isolated(view, pod, side):
        return
    yield f"chain {_name(pod, side)} {{"
    for policy in _policies(view, pod):
        for rule in _rules(policy, side) or ():
            yield from _allowed(view, policy, pod, rule, side)
    yield from _refused()
    yield "}"


def is_isolated(view: View, pod: Pod, side: Side) -> bool:
    """Say whether any policy is about what a pod receives, or sends."""
    return any(_rules(policy, side) is not None for policy in _policies(view, pod))


def _policies(view: View, pod: Pod) -> Iterator[Policy]:
    for policy in view.policies:
        if policy.namespace == pod.namespace and policy.pods.selects(pod.labels):
            yield policy


def _rules(policy: Policy, side: Side) -> tuple[Rule, ...] | None:
    return policy.ingress if side is INGRESS else policy.egress


def _allowed(view: View, policy: Policy, pod: Pod, rule: Rule, side: Side) -> Iterator[str]:
    """Write what a rule allows, one line for each kind of peer and port.

    A port's name is that of the pod which receives: of each peer, where the policy's pods send.
    """
    ports = [_port(port) for port in rule.ports if not isinstance(port.first, str)]
    named = [port for port in rule.ports if isinstance(port.first, str)]
    if side is INGRESS:
        ports += [text for port in named for text in _named(pod, port)]
    for peer in _peers(view, policy, rule, side):
        yield from (_line(peer, port) for port in (ports if rule.ports else [""]))
    if side is EGRESS:
        yield from _to_named(named, _pods(view, policy, rule))


def _to_named(ports: Sequence[Port], receivers: Iterable[Pod]) -> Iterator[str]:
    for receiver in receivers:
        for text in (text for port in ports for text in _named(receiver, port)):
            yield from (_line(peer, text) for peer in _addresses([receiver], EGRESS))


def _line(*matches: str) -> str:
    return " ".join([*filter(None, matches), "counter return"])


def _peers(view: View, policy: Policy, rule: Rule, side: Side) -> Iterator[str]:
    """Write who is allowed; nothing for anybody."""
    if not rule.peers:
        yield ""
    for peer in rule.peers:
        if isinstance(peer, Block):
            yield _block(peer, side)
        else:
            yield from _addresses(_chosen(view, policy, peer), side)


def _pods(view: View, policy: Policy, rule: Rule) -> Iterator[Pod]:
    """List the pods among the peers of a rule."""
    if not rule.peers:
        yield from view.pods
    for peer in rule.peers:
        if isinstance(peer, Peers):
            yield from _chosen(view, policy, peer)


def _chosen(view: View, policy: Policy, peers: Peers) -> Iterator[Pod]:
    for pod in view.pods:
        if peers.namespaces is None:
            is_there = pod.namespace == policy.namespace
        else:
            labels = view.namespaces.get(pod.namespace)
            is_there = labels is not None and peers.namespaces.selects(labels)
        if is_there and peers.pods.selects(pod.labels):
            yield pod


def _addresses(pods: Iterable[Pod], side: Side) -> Iterator[str]:
    listed = [address for pod in pods for address in pod.addresses]
    for family in _FAMILIES:
        if found := _of_family(listed, family):
            yield f"{family} {side.peer} {{ {', '.join(found)} }}"


def _block(block: Block, side: Side) -> str:
    family = _family(block.network)
    text = f"{family} {side.peer} {block.network}"
    if not block.exceptions:
        return text
    outside = ", ".join(map(str, sorted(block.exceptions, key=str)))
    return f"{text} {family} {side.peer} != {{ {outside} }}"


def _port(port: Port, number: int | None = None) -> str:
    first = number if number is not None else port.first
    protocol = port.protocol.lower()
    if first is None:
        return f"meta l4proto {protocol}"
    return f"{protocol} dport {first}" + (f"-{port.last}" if port.last is not None else "")


def _named(pod: Pod, port: Port) -> list[str]:
    number = pod.port(port.protocol, str(port.first))
    return [] if number is None else [_port(port, number)]


def _sets(view: View, ranges: Sequence[str]) -> Iterator[str]:
    addresses = [address for pod in view.pods for address in pod.addresses]
    for family in _FAMILIES:
        kind = "ipv4_addr" if family == "ip" else "ipv6_addr"
        own = [one for one in ranges if _family(ip_network(one)) == family]
        if own:
            yield _set(f"range-{family}", kind, own, "flags interval;")
        yield _set(f"known-{family}", kind, _of_family(addresses, family))


def _set(name: str, kind: str, elements: Sequence[str], flags: str = "") -> str:
    listed = f"elements = {{ {', '.join(elements)} }}" if elements else ""
    return f"set {name} {{ type {kind}; {flags} {listed}\n}}"


def _families(ranges: Sequence[str]) -> list[str]:
    return sorted({_family(ip_network(one)) for one in ranges})


def _family(network: Network) -> str:
    return "ip" if network.version == 4 else "ip6"  # noqa: PLR2004 - as the family is called


def _of_family(addresses: Iterable[str], family: str) -> list[str]:
    wanted = 4 if family == "ip" else 6
    return sorted({one for one in addresses if ip_address(one).version == wanted})


def _name(pod: Pod, side: Side) -> str:
    """Name a pod's chain, by its first address: names of pods may be longer than a chain's."""
    return f"{side.name}-{pod.addresses[0].replace(':', '_')}"
