"""Stopping and deleting a job, for its owner alone."""

from c2d_api.computejob import ComputeJob
from c2d_provider import authorizing, details
from c2d_provider.asked import JobAsked
from c2d_provider.authorizing import Proof
from c2d_provider.context import Context
from c2d_provider.refusals import Reason, refuse


async def stop(context: Context, asked: JobAsked, proof: Proof) -> ComputeJob:
    """Ask a job to stop; one that is finished or stopped already is left as it is."""
    job = await _owned(context, asked, proof)
    if job.status.completion_time is None and job.spec.stop is None:
        await context.ports.cluster.stop_job(job, "Requested")
        return await context.ports.cluster.job(job.name) or job
    return job


async def delete(context: Context, asked: JobAsked, proof: Proof) -> ComputeJob:
    """Delete a job, whatever it does; returns it as it was."""
    job = await _owned(context, asked, proof)
    await context.ports.cluster.delete_job(job)
    return job


async def _owned(context: Context, asked: JobAsked, proof: Proof) -> ComputeJob:
    requester = await authorizing.identify(context, proof)
    job = await details.find(context, asked.job_id)
    if not details.is_owner(job, requester.address):
        refuse(Reason.JOB_UNKNOWN, "there is no such job")
    await authorizing.take_nonce(context, requester)
    return job
