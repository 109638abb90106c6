"""An environment's standing objects, whether it is ready, and a status that does not flap."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from c2d_api import guard
from c2d_api.computeenvironment import Environment, Quantities, parse_environment
from c2d_api.computejob import ComputeJob, Status, Termination, parse_job
from c2d_api.exits import LauncherExit
from c2d_operator.admission import terms
from c2d_operator.environments import (
    Programs,
    Proof,
    Verdict,
    desired,
    headline,
    judge,
    parse_standing,
    proof,
    status,
    unlike,
)
from c2d_operator.pods import Images, pod
from fakes import START, environment_body, job_manifest

Json = dict[str, Any]
SOME = Quantities("500m", "1024Mi", "3Gi")
DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def environment(**spec: Any) -> Environment:
    return parse_environment(environment_body(**spec))


def policy(name: str, **spec: Any) -> Json:
    (found,) = [
        m
        for m in desired(environment(**spec))
        if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == f"small-{name}"
    ]
    return dict(found["spec"])


def algorithm_job() -> ComputeJob:
    meta = {"uid": "u", "resourceVersion": "1", "creationTimestamp": START.isoformat()}
    body = job_manifest()
    return parse_job({**body, "metadata": {**body["metadata"], **meta}})


def observed(manifests: tuple[Json, ...]) -> dict[tuple[str, str], Any]:
    """See manifests as the API server serves them once they are applied."""
    bodies = [
        {**m, "metadata": {**m["metadata"], "uid": f"u{n}", "resourceVersion": "1"}}
        for n, m in enumerate(manifests)
    ]
    seen = [parse_standing(body["kind"], body) for body in bodies]
    return {(thing.kind, thing.name): thing for thing in seen}


def test_each_kind_of_pod_has_an_account_and_a_policy() -> None:
    names = sorted((m["kind"], m["metadata"]["name"]) for m in desired(environment()))
    assert names == [
        *(
            ("NetworkPolicy", f"small-{pod}")
            for pod in ("algorithm", "algorithm-network", "loader", "publisher")
        ),
        *(("ServiceAccount", f"small-{pod}") for pod in ("algorithm", "loader", "publisher")),
    ]
    accounts = [m for m in desired(environment()) if m["kind"] == "ServiceAccount"]
    assert [a["automountServiceAccountToken"] for a in accounts] == [False] * 3


def test_the_algorithm_reaches_nothing() -> None:
    spec = policy("algorithm")
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(spec)
    assert policy("algorithm", allowNetworkAccess=True) == spec


def selected(spec: Json, labels: Json) -> bool:
    return set(spec["podSelector"]["matchLabels"].items()) <= set(labels.items())


@pytest.mark.parametrize("has_network", [True, False])
def test_both_policies_hold_for_the_algorithm_that_was_granted_the_network(
    has_network: bool,
) -> None:
    granted = replace(terms(algorithm_job(), environment()), allow_network_access=has_network)
    labels = pod(algorithm_job(), granted, "algorithm", 0, Images("l", "p"))["metadata"]["labels"]
    assert selected(policy("algorithm"), labels)
    assert selected(policy("algorithm-network"), labels) == has_network
    for name, value in (("environment", "other"), ("phase", "loading"), ("network", "")):
        assert not selected(
            policy("algorithm-network"), labels | {f"computetodata.io/{name}": value}
        )


def allowed(spec: Json, address: str, port: int) -> bool:
    """Judge a connection by a policy, as an agent would."""
    target = ip_address(address)
    return any(
        ("ports" not in rule or port in [p["port"] for p in rule["ports"]])
        and (
            "to" not in rule
            or any(
                target in ip_network(to["ipBlock"]["cidr"])
                and not any(target in ip_network(cut) for cut in to["ipBlock"].get("except", ()))
                for to in rule["to"]
            )
        )
        for rule in spec.get("egress", ())
    )


@pytest.mark.parametrize(
    ("address", "port", "open_"),
    [
        ("93.184.216.34", 443, True),
        ("2606:2800:220:1::1", 443, True),
        ("10.9.9.9", 8080, True),
        ("10.9.9.9", 8081, False),
        ("10.0.0.1", 443, False),
        ("172.16.0.1", 443, False),
        ("192.168.1.1", 80, False),
        ("169.254.169.254", 80, False),
        ("168.63.129.16", 80, False),
        ("100.64.0.1", 80, False),
        ("127.0.0.1", 80, False),
        ("fd00::1", 443, False),
        ("fe80::1", 443, False),
        ("::1", 443, False),
    ],
)
def test_the_loader_reaches_public_addresses_and_what_the_admin_lists(
    address: str, port: int, open_: bool
) -> None:
    spec = policy("loader", egress=[{"cidr": "10.9.9.9/32", "port": 8080}])
    assert allowed(spec, address, port) == open_


@pytest.mark.parametrize("allows", [True, False])
@pytest.mark.parametrize(
    ("address", "open_"),
    [
        ("93.184.216.34", True),
        ("9.9.9.9", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("10.9.9.9", False),  # what the admin lists is for loaders
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("192.88.99.1", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("fd00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::1", False),
        ("64:ff9b::a00:1", False),  # 10.0.0.1, to a translator of addresses
        ("64:ff9b:1::a00:1", False),
        ("2002:a00:1::1", False),
    ],
)
@pytest.mark.parametrize("port", [25, 53, 443])
def test_an_algorithm_with_network_reaches_public_addresses_only(
    address: str, open_: bool, port: int, allows: bool
) -> None:
    egress = [{"cidr": "10.9.9.9/32", "port": port}]
    spec = policy("algorithm-network", allowNetworkAccess=allows, egress=egress)
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert allowed(spec, address, port) == open_


@pytest.mark.parametrize("cidr", guard.FORBIDDEN, ids=str)
def test_what_nobody_may_fetch_from_no_algorithm_reaches(cidr: Any) -> None:
    for address in (cidr[0], cidr[-1]):
        assert not guard.is_allowed(str(address), 443)
        assert not allowed(policy("algorithm-network"), str(address), 443)


def loader_rules(url: str = "", canary: str = "", mode: str = "Verified") -> list[Json]:
    """What a provider and a canary add to the rules of loaders."""
    offered = environment(networkIsolation=mode)
    with_it = desired(offered, Programs("programs", url, canary))
    without = desired(offered)
    (differs,) = [m for m in with_it if m not in without] or [None]
    if differs is None:
        return []
    assert differs["metadata"]["name"] == "small-loader"
    before = policy("loader")["egress"]
    return [rule for rule in differs["spec"]["egress"] if rule not in before]


def to_pods(name: str) -> Json:
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "programs"}}
    pods = {"matchLabels": {"app.kubernetes.io/name": name}}
    return {"to": [{"namespaceSelector": namespace, "podSelector": pods}]}


def test_loaders_reach_the_pods_of_provider_and_canary_and_no_others() -> None:
    assert loader_rules("http://c2d-provider.programs") == [to_pods("c2d-provider")]
    assert loader_rules(canary="c2d-canary:8033") == [to_pods("c2d-canary")]
    assert loader_rules("http://c2d-provider.programs", "c2d-canary:8033") == [
        to_pods("c2d-provider"),
        to_pods("c2d-canary"),
    ]


def test_where_nothing_is_proven_no_canary_is_reached() -> None:
    assert loader_rules(canary="c2d-canary:8033", mode="CanaryOnly") == [to_pods("c2d-canary")]
    assert loader_rules(canary="c2d-canary:8033", mode="Unverified") == []


@pytest.mark.parametrize(
    ("url", "cidr", "port"),
    [
        ("http://10.88.0.1:8030/c2d", "10.88.0.1/32", 8030),
        ("http://10.88.0.1", "10.88.0.1/32", 80),
        ("https://[fd00::1]", "fd00::1/128", 443),
    ],
)
def test_loaders_reach_the_address_of_the_provider(url: str, cidr: str, port: int) -> None:
    assert loader_rules(url) == [
        {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": port}]}
    ]


def test_loaders_reach_the_address_of_the_canary() -> None:
    (rule,) = loader_rules(canary="[fd00::7]:8033")
    assert rule == {
        "to": [{"ipBlock": {"cidr": "fd00::7/128"}}],
        "ports": [{"protocol": "TCP", "port": 8033}],
    }


def test_without_programs_loaders_reach_none() -> None:
    assert loader_rules() == []


@pytest.mark.parametrize(
    ("results", "egress"),
    [
        pytest.param({"store": "file://share"}, None, id="a share needs no network"),
        pytest.param(
            {"store": "s3://r", "endpoint": "https://10.1.2.3"},
            {
                "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
                "ports": [{"protocol": "TCP", "port": 443}],
            },
            id="a store with an address",
        ),
        pytest.param(
            {"store": "s3://r", "endpoint": "http://[fd00::1]:9000"},
            {
                "to": [{"ipBlock": {"cidr": "fd00::1/128"}}],
                "ports": [{"protocol": "TCP", "port": 9000}],
            },
            id="a store with an IPv6 address",
        ),
        pytest.param(
            {"store": "s3://r", "endpoint": "http://store.svc"},
            {"ports": [{"protocol": "TCP", "port": 80}]},
            id="a store with a name",
        ),
    ],
)
def test_the_publisher_reaches_its_store(results: Json, egress: Json | None) -> None:
    spec = policy("publisher", results=results)
    assert spec.get("egress") == ([DNS, egress] if egress else None)


def test_a_store_without_an_endpoint_is_public() -> None:
    spec = policy("publisher", results={"store": "s3://r"})
    assert allowed(spec, "52.216.1.1", 443)
    assert not allowed(spec, "52.216.1.1", 80)
    assert not allowed(spec, "10.0.0.1", 443)


def test_what_was_applied_is_not_applied_again() -> None:
    wanted = desired(environment())
    assert unlike(wanted, observed(wanted)) == []


def test_what_is_missing_or_changed_is_applied() -> None:
    wanted = desired(environment())
    seen = observed(wanted)
    del seen["ServiceAccount", "small-loader"]
    open_wide = replace(
        seen["NetworkPolicy", "small-algorithm"],
        content={**seen["NetworkPolicy", "small-algorithm"].content, "spec": {"egress": [{}]}},
    )
    seen["NetworkPolicy", "small-algorithm"] = open_wide
    names = [(m["kind"], m["metadata"]["name"]) for m in unlike(wanted, seen)]
    assert names == [("ServiceAccount", "small-loader"), ("NetworkPolicy", "small-algorithm")]


def cls(name: str, *, default: bool = False, day: int = 1, policy: str = "Delete") -> Json:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    created = f"2026-01-{day:02}T00:00:00Z"
    return {
        "metadata": {"name": name, "annotations": marks, "creationTimestamp": created},
        "reclaimPolicy": policy,
    }


@pytest.mark.parametrize(
    ("name", "classes", "reason"),
    [
        pytest.param("fast", [cls("fast")], "Available", id="the class is there"),
        pytest.param("fast", [cls("slow")], "StorageClassNotFound", id="the class is not there"),
        pytest.param(None, [cls("any", default=True)], "Available", id="a default class"),
        pytest.param(None, [cls("any")], "StorageClassNotFound", id="no default class"),
        pytest.param(
            "kept", [cls("kept", policy="Retain")], "StorageClassRetains", id="it keeps data"
        ),
        pytest.param(
            None,
            [cls("a", default=True), cls("b", default=True, day=2, policy="Retain")],
            "StorageClassRetains",
            id="the newest of several default classes counts",
        ),
        pytest.param(
            None,
            [cls("b", default=True, policy="Retain"), cls("a", default=True)],
            "Available",
            id="of one age the first by name counts",
        ),
    ],
)
def test_judge(name: str | None, classes: list[Json], reason: str) -> None:
    offered = replace(environment(), storage_class_name=name)
    verdict = judge(offered, classes, has_canary=False)
    assert (verdict.reason, verdict.ready) == (reason, reason == "Available")


@pytest.mark.parametrize(
    ("mode", "has_canary", "reason"),
    [
        ("Verified", True, "Available"),
        ("Verified", False, "CanaryUnknown"),
        ("CanaryOnly", True, "Available"),
        ("CanaryOnly", False, "CanaryUnknown"),
        ("Unverified", False, "Available"),
    ],
)
def test_isolation_is_proven_by_a_canary(mode: str, has_canary: bool, reason: str) -> None:
    offered = environment(networkIsolation=mode, storageClassName="fast")
    verdict = judge(offered, [cls("fast")], has_canary=has_canary)
    assert (verdict.reason, verdict.ready) == (reason, reason == "Available")


@pytest.mark.parametrize(
    ("nameservers", "refused"),
    [
        pytest.param([], None, id="none"),
        pytest.param(["9.9.9.9", "2620:fe::fe"], None, id="public ones"),
        pytest.param(["9.9.9.9", "10.96.0.10"], "10.96.0.10", id="the cluster's"),
        pytest.param(["169.254.20.10"], "169.254.20.10", id="the node's"),
        pytest.param(["127.0.0.53"], "127.0.0.53", id="the pod's own"),
        pytest.param(["100.100.100.100"], "100.100.100.100", id="a shared one"),
        pytest.param(["fd00::53"], "fd00::53", id="a private one of IPv6"),
    ],
)
@pytest.mark.parametrize("allows", [True, False])
def test_nameservers_must_be_public(
    nameservers: list[str], refused: str | None, allows: bool
) -> None:
    offered = environment(
        nameservers=nameservers, storageClassName="fast", allowNetworkAccess=allows
    )
    verdict = judge(offered, [cls("fast")], has_canary=True)
    assert verdict.ready == (refused is None)
    if refused is not None:
        assert verdict.reason == "NameserverNotPublic"
        assert f"{refused} is not a public address" in verdict.message
    for address in nameservers:
        assert allowed(policy("algorithm-network"), address, 53) == (address != refused)


def shown(code: int | None, mode: str = "Verified") -> bool | None:
    """What the end of an algorithm shows, by the code its container ended with."""
    job = algorithm_job()
    ended = Status(
        environment=terms(job, environment(networkIsolation=mode)),
        termination=None if code is None else Termination(code, oom_killed=False),
    )
    found = proof(job, ended)
    assert found is None or found.job == "sum"
    return found.is_closed if found else None


@pytest.mark.parametrize(
    ("code", "is_closed"),
    [
        pytest.param(0, True, id="it ran"),
        pytest.param(3, True, id="it ran and failed"),
        pytest.param(LauncherExit.NETWORK_OPEN, False, id="the launcher found the network open"),
        pytest.param(LauncherExit.BROKEN, None, id="the launcher could not tell"),
        pytest.param(LauncherExit.LOG_EXISTS, None, id="the launcher did not look"),
        pytest.param(137, None, id="killed, maybe before it came to that"),
        pytest.param(None, None, id="no container"),
    ],
)
def test_the_end_of_an_algorithm_shows_its_network(code: int | None, is_closed: bool) -> None:
    assert shown(code) is is_closed
    assert shown(code, "CanaryOnly") is is_closed
    assert shown(code, "Unverified") is None


def isolation(known: Environment, proof: Proof | None = None, after: int = 0) -> Json:
    now = START + timedelta(seconds=after)
    found = status(known, GOOD, in_use=[], queued=0, proof=proof, now=now)
    return dict(found["conditions"][1])


def with_isolation(condition: Json, **spec: Any) -> Environment:
    return replace(environment(**spec), status={"conditions": [condition]})


CLOSED, OPEN = Proof(is_closed=True, job="one"), Proof(is_closed=False, job="two")


def test_the_network_is_unknown_until_an_algorithm_has_shown_it() -> None:
    fresh = environment(networkIsolation="Verified")
    nothing = isolation(fresh)
    assert (nothing["status"], nothing["reason"]) == ("Unknown", "NotVerified")
    closed = isolation(with_isolation(nothing, networkIsolation="Verified"), CLOSED, 5)
    assert (closed["status"], closed["reason"]) == ("True", "Verified")
    assert closed["lastTransitionTime"] == "2040-01-01T00:00:05Z"
    known = with_isolation(closed, networkIsolation="Verified")
    assert isolation(known, None, 9) == closed
    assert isolation(known, Proof(is_closed=True, job="three"), 9) == closed
    wide = isolation(known, OPEN, 9)
    assert (wide["status"], wide["reason"]) == ("False", "NetworkOpen")
    assert "two" in wide["message"]


def test_what_was_shown_counts_no_longer_where_nothing_is_verified() -> None:
    closed = isolation(environment(networkIsolation="Verified"), CLOSED)
    found = isolation(with_isolation(closed, networkIsolation="Unverified"), CLOSED)
    assert (found["status"], found["reason"]) == ("Unknown", "NotVerified")


GOOD = Verdict(ready=True, reason="Available", message="")
BAD = Verdict(ready=False, reason="StorageClassNotFound", message="")


def test_equal_facts_give_an_equal_status() -> None:
    fresh = replace(environment(), status={})
    first = status(fresh, GOOD, in_use=[SOME], queued=2, proof=None, now=START)
    later = START + timedelta(seconds=99)
    second = status(
        replace(environment(), status=first), GOOD, in_use=[SOME], queued=2, proof=None, now=later
    )
    assert second == first
    assert (first["runningJobs"], first["queuedJobs"]) == (1, 2)
    assert first["inUse"] == {"cpu": "500m", "memory": "1Gi", "disk": "3Gi"}


def test_readiness_is_dated_by_its_last_change() -> None:
    fresh = replace(environment(), status={})
    first = status(fresh, GOOD, in_use=[], queued=0, proof=None, now=START)
    known = replace(environment(), status=first)
    later = START + timedelta(seconds=99)
    ready, isolated = status(known, BAD, in_use=[], queued=0, proof=None, now=later)["conditions"]
    assert (ready["status"], ready["lastTransitionTime"]) == ("False", "2040-01-01T00:01:39Z")
    assert (isolated["status"], isolated["lastTransitionTime"]) == (
        "Unknown",
        "2040-01-01T00:00:00Z",
    )


def test_only_a_change_of_readiness_is_worth_an_event() -> None:
    fresh = replace(environment(), status={})
    good = status(fresh, GOOD, in_use=[], queued=0, proof=None, now=START)
    assert headline(fresh, good) == ("Available", "", False)
    known = replace(fresh, status=good)
    assert headline(known, good) is None
    bad = status(known, BAD, in_use=[], queued=0, proof=None, now=START)
    assert headline(known, bad) == ("StorageClassNotFound", "", True)
