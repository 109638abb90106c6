"""The children of a job, its claim and its pods, as slim as decisions need them.

A phase has ended when its container's terminated status is seen, not when the pod says so: that
is a second later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from c2d_api.computejob import ATTEMPT_LABEL, JOB_LABEL, JOB_UID_LABEL, KIND, PHASE_LABEL
from c2d_api.progress import Tally
from c2d_api.times import parse_time

Json = Mapping[str, Any]
Phase = Literal["loading", "algorithm", "publishing"]
ChildKind = Literal["Pod", "PersistentVolumeClaim"]
NamedKind = Literal["Secret", "PersistentVolumeClaim"]

GATE = "computetodata.io/inputs"
_HEALTHY_WAITS = frozenset({"ContainerCreating", "PodInitializing"})
POD_NAMES: Mapping[str, str] = {
    "loading": "loader",
    "algorithm": "algorithm",
    "publishing": "publisher",
}


def claim_name(job: str) -> str:
    """Name the claim of a job."""
    return f"{job}-workspace"


def pod_name(job: str, phase: Phase, attempt: int = 0) -> str:
    """Name a pod of a job; the algorithm's has one name, without attempts."""
    name = f"{job}-{POD_NAMES[phase]}"
    return name if phase == "algorithm" else f"{name}-{attempt}"


@dataclass(frozen=True)
class Ended:
    """How a container ended; `code` is None where the kubelet reported no container at all."""

    code: int | None
    reason: str
    message: str
    finished: datetime | None


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not start: a reason of the kubelet or the scheduler, and its words."""

    reason: str
    message: str


@dataclass(frozen=True)
class Heard:
    """What the events about a child told when they were asked for: its latest warning, if any."""

    at: datetime
    trouble: Trouble | None


@dataclass(frozen=True)
class Told:
    """How far a pod said that it has come when its log was read; None where it did not say."""

    at: datetime
    tally: Tally | None


@dataclass(frozen=True)
class Pod:
    """A pod of a job; times are those of the API server and the kubelet."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    job: str
    job_uid: str
    phase: str
    attempt: int
    created: datetime
    gated: bool = False
    delete_requested: datetime | None = None
    scheduled: datetime | None = None
    started: datetime | None = None
    ended: Ended | None = None
    trouble: Trouble | None = None
    disrupted: bool = False

    @property
    def deleting(self) -> bool:
        """Say whether somebody has asked for its deletion."""
        return self.delete_requested is not None


@dataclass(frozen=True)
class Claim:
    """The workspace claim of a job."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    job: str
    job_uid: str
    created: datetime
    bound: bool = False
    lost: bool = False
    delete_requested: datetime | None = None
    trouble: Trouble | None = None

    @property
    def deleting(self) -> bool:
        """Say whether somebody has asked for its deletion."""
        return self.delete_requested is not None


@dataclass(frozen=True)
class Refusal:
    """The API server would not create a child; `final` where asking again cannot help."""

    message: str
    at: datetime
    final: bool


@dataclass(frozen=True)
class Named:
    """A Secret or a claim of the job's namespace that the job names."""

    kind: NamedKind
    name: str


@dataclass(frozen=True)
class Offer:
    """Whether what a job names was offered to jobs when it was asked for; "" if nothing hinders."""

    at: datetime
    hindrance: str = ""


@dataclass(frozen=True)
class Findings:
    """What live reads and refused creations told about a job's children, and what it names.

    `absent`, `heard` and `told` go by uid, `foreign` and `refused` by name.
    """

    absent: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    refused: Mapping[str, Refusal] = field(default_factory=lambda: MappingProxyType({}))
    heard: Mapping[str, Heard] = field(default_factory=lambda: MappingProxyType({}))
    told: Mapping[str, Told] = field(default_factory=lambda: MappingProxyType({}))
    offers: Mapping[Named, Offer] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Children:
    """All that is known of a job's children."""

    claim: Claim | None = None
    pods: tuple[Pod, ...] = ()
    findings: Findings = Findings()

    def pod(self, phase: Phase, attempt: int = 0) -> Pod | None:
        """Find the pod of a phase and attempt."""
        return next((p for p in self.pods if p.phase == phase and p.attempt == attempt), None)

    def pods_of(self, *phases: Phase) -> Iterable[Pod]:
        """List the pods of these phases."""
        return (pod for pod in self.pods if pod.phase in phases)

    @property
    def algorithm(self) -> Pod | None:
        """The algorithm's pod."""
        return self.pod("algorithm")


