"""Algorithm: the gate is removed once, and the one run is watched to its end."""

from dataclasses import replace
from datetime import datetime, timedelta

from c2d_api.computejob import Termination
from c2d_api.exits import LauncherExit
from c2d_operator import status as st
from c2d_operator.children import Ended, Pod, Trouble, pod_name
from c2d_operator.status import Reason
from c2d_operator.steps import (
    LOOK_AGAIN,
    Action,
    Facts,
    LookUp,
    Release,
    Step,
    delete,
    earliest,
    fail,
    look_for_workspace,
    overdue,
    workspace_lost,
)

PULL_GRACE = timedelta(seconds=120)
DELETION_GRACE = timedelta(seconds=60)
_BAD_NAMES = frozenset({"InvalidImageName"})
_PULL_TROUBLES = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", *_BAD_NAMES}
)
_OWN_EVICTIONS = (
    "Pod ephemeral local storage usage exceeds",
    "Usage of EmptyDir volume",
    "Container algorithm exceeded its local ephemeral storage limit",
)
"""How the kubelet begins to say that a pod took more of its node's disk than it was given."""


def advance(facts: Facts) -> Step:
    """Release the recorded pod, note its start, and decide by its end."""
    lost = workspace_lost(facts)
    if lost:
        return fail(facts, Reason.WORKSPACE_LOST, lost)
    pod, recorded = facts.children.algorithm, facts.status.algorithm_uid
    if recorded in facts.children.findings.absent or (pod is not None and pod.uid != recorded):
        return fail(facts, Reason.ALGORITHM_LOST, "the algorithm's pod was deleted")
    if pod is not None and pod.ended is not None:
        return _ended(facts, pod, pod.ended)
    if facts.job.spec.stop:
        return stop(facts)
    return _watch(facts, pod)


def _watch(facts: Facts, pod: Pod | None) -> Step:
    if pod is None:
        name, recorded = pod_name(facts.job.name, "algorithm"), facts.status.algorithm_uid or ""
        look = LookUp("Pod", name, recorded)
        return Step(facts.status, (look,), facts.now + LOOK_AGAIN)
    step = _waiting(facts, pod) if pod.started is None else _running(facts, pod, pod.started)
    if st.stage(step.status) != st.ALGORITHM_COMPLETED:
        return step
    loaders = [
        action
        for loader in facts.children.pods_of("loading")
        for action in (*delete(loader), *overdue(loader, facts.now))
    ]
    look_for = look_for_workspace(facts)
    return Step(step.status, (*step.actions, *loaders, *look_for), step.wake)


def stop(facts: Facts) -> Step:
    """End a job because somebody asked for it."""
    who = {
        "Requested": "its consumer",
        "AdminRequested": "an admin",
        "OrderRemoved": "the provider, since the chain no longer has its order",
    }[facts.job.spec.stop or "Requested"]
    return fail(facts, Reason.STOPPED, f"the job was stopped by {who}")


def _waiting(facts: Facts, pod: Pod) -> Step:
    """Wait for the container to start; trouble is told at once and ends the job past its grace."""
    if pod.deleting:
        return _deleted(facts, pod)
    if facts.job.spec.suspend and pod.gated:
        facts = facts.waiting(st.ALGORITHM_COMPLETED, Reason.SUSPENDED, "spec.suspend is set")
        return Step(facts.status)
    condition = facts.status.condition(st.ALGORITHM_COMPLETED)
    if condition is not None and condition.reason == Reason.SUSPENDED:
        facts = facts.record(st.ALGORITHM_COMPLETED, "Unknown", Reason.STARTING)
        facts = facts.with_status(replace(facts.status, resume_time=facts.now))
    grace = timedelta(seconds=facts.terms.deadlines.starting)
    deadline = facts.base(st.ASSETS_LOADED) + grace
    if pod.trouble and pod.trouble.reason in _PULL_TROUBLES:
        bad_name = pod.trouble.reason in _BAD_NAMES
        pull_deadline = (pod.scheduled or pod.created) + min(grace, PULL_GRACE)
        deadline = facts.now if bad_name else min(deadline, pull_deadline)
    if facts.now >= deadline:
        return _never_started(facts, pod)
    loaders_ended = all(loader.ended for loader in facts.children.pods_of("loading"))
    actions: tuple[Action, ...] = ()
    if pod.gated and loaders_ended:
        actions = (Release(pod.name, pod.uid),)
    return Step(_told(facts, pod).status, actions, deadline)


