"""The store never goes back in time, and tells each job its own children."""

from typing import Any

from c2d_operator import status as st
from c2d_operator.children import Heard, Refusal, Trouble, claim_name, pod_name
from c2d_operator.store import Store
from fakes import ENVIRONMENT, KEY, NAME, NAMESPACE, START, environment_body, job_manifest

Json = dict[str, Any]


def job(version: int, uid: str = "job-uid", **spec: Any) -> Json:
    body = job_manifest(**spec)
    meta = {"uid": uid, "resourceVersion": str(version), "creationTimestamp": START.isoformat()}
    return {**body, "metadata": {**body["metadata"], **meta}}


def child(name: str, uid: str, version: int, owner: str = "job-uid", **labels: str) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": START.isoformat(),
            "labels": {"computetodata.io/job": NAME, **labels},
            "ownerReferences": [{"kind": "ComputeJob", "uid": owner, "controller": True}],
        },
        "spec": {},
        "status": {},
    }


def pod(uid: str, version: int, owner: str = "job-uid") -> Json:
    name = pod_name(NAME, "algorithm")
    return child(name, uid, version, owner, **{"computetodata.io/phase": "algorithm"})


def with_job() -> Store:
    store = Store()
    store.put("ComputeJob", job(10))
    return store


def known_pod(store: Store) -> str | None:
    seen = store.children(store.jobs[KEY]).algorithm
    return seen.uid if seen else None


def test_older_news_change_nothing() -> None:
    store = with_job()
    assert store.put("ComputeJob", job(9, suspend=True)) is None
    assert store.put("ComputeJob", job(10, suspend=True)) is None
    assert not store.jobs[KEY].spec.suspend
    assert store.put("ComputeJob", job(11, suspend=True)) == KEY
    assert store.jobs[KEY].spec.suspend


def test_older_news_of_children_and_environments_change_nothing() -> None:
    store = with_job()
    assert store.put("Pod", pod("new", 20)) == KEY
    assert store.put("Pod", pod("old", 19)) is None
    assert known_pod(store) == "new"
    place = (NAMESPACE, ENVIRONMENT)
    assert store.put("ComputeEnvironment", environment_body()) == place
    assert store.put("ComputeEnvironment", environment_body(maxJobs=9)) is None
    assert store.environments[place].max_jobs == 2


def test_what_was_deleted_does_not_come_back() -> None:
    store = with_job()
    store.put("Pod", pod("p", 20))
    assert store.remove("Pod", NAMESPACE, "sum-algorithm", "p") == KEY
    assert store.put("Pod", pod("p", 99)) is None
    assert known_pod(store) is None
    assert store.remove("ComputeJob", *KEY, "job-uid") == KEY
    assert store.put("ComputeJob", job(99)) is None
    assert not store.jobs


def test_what_is_deleted_before_it_was_seen_does_not_come_up() -> None:
    store = with_job()
    assert store.remove("Pod", NAMESPACE, "sum-algorithm", "p") is None
    assert store.put("Pod", pod("p", 20)) is None


def test_a_deletion_hits_its_uid_and_no_other_of_the_name() -> None:
    store = with_job()
    store.put("Pod", pod("old", 20))
    store.put("Pod", pod("new", 21))
    assert store.remove("Pod", NAMESPACE, "sum-algorithm", "old") is None
    assert known_pod(store) == "new"
    store.put("ComputeJob", job(30, "second"))
    store.remove("ComputeJob", *KEY, "job-uid")
    assert store.jobs[KEY].uid == "second"


def test_a_child_that_is_gone_is_absent_for_its_job() -> None:
    store = with_job()
    store.put("Pod", pod("p", 20))
    store.remove("Pod", NAMESPACE, "sum-algorithm", "p")
    assert store.children(store.jobs[KEY]).findings.absent == {"p"}


def test_children_of_a_former_job_are_strays() -> None:
    store = with_job()
    store.put("Pod", pod("former", 20, "former-uid"))
    store.put("PersistentVolumeClaim", child(claim_name(NAME), "c", 21))
    assert [stray.uid for stray in store.strays(KEY)] == ["former"]
    children = store.children(store.jobs[KEY])
    assert children.pods == ()
    assert children.claim is not None
    assert children.claim.uid == "c"


def test_children_without_a_job_are_strays() -> None:
    store = with_job()
    store.put("Pod", pod("p", 20))
    store.remove("ComputeJob", *KEY, "job-uid")
    assert [stray.uid for stray in store.strays(KEY)] == ["p"]


def test_a_refusal_is_over_when_the_child_is_seen() -> None:
    store = with_job()
    known = store.jobs[KEY]
    for name in ("sum-algorithm", "sum-loader-0"):
        store.refuse(known, name, Refusal("quota", START, final=False))
    store.conflict(known, "sum-algorithm")
    store.put("Pod", pod("p", 20))
    findings = store.children(known).findings
    assert set(findings.refused) == {"sum-loader-0"}
    assert findings.foreign == frozenset()


def test_what_events_tell_is_the_trouble_of_the_child() -> None:
    store = with_job()
    store.put("Pod", pod("p", 20))
    trouble = Trouble("FailedMount", "no such share")
    store.hear(store.jobs[KEY], "p", Heard(START, trouble))
    children = store.children(store.jobs[KEY])
    assert [one.trouble for one in children.pods] == [trouble]
    assert children.findings.heard["p"].trouble == trouble


def test_findings_end_with_their_job() -> None:
    store = with_job()
    store.conflict(store.jobs[KEY], "sum-algorithm")
    store.put("ComputeJob", job(30, "second"))
    assert store.children(store.jobs[KEY]).findings.foreign == frozenset()


def test_what_is_held_is_listed_by_kind_and_namespace() -> None:
    store = with_job()
    store.put("Pod", pod("p", 20))
    store.put("PersistentVolumeClaim", child(claim_name(NAME), "c", 21))
    assert store.held("Pod", NAMESPACE) == {"p": ("sum-algorithm", 20)}
    assert store.held("PersistentVolumeClaim", NAMESPACE) == {"c": ("sum-workspace", 21)}
    assert store.held("ComputeJob", NAMESPACE) == {"job-uid": (NAME, 10)}
    assert store.held("Pod", "elsewhere") == {}


def test_an_ended_job_is_held_by_what_is_left_to_do_for_it() -> None:
    store = Store()
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "OutOfMemory",
        "message": "too much",
        "lastTransitionTime": START.isoformat(),
    }
    ended = {"conditions": [failed], "completionTime": START.isoformat()}
    body = {**job(30, ttlSecondsAfterFinished=60), "status": ended}
    store.put("ComputeJob", body)
    held = store.jobs[KEY]
    assert (held.spec.environment, held.spec.ttl_seconds_after_finished) == (ENVIRONMENT, 60)
    assert held.spec.datasets == ()
    assert (st.phase(held.status), st.reason(held.status)) == ("Failed", "OutOfMemory")
    assert held.status.completion_time == START
    store.absent(held, "some-pod")
    assert store.children(held).findings.absent == frozenset()
