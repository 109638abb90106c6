"""What a pass decides, phase by phase; the life of a job as the list of its writes."""

from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from c2d_api.computeenvironment import parse_environment
from c2d_api.computejob import ComputeJob, Status, parse_job
from c2d_api.exits import LauncherExit, PodExit, Report
from c2d_api.progress import Tally
from c2d_operator import status as st
from c2d_operator.admission import terms
from c2d_operator.children import (
    Children,
    Claim,
    Ended,
    Findings,
    Heard,
    Phase,
    Pod,
    Refusal,
    Told,
    Trouble,
)
from c2d_operator.phases.loading import MAX_ATTEMPTS
from c2d_operator.plan import plan
from c2d_operator.status import Reason
from c2d_operator.steps import (
    CreateClaim,
    CreatePod,
    Delete,
    DeleteJob,
    Facts,
    LookUp,
    ReadProgress,
    ReadWarnings,
    Release,
    Step,
)
from fakes import (
    DEADLINES,
    LOADED,
    NAMESPACE,
    PUBLISHED,
    START,
    ApiServer,
    Leader,
    Node,
    environment_body,
    is_gated,
    is_going,
    is_placed,
    is_running,
    job_manifest,
    land,
    send,
)

ENVIRONMENT = parse_environment(environment_body())
DONE = {
    st.ADMITTED: Reason.PLACE_GRANTED,
    st.VOLUMES_READY: Reason.BOUND,
    st.ASSETS_LOADED: Reason.LOADED,
    st.ALGORITHM_COMPLETED: Reason.EXITED_WITH_ZERO,
    st.RESULTS_PUBLISHED: Reason.PUBLISHED,
}
CLAIM = Claim(NAMESPACE, "sum-workspace", "claim-uid", 1, "sum", "job-uid", START, bound=True)
LOADER_NAME, ALGORITHM_NAME, PUBLISHER_NAME = "sum-loader-0", "sum-algorithm", "sum-publisher-0"
OK = Ended(0, "Completed", "", START)


def job_at(stage: str, **spec: Any) -> ComputeJob:
    """Describe a job whose steps before this one went well, all at `START`."""
    meta = {
        "uid": "job-uid",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": START.isoformat(),
    }
    body = job_manifest(**spec)
    job = parse_job({**body, "metadata": {**body["metadata"], **meta}})
    status = st.begin(job, START)
    index = st.STEPS.index(stage)
    for type_ in st.STEPS[:index]:
        status = st.record(status, type_, "True", DONE[type_], "", START, 3)
    words = (
        Reason.QUEUED,
        Reason.ALLOCATING,
        Reason.LOADING,
        Reason.STARTING,
        Reason.PUBLISHING,
        Reason.CLEANING_UP,
    )
    status = st.record(status, stage, "Unknown", words[index], "", START, 3)
    status = replace(
        status,
        environment=terms(job, ENVIRONMENT) if index > 0 else None,
        claim_uid="claim-uid" if index > 1 else None,
        algorithm_uid="algorithm-uid" if index > 2 else None,
        observed_generation=3,
    )
    return replace(job, status=status)


def pod(phase: Phase, **fields: Any) -> Pod:
    """Describe a pod as it is right after its creation."""
    attempt = fields.pop("attempt", 0)
    names = {"loading": "loader", "algorithm": "algorithm", "publishing": "publisher"}
    suffix = "" if phase == "algorithm" else f"-{attempt}"
    defaults: dict[str, Any] = {"uid": f"{names[phase]}-uid{suffix}"}
    return Pod(
        namespace=NAMESPACE,
        name=f"sum-{names[phase]}{suffix}",
        resource_version=1,
        job="sum",
        job_uid="job-uid",
        phase=phase,
        attempt=attempt,
        created=START,
        **{**defaults, **fields},
    )


NOTHING_FOUND = Findings()
GATED = pod("algorithm", gated=True)
RELEASED = pod("algorithm")
RUNNING = pod("algorithm", scheduled=START, started=START)
LOADER = pod("loading")


def decide(
    stage: str,
    *pods: Pod,
    after: float = 1,
    claim: Claim | None = CLAIM,
    status: dict[str, Any] | None = None,
    findings: Findings = NOTHING_FOUND,
    **spec: Any,
) -> Step:
    """Plan for a job at a stage, some seconds after everything that happened."""
    job = job_at(stage, **spec)
    job = replace(job, status=replace(job.status, **(status or {})))
    now = START + timedelta(seconds=after)
    return plan(Facts(job, Children(claim, pods, findings), now, ENVIRONMENT, granted=False))


NODE_IS_FULL = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 1Gi. "
)
POD_TOOK_TOO_MUCH = (
    "Pod ephemeral local storage usage exceeds the total limit of containers 3Gi. ",
    'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
    'Container algorithm exceeded its local ephemeral storage limit "3Gi". ',
)


def ended(code: int | None, reason: str = "Error", message: str = "") -> Ended:
    """Describe the end of a container."""
    return Ended(code, reason, message, START if code is not None else None)


def failure(step: Step) -> tuple[str, str]:
    """Name the condition that failed first, and why."""
    condition = st.first_failure(step.status)
    assert condition is not None, "nothing failed"
    return condition.type, condition.reason


def changed(step: Step, stage: str) -> tuple[str, str]:
    """Tell value and reason of a condition."""
    condition = step.status.condition(stage)
    assert condition is not None
    return condition.status, condition.reason


# The happy path