def _told(facts: Facts, pod: Pod) -> Facts:
    """Say what keeps a pod from starting."""
    unproven = _unproven(facts, pod)
    if unproven:
        return facts.waiting(st.ALGORITHM_COMPLETED, Reason.NETWORK_NOT_ISOLATED, unproven)
    if pod.trouble:
        return facts.waiting(st.ALGORITHM_COMPLETED, pod.trouble.reason, pod.trouble.message)
    return facts


def _unproven(facts: Facts, pod: Pod) -> str | None:
    """Say why a pod is still gated: what would prove that its network is closed is not there."""
    refusal = facts.children.findings.refused.get(pod.name)
    return refusal.message if refusal and pod.gated else None


def _never_started(facts: Facts, pod: Pod) -> Step:
    trouble = pod.trouble or Trouble("", "")
    if trouble.reason in _PULL_TROUBLES:
        image = facts.job.spec.algorithm.container.reference
        return fail(facts, Reason.IMAGE_PULL_FAILED, f"{image} cannot be pulled: {trouble.message}")
    if pod.scheduled is None and not pod.gated:
        return fail(facts, Reason.UNSCHEDULABLE, trouble.message or "no node takes the pod")
    unproven = _unproven(facts, pod)
    if unproven:
        return fail(facts, Reason.NETWORK_NOT_ISOLATED, unproven)
    words = f"{trouble.reason}: {trouble.message}" if pod.trouble else "no reason was given"
    return fail(
        facts,
        Reason.POD_REFUSED,
        f"the container did not start within {facts.terms.deadlines.starting} s: {words}",
    )


def _running(facts: Facts, pod: Pod, started: datetime) -> Step:
    deadline = started + timedelta(seconds=facts.terms.max_duration)
    if facts.status.algorithm_started is None:
        facts = facts.record(st.ALGORITHM_COMPLETED, "Unknown", Reason.RUNNING)
        facts = facts.with_status(replace(facts.status, algorithm_started=started))
    if facts.now >= deadline:
        return _too_long(facts)
    if pod.deleting:
        return _deleted(facts, pod)
    return Step(facts.status, (), deadline)


def _too_long(facts: Facts) -> Step:
    return fail(
        facts,
        Reason.DEADLINE_EXCEEDED,
        f"the algorithm ran longer than the {facts.terms.max_duration} s it was given",
    )


def _deleted(facts: Facts, pod: Pod) -> Step:
    """Wait for the end of a pod that somebody else deletes, but not for ever."""
    due = (pod.delete_requested or facts.now) + DELETION_GRACE
    if facts.now >= due:
        return _taken(facts, pod)
    wake = earliest(due, facts.now + LOOK_AGAIN)
    return Step(facts.status, overdue(pod, facts.now), wake)


def _taken(facts: Facts, pod: Pod) -> Step:
    if pod.disrupted:
        return fail(facts, Reason.EVICTED, "the cluster took the algorithm's pod from its node")
    return fail(facts, Reason.ALGORITHM_LOST, "the algorithm's pod was deleted while it ran")


