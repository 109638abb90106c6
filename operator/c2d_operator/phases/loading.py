"""Loading: the loader fills the workspace while the algorithm's pod waits behind its gate."""

from dataclasses import replace
from datetime import datetime, timedelta

from c2d_api.computejob import Status
from c2d_api.exits import PodExit, Report, decode_report
from c2d_api.progress import Tally
from c2d_operator import offers
from c2d_operator import status as st
from c2d_operator.children import Ended, Phase, Pod, pod_name
from c2d_operator.status import Reason
from c2d_operator.steps import (
    LOOK_AGAIN,
    Action,
    CreatePod,
    Facts,
    ReadProgress,
    Step,
    delete,
    earliest,
    fail,
    hindrance,
    look_for_workspace,
    overdue,
    workspace_lost,
)

MAX_ATTEMPTS = 5
REFUSAL_PAUSE = timedelta(seconds=5)
PROGRESS_PAUSE = timedelta(seconds=5)
SILENCE_PAUSE = timedelta(seconds=30)
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0
_FAILURES = {
    PodExit.DATASET_FAILED: Reason.DATA_PROVISIONING_FAILED,
    PodExit.ALGORITHM_FAILED: Reason.ALGORITHM_PROVISIONING_FAILED,
}


def advance(facts: Facts) -> Step:
    """Wait for the loader; record the algorithm's pod together with the loaded assets."""
    lost = workspace_lost(facts)
    if lost:
        return fail(facts, Reason.WORKSPACE_LOST, lost)
    if facts.job.spec.suspend and facts.status.algorithm_uid is None:
        return suspend(facts, st.ASSETS_LOADED)
    facts = resume(facts, st.ASSETS_LOADED, Reason.LOADING)
    facts = tell(facts, st.ASSETS_LOADED)
    facts = _told(facts)
    loader = facts.children.pod("loading", facts.status.loading_attempt)
    if loader is not None and loader.ended is not None:
        return _ended(facts, loader.ended)
    deadline = facts.base(st.VOLUMES_READY) + timedelta(seconds=facts.terms.deadlines.loading)
    if facts.now >= deadline:
        return fail(facts, Reason.DATA_PROVISIONING_FAILED, _too_late(facts, loader))
    step = create_pods(facts, st.VOLUMES_READY)
    look = look_for_workspace(facts)
    read, due = _follow(facts, loader)
    return Step(step.status, (*step.actions, *look, *read), earliest(step.wake, deadline, due))


def _too_late(facts: Facts, loader: Pod | None) -> str:
    text = f"the assets were not loaded within {facts.terms.deadlines.loading} s"
    if loader is not None and loader.trouble:
        return f"{text}: {loader.trouble.reason}: {loader.trouble.message}"
    tally = facts.status.loading
    if tally is not None:
        return f"{text}: {tally.files} of {tally.files_total} files, {tally.bytes} bytes"
    return text


def _told(facts: Facts) -> Facts:
    """Record how far the loader said that it has come."""
    loader = facts.children.pod("loading", facts.status.loading_attempt)
    told = facts.children.findings.told.get(loader.uid) if loader else None
    if told is None or told.tally is None:
        return facts
    return facts.with_status(replace(facts.status, loading=told.tally))


def _follow(facts: Facts, loader: Pod | None) -> tuple[tuple[ReadProgress, ...], datetime | None]:
    """Ask a loader that takes its time how far it has come, and tell when to ask again."""
    if loader is None or loader.started is None or loader.deleting:
        return (), None
    told = facts.children.findings.told.get(loader.uid)
    due = loader.started + PROGRESS_PAUSE
    if told is not None:
        due = max(due, told.at + (PROGRESS_PAUSE if told.tally else SILENCE_PAUSE))
    if facts.now < due:
        return (), due
    return (ReadProgress(loader.name, loader.uid),), facts.now + PROGRESS_PAUSE


def _ended(facts: Facts, ended: Ended) -> Step:
    report = decode_report(ended.message)
    if ended.code == PodExit.DONE:
        return _loaded(facts, report)
    for code, reason in _FAILURES.items():
        if ended.code == code:
            return fail(facts, reason, report.message or f"the loader ended with code {code}")
    message = report.message or describe(ended, "the loader")
    attempt = facts.status.loading_attempt + 1
    if attempt >= MAX_ATTEMPTS:
        return fail(facts, Reason.DATA_PROVISIONING_FAILED, f"after {attempt} attempts: {message}")
    facts = facts.record(st.ASSETS_LOADED, "Unknown", Reason.LOADING, f"once more: {message}")
    return Step(replace(facts.status, loading_attempt=attempt))


def counted(report: Report) -> str:
    """Say how much a pod of ours has moved."""
    files = "1 file" if report.count == 1 else f"{report.count} files"
    return f"{files}, {report.total_bytes} bytes"


def describe(ended: Ended, who: str) -> str:
    """Say how a pod of ours ended that left no report."""
    if ended.code is None:
        return f"{who} was ended by the cluster: {ended.reason} {ended.message}".strip()
    return f"{who} ended with code {ended.code} ({ended.reason})"


def _loaded(facts: Facts, report: Report) -> Step:
    pod = facts.children.algorithm
    uid = facts.status.algorithm_uid
    if uid is None and pod is not None and not pod.deleting:
        uid = pod.uid
    if uid is None:
        deadline = facts.base(st.VOLUMES_READY) + timedelta(seconds=facts.terms.deadlines.loading)
        if facts.now >= deadline:
            return fail(
                facts, Reason.POD_REFUSED, "the algorithm's pod could not be created in time"
            )
        step = create_pods(facts, st.VOLUMES_READY)
        return Step(step.status, step.actions, earliest(step.wake, deadline))
    facts = facts.record(st.ASSETS_LOADED, "True", Reason.LOADED, counted(report))
    facts = facts.waiting(st.ALGORITHM_COMPLETED, Reason.STARTING)
    whole = Tally(report.count, report.count, report.total_bytes, report.total_bytes)
    return Step(replace(facts.status, algorithm_uid=uid, loading=whole))