def with_warning(child: Pod | Claim, heard: Heard | None) -> Pod | Claim:
    """Give a child that is not ready the trouble that only events tell of."""
    ready = child.bound if isinstance(child, Claim) else bool(child.started or child.ended)
    if heard is None or child.trouble or ready:
        return child
    return replace(child, trouble=heard.trouble)


def parse_warning(events: Iterable[Json]) -> Trouble | None:
    """Pick the latest of some warnings."""
    latest = max(events, key=_moment, default=None)
    return Trouble(latest.get("reason", ""), latest.get("message", "")) if latest else None


def _moment(event: Json) -> datetime:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    told = next((time for time in times if time), event["metadata"]["creationTimestamp"])
    return parse_time(told)


def owner_uid(meta: Json) -> str | None:
    """Find the uid of the ComputeJob that controls an object."""
    for owner in meta.get("ownerReferences", ()):
        if owner.get("controller") and owner["kind"] == KIND:
            return str(owner["uid"])
    return None


def parse_pod(body: Json) -> Pod:
    """Turn the body of a pod into what decisions need of it."""
    meta, status = body["metadata"], body.get("status") or {}
    labels = meta.get("labels", {})
    own = POD_NAMES.get(labels.get(PHASE_LABEL, ""))
    containers = (c for c in status.get("containerStatuses", ()) if c["name"] == own)
    container: Json = next(containers, {})
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    scheduled = conditions.get("PodScheduled", {})
    return Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=int(meta["resourceVersion"]),
        job=labels.get(JOB_LABEL, ""),
        job_uid=owner_uid(meta) or labels.get(JOB_UID_LABEL, ""),
        phase=labels.get(PHASE_LABEL, ""),
        attempt=int(labels.get(ATTEMPT_LABEL, "0")),
        created=parse_time(meta["creationTimestamp"]),
        gated=any(gate["name"] == GATE for gate in body["spec"].get("schedulingGates", ())),
        delete_requested=_delete_requested(meta),
        scheduled=_time(scheduled, "lastTransitionTime", when=scheduled.get("status") == "True"),
        started=_started(container.get("state") or {}),
        ended=_ended(status, container),
        trouble=_trouble(container, scheduled),
        disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True",
    )


def parse_claim(body: Json) -> Claim:
    """Turn the body of a claim into what decisions need of it."""
    meta = body["metadata"]
    phase = (body.get("status") or {}).get("phase")
    return Claim(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=int(meta["resourceVersion"]),
        job=meta.get("labels", {}).get(JOB_LABEL, ""),
        job_uid=owner_uid(meta) or meta.get("labels", {}).get(JOB_UID_LABEL, ""),
        created=parse_time(meta["creationTimestamp"]),
        bound=phase == "Bound",
        lost=phase == "Lost",
        delete_requested=_delete_requested(meta),
    )


def _time(body: Json, key: str, *, when: bool = True) -> datetime | None:
    return parse_time(body[key]) if when and body.get(key) else None


def _delete_requested(meta: Json) -> datetime | None:
    due = meta.get("deletionTimestamp")
    if not due:
        return None
    return parse_time(due) - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)


def _started(state: Json) -> datetime | None:
    return _time(state.get("running") or state.get("terminated") or {}, "startedAt")


def _ended(status: Json, container: Json) -> Ended | None:
    terminated = (container.get("state") or {}).get("terminated")
    pod_reason = status.get("reason", "")
    if terminated:
        own, verdict = terminated.get("message", ""), status.get("message", "").strip()
        if pod_reason and container["name"] == POD_NAMES["algorithm"]:
            own = ""  # anything may stand in it, also what the kubelet would say
        return Ended(
            code=terminated["exitCode"],
            reason=pod_reason or terminated.get("reason", ""),
            message=own or verdict,
            finished=_time(terminated, "finishedAt"),
        )
    if status.get("phase") in ("Failed", "Succeeded"):
        return Ended(None, pod_reason, status.get("message", ""), None)
    return None


def _trouble(container: Json, scheduled: Json) -> Trouble | None:
    waiting = (container.get("state") or {}).get("waiting")
    if waiting and waiting.get("reason") not in _HEALTHY_WAITS:
        reason = waiting.get("reason", "Waiting")
        # the kubelet goes to and fro between the two; a condition must not
        steady = "ImagePullBackOff" if reason == "ErrImagePull" else reason
        return Trouble(steady, waiting.get("message", ""))
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Trouble("Unschedulable", scheduled.get("message", ""))
    return None
