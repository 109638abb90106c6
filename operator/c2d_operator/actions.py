"""Actions: carrying out what a pass decided, so that doing it twice, or late, harms nobody.

What the API server answers goes into the store; the next pass decides what it means.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from c2d_api.computeenvironment import Terms
from c2d_api.computejob import JOB_UID_LABEL, ComputeJob, parse_job
from c2d_api.progress import latest_tally
from c2d_operator import offers, pods
from c2d_operator import status as st
from c2d_operator.canary import Canary, CanaryError
from c2d_operator.children import (
    Heard,
    Named,
    Offer,
    Refusal,
    Told,
    owner_uid,
    parse_warning,
    pod_name,
)
from c2d_operator.cluster import (
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
)
from c2d_operator.steps import (
    Action,
    AskOffer,
    CreateClaim,
    CreatePod,
    Delete,
    DeleteJob,
    LookUp,
    ReadProgress,
    ReadWarnings,
    Release,
)
from c2d_operator.store import Store

Json = dict[str, Any]


@dataclass(frozen=True)
class Hands:
    """What actions are carried out with."""

    cluster: Cluster
    store: Store
    images: pods.Images
    canary: Canary | None = None


async def perform(hands: Hands, job: ComputeJob, action: Action) -> bool:
    """Carry out one action; say whether something came out that another pass should see.

    Raises:
        ClusterError: The API server did not answer; the action is decided anew later.
    """
    match action:
        case CreateClaim() | CreatePod():
            return await _create_child(hands, job, action)
        case Delete():
            return await _delete(hands, job, action)
        case Release():
            return await _release(hands, job, action)
        case LookUp() | ReadWarnings() | ReadProgress() | AskOffer():
            return await _ask(hands, job, action)
        case DeleteJob():
            return await _delete_job(hands, job)


async def _create_child(hands: Hands, job: ComputeJob, action: CreateClaim | CreatePod) -> bool:
    terms = job.status.environment
    if terms is None:
        return False
    if isinstance(action, CreateClaim):
        return await _create(hands, job, "PersistentVolumeClaim", pods.claim(job, terms))
    try:
        images = await _images(hands, terms, action)
    except CanaryError as error:
        name = pod_name(job.name, action.phase, action.attempt)
        hands.store.refuse(job, name, Refusal(str(error), datetime.now(UTC), final=False))
        return True
    for named in offers.named(job.spec, action.phase):
        offer, is_news = await _ask_offer(hands, job, named)
        if offer.hindrance:
            return is_news
    manifest = pods.pod(job, terms, action.phase, action.attempt, images)
    return await _create(hands, job, "Pod", manifest)


async def _images(hands: Hands, terms: Terms, action: CreatePod) -> pods.Images:
    """Find out where the canary listens, where a loader has to prove that it does."""
    if action.phase != "loading" or not terms.proves_isolation:
        return hands.images
    return replace(hands.images, canary=await _canary(hands).endpoints())


def _canary(hands: Hands) -> Canary:
    if hands.canary is None:
        raise CanaryError("there is no canary to prove isolation by: C2D_CANARY is not set")
    return hands.canary


async def _create(hands: Hands, job: ComputeJob, kind: str, manifest: Json) -> bool:
    name = manifest["metadata"]["name"]
    try:
        body = await hands.cluster.create(kind, job.namespace, manifest)
    except AlreadyExistsError:
        return await _take_up(hands, job, kind, name)
    except RefusedError as error:
        refusal = Refusal(str(error), datetime.now(UTC), error.final)
        hands.store.refuse(job, name, refusal)
        return True
    except NotFoundError as error:
        hands.store.refuse(job, name, Refusal(str(error), datetime.now(UTC), final=False))
        return True
    hands.store.put(kind, body)
    return False


async def _take_up(hands: Hands, job: ComputeJob, kind: str, name: str) -> bool:
    """Find out whose the object is that has the name of a child."""
    body = await hands.cluster.read(kind, job.namespace, name)
    if body is None:
        return True
    owner = owner_uid(body["metadata"])
    if owner == job.uid:
        hands.store.put(kind, body)
    elif body["metadata"].get("labels", {}).get(JOB_UID_LABEL) == owner is not None:
        hands.store.put(kind, body)
        message = f"{name} of a former job of this name is still being removed"
        hands.store.refuse(job, name, Refusal(message, datetime.now(UTC), final=False))
    else:
        hands.store.conflict(job, name)
    return True


async def _delete(hands: Hands, job: ComputeJob, action: Delete) -> bool:
    return await delete_child(hands, job.namespace, action)


async def delete_child(hands: Hands, namespace: str, action: Delete) -> bool:
    """Delete one child by its uid; one that is not there any more is deleted."""
    kind, name, uid = action.kind, action.name, action.uid
    grace = 0 if action.at_once else None
    body = await delete_object(hands.cluster, (kind, namespace, name), uid, grace)
    if body is None:
        hands.store.remove(kind, namespace, name, uid)
        return True
    # an answer without a version is the last of an object that is gone, or no object at all
    if body.get("kind") == kind and {"deletionTimestamp", "resourceVersion"} <= set(
        body["metadata"]
    ):
        hands.store.put(kind, body)
    return False


async def delete_object(
    cluster: Cluster, place: tuple[str, str, str], uid: str, grace: int | None = None
) -> Json | None:
    """Delete the object of this uid; None if it is not there any more.

    Raises:
        ClusterError: It is there, and is not deleted yet.
    """
    try:
        return await cluster.delete(*place, uid, grace)
    except NotFoundError:
        return None
    except ConflictError:
        body = await cluster.read(*place)
        if body is not None and body["metadata"]["uid"] == uid:
            raise
        return None


async def _release(hands: Hands, job: ComputeJob, action: Release) -> bool:
    """Remove the gate of the algorithm's pod, having asked that it is still meant to start."""
    await _reach_canary(hands, job, action)
    body = await hands.cluster.read("ComputeJob", job.namespace, job.name)
    if body is None or not may_release(parse_job(body), job.uid, action.uid):
        if body is not None:
            hands.store.put("ComputeJob", body)
        return True
    pod = await hands.cluster.read("Pod", job.namespace, action.name)
    if pod is None or pod["metadata"]["uid"] != action.uid:
        hands.store.remove("Pod", job.namespace, action.name, action.uid)
        hands.store.absent(job, action.uid)
        return True
    if not pod["spec"].get("schedulingGates") or "deletionTimestamp" in pod["metadata"]:
        hands.store.put("Pod", pod)
        return True
    version = pod["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": action.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "remove", "path": "/spec/schedulingGates"},
    ]
    released = await hands.cluster.patch("Pod", job.namespace, action.name, operations)
    hands.store.put("Pod", released)
    return False


