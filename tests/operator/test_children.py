"""Bodies of pods and claims, as the API server serves them, and what decisions need of them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from c2d_operator.children import (
    Ended,
    Heard,
    Trouble,
    owner_uid,
    parse_claim,
    parse_pod,
    parse_warning,
    with_warning,
)

Json = dict[str, Any]
OWNER = {
    "apiVersion": "computetodata.io/v1alpha1",
    "kind": "ComputeJob",
    "name": "sum",
    "uid": "job-uid",
    "controller": True,
}
LABELS = {
    "computetodata.io/job": "sum",
    "computetodata.io/job-uid": "label-uid",
    "computetodata.io/phase": "algorithm",
    "computetodata.io/attempt": "0",
}
SCHEDULED = {
    "type": "PodScheduled",
    "status": "True",
    "lastTransitionTime": "2026-01-02T03:04:06Z",
}
RUNNING = {"running": {"startedAt": "2026-01-02T03:04:07Z"}}


def at(second: int) -> datetime:
    return datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)


def body(status: Json | None = None, spec: Json | None = None, **meta: Any) -> Json:
    """Write a pod's body; a status of None is that of a pod nobody has looked at."""
    return {
        "metadata": {
            "name": "sum-algorithm",
            "namespace": "jobs",
            "uid": "pod-uid",
            "resourceVersion": "4711",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": LABELS,
            "ownerReferences": [OWNER],
            **meta,
        },
        "spec": spec or {"containers": [{"name": "algorithm"}]},
        "status": status or {},
    }


def with_state(state: Json, name: str = "algorithm", **status: Any) -> Json:
    """Write a pod's body whose container is in a state."""
    return body(
        {
            "phase": "Running",
            "conditions": [SCHEDULED],
            "containerStatuses": [{"name": name, "state": state, "lastState": {}}],
            **status,
        }
    )


def terminated(code: int, reason: str = "Error", **fields: Any) -> Json:
    times = {"startedAt": "2026-01-02T03:04:07Z", "finishedAt": "2026-01-02T03:04:09Z"}
    return {"terminated": {"exitCode": code, "reason": reason, **times, **fields}}


def test_identity_comes_from_metadata_and_owner() -> None:
    pod = parse_pod(body())
    assert (pod.namespace, pod.name, pod.uid, pod.resource_version) == (
        "jobs",
        "sum-algorithm",
        "pod-uid",
        4711,
    )
    assert (pod.job, pod.job_uid, pod.phase, pod.attempt) == ("sum", "job-uid", "algorithm", 0)
    assert pod.created == at(5)
    assert (pod.scheduled, pod.started, pod.ended, pod.trouble) == (None, None, None, None)
    assert not pod.gated
    assert not pod.deleting


@pytest.mark.parametrize(
    ("owners", "uid"),
    [
        pytest.param([OWNER], "job-uid", id="a job that controls it"),
        pytest.param([{**OWNER, "controller": False}], None, id="a job that does not control it"),
        pytest.param([{**OWNER, "kind": "Job"}], None, id="a controller of another kind"),
        pytest.param([], None, id="nobody"),
    ],
)
def test_owner(owners: list[Json], uid: str | None) -> None:
    assert owner_uid({"ownerReferences": owners}) == uid


def test_a_child_whose_owner_reference_was_cut_is_known_by_its_label() -> None:
    assert parse_pod(body(ownerReferences=[])).job_uid == "label-uid"


@pytest.mark.parametrize(
    ("gates", "gated"),
    [
        pytest.param([{"name": "computetodata.io/inputs"}], True, id="our gate"),
        pytest.param(
            [{"name": "kueue.x-k8s.io/admission"}, {"name": "computetodata.io/inputs"}],
            True,
            id="our gate beside another",
        ),
        pytest.param([{"name": "kueue.x-k8s.io/admission"}], False, id="another gate alone"),
        pytest.param([], False, id="no gate"),
    ],
)
def test_gate(gates: list[Json], gated: bool) -> None:
    assert parse_pod(body(spec={"schedulingGates": gates})).gated == gated


@pytest.mark.parametrize(
    ("pod", "ended"),
    [
        pytest.param(with_state(RUNNING), None, id="a container that runs has not ended"),
        pytest.param(
            with_state(terminated(0, "Completed")),
            Ended(0, "Completed", "", at(9)),
            id="a container has ended before its pod says so",
        ),
        pytest.param(
            with_state(terminated(3, message="sorry"), phase="Failed"),
            Ended(3, "Error", "sorry", at(9)),
            id="a container leaves a message",
        ),
        pytest.param(
            with_state(terminated(137, "OOMKilled"), phase="Failed"),
            Ended(137, "OOMKilled", "", at(9)),
            id="a container used too much memory",
        ),
        pytest.param(
            with_state(terminated(137), phase="Failed", reason="Evicted", message="low on disk"),
            Ended(137, "Evicted", "low on disk", at(9)),
            id="the pod's reason outranks the container's",
        ),
        pytest.param(
            with_state(
                terminated(0, message="The node was low on resource: memory"),
                phase="Failed",
                reason="Evicted",
                message="it took too much",
            ),
            Ended(0, "Evicted", "it took too much", at(9)),
            id="an algorithm cannot speak for the kubelet",
        ),
        pytest.param(
            body({"phase": "Failed", "reason": "OutOfcpu", "message": "no room"}),
            Ended(None, "OutOfcpu", "no room", None),
            id="the kubelet refused a pod before it had a container",
        ),
        pytest.param(
            with_state(terminated(0), name="istio-proxy"),
            None,
            id="the end of a container beside ours is not ours",
        ),
    ],
)
def test_end(pod: Json, ended: Ended | None) -> None:
    assert parse_pod(pod).ended == ended


