"""Clean-up: every child is deleted and seen gone, then the job is finalised."""

from dataclasses import replace
from datetime import timedelta

from c2d_api.computejob import Status
from c2d_operator import status as st
from c2d_operator.status import Reason
from c2d_operator.steps import (
    LOOK_AGAIN,
    Action,
    DeleteJob,
    Facts,
    Step,
    delete,
    earliest,
    overdue,
)

_KEEP_TRYING = timedelta(seconds=30)


def advance(facts: Facts) -> Step:
    """Delete what is left; finalise when nothing is, or when it takes too long."""
    actions = _deletions(facts)
    if not facts.children.pods and facts.children.claim is None:
        facts = facts.record(
            st.CLEANED_UP, "True", Reason.NOTHING_LEFT, "all pods and the volume are gone"
        )
        return Step(_finalise(facts))
    terms = facts.status.environment
    limit = terms.deadlines.cleanup if terms else 0
    deadline = st.since(facts.status, st.RESULTS_PUBLISHED) + timedelta(seconds=limit)
    if facts.now >= deadline:
        left = ", ".join(sorted(_left(facts)))
        facts = facts.record(
            st.CLEANED_UP, "False", Reason.CLEANUP_STUCK, f"not gone after {limit} s: {left}"
        )
        return Step(_finalise(facts), actions)
    return Step(facts.status, actions, earliest(deadline, facts.now + LOOK_AGAIN))


def _left(facts: Facts) -> list[str]:
    names = [pod.name for pod in facts.children.pods]
    claim = facts.children.claim
    return [*names, claim.name] if claim else names


def _deletions(facts: Facts) -> tuple[Action, ...]:
    claim = facts.children.claim
    children = (*facts.children.pods, *((claim,) if claim else ()))
    return tuple(
        action for child in children for action in (*delete(child), *overdue(child, facts.now))
    )


def _finalise(facts: Facts) -> Status:
    failure = st.first_failure(facts.status)
    if failure is None:
        facts = facts.record(st.COMPLETE, "True", Reason.SUCCEEDED, "results are published")
        facts = facts.record(st.FAILED, "False", Reason.SUCCEEDED)
    else:
        facts = facts.record(st.COMPLETE, "False", failure.reason)
        facts = facts.record(st.FAILED, "True", failure.reason, failure.message)
    return replace(facts.status, completion_time=facts.now)


def abandon(facts: Facts) -> Step:
    """Delete the children of a job that is being deleted, whatever holds the job itself."""
    remains = facts.children.pods or facts.children.claim
    return Step(facts.status, _deletions(facts), facts.now + _KEEP_TRYING if remains else None)


def after_end(facts: Facts) -> Step:
    """Delete what turns up later, and the job itself when its time is over."""
    ttl, completed = facts.job.spec.ttl_seconds_after_finished, facts.status.completion_time
    due = completed + timedelta(seconds=ttl) if ttl is not None and completed else None
    if due is not None and facts.now >= due:
        return Step(facts.status, (DeleteJob(),))
    actions = _deletions(facts)
    remains = facts.children.pods or facts.children.claim
    wake = facts.now + _KEEP_TRYING if remains else None
    return Step(facts.status, actions, earliest(due, wake))
