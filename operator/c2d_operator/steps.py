"""What a pass decides on and what it decides: facts in, a step out, both plain data.

Every action names the uid it means, so that carrying it out twice, or late, harms nobody.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from c2d_api.computeenvironment import Environment, Terms
from c2d_api.computejob import ComputeJob, ConditionStatus, Status
from c2d_api.tasks import NO_GATEWAYS, Gateways
from c2d_operator import status as st
from c2d_operator.children import (
    ChildKind,
    Children,
    Claim,
    Named,
    Phase,
    Pod,
    Trouble,
    claim_name,
)
from c2d_operator.status import Reason

LOOK_AGAIN = timedelta(seconds=10)
ASK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True)
class CreateClaim:
    """Create the workspace claim."""


@dataclass(frozen=True)
class CreatePod:
    """Create the pod of a phase."""

    phase: Phase
    attempt: int = 0


@dataclass(frozen=True)
class Delete:
    """Delete this child and no other of its name.

    `at_once` does not wait for the kubelet, which takes two seconds to say that it is done with a
    pod; it is for pods whose container was seen to have ended.
    """

    kind: ChildKind
    name: str
    uid: str
    at_once: bool = False


@dataclass(frozen=True)
class Release:
    """Remove the scheduling gate of the algorithm's pod, after a live look at job and pod."""

    name: str
    uid: str


@dataclass(frozen=True)
class LookUp:
    """Ask the API server whether this child still exists; an error is no answer."""

    kind: ChildKind
    name: str
    uid: str


@dataclass(frozen=True)
class ReadWarnings:
    """Ask what the cluster's events say about a child that does not get ready."""

    name: str
    uid: str


@dataclass(frozen=True)
class ReadProgress:
    """Read in the end of a pod's log how far it has come; not to learn it is no trouble."""

    name: str
    uid: str


@dataclass(frozen=True)
class AskOffer:
    """Ask whether a Secret or claim that the job names is offered to jobs, not what it holds."""

    named: Named


@dataclass(frozen=True)
class DeleteJob:
    """Delete the ComputeJob, whose time to live is over."""


Action = (
    CreateClaim
    | CreatePod
    | Delete
    | Release
    | LookUp
    | ReadWarnings
    | ReadProgress
    | AskOffer
    | DeleteJob
)


@dataclass(frozen=True)
class Facts:
    """What one pass sees; `provider_url` is "" where there is no provider, gateways likewise."""

    job: ComputeJob
    children: Children
    now: datetime
    environment: Environment | None = None
    granted: bool = False
    provider_url: str = ""
    gateways: Gateways = NO_GATEWAYS

    @property
    def status(self) -> Status:
        """What is recorded."""
        return self.job.status

    @property
    def terms(self) -> Terms:
        """What the job took from its environment."""
        if self.job.status.environment is None:
            raise LookupError("an admitted job has recorded its environment")
        return self.job.status.environment

    def record(self, type_: str, value: ConditionStatus, reason: str, message: str = "") -> "Facts":
        """Return these facts with one condition set."""
        return self.with_status(
            st.record(self.status, type_, value, reason, message, self.now, self.job.generation)
        )

    def with_status(self, status: Status) -> "Facts":
        """Return these facts with another status."""
        return replace(self, job=replace(self.job, status=status))

    def waiting(self, type_: str, reason: str, message: str = "") -> "Facts":
        """Say what an undecided step waits for; words alone are not worth a write."""
        condition = self.status.condition(type_)
        if condition is not None and condition.reason == reason:
            return self
        return self.record(type_, "Unknown", reason, message)

    def base(self, type_: str) -> datetime:
        """Tell when the wait that follows this condition began; suspension starts it anew."""
        began = st.since(self.status, type_)
        resumed = self.status.resume_time
        return max(began, resumed) if resumed else began


@dataclass(frozen=True)
class Step:
    """What a pass decided: the status to record, what to do, when to look again."""

    status: Status
    actions: tuple[Action, ...] = ()
    wake: datetime | None = None