def test_a_loader_that_was_evicted_at_its_end_is_heard() -> None:
    state = terminated(0, message="its report")
    pod = with_state(state, name="loader", phase="Failed", reason="Evicted", message="the node")
    pod["metadata"]["labels"] = {**LABELS, "computetodata.io/phase": "loading"}
    ended = parse_pod(pod).ended
    assert ended is not None
    assert ended.message == "its report"


def test_our_container_is_found_among_others() -> None:
    status = {
        "containerStatuses": [
            {"name": "aaa-sidecar", "state": RUNNING},
            {"name": "algorithm", "state": terminated(3)},
        ]
    }
    assert parse_pod(body(status)).ended == Ended(3, "Error", "", at(9))


@pytest.mark.parametrize("state", [RUNNING, terminated(1)])
def test_start_is_known_while_it_runs_and_after(state: Json) -> None:
    assert parse_pod(with_state(state)).started == at(7)
    assert parse_pod(with_state(state)).scheduled == at(6)


@pytest.mark.parametrize(
    ("pod", "trouble"),
    [
        pytest.param(with_state({"waiting": {"reason": "ContainerCreating"}}), None, id="creation"),
        pytest.param(
            with_state({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}),
            Trouble("ImagePullBackOff", "no such image"),
            id="a pull that failed reads as the back-off that follows",
        ),
        pytest.param(
            with_state({"waiting": {"reason": "CreateContainerConfigError"}}),
            Trouble("CreateContainerConfigError", ""),
            id="a container that cannot be made",
        ),
        pytest.param(
            body(
                {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/1 nodes are available",
                        }
                    ]
                }
            ),
            Trouble("Unschedulable", "0/1 nodes are available"),
            id="no node",
        ),
        pytest.param(
            body(
                {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
                    ]
                }
            ),
            None,
            id="a gate is no trouble",
        ),
    ],
)
def test_trouble(pod: Json, trouble: Trouble | None) -> None:
    assert parse_pod(pod).trouble == trouble


def test_deletion_is_dated_by_its_request_and_not_by_its_due_time() -> None:
    meta: Json = {"deletionTimestamp": "2026-01-02T03:04:35Z", "deletionGracePeriodSeconds": 30}
    assert parse_pod(body(**meta)).delete_requested == at(5)


@pytest.mark.parametrize(("value", "disrupted"), [("True", True), ("False", False)])
def test_disruption(value: str, disrupted: bool) -> None:
    condition = {"type": "DisruptionTarget", "status": value, "reason": "TerminationByKubelet"}
    assert parse_pod(with_state(RUNNING, conditions=[condition])).disrupted == disrupted


@pytest.mark.parametrize(
    ("phase", "bound", "lost"),
    [("Pending", False, False), ("Bound", True, False), ("Lost", False, True)],
)
def test_claim(phase: str, bound: bool, lost: bool) -> None:
    claim = parse_claim(body({"phase": phase}, name="sum-workspace"))
    assert (claim.name, claim.job, claim.job_uid) == ("sum-workspace", "sum", "job-uid")
    assert (claim.bound, claim.lost, claim.deleting) == (bound, lost, False)


def warning(reason: str, second: int, **fields: Any) -> Json:
    times = {"lastTimestamp": f"2026-01-02T03:04:0{second}Z"}
    meta = {"creationTimestamp": "2026-01-02T03:04:05Z"}
    return {"metadata": meta, "reason": reason, "message": reason.lower(), **times, **fields}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param([warning("A", 1), warning("B", 3), warning("C", 2)], "B", id="the latest"),
        pytest.param(
            [warning("A", 7), warning("B", 1, series={"lastObservedTime": "2026-01-02T03:04:09Z"})],
            "B",
            id="a series counts by its last occurrence",
        ),
        pytest.param(
            [warning("A", 4), warning("B", 1, lastTimestamp=None)],
            "B",
            id="without a time of its own an event is as old as its object",
        ),
    ],
)
def test_of_several_warnings_the_latest_is_told(events: list[Json], reason: str) -> None:
    assert parse_warning(events) == Trouble(reason, reason.lower())


def test_without_a_warning_nothing_is_told() -> None:
    assert parse_warning([]) is None


def test_a_warning_is_the_trouble_of_a_child_until_it_is_ready() -> None:
    told = Heard(at(9), Trouble("FailedMount", "no such share"))
    waiting = parse_pod(with_state({"waiting": {"reason": "ContainerCreating"}}))
    assert with_warning(waiting, told) == replace(waiting, trouble=told.trouble)
    for settled in (
        parse_pod(with_state(RUNNING)),
        parse_pod(with_state(terminated(1))),
        parse_pod(with_state({"waiting": {"reason": "ImagePullBackOff", "message": "no"}})),
    ):
        assert with_warning(settled, told) is settled
    assert with_warning(waiting, None) is waiting
    assert with_warning(waiting, Heard(at(9), None)) == waiting