def _next_moves(node: Node) -> None:
    """Make one move of each pod, in the order of their names."""
    messages = {"sum-loader-0": LOADED, "sum-publisher-0": PUBLISHED}
    for body in node.pods(lambda body: True):
        if is_going(body) and is_placed(body):
            node.let_go(body)
        elif is_running(body):
            node.finish(body, 0, messages.get(body["metadata"]["name"], ""))
        elif is_placed(body) and "containerStatuses" not in body["status"]:
            node.start(body)
        elif not is_gated(body) and not is_placed(body):
            node.schedule(body)


def _pass(leader: Leader, api: ApiServer) -> list[str]:
    """Make one pass, and tell what it wrote: a status by the first undecided step's reason."""
    writes = []
    leader.catch_up()
    coroutine = leader.reconcile()
    call = send(coroutine, None)
    while call is not None:
        answer = land(call)
        if call.verb == "status":
            writes.append(f"status {st.reason(parse_job(answer).status)}")
        elif call.verb != "read":
            writes.append(f"{call.verb} {call.name}")
        call = send(coroutine, answer)
    return writes


def test_a_job_that_goes_well_takes_sixteen_writes_in_this_order() -> None:
    api = ApiServer()
    node = Node(api)
    api.create("ComputeJob", NAMESPACE, job_manifest(suspend=False))
    leader = Leader(api)
    writes: list[str] = []
    for _ in range(30):
        new = _pass(leader, api)
        writes += new
        if not new and not leader.again:
            _next_moves(node)
            node.free_claims()
    assert writes == [
        "status Allocating",
        "create sum-workspace",
        "create sum-algorithm",
        "create sum-loader-0",
        "status Loading",
        "status Starting",
        "patch sum-algorithm",
        "delete sum-loader-0",
        "status Running",
        "status Publishing",
        "delete sum-algorithm",
        "create sum-publisher-0",
        "status CleaningUp",
        "delete sum-publisher-0",
        "delete sum-workspace",
        "status Succeeded",
    ]
    assert not api.of_kind("Pod", "PersistentVolumeClaim")
    job = parse_job(api.of_kind("ComputeJob")[0])
    assert [c.status for c in job.status.conditions] == [*["True"] * 7, "False"]
    assert plan(leader.facts(job)) == Step(job.status)


def test_first_pass_shows_every_condition() -> None:
    job = replace(job_at(st.ADMITTED), status=Status())
    step = plan(Facts(job, Children(), START, ENVIRONMENT))
    assert [c.type for c in step.status.conditions] == list(st.CONDITIONS)
    assert {c.status for c in step.status.conditions} == {"Unknown"}
    assert changed(step, st.ADMITTED) == ("Unknown", Reason.QUEUED)


# Actions of each phase


@pytest.mark.parametrize(
    ("step", "actions"),
    [
        pytest.param(
            decide(st.VOLUMES_READY, claim=None),
            (CreateClaim(), CreatePod("algorithm"), CreatePod("loading")),
            id="claim and both first pods are created in one pass",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, LOADER, GATED, claim=replace(CLAIM, bound=False)),
            (),
            id="an unbound claim with its pods is waited for",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, GATED),
            (CreatePod("loading"),),
            id="a loader that vanished is made again under its name",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER),
            (CreatePod("algorithm"),),
            id="an unrecorded gated pod that vanished is made again",
        ),
        pytest.param(
            decide(
                st.ASSETS_LOADED,
                pod("loading", ended=ended(75)),
                GATED,
                status={"loading_attempt": 1},
                after=3,
            ),
            (CreatePod("loading", 1),),
            id="the second loader comes after its pause",
        ),
        pytest.param(
            decide(
                st.ASSETS_LOADED,
                pod("loading", ended=ended(75)),
                GATED,
                status={"loading_attempt": 1},
            ),
            (),
            id="the second loader does not come before its pause is over",
        ),
        pytest.param(
            decide(
                st.ASSETS_LOADED,
                replace(LOADER, started=START),
                GATED,
                status={"loading_attempt": 1},
                after=60,
            ),
            (),
            id="the second loader waits while the first may still run",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, GATED, pod("loading", ended=OK)),
            (
                Release(ALGORITHM_NAME, "algorithm-uid"),
                Delete("Pod", LOADER_NAME, "loader-uid-0", at_once=True),
            ),
            id="the recorded pod is released and the loader removed",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, GATED, LOADER),
            (Delete("Pod", LOADER_NAME, "loader-uid-0"),),
            id="no pod is released while a loader may still write",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, GATED, suspend=True),
            (),
            id="a suspended job keeps its gate",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED),
            (LookUp("Pod", ALGORITHM_NAME, "algorithm-uid"),),
            id="a recorded pod that is not seen is asked for",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, RUNNING, claim=None),
            (LookUp("PersistentVolumeClaim", "sum-workspace", "claim-uid"),),
            id="a recorded claim that is not seen is asked for",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, replace(RUNNING, ended=OK)),
            (Delete("Pod", ALGORITHM_NAME, "algorithm-uid", at_once=True), CreatePod("publishing")),
            id="the publisher follows a container that has ended",
        ),
        pytest.param(
            decide(st.CLEANED_UP, pod("publishing", ended=ended(None, "Evicted")), claim=None),
            (Delete("Pod", PUBLISHER_NAME, "publisher-uid-0"),),
            id="a pod of whose container nothing is known is given its time",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, RUNNING),
            (Delete("Pod", ALGORITHM_NAME, "algorithm-uid"),),
            id="the publisher waits while the algorithm runs",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, replace(RUNNING, delete_requested=START), after=11),
            (LookUp("Pod", ALGORITHM_NAME, "algorithm-uid"),),
            id="a pod whose deletion takes long is asked for",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED),
            (LookUp("Pod", ALGORITHM_NAME, "algorithm-uid"),),
            id="the publisher waits until a run that was never seen is known to be gone",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, findings=Findings(absent=frozenset({"algorithm-uid"}))),
            (CreatePod("publishing"),),
            id="the publisher follows a run that is gone",
        ),
        pytest.param(
            decide(
                st.RESULTS_PUBLISHED,
                pod("publishing", ended=ended(75)),
                pod("publishing", attempt=1, ended=ended(75)),
                findings=Findings(absent=frozenset({"algorithm-uid"})),
                status={"publishing_attempt": 2},
                after=5,
            ),
            (
                Delete("Pod", PUBLISHER_NAME, "publisher-uid-0", at_once=True),
                CreatePod("publishing", 2),
            ),
            id="of former publishers only the last one is kept",
        ),
        pytest.param(
            decide(st.CLEANED_UP, pod("publishing", ended=OK)),
            (
                Delete("Pod", PUBLISHER_NAME, "publisher-uid-0", at_once=True),
                Delete("PersistentVolumeClaim", "sum-workspace", "claim-uid"),
            ),
            id="clean-up deletes what is left",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, LOADER, GATED, suspend=True),
            (
                Delete("Pod", LOADER_NAME, "loader-uid-0"),
                Delete("Pod", ALGORITHM_NAME, "algorithm-uid"),
            ),
            id="suspension before the record removes both pods",
        ),
    ],
)
def test_actions(step: Step, actions: tuple[object, ...]) -> None:
    assert step.actions == actions


