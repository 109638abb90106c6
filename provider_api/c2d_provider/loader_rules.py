"""Whether who asks for a job's assets is the loader of that very job, and the job is ours.

Pure. Whoever may create pods and ComputeJobs in a namespace can give them any name and any label;
what they cannot make is a pod's identity in a token, the seal, and what the operator records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from c2d_api.asset_request import LOADER, AssetKind, AssetRequest
from c2d_api.computejob import (
    ATTEMPT_LABEL,
    ENVIRONMENT_LABEL,
    JOB_LABEL,
    JOB_UID_LABEL,
    PHASE_LABEL,
    ComputeJob,
    Order,
)
from c2d_provider import seal
from c2d_provider.ports import Caller
from c2d_provider.refusals import Reason


class Status(IntEnum):
    """What a loader does about a denial: it gives up, but for the last two."""

    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    NOT_NOW = 409
    UNAVAILABLE = 503


@dataclass(frozen=True)
class Denial:
    """Why nothing is handed out, and of which kind of asset that is said."""

    status: Status
    message: str
    kind: AssetKind = "dataset"


@dataclass(frozen=True)
class Asking:
    """All that a rule sees: what is asked, by whom, and the job that it is about."""

    request: AssetRequest
    caller: Caller
    labels: Mapping[str, str]
    job: ComputeJob
    seal_key: bytes


@dataclass(frozen=True)
class Wanted:
    """One asset that a job has of the provider, with the order that it names for it."""

    kind: AssetKind
    position: int
    did: str
    service_id: str
    order: Order
    user_data: str | None


@dataclass(frozen=True)
class Rule:
    """A rule: whether it holds, and what is said when it does not."""

    name: str
    status: Status
    message: str
    holds: Callable[[Asking], bool]


_RETRIED: Final = frozenset({Reason.ORDER_UNCONFIRMED, Reason.ORDER_UNKNOWN})
_NOT_ITS_LOADER = "only the loader of a job may ask for its assets"


def _is_of_one_namespace(asking: Asking) -> bool:
    namespaces = {asking.request.namespace, asking.caller.namespace, asking.job.namespace}
    return len(namespaces) == 1 and asking.request.job == asking.job.name


def _has_the_labels(asking: Asking) -> bool:
    """Compare with what the operator gives each loader; the uid is that of this object."""
    job, found = asking.job, asking.labels
    expected = {
        JOB_LABEL: job.name,
        JOB_UID_LABEL: job.uid,
        ENVIRONMENT_LABEL: job.spec.environment,
        PHASE_LABEL: "loading",
        ATTEMPT_LABEL: str(asking.request.attempt),
    }
    return all(found.get(key) == value for key, value in expected.items())


def _is_sealed(asking: Asking) -> bool:
    job = asking.job
    return seal.is_sealed(asking.seal_key, job.namespace, job.name, job.spec, job.seal)


def _is_in_time(asking: Asking) -> bool:
    """Bound when a job may be created: a copy that comes later has no order."""
    created = asking.job.created.timestamp()
    return all(created <= asset.order.valid_until for asset in wanted(asking.job))


def _is_paid(asking: Asking) -> bool:
    spec = asking.job.spec
    provided = sum(dataset.from_provider for dataset in spec.datasets)
    provided += spec.algorithm.from_provider
    return spec.consumer is not None and len(wanted(asking.job)) == provided > 0


def _is(asking: Asking, condition: str, value: str) -> bool:
    found = asking.job.status.condition(condition)
    return found is not None and found.status == value


def _is_before_the_run(asking: Asking) -> bool:
    return not any(
        _is(asking, condition, value)
        for condition in ("AssetsLoaded", "AlgorithmCompleted")
        for value in ("True", "False")
    )


RULES: Final = (
    Rule(
        "the job is that of the caller's namespace",
        Status.FORBIDDEN,
        _NOT_ITS_LOADER,
        _is_of_one_namespace,
    ),
    Rule(
        "the caller has the loader's account",
        Status.FORBIDDEN,
        _NOT_ITS_LOADER,
        lambda a: a.caller.service_account == f"{a.job.spec.environment}-{LOADER}",
    ),
    Rule(
        "the caller has the loader's name",
        Status.FORBIDDEN,
        _NOT_ITS_LOADER,
        lambda a: a.caller.pod_name == f"{a.job.name}-{LOADER}-{a.request.attempt}",
    ),
    Rule(
        "the caller has the loader's labels",
        Status.FORBIDDEN,
        _NOT_ITS_LOADER,
        _has_the_labels,
    ),
    Rule(
        "the job is sealed",
        Status.FORBIDDEN,
        "the job was not created by this provider, or was changed since",
        _is_sealed,
    ),
    Rule(
        "every asset has an order",
        Status.FORBIDDEN,
        "the job names no consumer, or no order for an asset",
        _is_paid,
    ),
    Rule(
        "the job was created in time",
        Status.FORBIDDEN,
        "the job was created after its orders had ended",
        _is_in_time,
    ),
    Rule(
        "the job is kept",
        Status.FORBIDDEN,
        "the job is being deleted",
        lambda a: not a.job.deleting,
    ),
    Rule(
        "the job is not stopped",
        Status.FORBIDDEN,
        "the job was stopped",
        lambda a: a.job.spec.stop is None,
    ),
    Rule(
        "the job has not ended",
        Status.FORBIDDEN,
        "the job has ended",
        lambda a: not (_is(a, "Complete", "True") or _is(a, "Failed", "True")),
    ),
    Rule(
        "the assets are not loaded yet",
        Status.FORBIDDEN,
        "the job's assets were loaded before",
        _is_before_the_run,
    ),
    Rule(
        "the job is let go",
        Status.NOT_NOW,
        "the job is suspended",
        lambda a: not a.job.spec.suspend,
    ),
    Rule(
        "the job was admitted",
        Status.NOT_NOW,
        "the job has no place yet",
        lambda a: _is(a, "Admitted", "True"),
    ),
    Rule(
        "the attempt is the last one",
        Status.NOT_NOW,
        "another attempt loads the job's assets",
        lambda a: a.job.status.loading_attempt == a.request.attempt,
    ),
)


def judge(asking: Asking) -> Denial | None:
    """Name the first rule that does not hold."""
    for rule in RULES:
        if not rule.holds(asking):
            return Denial(rule.status, rule.message)
    return None


def wanted(job: ComputeJob) -> tuple[Wanted, ...]:
    """List the assets of the provider that a job names orders for, the algorithm first."""
    algorithm = job.spec.algorithm
    found: list[Wanted] = []
    if algorithm.from_provider and algorithm.order:
        found.append(
            Wanted(
                "algorithm",
                0,
                algorithm.id,
                algorithm.service_id,
                algorithm.order,
                algorithm.user_data,
            )
        )
    found += [
        Wanted("dataset", place, one.id, one.service_id, one.order, one.user_data)
        for place, one in enumerate(job.spec.datasets)
        if one.from_provider and one.order
    ]
    return tuple(found)


def denial(reason: Reason, message: str, asset: Wanted) -> Denial:
    """Say why an asset is not handed out; what the chain may still bring is worth asking again."""
    status = Status.NOT_NOW if reason in _RETRIED else Status.FORBIDDEN
    return Denial(status, f"{asset.kind} {asset.did}: {message}", asset.kind)