def _ended(facts: Facts, pod: Pod, ended: Ended) -> Step:
    if pod.started and facts.status.algorithm_started is None:
        facts = facts.with_status(replace(facts.status, algorithm_started=pod.started))
    if ended.code is None or _was_cut_short(pod, ended):
        return _interrupted(facts, pod, ended)
    oom = ended.reason == "OOMKilled"
    termination = Termination(ended.code, oom)
    facts = facts.with_status(replace(facts.status, termination=termination))
    if ended.code == 0:
        facts = facts.record(
            st.ALGORITHM_COMPLETED, "True", Reason.EXITED_WITH_ZERO, "the algorithm is done"
        )
        return Step(facts.waiting(st.RESULTS_PUBLISHED, Reason.PUBLISHING).status)
    return fail(facts, *_judge(facts, ended, ended.code, oom=oom))


def _was_cut_short(pod: Pod, ended: Ended) -> bool:
    """Say whether the cluster or somebody in it ended the container, and not the algorithm."""
    if ended.reason in ("Evicted", "DeadlineExceeded", "ContainerStatusUnknown"):
        return True
    if pod.disrupted and ended.code != 0:
        return True
    return _ended_by_deletion(pod, ended)


def _ended_by_deletion(pod: Pod, ended: Ended) -> bool:
    requested, finished = pod.delete_requested, ended.finished
    return requested is not None and (finished is None or finished >= requested)


def _interrupted(facts: Facts, pod: Pod, ended: Ended) -> Step:
    if ended.reason == "Evicted":
        return _evicted(facts, ended)
    if ended.reason == "DeadlineExceeded":
        return _too_long(facts)
    if _ended_by_deletion(pod, ended):
        return stop(facts) if facts.job.spec.stop else _taken(facts, pod)
    if pod.disrupted:
        return _taken(facts, pod)
    if pod.started or facts.status.algorithm_started or ended.code is not None:
        return fail(facts, Reason.ALGORITHM_LOST, "the node lost the algorithm's container")
    message = f"{ended.reason}: {ended.message}" if ended.reason else ended.message
    return fail(facts, Reason.POD_REFUSED, message or "the kubelet refused the pod")


def _evicted(facts: Facts, ended: Ended) -> Step:
    """Tell a pod that filled its node's disk from one that had to give way to others."""
    if ended.message.startswith(_OWN_EVICTIONS):
        return fail(facts, Reason.DISK_QUOTA_EXCEEDED, ended.message)
    return fail(facts, Reason.EVICTED, ended.message or "the kubelet evicted the pod")


def _judge(facts: Facts, ended: Ended, code: int, *, oom: bool) -> tuple[Reason, str]:
    given = facts.terms.resources
    if oom:
        return Reason.OUT_OF_MEMORY, f"the algorithm used more than its {given.memory} of memory"
    by_launcher = _said_by_launcher(code, given.disk)
    if by_launcher:
        return by_launcher
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return Reason.ALGORITHM_FAILED, f"the container could not be run: {ended.message}"
    signal = f", by signal {code - 128}" if 128 < code < 160 else ""  # noqa: PLR2004 - 128 + n is the shell's rule
    return Reason.ALGORITHM_FAILED, f"the algorithm ended with exit code {code}{signal}"


def _said_by_launcher(code: int, disk: str) -> tuple[Reason, str] | None:
    """Read a code of the launcher, which an algorithm may return as well."""
    match code:
        case LauncherExit.LOG_EXISTS:
            words = "the container was started twice; the second was refused"
            return Reason.ALGORITHM_LOST, words
        case LauncherExit.BROKEN:
            return Reason.ALGORITHM_FAILED, "the algorithm could not be started (code 222)"
        case LauncherExit.NETWORK_OPEN:
            return Reason.NETWORK_NOT_ISOLATED, (
                "the algorithm was not started, since its network is not closed: does anything"
                " enforce NetworkPolicies here?"
            )
        case LauncherExit.DISK_FULL:
            return Reason.DISK_QUOTA_EXCEEDED, (
                f"the algorithm failed on a full disk: it was given {disk} for inputs and outputs"
            )
        case _:
            return None