# Decisions


def test_loaded_assets_are_recorded_together_with_the_pod_that_may_run() -> None:
    step = decide(st.ASSETS_LOADED, pod("loading", ended=Ended(0, "", LOADED, START)), GATED)
    assert changed(step, st.ASSETS_LOADED) == ("True", Reason.LOADED)
    assert changed(step, st.ALGORITHM_COMPLETED) == ("Unknown", Reason.STARTING)
    assert step.status.algorithm_uid == "algorithm-uid"
    assert step.actions == ()


def test_assets_are_not_loaded_for_a_pod_that_is_going() -> None:
    loader = pod("loading", ended=Ended(0, "", LOADED, START))
    step = decide(st.ASSETS_LOADED, loader, replace(GATED, delete_requested=START))
    assert changed(step, st.ASSETS_LOADED) == ("Unknown", Reason.LOADING)
    assert step.status.algorithm_uid is None


def test_an_unrecorded_pod_without_its_gate_is_recorded_as_the_run() -> None:
    assert decide(st.ASSETS_LOADED, LOADER, RELEASED).status.algorithm_uid == "algorithm-uid"


def test_start_of_the_container_is_recorded_and_sets_the_deadline() -> None:
    step = decide(st.ALGORITHM_COMPLETED, RUNNING)
    assert changed(step, st.ALGORITHM_COMPLETED) == ("Unknown", Reason.RUNNING)
    assert step.status.algorithm_started == START
    assert step.wake == START + timedelta(seconds=1000)


def test_published_results_are_recorded_with_their_digest() -> None:
    publisher = pod("publishing", ended=Ended(0, "Completed", PUBLISHED, START))
    step = decide(st.RESULTS_PUBLISHED, publisher)
    assert changed(step, st.RESULTS_PUBLISHED) == ("True", Reason.PUBLISHED)
    results = step.status.results
    assert results is not None
    assert (results.count, results.total_bytes, len(results.files)) == (1, 5, 1)


def test_what_was_left_out_is_told_with_the_results() -> None:
    message = Report(count=3, total_bytes=5, manifest_digest="sha256:0", omitted=2).encode()
    publisher = pod("publishing", ended=Ended(0, "Completed", message, START))
    step = decide(st.RESULTS_PUBLISHED, publisher)
    condition = step.status.condition(st.RESULTS_PUBLISHED)
    assert condition is not None
    assert condition.message == (
        "3 files, 5 bytes; 2 more left out or cut, named in publish.log of the results"
    )


@pytest.mark.parametrize("code", [75, 70, 81, 137, None])
def test_a_publisher_that_fails_is_followed_by_another_and_says_why(code: int | None) -> None:
    words = Report("the result store refused the credentials").encode()
    publisher = pod("publishing", ended=ended(code, message=words))
    step = decide(st.RESULTS_PUBLISHED, publisher, after=899)
    condition = step.status.condition(st.RESULTS_PUBLISHED)
    assert condition is not None
    assert (condition.status, step.status.publishing_attempt) == ("Unknown", 1)
    assert condition.message == "once more: the result store refused the credentials"
    assert step.actions == ()


def test_published_results_count_though_the_claim_is_gone_since() -> None:
    publisher = pod("publishing", ended=Ended(0, "Completed", PUBLISHED, START))
    lost = Findings(absent=frozenset({"claim-uid"}))
    step = decide(st.RESULTS_PUBLISHED, publisher, claim=None, findings=lost)
    assert changed(step, st.RESULTS_PUBLISHED) == ("True", Reason.PUBLISHED)


def test_a_publisher_that_names_no_manifest_has_not_published() -> None:
    publisher = pod("publishing", ended=Ended(0, "Completed", "", START))
    step = decide(st.RESULTS_PUBLISHED, publisher)
    assert changed(step, st.RESULTS_PUBLISHED) == ("Unknown", Reason.PUBLISHING)
    assert step.status.publishing_attempt == 1


