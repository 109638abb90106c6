"""Admission: who gets a place in an environment, and on which terms.

One decision covers one environment and all its jobs: first come, first served.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from c2d_api.computeenvironment import Environment, Quantities, Terms
from c2d_api.computejob import ComputeJob, Status
from c2d_api.quantities import parse_quantity
from c2d_api.tasks import MAX_TASK_BYTES, Gateways
from c2d_operator import offers
from c2d_operator import status as st
from c2d_operator.pods import loader_task
from c2d_operator.status import Reason
from c2d_operator.steps import Facts, Step, fail

GRACE = timedelta(seconds=15)
"""How long after a job its environment may be applied: `kubectl apply -f folder` knows no order."""

_LONGEST_URL = "x" * 2048


@dataclass(frozen=True)
class Contender:
    """A job as admission sees it: it holds a place, waits for one, or neither."""

    uid: str
    created: datetime
    holding: bool
    waiting: bool
    resources: Quantities | None = None


def contender(job: ComputeJob) -> Contender:
    """Say what place a job has in its environment."""
    admitted = st.is_true(job.status, st.ADMITTED)
    open_ = not st.is_finished(job.status)
    undecided = st.stage(job.status) == st.ADMITTED
    return Contender(
        job.uid,
        job.created,
        holding=admitted and open_,
        resources=job.status.environment.resources if job.status.environment else None,
        waiting=undecided and open_ and not job.deleting and not held_back(job),
    )


def held_back(job: ComputeJob) -> bool:
    """Say whether a job does not ask for a place, though it has none."""
    return job.spec.suspend or job.spec.stop is not None


def admit(
    environment: Environment, jobs: Iterable[Contender], granted: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Name the jobs, by uid, that get a place now; `granted` has those that just got one."""
    jobs = list(jobs)
    if not environment.ready or environment.deleting:
        return ()
    holding = sum(job.holding or job.uid in granted for job in jobs)
    queue = sorted(
        (job for job in jobs if job.waiting and job.uid not in granted and not job.holding),
        key=lambda job: (job.created, job.uid),
    )
    return tuple(job.uid for job in queue[: max(0, environment.max_jobs - holding)])


def terms(job: ComputeJob, environment: Environment) -> Terms:
    """Copy what a job takes from its environment, with its own wishes applied."""
    asked, default = job.spec.resources, environment.default
    has_network = job.spec.allow_network_access and environment.allow_network_access
    return Terms(
        name=environment.name,
        uid=environment.uid,
        resources=Quantities(
            asked.cpu or default.cpu, asked.memory or default.memory, asked.disk or default.disk
        ),
        max_duration=job.spec.max_duration or environment.max_job_duration,
        store=environment.store,
        deadlines=environment.deadlines,
        pods=environment.pods,
        egress=environment.egress,
        storage_class_name=environment.storage_class_name,
        consumer=environment.consumer.address if environment.consumer else None,
        retention=environment.retention,
        max_files=environment.max_files,
        max_bytes=environment.max_bytes,
        network_isolation=environment.network_isolation,
        allow_network_access=has_network,
        nameservers=environment.nameservers if has_network else (),
    )


def excess(job: ComputeJob, environment: Environment) -> str | None:
    """Say what a job asks for that its environment does not offer."""
    asked = terms(job, environment)
    for name in ("cpu", "memory", "disk"):
        wish, limit = getattr(asked.resources, name), getattr(environment.maximum, name)
        if parse_quantity(wish) > parse_quantity(limit):
            return f"resources.{name}: {wish} is more than the {limit} that {environment.name} has"
    if asked.max_duration > environment.max_job_duration:
        limit = environment.max_job_duration
        return f"maxDuration: {asked.max_duration} s is more than {environment.name}'s {limit} s"
    if job.spec.allow_network_access and not environment.allow_network_access:
        return f"allowNetworkAccess: {environment.name} gives algorithms no network"
    gateways = Gateways(_LONGEST_URL, _LONGEST_URL)
    if len(loader_task(job, asked, _LONGEST_URL, gateways=gateways).encode()) > MAX_TASK_BYTES:
        return (
            "the job describes its assets with more than "
            f"{MAX_TASK_BYTES // 1024} KiB; offer inline content by URL instead"
        )
    return None


