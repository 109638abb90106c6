"""NetworkPolicies as the local cluster's agent reads them, and whose addresses are whose."""

from typing import Any

import pytest

from network_policy.policies import Pod, Selector, placed, read_pod, read_policy, still_added
from network_policy.ruleset import View, ruleset

Body = dict[str, Any]


def policy(**spec: Any) -> Body:
    return {"metadata": {"namespace": "a", "name": "p"}, "spec": {"podSelector": {}, **spec}}


def pod(name: str, *addresses: str, created: str = "2026-01-01T00:00:00Z", **more: Any) -> Body:
    return {
        "metadata": {"namespace": "a", "name": name, "creationTimestamp": created},
        "spec": {"containers": [], **more.pop("spec", {})},
        "status": {"podIPs": [{"ip": one} for one in addresses], **more},
    }


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({}, (), None),
        ({"egress": []}, (), ()),
        ({"policyTypes": ["Ingress"], "egress": []}, (), None),
        ({"policyTypes": ["Egress"]}, None, ()),
        ({"policyTypes": ["Ingress", "Egress"]}, (), ()),
    ],
)
def test_a_policy_is_about_the_directions_that_it_names(
    spec: Body, ingress: object, egress: object
) -> None:
    found = read_policy(policy(**spec))
    assert (found.ingress, found.egress) == (ingress, egress)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"app": "x"}}, {"app": "x", "more": ""}, True),
        ({"matchLabels": {"app": "x"}}, {"app": "y"}, False),
        ({"matchLabels": {"app": "x"}}, {}, False),
        *(
            ({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}, *row)
            for operator, values, rows in (
                ("In", ["x", "y"], (({"app": "y"}, True), ({"app": "z"}, False), ({}, False))),
                ("NotIn", ["x"], (({"app": "y"}, True), ({"app": "x"}, False), ({}, True))),
                ("Exists", [], (({"app": ""}, True), ({}, False))),
                ("DoesNotExist", [], (({"app": ""}, False), ({}, True))),
            )
            for row in rows
        ),
        (
            {
                "matchLabels": {"app": "x"},
                "matchExpressions": [{"key": "tier", "operator": "Exists"}],
            },
            {"app": "x"},
            False,
        ),
    ],
)
def test_a_selector_selects_labels(selector: Body, labels: dict[str, str], selected: bool) -> None:
    found = read_policy(policy(podSelector=selector)).pods
    assert isinstance(found, Selector)
    assert found.selects(labels) is selected


@pytest.mark.parametrize(
    "body",
    [
        pod("host", "10.88.0.2", spec={"hostNetwork": True}),
        pod("done", "10.88.0.2", phase="Succeeded"),
        pod("failed", "10.88.0.2", phase="Failed"),
    ],
)
def test_a_pod_without_a_network_of_its_own_is_left_out(body: Body) -> None:
    assert read_pod(body) is None
    assert placed({("a", "x"): body}, {}) == ()


def test_an_address_is_with_the_latest_pod_that_was_given_it() -> None:
    bodies = {
        ("a", "old"): pod("old", "10.88.0.2", "fd00::2"),
        ("a", "new"): pod("new", "10.88.0.2", created="2026-01-02T00:00:00Z"),
    }
    found = {one.name: one.addresses for one in placed(bodies, {})}
    assert found == {"new": ("10.88.0.2",), "old": ("fd00::2",)}


def test_a_pod_whose_network_was_just_made_is_known_before_its_object_says_so() -> None:
    key, added = ("a", "new"), Pod("a", "new", {}, ("10.88.0.2",))
    bodies = {("a", "old"): pod("old", "10.88.0.2", created="2027-01-01T00:00:00Z")}
    assert [one.name for one in placed(bodies, {key: added})] == ["new"]
    assert still_added(bodies, {key: added}) == {key: added}
    assert still_added({**bodies, key: pod("new")}, {key: added}) == {key: added}


@pytest.mark.parametrize("body", [pod("new", "10.88.0.2"), pod("new", phase="Failed")])
def test_a_pod_whose_object_tells_is_believed(body: Body) -> None:
    key, added = ("a", "new"), Pod("a", "new", {}, ("10.88.0.2",))
    assert still_added({key: body}, {key: added}) == {}


def test_a_pod_that_no_policy_is_about_has_no_chain() -> None:
    free = Pod("a", "x", {}, ("10.88.0.2",))
    text = ruleset(View((free,), {"a": {}}, ()), ["10.88.0.0/16"], "veth*")
    assert "10.88.0.2" in text
    assert "jump" not in text
