"""Watching the orders of jobs: confirmations are waited for, and what a reorganisation took back.

Every replica may watch: to release a job twice is to release it once, and so with a stop. What is
decided is a pure function of a job and of what the chain says now.

An order counts as removed only when several looks in a row did not find it, at different heights
of the chain: one endpoint that lags behind must not cost a consumer the job.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from c2d_api.computejob import ComputeJob, Order
from c2d_provider import jobs, judging
from c2d_provider.asked import AssetAsked
from c2d_provider.context import Context
from c2d_provider.environments import Offering, offering
from c2d_provider.judging import Judged, Part
from c2d_provider.naming import EnvironmentName
from c2d_provider.ports import UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused

_LOGGER = logging.getLogger(__name__)

LOOKS = 3
"""Looks in a row, each at a higher block, that must miss an order before its job is stopped."""

YOUNG_SECONDS = 3600
SELDOM = 12
"""Of how many looks one is at jobs that wait for nothing, which only a reorganisation concerns."""

MISSING = frozenset({Reason.ORDER_UNKNOWN, Reason.ORDER_FAILED, Reason.ORDER_OF_OTHER_DATATOKEN})
"""Refusals by which a reorganisation shows: the transaction is gone, or does something else now."""

FREEING = frozenset(
    {
        "DataProvisioningFailed",
        "EnvironmentNotFound",
        "NameConflict",
        "NetworkNotIsolated",
        "PodRefused",
        "QueueExpired",
        "Unschedulable",
        "VolumeCreationFailed",
        "WorkspaceLost",
    }
)
"""Ends that are nobody's fault who pays, as long as the algorithm has not started."""

_NODE_PRESSURE = ("The node was low on resource", "the cluster took the algorithm's pod")
"""How an eviction begins that the pod itself did not cause, as the kubelet and the operator say."""


class Verdict(Enum):
    """What is to be done with a job."""

    LEAVE = "leave"
    RELEASE = "release"
    STOP = "stop"


@dataclass(frozen=True)
class Look:
    """What one look found of a job's orders; `height` is the lowest of the chains' heads."""

    found: tuple[Judged | Refusal, ...]
    height: int


@dataclass(frozen=True)
class Misses:
    """Looks in a row that missed an order, and the block at the last of them."""

    count: int = 0
    height: int = -1


def is_watched(job: ComputeJob, now: int) -> bool:
    """Say whether a job is to be looked at: one of orders that is neither finished nor stopped.

    No reorganisation reaches back an hour, so one that runs is left alone when it is older.
    """
    is_over = job.status.completion_time is not None or job.deleting or job.spec.stop is not None
    is_young = now - job.created.timestamp() <= YOUNG_SECONDS
    return not is_over and bool(ordered(job)) and (waits(job) or is_young)


def waits(job: ComputeJob) -> bool:
    """Say whether a job was created suspended and still is; its spec has not changed since.

    One that has changed was suspended by an admin, and is for the admin to release.
    """
    return job.spec.suspend and job.generation == 1


def ordered(job: ComputeJob) -> tuple[tuple[Part, AssetAsked, Order], ...]:
    """List the assets of a job that were ordered."""
    found: list[tuple[Part, AssetAsked, Order]] = []
    for position, dataset in enumerate(job.spec.datasets):
        if dataset.order is not None:
            asked = AssetAsked(dataset.id, dataset.service_id, dataset.order.transaction, {})
            found.append((Part("dataset", dataset.id, position), asked, dataset.order))
    algorithm = job.spec.algorithm
    if algorithm.order is not None:
        asked = AssetAsked(algorithm.id, algorithm.service_id, algorithm.order.transaction, {})
        found.append((Part("algorithm", algorithm.id), asked, algorithm.order))
    return tuple(found)


def decide(
    job: ComputeJob, look: Look, misses: Misses, confirmations: int
) -> tuple[Verdict, Misses]:
    """Decide about a job: what waits is released, what lost an order is stopped."""
    if any(isinstance(one, Refusal) and one.reason in MISSING for one in look.found):
        if look.height > misses.height:
            misses = Misses(misses.count + 1, look.height)
        return (Verdict.STOP if misses.count >= LOOKS else Verdict.LEAVE), misses
    judged = [one for one in look.found if isinstance(one, Judged)]
    is_confirmed = len(judged) == len(look.found) and all(
        one.order.is_confirmed(one.head, confirmations) for one in judged
    )
    return (Verdict.RELEASE if waits(job) and is_confirmed else Verdict.LEAVE), Misses()


