"""An algorithm reaches nothing, where a pod beside it without a policy reaches it all.

Algorithms of other jobs are reached by the node alone.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from end_to_end.cluster import Run, eventually
from end_to_end.neighbours import METADATA, METADATA_6, metadata_host, send_from_node

PROBE = """
import json, pathlib, socket, sys
targets = json.loads(pathlib.Path("/data/inputs/algoCustomData.json").read_text())
"""
CONNECT = """
QUERY = bytes.fromhex(
    "123401000001000000000000"  # one question
    "0a6b756265726e657465730764656661756c7403737663"  # kubernetes.default.svc
    "07636c7573746572056c6f63616c0000010001"  # .cluster.local, its address
)
def ask(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.connect((host, port))
        asking.send(QUERY)
        asking.recv(512)

seen = {}
for name, (protocol, host, port) in targets.items():
    try:
        if protocol == "UDP":
            ask(host, port)
        else:
            socket.create_connection((host, port), 3).close()
        seen[name] = "open"
    except OSError as error:
        seen[name] = type(error).__name__
"""
TELL = """
pathlib.Path("/data/outputs/seen.json").write_text(json.dumps(seen))
"""
LISTEN = """
import socket
with socket.create_server(("", 8000), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listening", flush=True)
    told = b""
    while told != b"end":
        connection, _ = server.accept()
        with connection:
            told = connection.recv(3)
"""
NAMES = [
    "API server",
    "DNS",
    "DNS by UDP",
    "kubelet",
    "files",
    "metadata",
    "metadata by IPv6",
    "provider",
    "provider for loaders",
    "pod",
    "pod by IPv6",
]
JOB_NAMES = ["another job", "another job by IPv6"]

Targets = dict[str, tuple[str, str, int]]


def restricted(run: Run, *command: str) -> dict[str, Any]:
    """Describe a pod that may do as little as an algorithm's."""
    container = {
        "name": "main",
        "image": run.image("ALGO"),
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"limits": {"cpu": "200m", "memory": "64Mi"}},
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }


def both_addresses(pod: dict[str, Any]) -> tuple[str, str]:
    """Name a pod's addresses of IPv4 and of IPv6."""
    first, second = (one["ip"] for one in pod["status"]["podIPs"])
    return first, second


@pytest.fixture(scope="module")
def targets(run: Run) -> Iterator[Targets]:
    """Name who listens in a cluster: its own services, a pod beside, metadata, and another job."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("where the services of a cluster that was given listen is not known")
    found = services(run) | beside(run)
    assert sorted(found) == sorted(NAMES)
    with metadata_host(f"c2d-{run.mark}"):
        run.start(neighbour=run.job("python $ALGO", image="ALGO", code=LISTEN))
        addresses = both_addresses(run.running("neighbour", "listening"))
        yield found | {
            name: ("TCP", address, 8000) for name, address in zip(JOB_NAMES, addresses, strict=True)
        }
        send_from_node(addresses[0], 8000, "end")
        assert run.finished("neighbour").outcome == ("Complete", "Succeeded")


def services(run: Run) -> Targets:
    """Name what every cluster has, and this one's provider and files."""

    def service(name: str, namespace: str) -> str:
        return str(run.read("service", name, f"--namespace={namespace}")["spec"]["clusterIP"])

    (node,) = run.read("nodes")["items"]
    addresses = {one["type"]: one["address"] for one in node["status"]["addresses"]}
    host, _, port = run.value("FILES_URL").removeprefix("http://").partition(":")
    names = service("kube-dns", "kube-system")
    return {
        "API server": ("TCP", service("kubernetes", "default"), 443),
        "DNS": ("TCP", names, 53),
        "DNS by UDP": ("UDP", names, 53),
        "kubelet": ("TCP", addresses["InternalIP"], 10250),
        "files": ("TCP", host, int(port)),
        "provider": ("TCP", service("c2d-provider", "c2d-system"), 80),
        "provider for loaders": ("TCP", service("c2d-provider-internal", "c2d-system"), 80),
    }


def beside(run: Run) -> Targets:
    """Name a pod of this test that listens, and the host that has what machines are told."""
    command = ("python", "-m", "http.server", "8000", "--bind", "::")
    listener = run.create("v1", "Pod", "listener", spec=restricted(run, *command))
    run.kubectl("wait", "--for=condition=Ready", f"pod/{listener}", "--timeout=60s")
    pod, pod_6 = both_addresses(run.read("pod", listener))
    return {
        "pod": ("TCP", pod, 8000),
        "pod by IPv6": ("TCP", pod_6, 8000),
        "metadata": ("TCP", METADATA, 80),
        "metadata by IPv6": ("TCP", METADATA_6, 80),
    }


@pytest.fixture(scope="module")
def outside(run: Run, targets: Targets) -> dict[str, str]:
    """What a pod sees that no policy is about."""
    code = f"import json, socket\ntargets = json.loads({json.dumps(targets)!r}){CONNECT}"
    spec = restricted(run, "python", "-c", f"{code}\nprint(json.dumps(seen))")
    name = run.create("v1", "Pod", "outside", spec=spec)
    phase = "jsonpath={.status.phase}"
    eventually(
        lambda: run.kubectl("get", "pod", name, f"--output={phase}") == "Succeeded",
        "the end of the pod outside",
        60,
    )
    seen: dict[str, str] = json.loads(run.kubectl("logs", name))
    return seen


@pytest.fixture(scope="module")
def inside(run: Run, targets: Targets) -> dict[str, str]:
    """What an algorithm sees."""
    run.start(prober=probe(run, targets))
    ended = run.finished("prober")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    seen: dict[str, str] = json.loads(ended.text("seen.json"))
    return seen


def probe(run: Run, targets: Targets, **spec: Any) -> dict[str, Any]:
    """Describe a job whose algorithm tries everything."""
    return run.job(
        "python $ALGO",
        image="ALGO",
        code=f"{PROBE}{CONNECT}{TELL}",
        algorithm={"customData": json.dumps(targets)},
        spec=spec,
    )


@pytest.fixture(scope="module")
def opened(run: Run) -> Iterator[None]:
    """Let algorithms of two environments out, by a policy beside those that are kept.

    What any policy allows is open.
    """
    run.create_environment("proven")
    run.create_environment("trusting", networkIsolation="Unverified")
    names = [run.named("proven"), run.named("trusting")]
    chosen = [{"key": "computetodata.io/environment", "operator": "In", "values": names}]
    spec = {"podSelector": {"matchExpressions": chosen}, "policyTypes": ["Egress"], "egress": [{}]}
    name = run.create("networking.k8s.io/v1", "NetworkPolicy", "opened", spec=spec)
    yield
    run.kubectl("delete", "networkpolicy", name)


def condition(run: Run, environment: str) -> tuple[str, str]:
    """Read what an environment tells of its network."""
    conditions = run.read("computeenvironment", environment)["status"]["conditions"]
    (found,) = [one for one in conditions if one["type"] == "NetworkIsolated"]
    return found["status"], found["reason"]


@pytest.mark.usefixtures("opened")
def test_no_algorithm_starts_in_an_open_network(run: Run, targets: Targets) -> None:
    proven = run.named("proven")
    run.start(stray=probe(run, targets, environment=proven))
    ended = run.finished("stray")
    assert ended.outcome == ("Failed", "NetworkNotIsolated"), ended.message
    assert ended.files == {"algorithm.log"}
    assert ended.lines("algorithm.log") == ["launcher: the network is not closed"]
    eventually(
        lambda: condition(run, proven) == ("False", "NetworkOpen"),
        "the environment's word about its network",
        30,
    )


@pytest.mark.usefixtures("opened")
def test_only_policies_keep_an_algorithm_in(
    run: Run, targets: Targets, outside: dict[str, str]
) -> None:
    run.start(free=probe(run, targets, environment=run.named("trusting")))
    ended = run.finished("free")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    assert json.loads(ended.text("seen.json")) == outside


def test_an_algorithm_that_ran_has_shown_that_the_network_is_closed(
    run: Run, inside: dict[str, str]
) -> None:
    assert inside
    eventually(
        lambda: condition(run, run.named("tests")) == ("True", "Verified"),
        "the environment's word about its network",
        30,
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_algorithm_does_not_reach(
    outside: dict[str, str], inside: dict[str, str], name: str
) -> None:
    assert outside[name] == "open"
    assert inside[name] != "open"


@pytest.mark.parametrize("name", JOB_NAMES)
def test_no_pod_reaches_the_algorithm_of_another_job(
    targets: Targets, outside: dict[str, str], inside: dict[str, str], name: str
) -> None:
    _, host, port = targets[name]
    send_from_node(host, port)
    assert outside[name] != "open"
    assert inside[name] != "open"
