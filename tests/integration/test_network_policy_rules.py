"""The rules of the local cluster's NetworkPolicy agent, in real nftables between real networks.

A namespace stands for the node, one more for each pod, joined as the cluster's network plugin
joins them; Python in the namespaces listens and connects.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from network_policy.policies import Pod, read_policy
from network_policy.ruleset import View, ruleset

Body = dict[str, Any]
RANGE, RANGE_6 = "10.250.0.0/16", "fd00:250::/64"
NODE, NODE_6 = "10.251.0.1", "fd00:251::1"
LISTEN = """
import socket, sys
sockets = []
for port in json.loads(sys.argv[1]):
    family = socket.AF_INET6
    sockets.append(socket.create_server(("", port), family=family, dualstack_ipv6=True))
print("ready", flush=True)
sys.stdin.read()
"""
CONNECT = """
import json, socket, sys
seen = []
for address, port in json.loads(sys.argv[1]):
    try:
        socket.create_connection((address, port), 2).close()
        seen.append("open")
    except OSError as error:
        seen.append(type(error).__name__)
print(json.dumps(seen))
"""
SEND = """
import socket, sys
source, target, text = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.bind((source, 0))
    sender.sendto(text.encode(), (target, 80))
"""
RECEIVE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("", 80))
    print("ready", flush=True)
    print(receiver.recv(100).decode(), flush=True)
"""
PORTS = [80, 81, 8080]


def run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Network:
    """A node and its pods, by name."""

    node: str
    spaces: Mapping[str, str]

    def reaches(self, source: str, *targets: tuple[str, int]) -> list[bool]:
        """Say which addresses and ports a pod can connect to."""
        return [one == "open" for one in self.tries(source, *targets)]

    def tries(self, source: str, *targets: tuple[str, int]) -> list[str]:
        """Connect from a pod to addresses and ports, one after the other; say how each ended."""
        space = self.spaces.get(source, self.node)
        code = (sys.executable, "-c", CONNECT, json.dumps(targets))
        seen: list[str] = json.loads(run("ip", "netns", "exec", space, *code))
        return seen

    def apply(self, view: View, *ranges: str) -> None:
        self.nft("--file", "-", text=ruleset(view, ranges, "pod*"))

    def nft(self, *words: str, text: str | None = None) -> str:
        return run("ip", "netns", "exec", self.node, "nft", *words, text=text)

    def link_local(self, name: str) -> str:
        """Find the address that the node has on a pod's link, as the pod writes it."""
        outer = f"pod{list(self.spaces).index(name)}"
        (link,) = json.loads(run("ip", "-n", self.node, "-6", "-json", "address", "show", outer))
        (found,) = (one["local"] for one in link["addr_info"] if one["scope"] == "link")
        return f"{found}%eth0"


PODS = {
    "web": Pod("a", "web", {"app": "web"}, ("10.250.0.2",), (("TCP", "http", 80),)),
    "client": Pod("a", "client", {"app": "client"}, ("10.250.0.3",)),
    "stranger": Pod("b", "stranger", {"app": "client"}, ("10.250.0.4",), (("TCP", "http", 8080),)),
}
NAMESPACES = {"a": {"team": "a"}, "b": {"team": "b"}}
WEB, CLIENT, STRANGER = (PODS[name].addresses[0] for name in ("web", "client", "stranger"))
BOTH = {
    name: replace(pod, addresses=(*pod.addresses, f"fd00:250::{number + 2}"))
    for number, (name, pod) in enumerate(PODS.items())
}
WEB_6, CLIENT_6 = (BOTH[name].addresses[1] for name in ("web", "client"))


@contextmanager
def space(name: str) -> Iterator[str]:
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        # addresses of IPv6 are of use at once
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        yield name
    finally:
        run("ip", "netns", "delete", name)


@contextmanager
def listening(name: str) -> Iterator[None]:
    code = f"import json{LISTEN}"
    with subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-c", code, json.dumps(PORTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.stdin.close()


@contextmanager
def receiving(name: str) -> Iterator[Callable[[], str]]:
    """Receive one datagram in a pod; what is yielded waits for its text."""
    with subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-c", RECEIVE],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = process.stdout
        try:
            assert output.readline() == "ready\n"
            yield lambda: output.readline().strip()
        finally:
            process.kill()