async def _reach_canary(hands: Hands, job: ComputeJob, action: Release) -> None:
    """See that the canary listens: what an algorithm cannot reach proves nothing otherwise.

    Raises:
        CanaryError: It does not; the algorithm is not to start now.
    """
    terms = job.status.environment
    if terms is None or not terms.proves_isolation:
        return
    try:
        await _canary(hands).reach()
    except CanaryError as error:
        hands.store.refuse(job, action.name, Refusal(str(error), datetime.now(UTC), final=False))
        raise


def may_release(job: ComputeJob, uid: str, pod_uid: str) -> bool:
    """Say whether a job, read just now, lets this pod start."""
    return (
        job.uid == uid
        and not job.deleting
        and job.spec.stop is None
        and not job.spec.suspend
        and job.status.algorithm_uid == pod_uid
        and st.stage(job.status) == st.ALGORITHM_COMPLETED
    )


async def _ask(
    hands: Hands, job: ComputeJob, action: LookUp | ReadWarnings | ReadProgress | AskOffer
) -> bool:
    match action:
        case LookUp():
            return await _look_up(hands, job, action)
        case ReadWarnings():
            return await _read_warnings(hands, job, action)
        case ReadProgress():
            return await _read_progress(hands, job, action)
        case AskOffer():
            _, is_news = await _ask_offer(hands, job, action.named)
            return is_news


async def _look_up(hands: Hands, job: ComputeJob, action: LookUp) -> bool:
    body = await hands.cluster.read(action.kind, job.namespace, action.name)
    if body is not None and body["metadata"]["uid"] == action.uid:
        return hands.store.put(action.kind, body) is not None
    hands.store.remove(action.kind, job.namespace, action.name, action.uid)
    hands.store.absent(job, action.uid)
    return True


async def _read_warnings(hands: Hands, job: ComputeJob, action: ReadWarnings) -> bool:
    trouble = parse_warning(await hands.cluster.warnings(job.namespace, action.uid))
    hands.store.hear(job, action.uid, Heard(datetime.now(UTC), trouble))
    return trouble is not None


async def _read_progress(hands: Hands, job: ComputeJob, action: ReadProgress) -> bool:
    """Find out how far a pod has come; whatever keeps its log from us is not the job's trouble."""
    try:
        tally = latest_tally(await hands.cluster.end_of_log(job.namespace, action.name))
    except ClusterError:
        tally = None
    hands.store.tell(job, action.uid, Told(datetime.now(UTC), tally))
    return tally is not None and tally != job.status.loading


async def _ask_offer(hands: Hands, job: ComputeJob, named: Named) -> tuple[Offer, bool]:
    """Look at the label of what a job names; say what was found, and whether it is news."""
    try:
        meta = await hands.cluster.read_metadata(named.kind, job.namespace, named.name)
        hindrance = offers.judge(named, meta)
    except RefusedError as error:
        hindrance = f"the operator may not look for the {named.kind} {named.name}: {error}"
    offer = Offer(datetime.now(UTC), hindrance)
    return offer, hands.store.offer(job, named, offer)


async def _delete_job(hands: Hands, job: ComputeJob) -> bool:
    place = ("ComputeJob", job.namespace, job.name)
    if await delete_object(hands.cluster, place, job.uid) is None:
        hands.store.remove(*place, job.uid)
    return False
