"""What Ginkgo's report says of the agent for NetworkPolicies."""

import re
from typing import Any

import pytest

from network_conformance.specs import judged, read_report, skipped

Body = dict[str, Any]
OURS = "[sig-network] Netpol should deny [Feature:NetworkPolicy]"
SCTP = "[sig-network] Netpol [Feature:SCTPConnectivity] [LinuxOnly] should deny"


def entry(name: str, state: str, kind: str = "It", message: str = "") -> Body:
    containers, _, leaf = name.partition(" should ")
    failure = {"Failure": {"Message": message}} if message else {}
    return {
        "ContainerHierarchyTexts": [containers] if containers else None,
        "LeafNodeText": f"should {leaf}" if leaf else "",
        "LeafNodeType": kind,
        "State": state,
        "RunTime": 2_000_000_000,
        **failure,
    }


def is_good(*entries: Body) -> bool:
    return judged(read_report([{"SpecReports": list(entries)}])).is_good


@pytest.mark.parametrize(
    ("entries", "good"),
    [
        pytest.param([entry(OURS, "passed")], True, id="all passed"),
        pytest.param([entry(OURS, "passed"), entry(SCTP, "skipped")], True, id="one not ours"),
        pytest.param([entry(OURS, "passed"), entry("Storage should x", "failed")], True, id="else"),
        pytest.param([], False, id="none was run"),
        pytest.param([entry(OURS, "skipped")], False, id="ours was not run"),
        pytest.param([entry(SCTP, "skipped")], False, id="nothing but what is not ours"),
        *(
            pytest.param([entry(OURS, "passed"), entry(OURS, state)], False, id=state)
            for state in ("failed", "panicked", "timedout", "interrupted", "pending")
        ),
        pytest.param(
            [entry(OURS, "passed"), entry("", "failed", "SynchronizedBeforeSuite")],
            False,
            id="the preparation failed",
        ),
    ],
)
def test_all_specs_must_pass_that_concern_us(entries: list[Body], good: bool) -> None:
    assert is_good(*entries) is good


def test_the_summary_names_what_failed_and_what_was_not_run() -> None:
    entries = [
        entry(OURS, "failed", message="Had 3 wrong results\nin the matrix"),
        entry(SCTP, "skipped"),
        entry(OURS.replace("deny", "allow"), "passed"),
    ]
    verdict = judged(read_report([{"SpecReports": entries}]))
    counts, *lines = verdict.lines()
    assert counts == "1 passed, 1 failed, 1 not run"
    assert lines[:3] == [f"FAILED   {OURS}", "    Had 3 wrong results", "    in the matrix"]
    assert lines[3] == f"NOT RUN  {SCTP}"
    assert "SCTP" in lines[4]


def test_a_part_of_the_specs_is_judged_alone() -> None:
    entries = [entry(OURS, "passed"), entry(OURS.replace("deny", "allow"), "skipped")]
    assert judged(read_report([{"SpecReports": entries}], "deny")).is_good
    assert not is_good(*entries)


def test_what_is_left_out_is_found_by_name() -> None:
    assert re.search(skipped(), SCTP)
    assert not re.search(skipped(), OURS)