def test_a_publisher_may_be_repeated_thousands_of_times() -> None:
    last = pod("publishing", attempt=1999, ended=ended(75))
    gone = Findings(absent=frozenset({"algorithm-uid"}))
    attempts = {"publishing_attempt": 2000}
    early = decide(st.RESULTS_PUBLISHED, last, after=299, findings=gone, status=attempts)
    due = decide(st.RESULTS_PUBLISHED, last, after=300, findings=gone, status=attempts)
    assert (early.actions, due.actions) == ((), (CreatePod("publishing", 2000),))
    assert early.wake == START + timedelta(seconds=300)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(75, "Error", id="that asks to be repeated"),
        pytest.param(137, "OOMKilled", id="that was killed"),
        pytest.param(None, "Evicted", id="that was evicted"),
    ],
)
def test_a_loader_is_repeated(code: int | None, reason: str) -> None:
    step = decide(st.ASSETS_LOADED, pod("loading", ended=ended(code, reason)), GATED)
    assert changed(step, st.ASSETS_LOADED) == ("Unknown", Reason.LOADING)
    assert step.status.loading_attempt == 1
    assert step.actions == ()


UNBOUND = replace(CLAIM, bound=False)
FULL = Trouble("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu")
NO_VOLUME = Trouble("Unschedulable", "pod has unbound immediate PersistentVolumeClaims")
STALLED = Trouble("FailedMount", "no such share")
FINAL = Refusal("violates PodSecurity", START, final=True)
QUOTA = Refusal("exceeded quota", START, final=False)
PULL = Trouble("ImagePullBackOff", "no such image")
TAKEN = Findings(foreign=frozenset({"sum-workspace", LOADER_NAME, PUBLISHER_NAME}))


def refused(name: str, refusal: Refusal) -> Findings:
    """Note a refused creation."""
    return Findings(refused=MappingProxyType({name: refusal}))


UNPROVEN = refused(ALGORITHM_NAME, Refusal("the canary is silent", START, final=False))


