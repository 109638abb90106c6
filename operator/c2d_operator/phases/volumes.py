"""Volumes: the workspace claim, and with it the first pods, since binding waits for a pod."""

from datetime import timedelta

from c2d_operator import status as st
from c2d_operator.children import claim_name, pod_name
from c2d_operator.phases import loading
from c2d_operator.status import Reason
from c2d_operator.steps import (
    LOOK_AGAIN,
    CreateClaim,
    Facts,
    Step,
    earliest,
    fail,
    hindrance,
    is_unschedulable,
    overdue,
)


def advance(facts: Facts) -> Step:
    """Create claim, loader and gated algorithm; done when the claim is bound."""
    if facts.job.spec.suspend:
        return loading.suspend(facts, st.VOLUMES_READY)
    facts = loading.resume(facts, st.VOLUMES_READY, Reason.ALLOCATING)
    name, claim = claim_name(facts.job.name), facts.children.claim
    if name in facts.children.findings.foreign:
        return fail(
            facts,
            Reason.NAME_CONFLICT,
            f"the claim {name} belongs to something else; delete it or name the job differently",
        )
    if claim is not None and claim.bound and not claim.deleting:
        facts = facts.record(st.VOLUMES_READY, "True", Reason.BOUND, f"claim {name} is bound")
        facts = facts.with_status(loading.with_claim(facts.status, claim.uid))
        facts = facts.waiting(st.ASSETS_LOADED, Reason.LOADING)
        return loading.create_pods(facts, st.ADMITTED)
    deadline = facts.base(st.ADMITTED) + timedelta(seconds=facts.terms.deadlines.volumes)
    refusal = facts.children.findings.refused.get(name)
    if facts.now >= deadline or (refusal and refusal.final):
        return fail(facts, *_why(facts))
    facts = _tell(facts)
    step = loading.create_pods(facts, st.ADMITTED)
    retry = refusal.at + loading.REFUSAL_PAUSE if refusal else None
    if claim is None and (retry is None or facts.now >= retry):
        return Step(step.status, (CreateClaim(), *step.actions), earliest(step.wake, deadline))
    look = overdue(claim, facts.now) if claim is not None else ()
    again = facts.now + LOOK_AGAIN if claim is not None and claim.deleting else None
    return Step(step.status, (*look, *step.actions), earliest(step.wake, deadline, retry, again))


def _tell(facts: Facts) -> Facts:
    """Say what the claim waits for, where it does not get bound as it should."""
    claim = facts.children.claim
    refusal = facts.children.findings.refused.get(claim_name(facts.job.name))
    if refusal:
        words = f"the claim could not be created: {refusal.message}"
        return facts.waiting(st.VOLUMES_READY, Reason.VOLUME_CREATION_FAILED, words)
    if claim is not None and claim.trouble:
        return facts.waiting(st.VOLUMES_READY, claim.trouble.reason, claim.trouble.message)
    return loading.tell(facts, st.VOLUMES_READY)


def _why(facts: Facts) -> tuple[Reason, str]:
    """Blame what the claim was waiting for: most are bound when their first pod gets a node."""
    name = claim_name(facts.job.name)
    text = f"the claim {name} was not bound within {facts.terms.deadlines.volumes} s"
    refusal = facts.children.findings.refused.get(name)
    if refusal:
        message = f"the claim {name} could not be created: {refusal.message}"
        return Reason.VOLUME_CREATION_FAILED, message
    claim = facts.children.claim
    if claim is not None and claim.trouble:
        words = f"{claim.trouble.reason}: {claim.trouble.message}"
        return Reason.VOLUME_CREATION_FAILED, f"{text}: {words}"
    loader = pod_name(facts.job.name, "loading", facts.status.loading_attempt)
    trouble = hindrance(facts, loader)
    if trouble is None:
        return Reason.VOLUME_CREATION_FAILED, text
    if trouble.reason == Reason.POD_REFUSED:
        return Reason.POD_REFUSED, trouble.message
    message = f"{text}; the loader that it waits for does not start: {trouble.message}"
    if is_unschedulable(trouble) and "volume" not in trouble.message.lower():
        return Reason.UNSCHEDULABLE, message
    return Reason.VOLUME_CREATION_FAILED, message