def join(node: str, pod: str, number: int, addresses: tuple[str, ...]) -> None:
    """Join a pod to the node by links of their own, as the plugin `ptp` does."""
    outer = f"pod{number}"
    (address, address_6) = addresses
    run(
        "ip", "-n", node, "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", pod
    )
    run("ip", "-n", node, "address", "add", NODE, "dev", outer)
    run("ip", "-n", node, "link", "set", outer, "up")
    run("ip", "-n", node, "route", "add", address, "dev", outer)
    run("ip", "-n", pod, "address", "add", f"{address}/32", "dev", "eth0")
    run("ip", "-n", pod, "link", "set", "eth0", "up")
    run("ip", "-n", pod, "route", "add", NODE, "dev", "eth0")
    run("ip", "-n", pod, "route", "add", "default", "via", NODE)
    run("ip", "-n", node, "address", "add", f"{NODE_6}/128", "dev", outer)
    run("ip", "-n", node, "route", "add", address_6, "dev", outer)
    run("ip", "-n", pod, "address", "add", f"{address_6}/128", "dev", "eth0")
    run("ip", "-n", pod, "route", "add", NODE_6, "dev", "eth0")
    run("ip", "-n", pod, "route", "add", "default", "via", NODE_6)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    mark = tmp_path_factory.getbasetemp().name.rpartition("-")[2]
    with ExitStack() as stack:
        node = stack.enter_context(space(f"c2d-np-{mark}-node"))
        forwarding = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        run("ip", "netns", "exec", node, "sysctl", "-qw", *forwarding)
        spaces = {}
        for number, (name, pod) in enumerate(BOTH.items()):
            spaces[name] = stack.enter_context(space(f"c2d-np-{mark}-{name}"))
            join(node, spaces[name], number, pod.addresses)
        for one in (node, *spaces.values()):
            stack.enter_context(listening(one))
        yield Network(node, spaces)


@pytest.fixture
def enforce(network: Network) -> Callable[..., None]:
    """Put policies of namespace `a` in force."""

    def enforce(
        *specs: Body, known: Mapping[str, Pod] = PODS, ranges: tuple[str, ...] = (RANGE,)
    ) -> None:
        bodies = (
            {"metadata": {"namespace": "a", "name": f"p{number}"}, "spec": spec}
            for number, spec in enumerate(specs)
        )
        policies = tuple(read_policy(body) for body in bodies)
        network.apply(View(tuple(known.values()), NAMESPACES, policies), *ranges)

    return enforce


@pytest.fixture
def dual(enforce: Callable[..., None]) -> Callable[..., None]:
    """Put policies in force where pods have addresses of both families."""
    return partial(enforce, known=BOTH, ranges=(RANGE, RANGE_6))


def of(app: str) -> Body:
    return {"podSelector": {"matchLabels": {"app": app}}}


def test_without_policies_all_is_open(network: Network, enforce: Callable[..., None]) -> None:
    enforce()
    assert network.reaches("client", (WEB, 80), (NODE, 80)) == [True, True]
    assert network.reaches("node", (WEB, 80)) == [True]


def test_denying_all_closes_both_directions(network: Network, enforce: Callable[..., None]) -> None:
    enforce({**of("web"), "policyTypes": ["Ingress", "Egress"]})
    assert network.reaches("client", (WEB, 80), (STRANGER, 80)) == [False, True]
    assert network.reaches("web", (CLIENT, 80), (NODE, 80)) == [False, False]
    assert network.reaches("node", (WEB, 80)) == [True]