def is_freed(job: ComputeJob) -> bool:
    """Say whether a job ended so that its fee pays for one more attempt.

    It did if the algorithm never ran, or was lost, and not by its consumer's doing.
    """
    failed = job.status.condition("Failed")
    if failed is None or failed.status != "True":
        return False
    if failed.reason == "Evicted":
        return failed.message.startswith(_NODE_PRESSURE)
    if failed.reason == "AlgorithmLost":
        # an exit code that says so may be the algorithm's own, which must gain nothing by it
        return job.status.termination is None
    return job.status.algorithm_started is None and failed.reason in FREEING


@dataclass
class Watcher:
    """Looks at jobs again and again."""

    context: Context
    seconds: float
    seldom: int = SELDOM
    looks: int = 0
    misses: dict[str, Misses] = field(default_factory=dict)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look_at_all()
            await asyncio.sleep(self.seconds)

    async def look_at_all(self) -> None:
        """Look once at every job; what cannot be asked is asked again at the next look."""
        listed = self.context.ports.cluster.jobs()
        watched = [job for job in listed if is_watched(job, self.context.now())]
        self.misses = {job.uid: self.misses.get(job.uid, Misses()) for job in watched}
        for job in watched:
            if waits(job) or self.looks % self.seldom == 0:
                await self._attempt(job)
        self.looks += 1
        await self._free(listed)

    async def _attempt(self, job: ComputeJob) -> None:
        try:
            await self._look_at(job)
        except (UnavailableError, Refused):
            _LOGGER.info("The orders of job %s/%s cannot be judged now", job.namespace, job.name)
        except Exception as error:
            # the next job is looked at all the same; the words of an error may hold a URL
            _LOGGER.error(
                "%s while the orders of job %s/%s were judged",
                type(error).__name__,
                job.namespace,
                job.name,
            )

    async def _look_at(self, job: ComputeJob) -> None:
        if not jobs.is_ours(job, self.context.identity.seal_key):
            return
        look = await _look(self.context, job)
        confirmations = self.context.policy.orders.confirmations
        verdict, self.misses[job.uid] = decide(
            job, look, self.misses.get(job.uid, Misses()), confirmations
        )
        if verdict is Verdict.RELEASE:
            await self.context.ports.cluster.resume_job(job)
        elif verdict is Verdict.STOP:
            await self.context.ports.cluster.stop_job(job, "OrderRemoved")

    async def _free(self, listed: Sequence[ComputeJob]) -> None:
        """Free the fees of jobs that ended without their consumer's fault.

        Another's job of that name says nothing of ours, nor does a copy with our seal.
        """
        cluster, seal_key = self.context.ports.cluster, self.context.identity.seal_key
        ended = [job for job in listed if is_freed(job) and jobs.is_ours(job, seal_key)]
        if not ended:
            return
        try:
            ledger = await cluster.ledger()
            spent = {one.job for one in ledger.spendings.values() if not one.is_freed}
            for job in ended:
                if job.name in spent and await cluster.bind_seal(job):
                    await cluster.free_fee(job.name)
        except (UnavailableError, Refused):
            _LOGGER.info("The ledger of fees cannot be read now")


async def _look(context: Context, job: ComputeJob) -> Look:
    """Read the orders of a job anew, and judge them as of when it was accepted."""
    place = await _offering(context, job)
    found: list[Judged | Refusal] = []
    heights: list[int] = []
    for part, asked, order in ordered(job):
        named = await judging.find(context, asked, part, may_be_remote=True)
        found.append(
            await judging.judge_order(
                context, named, job.spec.consumer or "", place, int(job.created.timestamp())
            )
        )
        heights.append(await context.ports.chains.head(order.chain_id))
    return Look(tuple(found), min(heights))


async def _offering(context: Context, job: ComputeJob) -> Offering | None:
    """Find the environment of a job: what it asks now, but who stood for it at admission."""
    environment = await context.ports.cluster.environment(
        EnvironmentName(job.namespace, job.spec.environment)
    )
    if environment is None:
        return None
    found = offering(environment, context.identity.cluster)
    terms = job.status.environment
    return replace(found, consumer=terms.consumer) if terms and terms.consumer else found