@pytest.mark.parametrize(
    ("step", "type_", "reason"),
    [
        pytest.param(
            decide(st.VOLUMES_READY, claim=None, findings=TAKEN),
            st.VOLUMES_READY,
            Reason.NAME_CONFLICT,
            id="something else has the claim's name",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, LOADER, claim=replace(CLAIM, bound=False), after=300),
            st.VOLUMES_READY,
            Reason.VOLUME_CREATION_FAILED,
            id="the claim is not bound in time",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, replace(LOADER, trouble=FULL), claim=UNBOUND, after=300),
            st.VOLUMES_READY,
            Reason.UNSCHEDULABLE,
            id="no node takes the loader that the claim waits for",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, replace(LOADER, trouble=NO_VOLUME), claim=UNBOUND, after=300),
            st.VOLUMES_READY,
            Reason.VOLUME_CREATION_FAILED,
            id="the loader has no node because its claim has no volume",
        ),
        pytest.param(
            decide(
                st.VOLUMES_READY,
                LOADER,
                claim=replace(UNBOUND, trouble=Trouble("ProvisioningFailed", "no space")),
                after=300,
            ),
            st.VOLUMES_READY,
            Reason.VOLUME_CREATION_FAILED,
            id="the provisioner makes no volume",
        ),
        pytest.param(
            decide(
                st.VOLUMES_READY, claim=UNBOUND, after=300, findings=refused(LOADER_NAME, QUOTA)
            ),
            st.VOLUMES_READY,
            Reason.POD_REFUSED,
            id="the loader that the claim waits for is refused",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, claim=None, findings=refused("sum-workspace", FINAL)),
            st.VOLUMES_READY,
            Reason.VOLUME_CREATION_FAILED,
            id="the claim will never be accepted",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, GATED, findings=TAKEN),
            st.ASSETS_LOADED,
            Reason.NAME_CONFLICT,
            id="something else has the loader's name",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, findings=refused(ALGORITHM_NAME, FINAL)),
            st.ASSETS_LOADED,
            Reason.POD_REFUSED,
            id="the algorithm's pod will never be accepted",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, after=400, findings=refused(ALGORITHM_NAME, QUOTA)),
            st.ASSETS_LOADED,
            Reason.POD_REFUSED,
            id="the quota has no room past the grace",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, GATED, after=600),
            st.ASSETS_LOADED,
            Reason.DATA_PROVISIONING_FAILED,
            id="the assets are not loaded in time",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, pod("loading", ended=ended(PodExit.DATASET_FAILED)), GATED),
            st.ASSETS_LOADED,
            Reason.DATA_PROVISIONING_FAILED,
            id="a dataset cannot be loaded",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, pod("loading", ended=ended(PodExit.ALGORITHM_FAILED)), GATED),
            st.ASSETS_LOADED,
            Reason.ALGORITHM_PROVISIONING_FAILED,
            id="the algorithm cannot be loaded",
        ),
        pytest.param(
            decide(
                st.ASSETS_LOADED,
                pod("loading", attempt=MAX_ATTEMPTS - 1, ended=ended(75)),
                GATED,
                status={"loading_attempt": MAX_ATTEMPTS - 1},
            ),
            st.ASSETS_LOADED,
            Reason.DATA_PROVISIONING_FAILED,
            id="the last attempt to load fails",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, claim=replace(CLAIM, uid="other")),
            st.ASSETS_LOADED,
            Reason.WORKSPACE_LOST,
            id="the claim is another one while loading",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, RUNNING, claim=replace(CLAIM, delete_requested=START)),
            st.ALGORITHM_COMPLETED,
            Reason.WORKSPACE_LOST,
            id="the claim is deleted while the algorithm runs",
        ),
        pytest.param(
            decide(
                st.RESULTS_PUBLISHED,
                claim=None,
                findings=Findings(absent=frozenset({"claim-uid"})),
            ),
            st.RESULTS_PUBLISHED,
            Reason.WORKSPACE_LOST,
            id="the claim is gone before anything is published",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, findings=Findings(absent=frozenset({"algorithm-uid"}))),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the recorded pod is gone",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(GATED, uid="other")),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="another pod has the name of the recorded one",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, delete_requested=START), after=60),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the running pod is deleted and never ends",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RUNNING, delete_requested=START, ended=ended(143)),
            ),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the running pod is deleted and ends by it",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RUNNING, ended=ended(137, "ContainerStatusUnknown")),
            ),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the kubelet lost the container",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(None, "NodeShutdown"))),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the pod failed and says nothing of the container that ran",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(LauncherExit.LOG_EXISTS))),
            st.ALGORITHM_COMPLETED,
            Reason.ALGORITHM_LOST,
            id="the launcher refused a second start",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(LauncherExit.NETWORK_OPEN))
            ),
            st.ALGORITHM_COMPLETED,
            Reason.NETWORK_NOT_ISOLATED,
            id="the launcher found the network open",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, GATED, findings=UNPROVEN, after=400),
            st.ALGORITHM_COMPLETED,
            Reason.NETWORK_NOT_ISOLATED,
            id="the canary cannot be reached for too long",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(137, "Evicted"))),
            st.ALGORITHM_COMPLETED,
            Reason.EVICTED,
            id="the kubelet evicted the pod",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(137, "Evicted", NODE_IS_FULL))
            ),
            st.ALGORITHM_COMPLETED,
            Reason.EVICTED,
            id="the kubelet evicted the pod since its node was full",
        ),
        *(
            pytest.param(
                decide(
                    st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(code, "Evicted", message))
                ),
                st.ALGORITHM_COMPLETED,
                Reason.DISK_QUOTA_EXCEEDED,
                id=f"the kubelet evicted the pod, code {code}: {message}",
            )
            for message in POD_TOOK_TOO_MUCH
            for code in (137, 0, None)
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(LauncherExit.DISK_FULL))),
            st.ALGORITHM_COMPLETED,
            Reason.DISK_QUOTA_EXCEEDED,
            id="the algorithm failed on a full disk",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(137), disrupted=True)),
            st.ALGORITHM_COMPLETED,
            Reason.EVICTED,
            id="the pod was a target of disruption when it was killed",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(137, "OOMKilled"))),
            st.ALGORITHM_COMPLETED,
            Reason.OUT_OF_MEMORY,
            id="the algorithm used too much memory",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, RUNNING, after=1000),
            st.ALGORITHM_COMPLETED,
            Reason.DEADLINE_EXCEEDED,
            id="the algorithm runs too long",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(137, "DeadlineExceeded"))),
            st.ALGORITHM_COMPLETED,
            Reason.DEADLINE_EXCEEDED,
            id="the kubelet ended the algorithm at the pod's deadline",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RELEASED, ended=ended(None, "OutOfcpu"))),
            st.ALGORITHM_COMPLETED,
            Reason.POD_REFUSED,
            id="the kubelet refused the pod",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, RELEASED, after=400),
            st.ALGORITHM_COMPLETED,
            Reason.UNSCHEDULABLE,
            id="no node takes the pod",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RELEASED, scheduled=START, trouble=PULL),
                after=120,
            ),
            st.ALGORITHM_COMPLETED,
            Reason.IMAGE_PULL_FAILED,
            id="the image cannot be pulled past the grace",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RELEASED, scheduled=START, trouble=Trouble("InvalidImageName", "")),
            ),
            st.ALGORITHM_COMPLETED,
            Reason.IMAGE_PULL_FAILED,
            id="the image has no valid name",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RELEASED, scheduled=START, trouble=Trouble("CreateContainerError", "")),
                after=400,
            ),
            st.ALGORITHM_COMPLETED,
            Reason.POD_REFUSED,
            id="the container cannot be created",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, findings=TAKEN),
            st.RESULTS_PUBLISHED,
            Reason.NAME_CONFLICT,
            id="something else has the publisher's name",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, pod("publishing"), after=900),
            st.RESULTS_PUBLISHED,
            Reason.RESULTS_UPLOAD_FAILED,
            id="the results are not published in time",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, pod("publishing", ended=ended(75)), after=900),
            st.RESULTS_PUBLISHED,
            Reason.RESULTS_UPLOAD_FAILED,
            id="the last publisher fails past the deadline",
        ),
        pytest.param(
            decide(st.RESULTS_PUBLISHED, pod("publishing", ended=ended(83))),
            st.RESULTS_PUBLISHED,
            Reason.RESULTS_UPLOAD_FAILED,
            id="the URL of the store is none that a publisher knows",
        ),
    ],
)
def test_failures_are_recorded_before_anything_is_done(
    step: Step, type_: str, reason: Reason
) -> None:
    assert failure(step) == (type_, reason)
    assert step.actions == ()
    assert st.stage(step.status) in (st.RESULTS_PUBLISHED, st.CLEANED_UP)


def test_a_full_disk_is_told_with_its_size() -> None:
    full = replace(RUNNING, ended=ended(LauncherExit.DISK_FULL))
    condition = st.first_failure(decide(st.ALGORITHM_COMPLETED, full).status)
    assert condition is not None
    assert condition.message.endswith("it was given 1Gi for inputs and outputs")


