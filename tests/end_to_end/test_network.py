"""An algorithm reaches nothing, where a pod beside it without a policy reaches it all."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from end_to_end.cluster import Run, eventually

PROBE = """
import json, pathlib, socket, sys
targets = json.loads(pathlib.Path("/data/inputs/algoCustomData.json").read_text())
"""
CONNECT = """
seen = {}
for name, (host, port) in targets.items():
    try:
        socket.create_connection((host, port), 3).close()
        seen[name] = "open"
    except OSError as error:
        seen[name] = type(error).__name__
"""
TELL = """
pathlib.Path("/data/outputs/seen.json").write_text(json.dumps(seen))
"""
NAMES = ["API server", "DNS", "kubelet", "files", "provider", "provider for loaders", "pod"]

Targets = dict[str, tuple[str, int]]


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


@pytest.fixture(scope="module")
def targets(run: Run) -> Targets:
    """Name who listens in a cluster: its own services, and a pod beside the algorithm's."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("where the services of a cluster that was given listen is not known")
    listener = run.create(
        "v1", "Pod", "listener", spec=restricted(run, "python", "-m", "http.server", "8000")
    )
    run.kubectl("wait", "--for=condition=Ready", f"pod/{listener}", "--timeout=60s")

    def service(name: str, namespace: str) -> str:
        return str(run.read("service", name, f"--namespace={namespace}")["spec"]["clusterIP"])

    (node,) = run.read("nodes")["items"]
    addresses = {one["type"]: one["address"] for one in node["status"]["addresses"]}
    host, _, port = run.value("FILES_URL").removeprefix("http://").partition(":")
    found = {
        "API server": (service("kubernetes", "default"), 443),
        "DNS": (service("kube-dns", "kube-system"), 53),
        "kubelet": (addresses["InternalIP"], 10250),
        "files": (host, int(port)),
        "provider": (service("c2d-provider", "c2d-system"), 80),
        "provider for loaders": (service("c2d-provider-internal", "c2d-system"), 80),
        "pod": (run.read("pod", listener)["status"]["podIP"], 8000),
    }
    assert sorted(found) == sorted(NAMES)
    return found


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