def with_claim(status: Status, uid: str) -> Status:
    """Record the claim, which is never made a second time from now on."""
    return replace(status, claim_uid=uid)


def suspend(facts: Facts, type_: str) -> Step:
    """Hold back a job whose algorithm is not recorded yet: loader and gated pod go."""
    facts = facts.waiting(type_, Reason.SUSPENDED, "spec.suspend is set")
    pods = [pod for pod in facts.children.pods if pod.phase == "loading" or pod.gated]
    actions = [action for pod in pods for action in (*delete(pod), *overdue(pod, facts.now))]
    wake = facts.now + LOOK_AGAIN if pods else None
    return Step(facts.status, tuple(actions), wake)


def resume(facts: Facts, type_: str, reason: Reason) -> Facts:
    """Note when a suspended job goes on; its deadlines count from there."""
    condition = facts.status.condition(type_)
    if condition is None or condition.reason != Reason.SUSPENDED:
        return facts.waiting(type_, reason) if _is_fresh(facts, type_) else facts
    facts = facts.record(type_, "Unknown", reason)
    return facts.with_status(replace(facts.status, resume_time=facts.now))


def _is_fresh(facts: Facts, type_: str) -> bool:
    condition = facts.status.condition(type_)
    return condition is not None and condition.reason == Reason.WAITING


def tell(facts: Facts, type_: str) -> Facts:
    """Say what keeps the first pods from starting, and when the loader does start."""
    loader = facts.children.pod("loading", facts.status.loading_attempt)
    trouble = offers.trouble(facts) or hindrance(facts, *_first_pods(facts))
    if trouble:
        return facts.waiting(type_, trouble.reason, trouble.message)
    if loader is not None and loader.started and type_ == st.ASSETS_LOADED:
        return facts.waiting(type_, Reason.LOADING)
    return facts


def _first_pods(facts: Facts) -> tuple[str, str]:
    name = facts.job.name
    loader = pod_name(name, "loading", facts.status.loading_attempt)
    return loader, pod_name(name, "algorithm")


def create_pods(facts: Facts, since: str) -> Step:
    """Create loader and gated algorithm where they are missing.

    The next loader waits until the container of every former one has ended.
    """
    refused = _refused(facts, since) or offers.refused(facts, since)
    if refused:
        return refused
    actions: list[Action] = []
    wakes: list[datetime | None] = []
    pod = facts.children.algorithm
    if pod is not None and not pod.gated and facts.status.algorithm_uid is None:
        facts = facts.with_status(replace(facts.status, algorithm_uid=pod.uid))
    if pod is None and facts.status.algorithm_uid is None:
        _create(facts, CreatePod("algorithm"), actions, wakes)
    attempt = facts.status.loading_attempt
    loader = facts.children.pod("loading", attempt)
    due = next_attempt_at(facts, "loading", attempt)
    if loader is None and due is not None:
        if facts.now >= due:
            _create(facts, CreatePod("loading", attempt), actions, wakes)
        else:
            wakes.append(due)
    for child in facts.children.pods:
        actions += overdue(child, facts.now)
        wakes.append(facts.now + LOOK_AGAIN if child.deleting else None)
    return Step(facts.status, tuple(actions), earliest(*wakes))


def _create(
    facts: Facts, action: CreatePod, actions: list[Action], wakes: list[datetime | None]
) -> None:
    name = pod_name(facts.job.name, action.phase, action.attempt)
    refusal = facts.children.findings.refused.get(name)
    if refusal and facts.now < refusal.at + REFUSAL_PAUSE:
        wakes.append(refusal.at + REFUSAL_PAUSE)
        return
    offer = offers.withheld(facts, action.phase)
    if offer and facts.now < offer.at + offers.OFFER_PAUSE:
        wakes.append(offer.at + offers.OFFER_PAUSE)
        return
    if offer:
        wakes.append(facts.now + offers.OFFER_PAUSE)
    actions.append(action)


def _refused(facts: Facts, since: str) -> Step | None:
    """Fail a job whose pods the API server will not have, past the environment's grace."""
    grace = facts.base(since) + timedelta(seconds=facts.terms.deadlines.starting)
    for pod in _first_pods(facts):
        if pod in facts.children.findings.foreign:
            return fail(
                facts,
                Reason.NAME_CONFLICT,
                f"the pod {pod} belongs to something else; delete it or name the job differently",
            )
        refusal = facts.children.findings.refused.get(pod)
        if refusal and (refusal.final or facts.now >= grace):
            return fail(facts, Reason.POD_REFUSED, f"the pod {pod}: {refusal.message}")
    return None


def next_attempt_at(facts: Facts, phase: Phase, attempt: int) -> datetime | None:
    """Tell when the next pod of a repeatable phase may be created; None while one may run."""
    former = [pod for pod in facts.children.pods_of(phase) if pod.attempt != attempt]
    if any(pod.ended is None for pod in former):
        return None
    if attempt == 0 or not former:
        return facts.now
    pause = timedelta(seconds=min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 16), _LONGEST_PAUSE))
    last = max(former, key=lambda pod: pod.attempt)
    finished = last.ended.finished if last.ended else None
    return (finished or last.created) + pause