@pytest.mark.parametrize("code", [1, 3, 128, 139, 255])
def test_a_failing_algorithm_ends_with_its_own_code(code: int) -> None:
    step = decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=ended(code)))
    assert failure(step) == (st.ALGORITHM_COMPLETED, Reason.ALGORITHM_FAILED)
    assert step.status.termination is not None
    assert step.status.termination.exit_code == code
    assert changed(step, st.RESULTS_PUBLISHED) == ("Unknown", Reason.PUBLISHING)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RELEASED, trouble=PULL, scheduled=START)),
            id="an image that cannot be pulled for a moment",
        ),
        pytest.param(
            decide(
                st.ALGORITHM_COMPLETED,
                replace(RELEASED, trouble=Trouble("Unschedulable", "no node")),
                after=399,
            ),
            id="a pod that no node takes within its grace",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, after=399, findings=refused(ALGORITHM_NAME, QUOTA)),
            id="a quota that has no room within the grace",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, replace(RUNNING, delete_requested=START), after=59),
            id="a deletion that has not ended the container yet",
        ),
    ],
)
def test_patience(step: Step) -> None:
    assert st.first_failure(step.status) is None
    assert step.wake is not None


# What keeps a job waiting is told


@pytest.mark.parametrize(
    ("step", "stage", "reason", "words"),
    [
        pytest.param(
            decide(st.VOLUMES_READY, claim=None, findings=refused("sum-workspace", QUOTA)),
            st.VOLUMES_READY,
            "VolumeCreationFailed",
            "exceeded quota",
            id="a claim that the quota has no room for",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, claim=UNBOUND, findings=refused(LOADER_NAME, QUOTA)),
            st.VOLUMES_READY,
            "PodRefused",
            "exceeded quota",
            id="a loader that the quota has no room for",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, replace(LOADER, trouble=FULL), claim=UNBOUND, after=10),
            st.VOLUMES_READY,
            "Unschedulable",
            "Insufficient cpu",
            id="a loader that no node takes",
        ),
        pytest.param(
            decide(st.VOLUMES_READY, replace(LOADER, trouble=FULL), claim=UNBOUND, after=9),
            st.VOLUMES_READY,
            "Allocating",
            "",
            id="but not in its first moments",
        ),
        pytest.param(
            decide(
                st.VOLUMES_READY,
                LOADER,
                claim=replace(UNBOUND, trouble=Trouble("ProvisioningFailed", "no space")),
            ),
            st.VOLUMES_READY,
            "ProvisioningFailed",
            "no space",
            id="a provisioner that fails",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, replace(LOADER, trouble=STALLED), GATED),
            st.ASSETS_LOADED,
            "FailedMount",
            "no such share",
            id="a mount that stalls",
        ),
        pytest.param(
            decide(st.ASSETS_LOADED, LOADER, findings=refused(ALGORITHM_NAME, QUOTA)),
            st.ASSETS_LOADED,
            "PodRefused",
            "exceeded quota",
            id="an algorithm that the quota has no room for",
        ),
        pytest.param(
            decide(
                st.RESULTS_PUBLISHED,
                findings=Findings(
                    absent=frozenset({"algorithm-uid"}),
                    refused=MappingProxyType({PUBLISHER_NAME: QUOTA}),
                ),
            ),
            st.RESULTS_PUBLISHED,
            "PodRefused",
            "exceeded quota",
            id="a publisher that the quota has no room for",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, GATED, findings=UNPROVEN),
            st.ALGORITHM_COMPLETED,
            "NetworkNotIsolated",
            "the canary is silent",
            id="a canary that cannot be reached",
        ),
        pytest.param(
            decide(st.ALGORITHM_COMPLETED, RELEASED, findings=UNPROVEN),
            st.ALGORITHM_COMPLETED,
            "Starting",
            "",
            id="not once it was reached",
        ),
    ],
)
def test_a_job_that_waits_says_for_what(step: Step, stage: str, reason: str, words: str) -> None:
    assert changed(step, stage) == ("Unknown", reason)
    condition = step.status.condition(stage)
    assert condition is not None
    assert words in condition.message


@pytest.mark.parametrize(
    ("stage", "child"),
    [(st.ASSETS_LOADED, pod("loading")), (st.RESULTS_PUBLISHED, pod("publishing"))],
)
def test_a_pod_that_starts_after_all_is_told_too(stage: str, child: Pod) -> None:
    pods = (replace(child, started=START), *((GATED,) if stage == st.ASSETS_LOADED else ()))
    job = job_at(stage)
    status = st.record(job.status, stage, "Unknown", "FailedMount", "no such share", START, 3)
    step = plan(Facts(replace(job, status=status), Children(CLAIM, pods), START))
    expected = {st.ASSETS_LOADED: Reason.LOADING, st.RESULTS_PUBLISHED: Reason.PUBLISHING}
    assert changed(step, stage) == ("Unknown", expected[stage])


ASK = ReadWarnings(LOADER_NAME, "loader-uid-0")
HEARD = Heard(START + timedelta(seconds=10), STALLED)


@pytest.mark.parametrize(
    ("loader", "heard", "after", "asked", "wake"),
    [
        pytest.param(LOADER, None, 9, False, 10, id="not at once"),
        pytest.param(LOADER, None, 10, True, 40, id="after ten seconds"),
        pytest.param(replace(LOADER, scheduled=START), None, 10, True, 40, id="on its node"),
        pytest.param(replace(LOADER, trouble=PULL), None, 10, False, 600, id="unless it is known"),
        pytest.param(replace(LOADER, trouble=STALLED), HEARD, 39, False, 40, id="not too often"),
        pytest.param(replace(LOADER, trouble=STALLED), HEARD, 40, True, 70, id="but again"),
        pytest.param(replace(LOADER, started=START), None, 99, False, 104, id="not once it runs"),
    ],
)
def test_what_only_events_tell_is_asked_for(
    loader: Pod, heard: Heard | None, after: float, asked: bool, wake: int
) -> None:
    told = {loader.uid: heard} if heard else {}
    findings = Findings(heard=MappingProxyType(told))
    step = decide(st.ASSETS_LOADED, loader, GATED, after=after, findings=findings)
    assert (ASK in step.actions) == asked
    assert step.wake == START + timedelta(seconds=wake)


