"""Jobs as their consumers see them: what became of them, and their results.

A status needs no signature on the wire of Ocean's clients, so it tells only what they need, and
only of jobs whose consumer was named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from c2d_api.computejob import ComputeJob, Json
from c2d_provider import addresses, authorizing, naming
from c2d_provider.asked import ResultAsked, StatusAsked
from c2d_provider.authorizing import Proof
from c2d_provider.context import Context
from c2d_provider.ports import Span, Stored, UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

MOST_LISTED = 500


@dataclass(frozen=True)
class Detailed:
    """A job, and its files by their index."""

    job: ComputeJob
    files: tuple[Json, ...]


async def status(context: Context, asked: StatusAsked) -> list[Detailed]:
    """Tell of one job, or of all of a consumer, oldest first; nothing where it is not theirs."""
    if not asked.job_id:
        jobs = context.ports.cluster.jobs_of(addresses.checksummed(asked.consumer))
        return [Detailed(job, _reported(job)) for job in jobs[-MOST_LISTED:]]
    try:
        job = await find(context, asked.job_id)
    except Refused:
        return []
    return [await detailed(context, job)] if may_read(job, asked.consumer) else []


async def detailed(context: Context, job: ComputeJob) -> Detailed:
    """Tell of a job; where its status lists only the first of its files, the manifest is read."""
    reported, results = _reported(job), job.status.results
    if results is None or len(reported) >= results.count:
        return Detailed(job, reported)
    try:
        listed = await context.ports.results.files(job)
    except UnavailableError:
        return Detailed(job, reported)
    if isinstance(listed, Refusal):
        return Detailed(job, reported)
    files = ({"name": file.name, "type": file.type, "size": file.size} for file in listed)
    return Detailed(job, tuple(files))


async def result(context: Context, asked: ResultAsked, proof: Proof, span: Span | None) -> Stored:
    """Open a file of a job, for its owner and the viewers that its owner named.

    Raises:
        Refused: There is none, or not for the requester.
    """
    requester = await authorizing.identify(context, proof)
    job = await find(context, asked.job_id)
    if not may_read(job, requester.address):
        refuse(Reason.JOB_UNKNOWN, "there is no such job")
    await authorizing.take_nonce(context, requester)
    stored = await context.ports.results.read(job, asked.index, span)
    if isinstance(stored, Refusal):
        raise Refused(stored)
    return stored


async def find(context: Context, job_id: str) -> ComputeJob:
    """Find a job by its id on the wire.

    Raises:
        Refused: There is none.
    """
    job = await context.ports.cluster.job(naming.parse_job_id(job_id, context.identity.cluster))
    if job is None:
        refuse(Reason.JOB_UNKNOWN, "there is no such job")
    return job


def is_owner(job: ComputeJob, address: str) -> bool:
    """Say whether a job is of this address."""
    return addresses.are_equal(job.spec.consumer or "", address)


def may_read(job: ComputeJob, address: str) -> bool:
    """Say whether an address may read a job's results: its owner, or a viewer."""
    return is_owner(job, address) or _is_among(job.spec.additional_viewers, address)


def agreement(job: ComputeJob) -> str:
    """Name the order that stands for a job: its algorithm's, else that of its last dataset."""
    listed = (*(dataset.order for dataset in job.spec.datasets), job.spec.algorithm.order)
    return next((order.transaction for order in reversed(listed) if order is not None), "")


def _is_among(viewers: Sequence[str], address: str) -> bool:
    return any(addresses.are_equal(viewer, address) for viewer in viewers)


def _reported(job: ComputeJob) -> tuple[Json, ...]:
    return job.status.results.files if job.status.results else ()
