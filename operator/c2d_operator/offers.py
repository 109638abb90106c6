"""Offers: the Secrets and claims that a job names, which it gets only if they are offered to jobs.

Whoever may apply jobs could otherwise reach everything in the namespace: keys of result stores,
other people's volumes. A label offers an object. It is asked for when a job comes, for an early
word, and again by each action that creates a pod which names the object; whoever takes the label
away between that look and the mount is too late, which is a risk that is accepted: only people
who may change the object itself can do it.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from c2d_api.computejob import JOB_LABEL, OFFERED_LABEL, Spec
from c2d_operator import status as st
from c2d_operator.children import Named, Offer, Phase, Trouble, owner_uid
from c2d_operator.status import Reason
from c2d_operator.steps import AskOffer, Facts, Step, earliest, fail

Json = Mapping[str, Any]

OFFER_GRACE = timedelta(seconds=15)
"""How long a job waits for an offer: `kubectl apply -f folder` knows no order."""
OFFER_PAUSE = timedelta(seconds=3)

_WORDS = {"Secret": "Secret", "PersistentVolumeClaim": "claim"}


def named(spec: Spec, phase: Phase = "loading") -> tuple[Named, ...]:
    """List what the pod of a phase names, each once; a loader's pod names everything."""
    wanted = dict.fromkeys(one for one, _ in _named(spec))
    if phase == "loading":
        return tuple(wanted)
    claims = (one for one in wanted if one.kind == "PersistentVolumeClaim")
    return tuple(claims) if phase == "algorithm" else ()


def _named(spec: Spec) -> Iterator[tuple[Named, Reason]]:
    """List what is named, and how a job fails that does not get it."""
    for dataset in spec.datasets:
        if dataset.secret is not None:
            yield Named("Secret", dataset.secret), Reason.DATA_PROVISIONING_FAILED
        if dataset.claim is not None:
            claim = Named("PersistentVolumeClaim", dataset.claim.name)
            yield claim, Reason.DATA_PROVISIONING_FAILED
    if spec.algorithm.secret is not None:
        yield Named("Secret", spec.algorithm.secret), Reason.ALGORITHM_PROVISIONING_FAILED


def judge(one: Named, meta: Json | None) -> str:
    """Say what stands in the way of mounting an object of this metadata; "" if nothing does.

    The words are the same whether there is such an object or not: what else is in the namespace
    is not for everybody to know who may apply jobs. What belongs to a job is never offered.
    """
    labels = (meta or {}).get("labels") or {}
    if (
        meta is not None
        and labels.get(OFFERED_LABEL) == "true"
        and JOB_LABEL not in labels
        and owner_uid(meta) is None
        and "deletionTimestamp" not in meta
    ):
        return ""
    return (
        f"no {_WORDS[one.kind]} {one.name} is offered to jobs here:"
        f' it must be there and have the label {OFFERED_LABEL}: "true"'
    )


def trouble(facts: Facts) -> Trouble | None:
    """Find what is named and, when it was last asked for, was not offered."""
    found = facts.children.findings.offers
    for one, reason in _named(facts.job.spec):
        if one in found and found[one].hindrance:
            return Trouble(reason, found[one].hindrance)
    return None


def withheld(facts: Facts, phase: Phase) -> Offer | None:
    """Find the last answer by which a pod of a phase is not created yet."""
    found = facts.children.findings.offers
    answers = (found[one] for one in named(facts.job.spec, phase) if one in found)
    return next((answer for answer in answers if answer.hindrance), None)


def refused(facts: Facts, since: str) -> Step | None:
    """Fail a job that does not get what it names within the grace after a condition."""
    hindrance = trouble(facts)
    if hindrance is None or facts.now < facts.base(since) + OFFER_GRACE:
        return None
    return fail(facts, Reason(hindrance.reason), hindrance.message)


def questions(facts: Facts) -> tuple[AskOffer, ...]:
    """List what has to be asked before a job is judged; nothing need be recorded for that."""
    job, found = facts.job, facts.children.findings.offers
    if job.spec.suspend or job.spec.stop or st.stage(job.status) != st.ADMITTED:
        return ()
    return tuple(AskOffer(one) for one in named(job.spec) if one not in found)


def early_word(facts: Facts) -> Step | None:
    """Hold back a job that does not get what it names, before it has a place; None if it does."""
    found = facts.children.findings.offers
    hindrance = trouble(facts)
    if hindrance is None:
        return None
    deadline = max(facts.job.created, facts.status.resume_time or facts.job.created) + OFFER_GRACE
    if facts.now >= deadline:
        return fail(facts, Reason(hindrance.reason), hindrance.message)
    facts = facts.waiting(st.ADMITTED, hindrance.reason, hindrance.message)
    missing = [one for one in named(facts.job.spec) if one in found and found[one].hindrance]
    due = max(found[one].at for one in missing) + OFFER_PAUSE
    if facts.now < due:
        return Step(facts.status, (), earliest(due, deadline))
    asks = tuple(AskOffer(one) for one in missing)
    return Step(facts.status, asks, earliest(facts.now + OFFER_PAUSE, deadline))