def test_a_claim_that_is_not_bound_is_asked_after_too() -> None:
    step = decide(st.VOLUMES_READY, replace(LOADER, trouble=PULL), GATED, claim=UNBOUND, after=10)
    assert step.actions == (ReadWarnings("sum-workspace", "claim-uid"),)


# Progress of loading


READ = ReadProgress(LOADER_NAME, "loader-uid-0")
RUNNING_LOADER = replace(LOADER, scheduled=START, started=START)
HALF = Tally(1, 2, 15, 30)


def said(tally: Tally | None, at: float = 7) -> Findings:
    """Describe what was read of the loader's log some seconds after its start."""
    told = Told(START + timedelta(seconds=at), tally)
    return Findings(told=MappingProxyType({"loader-uid-0": told}))


@pytest.mark.parametrize(
    ("loader", "findings", "after", "asked", "wake"),
    [
        pytest.param(RUNNING_LOADER, NOTHING_FOUND, 4.9, False, 5, id="not of a short load"),
        pytest.param(RUNNING_LOADER, NOTHING_FOUND, 5, True, 10, id="after five seconds"),
        pytest.param(RUNNING_LOADER, said(HALF), 11.9, False, 12, id="not too often"),
        pytest.param(RUNNING_LOADER, said(HALF), 12, True, 17, id="but again"),
        pytest.param(RUNNING_LOADER, said(None), 36, False, 37, id="seldom where it says nothing"),
        pytest.param(RUNNING_LOADER, said(None), 37, True, 42, id="but again even then"),
        pytest.param(LOADER, NOTHING_FOUND, 9, False, 10, id="not before it runs"),
        pytest.param(
            replace(RUNNING_LOADER, delete_requested=START), NOTHING_FOUND, 9, False, 19,
            id="not of one that is going",
        ),
        pytest.param(
            RUNNING_LOADER, Findings(told=MappingProxyType({"other": Told(START, HALF)})), 5, True,
            10, id="whatever another one said",
        ),
    ],
)  # fmt: skip
def test_a_loader_that_takes_its_time_is_asked_how_far_it_is(
    loader: Pod, findings: Findings, after: float, asked: bool, wake: float
) -> None:
    step = decide(st.ASSETS_LOADED, loader, GATED, after=after, findings=findings)
    assert (READ in step.actions) == asked
    assert step.wake == START + timedelta(seconds=wake)


def test_what_the_loader_says_is_recorded_once() -> None:
    step = decide(st.ASSETS_LOADED, RUNNING_LOADER, GATED, findings=said(HALF), after=8)
    assert step.status.loading == HALF
    known = {"loading": HALF}
    again = decide(
        st.ASSETS_LOADED, RUNNING_LOADER, GATED, findings=said(HALF), after=8, status=known
    )
    before = job_at(st.ASSETS_LOADED).status
    assert again.status == replace(before, loading=HALF)


def test_what_is_known_stays_where_the_loader_says_nothing() -> None:
    step = decide(
        st.ASSETS_LOADED, RUNNING_LOADER, GATED, findings=said(None), status={"loading": HALF}
    )
    assert step.status.loading == HALF


def test_the_report_settles_how_much_was_loaded() -> None:
    done = replace(RUNNING_LOADER, ended=ended(0, message=LOADED))
    step = decide(st.ASSETS_LOADED, done, GATED, findings=said(HALF))
    assert st.is_true(step.status, st.ASSETS_LOADED)
    assert step.status.loading == Tally(2, 2, 30, 30)


def test_a_load_that_takes_too_long_says_how_far_it_came() -> None:
    step = decide(st.ASSETS_LOADED, RUNNING_LOADER, GATED, findings=said(HALF), after=600)
    assert failure(step) == (st.ASSETS_LOADED, Reason.DATA_PROVISIONING_FAILED)
    condition = step.status.condition(st.ASSETS_LOADED)
    assert condition is not None
    assert condition.message == "the assets were not loaded within 600 s: 1 of 2 files, 15 bytes"


def test_a_total_that_is_not_known_any_more_is_taken_away() -> None:
    """The status is merged into what is there, where what is left out would stay."""
    job = job_at(st.ASSETS_LOADED)
    step = decide(st.ASSETS_LOADED, RUNNING_LOADER, GATED, findings=said(Tally(0, 2, 15)))
    loading = st.as_dict(job, step.status)["loading"]
    assert loading == {"files": 0, "filesTotal": 2, "bytes": 15, "bytesTotal": None}
    body = {**job_manifest(), "status": {"loading": {**loading, "bytesTotal": 7}}}
    meta = {"uid": "u", "resourceVersion": "1", "creationTimestamp": START.isoformat()}
    parsed = parse_job({**body, "metadata": {**body["metadata"], **meta}})
    assert parsed.status.loading == Tally(0, 2, 15, 7)


# Stop, suspension, end


@pytest.mark.parametrize(
    ("stage", "pods", "next_"),
    [
        pytest.param(st.ADMITTED, (), st.CLEANED_UP, id="while queued"),
        pytest.param(st.VOLUMES_READY, (LOADER, GATED), st.CLEANED_UP, id="while allocating"),
        pytest.param(st.ASSETS_LOADED, (LOADER, GATED), st.RESULTS_PUBLISHED, id="while loading"),
        pytest.param(st.ALGORITHM_COMPLETED, (GATED,), st.RESULTS_PUBLISHED, id="while gated"),
        pytest.param(st.ALGORITHM_COMPLETED, (RUNNING,), st.RESULTS_PUBLISHED, id="while running"),
        pytest.param(st.ALGORITHM_COMPLETED, (), st.RESULTS_PUBLISHED, id="with no pod in sight"),
    ],
)
def test_stop(stage: str, pods: tuple[Pod, ...], next_: str) -> None:
    step = decide(stage, *pods, stop={"reason": "Requested"})
    assert failure(step) == (stage, Reason.STOPPED)
    assert (st.stage(step.status), step.actions) == (next_, ())


