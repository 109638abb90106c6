"""Publishing: once nothing writes to the workspace any more, results and logs go to the store."""

from dataclasses import replace
from datetime import datetime, timedelta

from c2d_api.computejob import Results
from c2d_api.exits import PodExit, Report, decode_report
from c2d_operator import status as st
from c2d_operator.children import Ended, Pod, pod_name
from c2d_operator.phases import loading
from c2d_operator.status import Reason
from c2d_operator.steps import (
    LOOK_AGAIN,
    Action,
    CreatePod,
    Facts,
    LookUp,
    Step,
    delete,
    earliest,
    fail,
    hindrance,
    look_for_workspace,
    overdue,
    workspace_lost,
)


def advance(facts: Facts) -> Step:
    """Wait for the end of all writers, then for a publisher that succeeds."""
    attempt = facts.status.publishing_attempt
    publisher = facts.children.pod("publishing", attempt)
    if publisher is not None and publisher.ended is not None:
        return _ended(facts, publisher.ended)
    lost = workspace_lost(facts)
    if lost:
        return fail(facts, Reason.WORKSPACE_LOST, lost)
    deadline = _began(facts) + timedelta(seconds=facts.terms.deadlines.publishing)
    if facts.now >= deadline:
        return fail(facts, Reason.RESULTS_UPLOAD_FAILED, _too_late(facts))
    name = pod_name(facts.job.name, "publishing", attempt)
    trouble = hindrance(facts, name)
    if trouble:
        facts = facts.waiting(st.RESULTS_PUBLISHED, trouble.reason, trouble.message)
    elif publisher is not None and publisher.started:
        facts = facts.waiting(st.RESULTS_PUBLISHED, Reason.PUBLISHING)
    if name in facts.children.findings.foreign:
        return fail(facts, Reason.NAME_CONFLICT, f"the pod {name} belongs to something else")
    return _begin(facts, publisher, deadline)


def _begin(facts: Facts, publisher: Pod | None, deadline: datetime) -> Step:
    """Remove the former pods, and create the publisher once none of them can write any more."""
    attempt = facts.status.publishing_attempt
    former = [
        pod for pod in facts.children.pods if pod.phase != "publishing" or pod.attempt < attempt - 1
    ]
    actions: list[Action] = [
        action for pod in former for action in (*delete(pod), *overdue(pod, facts.now))
    ]
    due = None
    unseen = _unseen_run(facts) if publisher is None else ()
    if publisher is None and not unseen and all(pod.ended for pod in former):
        due = _due(facts, attempt)
    if due is not None and facts.now >= due:
        actions.append(CreatePod("publishing", attempt))
        due = None
    again = facts.now + LOOK_AGAIN if former or unseen else None
    actions += (*unseen, *look_for_workspace(facts))
    return Step(facts.status, tuple(actions), earliest(deadline, due, again))


def _unseen_run(facts: Facts) -> tuple[LookUp, ...]:
    """Ask for a recorded run of which nothing was seen: it may still write to the workspace."""
    recorded, children = facts.status.algorithm_uid, facts.children
    known = children.findings.absent | {pod.uid for pod in children.pods}
    if recorded is None or recorded in known:
        return ()
    return (LookUp("Pod", pod_name(facts.job.name, "algorithm"), recorded),)


def _due(facts: Facts, attempt: int) -> datetime | None:
    """Tell when this attempt may begin; None while a former one may still run."""
    due = loading.next_attempt_at(facts, "publishing", attempt)
    refusal = facts.children.findings.refused.get(pod_name(facts.job.name, "publishing", attempt))
    return max(due, refusal.at + loading.REFUSAL_PAUSE) if refusal and due else due


def _began(facts: Facts) -> datetime:
    return st.since(facts.status, st.ALGORITHM_COMPLETED)


def _too_late(facts: Facts) -> str:
    text = f"the results were not published within {facts.terms.deadlines.publishing} s"
    condition = facts.status.condition(st.RESULTS_PUBLISHED)
    return f"{text}; {condition.message}" if condition and condition.message else text


def _ended(facts: Facts, ended: Ended) -> Step:
    report = decode_report(ended.message)
    if ended.code == PodExit.DONE and report.manifest_digest:
        facts = facts.record(
            st.RESULTS_PUBLISHED,
            "True",
            Reason.PUBLISHED,
            _published(report),
        )
        facts = facts.waiting(st.CLEANED_UP, Reason.CLEANING_UP)
        results = Results(report.count, report.total_bytes, report.manifest_digest, report.files)
        return Step(replace(facts.status, results=results))
    if ended.code == PodExit.UPLOAD_FAILED:
        message = report.message or f"the publisher ended with code {ended.code}"
        return fail(facts, Reason.RESULTS_UPLOAD_FAILED, message)
    deadline = _began(facts) + timedelta(seconds=facts.terms.deadlines.publishing)
    message = report.message or loading.describe(ended, "the publisher")
    if facts.now >= deadline:
        return fail(facts, Reason.RESULTS_UPLOAD_FAILED, f"{_too_late(facts)}: {message}")
    attempt = facts.status.publishing_attempt + 1
    facts = facts.record(
        st.RESULTS_PUBLISHED, "Unknown", Reason.PUBLISHING, f"once more: {message}"
    )
    return Step(replace(facts.status, publishing_attempt=attempt))


def _published(report: Report) -> str:
    """Say how much is published, and whether that is not all."""
    counted = loading.counted(report)
    if not report.omitted:
        return counted
    return f"{counted}; {report.omitted} more left out or cut, named in publish.log of the results"