def test_another_namespace_has_policies_of_its_own(
    network: Network, enforce: Callable[..., None]
) -> None:
    enforce({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    assert network.reaches("stranger", (NODE, 80), (WEB, 80)) == [True, False]


@pytest.mark.parametrize(
    ("peers", "client", "stranger"),
    [
        ([of("client")], True, False),
        ([{"namespaceSelector": {}}], True, True),
        ([{"namespaceSelector": {"matchLabels": {"team": "b"}}}], False, True),
        ([{"namespaceSelector": {}, **of("nobody")}], False, False),
        ([{"namespaceSelector": {"matchLabels": {"team": "b"}}, **of("client")}], False, True),
        ([{"ipBlock": {"cidr": RANGE, "except": [f"{CLIENT}/32"]}}], False, True),
        ([of("client"), {"ipBlock": {"cidr": f"{STRANGER}/32"}}], True, True),
        ([], True, True),
    ],
)
def test_peers_are_let_in(
    network: Network, enforce: Callable[..., None], peers: list[Body], client: bool, stranger: bool
) -> None:
    enforce({**of("web"), "ingress": [{"from": peers}]})
    assert network.reaches("client", (WEB, 80)) == [client]
    assert network.reaches("stranger", (WEB, 80)) == [stranger]


@pytest.mark.parametrize(
    ("ports", "opened"),
    [
        ([{"port": 80}], [True, False, False]),
        ([{"port": "http"}], [True, False, False]),
        ([{"port": "unknown"}], [False, False, False]),
        ([{"port": 80, "endPort": 81}], [True, True, False]),
        ([{"protocol": "UDP", "port": 80}], [False, False, False]),
        ([{"protocol": "TCP"}], [True, True, True]),
        ([{"port": 81}, {"port": 8080}], [False, True, True]),
    ],
)
def test_ports_are_opened(
    network: Network, enforce: Callable[..., None], ports: list[Body], opened: list[bool]
) -> None:
    enforce({**of("web"), "ingress": [{"ports": ports}]})
    assert network.reaches("client", *((WEB, port) for port in PORTS)) == opened


def test_a_name_of_a_port_is_the_receivers(network: Network, enforce: Callable[..., None]) -> None:
    to = [{"namespaceSelector": {}}]
    enforce(
        {
            **of("client"),
            "policyTypes": ["Egress"],
            "egress": [{"to": to, "ports": [{"port": "http"}]}],
        }
    )
    targets = [(address, port) for address in (WEB, STRANGER) for port in (80, 8080)]
    assert network.reaches("client", *targets) == [True, False, False, True]


def test_what_one_policy_allows_no_other_takes_back(
    network: Network, enforce: Callable[..., None]
) -> None:
    enforce({**of("web"), "ingress": []}, {**of("web"), "ingress": [{"from": [of("client")]}]})
    assert network.reaches("client", (WEB, 80)) == [True]


def test_sender_and_receiver_must_both_allow(
    network: Network, enforce: Callable[..., None]
) -> None:
    inside = {**of("web"), "ingress": [{"from": [of("client")]}]}
    enforce(inside, {**of("client"), "policyTypes": ["Egress"], "egress": []})
    assert network.reaches("client", (WEB, 80)) == [False]
    enforce(inside, {**of("client"), "policyTypes": ["Egress"], "egress": [{"to": [of("web")]}]})
    assert network.reaches("client", (WEB, 80)) == [True]


def test_a_pod_that_is_not_known_reaches_nothing(
    network: Network, enforce: Callable[..., None]
) -> None:
    enforce(known={name: pod for name, pod in PODS.items() if name != "client"})
    assert network.reaches("client", (WEB, 80), (NODE, 80)) == [False, False]
    assert network.reaches("web", (CLIENT, 80)) == [False]


def test_an_address_of_another_pod_is_no_disguise(
    network: Network, enforce: Callable[..., None]
) -> None:
    enforce({**of("web"), "ingress": [{"from": [of("client")]}]})
    inside = network.spaces["stranger"]
    run("ip", "-n", inside, "address", "add", f"{CLIENT}/32", "dev", "eth0")
    try:
        with receiving(network.spaces["web"]) as received:
            for name, text in (("stranger", "forged"), ("client", "true")):
                code = (sys.executable, "-c", SEND, CLIENT, WEB, text)
                run("ip", "netns", "exec", network.spaces[name], *code)
            assert received() == "true"
    finally:
        run("ip", "-n", inside, "address", "delete", f"{CLIENT}/32", "dev", "eth0")


def test_what_is_refused_is_told_each_time(network: Network, enforce: Callable[..., None]) -> None:
    """More often than the kernel tells by ICMP: it keeps to some six errors, and one a second."""
    enforce({**of("client"), "policyTypes": ["Egress"]}, {**of("web"), "policyTypes": ["Ingress"]})
    targets = [(NODE, 80), (STRANGER, 80)] * 10
    assert set(network.tries("client", *targets)) == {"ConnectionRefusedError"}
    assert set(network.tries("stranger", *[(WEB, 80)] * 20)) == {"ConnectionRefusedError"}


def test_policies_hold_for_addresses_of_ipv6(network: Network, dual: Callable[..., None]) -> None:
    targets = [(WEB_6, 80), (NODE_6, 80)]
    dual()
    assert network.reaches("client", *targets) == [True, True]
    dual({**of("client"), "policyTypes": ["Egress"]})
    assert network.reaches("client", *targets) == [False, False]
    dual({**of("web"), "ingress": [{"from": [of("client")]}]})
    assert network.reaches("client", *targets) == [True, True]
    assert network.reaches("stranger", *targets) == [False, True]


def test_pods_without_a_range_of_ipv6_send_none(
    network: Network, enforce: Callable[..., None]
) -> None:
    enforce()
    assert network.reaches("client", (WEB, 80), (NODE, 80)) == [True, True]
    assert network.reaches("client", (WEB_6, 80), (NODE_6, 80)) == [False, False]


def test_addresses_of_the_link_alone_are_of_no_use_to_pods(
    network: Network, dual: Callable[..., None]
) -> None:
    target = (network.link_local("client"), 80)
    network.nft("flush", "ruleset")
    assert network.reaches("client", target) == [True]
    dual()
    assert network.reaches("client", target, (NODE_6, 80)) == [False, True]
