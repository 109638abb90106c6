"""An algorithm reaches nothing, where a pod beside it without a policy reaches it all.

Algorithms of other jobs are reached by the node alone.
"""

import json
from collections.abc import Iterator

import pytest

from end_to_end.cluster import Run, eventually
from end_to_end.neighbours import metadata_host, send_from_node
from end_to_end.reaching import (
    LISTEN,
    Targets,
    beside,
    both_addresses,
    probe,
    seen_outside,
    services,
)

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


@pytest.fixture(scope="module")
def targets(run: Run) -> Iterator[Targets]:
    """Name who listens in a cluster: its own services, a pod beside, metadata, and another job."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("where the services of a cluster that was given listen is not known")
    found = services(run) | beside(run, "listener")
    assert sorted(found) == sorted(NAMES)
    with metadata_host(f"c2d-{run.mark}"):
        run.start(neighbour=run.job("python $ALGO", image="ALGO", code=LISTEN))
        addresses = both_addresses(run.running("neighbour", "listening"))
        yield found | {
            name: ("TCP", address, 8000) for name, address in zip(JOB_NAMES, addresses, strict=True)
        }
        send_from_node(addresses[0], 8000, "end")
        assert run.finished("neighbour").outcome == ("Complete", "Succeeded")


@pytest.fixture(scope="module")
def outside(run: Run, targets: Targets) -> dict[str, str]:
    """What a pod sees that no policy is about."""
    return seen_outside(run, "outside", targets)


@pytest.fixture(scope="module")
def inside(run: Run, targets: Targets) -> dict[str, str]:
    """What an algorithm sees."""
    run.start(prober=probe(run, targets))
    ended = run.finished("prober")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    seen: dict[str, str] = json.loads(ended.text("seen.json"))
    return seen


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