def fail(facts: Facts, reason: Reason, message: str) -> Step:
    """End the work of a job: its step failed, later ones are not reached.

    Publishing follows where there is a workspace to publish from, clean-up in any case.
    """
    failed = st.stage(facts.status)
    if failed is None:
        raise LookupError("a job whose steps are all decided cannot fail any more")
    facts = facts.record(failed, "False", reason, message)
    for type_ in st.WORK[st.STEPS.index(failed) + 1 :] if failed in st.WORK else ():
        facts = facts.record(type_, "False", Reason.NOT_REACHED)
    if failed == st.RESULTS_PUBLISHED:
        return Step(facts.waiting(st.CLEANED_UP, Reason.CLEANING_UP).status)
    if st.is_true(facts.status, st.VOLUMES_READY) and reason != Reason.WORKSPACE_LOST:
        return Step(facts.waiting(st.RESULTS_PUBLISHED, Reason.PUBLISHING).status)
    facts = facts.record(st.RESULTS_PUBLISHED, "False", Reason.NOT_REACHED)
    return Step(facts.waiting(st.CLEANED_UP, Reason.CLEANING_UP).status)


def delete(child: Pod | Claim) -> tuple[Delete | LookUp, ...]:
    """Delete a child; of one that is being deleted ask later whether it is gone."""
    kind: ChildKind = "Pod" if isinstance(child, Pod) else "PersistentVolumeClaim"
    if child.deleting:
        return ()
    has_ended = isinstance(child, Pod) and child.ended is not None and child.ended.code is not None
    return (Delete(kind, child.name, child.uid, at_once=has_ended),)


def overdue(child: Pod | Claim, now: datetime) -> tuple[LookUp, ...]:
    """Look up a child that is being deleted for a while: its last event may have been missed."""
    if child.delete_requested is None or now < child.delete_requested + LOOK_AGAIN:
        return ()
    kind: ChildKind = "Pod" if isinstance(child, Pod) else "PersistentVolumeClaim"
    return (LookUp(kind, child.name, child.uid),)


def ask_why(facts: Facts) -> tuple[tuple[ReadWarnings, ...], datetime | None]:
    """Ask after children that do not get ready, and tell when to ask the next time.

    Mounts that stall and provisioners that fail are told of by events alone.
    """
    questions, wakes = [], []
    claim = facts.children.claim
    for child in (*facts.children.pods, *((claim,) if claim else ())):
        heard = facts.children.findings.heard.get(child.uid)
        since = _waits_since(child)
        if since is None:
            continue
        due = max(since + LOOK_AGAIN, heard.at + ASK_AGAIN) if heard else since + LOOK_AGAIN
        if facts.now < due:
            wakes.append(due)
        elif heard or not child.trouble:
            questions.append(ReadWarnings(child.name, child.uid))
            wakes.append(facts.now + ASK_AGAIN)
    return tuple(questions), earliest(*wakes)


def _waits_since(child: Pod | Claim) -> datetime | None:
    if child.deleting:
        return None
    if isinstance(child, Claim):
        return None if child.bound or child.lost else child.created
    if child.gated or child.started or child.ended:
        return None
    return child.scheduled or child.created


def hindrance(facts: Facts, *names: str) -> Trouble | None:
    """Find what keeps these pods from starting: a refused creation, else the cluster's words.

    A pod that was created just now may be unschedulable for a moment; that is not worth a word.
    """
    for name in names:
        refusal = facts.children.findings.refused.get(name)
        if refusal:
            return Trouble(Reason.POD_REFUSED, f"the pod {name}: {refusal.message}")
    for pod in facts.children.pods:
        settled = facts.now >= pod.created + LOOK_AGAIN
        if pod.name in names and pod.trouble and (settled or not is_unschedulable(pod.trouble)):
            return pod.trouble
    return None


def is_unschedulable(trouble: Trouble) -> bool:
    """Say whether it is the scheduler that finds no place for a pod."""
    return trouble.reason == Reason.UNSCHEDULABLE


def earliest(*moments: datetime | None) -> datetime | None:
    """Return the first of some moments."""
    return min((moment for moment in moments if moment is not None), default=None)


def workspace_lost(facts: Facts) -> str | None:
    """Say how the recorded claim was lost, if it was."""
    claim, recorded = facts.children.claim, facts.status.claim_uid
    if claim is None:
        gone = recorded in facts.children.findings.absent
        return "the claim with the job's data was deleted" if gone else None
    if claim.uid != recorded:
        return "the claim with the job's data was replaced by another one"
    if claim.deleting:
        return "the claim with the job's data is being deleted"
    return "the volume with the job's data is gone" if claim.lost else None


def look_for_workspace(facts: Facts) -> tuple[LookUp, ...]:
    """Ask for a recorded claim that no event has shown."""
    recorded = facts.status.claim_uid
    if facts.children.claim is not None or recorded is None:
        return ()
    return (LookUp("PersistentVolumeClaim", claim_name(facts.job.name), recorded),)
