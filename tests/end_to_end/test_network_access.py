"""An algorithm that was given the network reaches public addresses and nothing else."""

import json
from collections.abc import Iterator

import pytest

from end_to_end.cluster import Json, Run, dataset, eventually, inline
from end_to_end.neighbours import PUBLIC, PUBLIC_6, metadata_host, public_host, send_from_node
from end_to_end.reaching import (
    LISTEN,
    Targets,
    beside,
    both_addresses,
    probe,
    seen_outside,
    services,
)

OPEN: Targets = {
    "public address": ("TCP", PUBLIC, 80),
    "public address by IPv6": ("TCP", PUBLIC_6, 80),
    "resolver": ("UDP", PUBLIC, 53),
}
NAME: Targets = {"name": ("name", "data.example", 0)}
CLOSED = [
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
JOBS = ["another job", "another job by IPv6"]


def data(*, allows: bool) -> Json:
    """Describe a dataset by whether it lets the algorithm use the network."""
    return dataset("data", inline("x"), allowNetworkAccess=allows)


@pytest.fixture(scope="module")
def networked(run: Run) -> str:
    """An environment that gives algorithms the network, and names."""
    run.create_environment("networked", allowNetworkAccess=True, nameservers=[PUBLIC])
    return run.named("networked")


@pytest.fixture(scope="module")
def targets(run: Run, networked: str) -> Iterator[Targets]:
    """Name who listens inside of a cluster, and a host of the world outside of it."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("where the services of a cluster that was given listen is not known")
    found = services(run) | beside(run, "networked-listener")
    assert sorted(found) == sorted(CLOSED)
    listening = run.job(
        "python $ALGO",
        image="ALGO",
        code=LISTEN,
        spec={"environment": networked, "allowNetworkAccess": True},
    )
    with metadata_host(f"c2d-{run.mark}"), public_host(f"c2d-public-{run.mark}"):
        run.start(listening=listening)
        addresses = both_addresses(run.running("listening", "listening"))
        jobs = {name: ("TCP", address, 8000) for name, address in zip(JOBS, addresses, strict=True)}
        yield found | OPEN | NAME | jobs
        send_from_node(addresses[0], 8000, "end")
        assert run.finished("listening").outcome == ("Complete", "Succeeded")


@pytest.fixture(scope="module")
def outside(run: Run, targets: Targets) -> dict[str, str]:
    """What a pod sees that no policy is about."""
    return seen_outside(run, "networked-outside", targets)


def seen(run: Run, name: str) -> dict[str, str]:
    """Read what a job's algorithm saw."""
    ended = run.finished(name)
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    found: dict[str, str] = json.loads(ended.text("seen.json"))
    return found


@pytest.fixture(scope="module")
def inside(run: Run, targets: Targets, networked: str) -> dict[str, str]:
    """What the algorithm sees of a job that has the network."""
    asked = {"environment": networked, "allowNetworkAccess": True}
    run.start(connected=probe(run, targets, data(allows=True), **asked))
    return seen(run, "connected")


@pytest.fixture(scope="module")
def unasked(run: Run, targets: Targets, networked: str) -> dict[str, str]:
    """What the algorithm sees of a job beside it, which has not asked for the network."""
    run.start(unconnected=probe(run, targets, data(allows=True), environment=networked))
    return seen(run, "unconnected")


@pytest.mark.parametrize("name", OPEN)
def test_an_algorithm_with_network_reaches(
    outside: dict[str, str], inside: dict[str, str], name: str
) -> None:
    assert outside[name] == "open"
    assert inside[name] == "open"


def test_it_asks_the_resolvers_of_its_environment_for_names(inside: dict[str, str]) -> None:
    assert inside["name"] == "open"


@pytest.mark.parametrize("name", CLOSED)
def test_an_algorithm_with_network_does_not_reach(
    outside: dict[str, str], inside: dict[str, str], name: str
) -> None:
    assert outside[name] == "open"
    assert inside[name] != "open"


@pytest.mark.parametrize("name", JOBS)
def test_no_pod_reaches_an_algorithm_with_network(
    targets: Targets, outside: dict[str, str], inside: dict[str, str], name: str
) -> None:
    _, host, port = targets[name]
    send_from_node(host, port)
    assert outside[name] != "open"
    assert inside[name] != "open"


def test_it_has_shown_that_what_is_closed_to_all_is_closed_to_it(
    run: Run, inside: dict[str, str], networked: str
) -> None:
    assert inside

    def is_verified() -> bool:
        conditions = run.read("computeenvironment", networked)["status"]["conditions"]
        return any(
            (one["type"], one["status"], one["reason"]) == ("NetworkIsolated", "True", "Verified")
            for one in conditions
        )

    eventually(is_verified, "the environment's word about its network", 30)


@pytest.mark.parametrize("name", [*OPEN, *NAME, *CLOSED, *JOBS])
def test_a_job_that_does_not_ask_has_no_network(unasked: dict[str, str], name: str) -> None:
    assert unasked[name] != "open"


def test_a_dataset_that_does_not_allow_it_keeps_the_job_from_being_created(
    run: Run, networked: str
) -> None:
    asked = {"environment": networked, "allowNetworkAccess": True}
    job = run.job("true", data(allows=False), spec=asked)
    with pytest.raises(AssertionError, match="every dataset must allow it"):
        run.start(disallowed=job)


def test_an_environment_that_does_not_allow_it_fails_the_job(run: Run) -> None:
    run.start(refused=run.job("true", data(allows=True), spec={"allowNetworkAccess": True}))
    ended = run.finished("refused")
    assert ended.outcome == ("Failed", "ResourcesExceedEnvironment")
    assert ended.message == f"allowNetworkAccess: {run.named('tests')} gives algorithms no network"


def test_an_environment_with_a_resolver_of_the_cluster_is_not_ready(run: Run) -> None:
    names = run.read("service", "kube-dns", "--namespace=kube-system")["spec"]["clusterIP"]
    run.create_environment("misnamed", allowNetworkAccess=True)
    run.patch_environment("misnamed", nameservers=[names])

    def reason() -> str:
        conditions = run.read("computeenvironment", run.named("misnamed"))["status"]["conditions"]
        return str(next(one["reason"] for one in conditions if one["type"] == "Ready"))

    eventually(lambda: reason() == "NameserverNotPublic", "the environment's word", 30)
