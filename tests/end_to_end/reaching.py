"""What algorithms, and pods beside them, try to reach, and who listens there."""

import json
from typing import Any

from end_to_end.cluster import Json, Run, eventually
from end_to_end.neighbours import METADATA, METADATA_6

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
        elif protocol == "name":
            socket.gethostbyname(host)
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
Targets = dict[str, tuple[str, str, int]]
"""What is tried, by name: a protocol (or `name` for a look-up), a host and a port."""


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


def beside(run: Run, name: str) -> Targets:
    """Name a pod of this test that listens, and the host that has what machines are told."""
    command = ("python", "-m", "http.server", "8000", "--bind", "::")
    listener = run.create("v1", "Pod", name, spec=restricted(run, *command))
    run.kubectl("wait", "--for=condition=Ready", f"pod/{listener}", "--timeout=60s")
    pod, pod_6 = both_addresses(run.read("pod", listener))
    return {
        "pod": ("TCP", pod, 8000),
        "pod by IPv6": ("TCP", pod_6, 8000),
        "metadata": ("TCP", METADATA, 80),
        "metadata by IPv6": ("TCP", METADATA_6, 80),
    }


def seen_outside(run: Run, name: str, targets: Targets) -> dict[str, str]:
    """Try everything from a pod that no policy is about."""
    code = f"import json, socket\ntargets = json.loads({json.dumps(targets)!r}){CONNECT}"
    spec = restricted(run, "python", "-c", f"{code}\nprint(json.dumps(seen))")
    pod = run.create("v1", "Pod", name, spec=spec)
    phase = "jsonpath={.status.phase}"
    eventually(
        lambda: run.kubectl("get", "pod", pod, f"--output={phase}") == "Succeeded",
        "the end of the pod outside",
        60,
    )
    seen: dict[str, str] = json.loads(run.kubectl("logs", pod))
    return seen


def probe(run: Run, targets: Targets, *datasets: Json, **spec: Any) -> dict[str, Any]:
    """Describe a job whose algorithm tries everything."""
    return run.job(
        "python $ALGO",
        *datasets,
        image="ALGO",
        code=f"{PROBE}{CONNECT}{TELL}",
        algorithm={"customData": json.dumps(targets)},
        spec=spec,
    )