def advance(facts: Facts) -> Step:
    """Judge a job that has no place yet."""
    environment = facts.environment
    if environment is None or environment.deleting:
        return _without_environment(facts)
    refused = _refused(facts, environment)
    if refused:
        return refused
    if facts.job.spec.suspend:
        return Step(facts.waiting(st.ADMITTED, Reason.SUSPENDED, "spec.suspend is set").status)
    condition = facts.status.condition(st.ADMITTED)
    if condition is not None and condition.reason == Reason.SUSPENDED:
        facts = facts.with_status(replace(facts.status, resume_time=facts.now))
    word = offers.early_word(facts)
    if word:
        return word
    if facts.granted:
        return Step(_admitted(facts, environment))
    return _queue(facts, environment)


def _queue(facts: Facts, environment: Environment) -> Step:
    limit = min(
        facts.job.spec.max_queue_duration or environment.max_queue_duration,
        environment.max_queue_duration,
    )
    began = max(facts.job.created, facts.status.resume_time or facts.job.created)
    deadline = began + timedelta(seconds=limit)
    if facts.now >= deadline:
        return fail(facts, Reason.QUEUE_EXPIRED, f"{environment.name} had no place for {limit} s")
    message = (
        f"{environment.name} runs {environment.max_jobs} jobs at a time"
        if environment.ready
        else f"{environment.name} is not ready: kubectl describe cenv {environment.name}"
    )
    return Step(facts.waiting(st.ADMITTED, Reason.QUEUED, message).status, (), deadline)


def _refused(facts: Facts, environment: Environment) -> Step | None:
    """Fail a job that asks for what there is not."""
    if facts.job.spec.asks_provider and not facts.provider_url:
        return fail(
            facts,
            Reason.PROVIDER_UNKNOWN,
            "the job has assets of the provider, and this operator has none to ask:"
            " set C2D_PROVIDER_URL, or give the assets as files",
        )
    missing = _missing_gateway(facts)
    if missing:
        return fail(facts, Reason.GATEWAY_UNKNOWN, missing)
    too_much = excess(facts.job, environment)
    return fail(facts, Reason.RESOURCES_EXCEED_ENVIRONMENT, too_much) if too_much else None


def _missing_gateway(facts: Facts) -> str | None:
    files = list(facts.job.spec.listed_files)
    for of, setting, gateway, is_needed in (
        ("IPFS", "C2D_IPFS_GATEWAY", facts.gateways.ipfs, any(f.ipfs for f in files)),
        ("Arweave", "C2D_ARWEAVE_GATEWAY", facts.gateways.arweave, any(f.arweave for f in files)),
    ):
        if is_needed and not gateway:
            return (
                f"the job has files of {of}, and this operator has no gateway for them:"
                f" set {setting}, or give the files by URL"
            )
    return None


def _admitted(facts: Facts, environment: Environment) -> Status:
    facts = facts.record(
        st.ADMITTED, "True", Reason.PLACE_GRANTED, f"{environment.name} has a place for the job"
    )
    facts = facts.waiting(st.VOLUMES_READY, Reason.ALLOCATING)
    return replace(facts.status, environment=terms(facts.job, environment), start_time=facts.now)


def _without_environment(facts: Facts) -> Step:
    name, deadline = facts.job.spec.environment, facts.job.created + GRACE
    message = f"there is no ComputeEnvironment {name} in namespace {facts.job.namespace}"
    if facts.now >= deadline:
        return fail(facts, Reason.ENVIRONMENT_NOT_FOUND, message)
    return Step(facts.waiting(st.ADMITTED, Reason.QUEUED, message).status, (), deadline)