def test_a_stop_comes_too_late_for_an_algorithm_that_has_ended() -> None:
    step = decide(st.ALGORITHM_COMPLETED, replace(RUNNING, ended=OK), stop={"reason": "Requested"})
    assert changed(step, st.ALGORITHM_COMPLETED) == ("True", Reason.EXITED_WITH_ZERO)


def test_a_stop_does_not_disturb_publishing() -> None:
    step = decide(st.RESULTS_PUBLISHED, pod("publishing"), stop={"reason": "Requested"})
    assert changed(step, st.RESULTS_PUBLISHED) == ("Unknown", Reason.PUBLISHING)


def test_suspension_does_not_touch_a_running_algorithm() -> None:
    step = decide(st.ALGORITHM_COMPLETED, RUNNING, suspend=True)
    assert changed(step, st.ALGORITHM_COMPLETED) == ("Unknown", Reason.RUNNING)
    assert step.actions == ()


@pytest.mark.parametrize("stage", [st.VOLUMES_READY, st.ASSETS_LOADED, st.ALGORITHM_COMPLETED])
def test_deadlines_count_anew_from_the_end_of_a_suspension(stage: str) -> None:
    held = job_at(stage)
    status = st.record(held.status, stage, "Unknown", Reason.SUSPENDED, "", START, 3)
    now = START + timedelta(seconds=5000)
    unbound = replace(CLAIM, bound=False) if stage == st.VOLUMES_READY else CLAIM
    facts = Facts(replace(held, status=status), Children(unbound, (LOADER, GATED)), now)
    step = plan(facts)
    assert st.first_failure(step.status) is None
    assert step.status.resume_time == now
    assert step.wake is not None
    assert step.wake > now


def test_the_job_is_final_when_everything_is_gone() -> None:
    step = decide(st.CLEANED_UP, claim=None)
    assert changed(step, st.CLEANED_UP) == ("True", Reason.NOTHING_LEFT)
    assert changed(step, st.COMPLETE) == ("True", Reason.SUCCEEDED)
    assert changed(step, st.FAILED) == ("False", Reason.SUCCEEDED)
    assert step.status.completion_time == START + timedelta(seconds=1)


def test_a_clean_up_that_is_stuck_ends_the_job_and_goes_on() -> None:
    step = decide(st.CLEANED_UP, after=DEADLINES["cleanup"])
    assert changed(step, st.CLEANED_UP) == ("False", Reason.CLEANUP_STUCK)
    assert changed(step, st.COMPLETE) == ("True", Reason.SUCCEEDED)
    claim = Delete("PersistentVolumeClaim", "sum-workspace", "claim-uid")
    assert step.actions == (claim,)
    later = plan(Facts(replace(job_at(st.CLEANED_UP), status=step.status), Children(CLAIM), START))
    assert later.actions == (claim,)
    assert later.wake is not None


def _finished(**spec: Any) -> ComputeJob:
    job = job_at(st.CLEANED_UP, **spec)
    return replace(job, status=plan(Facts(job, Children(), START)).status)


def test_a_finished_job_lives_until_its_time_is_over() -> None:
    job = _finished(ttlSecondsAfterFinished=60)
    end = START + timedelta(seconds=60)
    waiting = plan(Facts(job, Children(), START))
    assert waiting == Step(job.status, (), end)
    assert plan(Facts(job, Children(), end)).actions == (DeleteJob(),)


def test_a_finished_job_is_left_alone() -> None:
    job = _finished()
    assert plan(Facts(job, Children(), START + timedelta(days=9))) == Step(job.status)


def test_what_turns_up_after_the_end_is_deleted() -> None:
    job = _finished()
    step = plan(Facts(job, Children(pods=(GATED,)), START))
    assert step.actions == (Delete("Pod", ALGORITHM_NAME, "algorithm-uid"),)
    assert step.status == job.status


@pytest.mark.parametrize("stage", st.STEPS)
def test_a_pass_that_changes_nothing_writes_nothing(stage: str) -> None:
    """A status that was just recorded is not recorded again while nothing happens."""
    pods = {
        st.VOLUMES_READY: (LOADER, GATED),
        st.ASSETS_LOADED: (LOADER, GATED),
        st.ALGORITHM_COMPLETED: (GATED,),
        st.RESULTS_PUBLISHED: (pod("publishing"),),
    }.get(stage, ())
    claim = replace(CLAIM, bound=False) if stage == st.VOLUMES_READY else CLAIM
    job = job_at(stage)
    now: datetime = START + timedelta(seconds=1)
    first = plan(Facts(job, Children(claim, pods), now, ENVIRONMENT))
    job = replace(job, status=first.status)
    second = plan(Facts(job, Children(claim, pods), now + timedelta(seconds=1), ENVIRONMENT))
    assert second.status == first.status


def test_a_report_of_the_loader_is_told() -> None:
    message = Report(message="numbers: 404").encode()
    loader = pod("loading", ended=ended(PodExit.DATASET_FAILED, message=message))
    condition = decide(st.ASSETS_LOADED, loader, GATED).status.condition(st.ASSETS_LOADED)
    assert condition is not None
    assert condition.message == "numbers: 404"
