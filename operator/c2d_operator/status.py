"""Conditions and reasons: the steps of a job, how they are recorded, and Ocean's numbers.

One table maps how a job ended to the number and text that Ocean's clients know.
"""

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from c2d_api.computejob import (
    Algorithm,
    ComputeJob,
    Condition,
    ConditionStatus,
    Container,
    Json,
    Spec,
    Status,
)
from c2d_api.times import format_time

ADMITTED: Final = "Admitted"
VOLUMES_READY: Final = "VolumesReady"
ASSETS_LOADED: Final = "AssetsLoaded"
ALGORITHM_COMPLETED: Final = "AlgorithmCompleted"
RESULTS_PUBLISHED: Final = "ResultsPublished"
CLEANED_UP: Final = "CleanedUp"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"

STEPS: Final = (
    ADMITTED,
    VOLUMES_READY,
    ASSETS_LOADED,
    ALGORITHM_COMPLETED,
    RESULTS_PUBLISHED,
    CLEANED_UP,
)
WORK: Final = STEPS[:4]
CONDITIONS: Final = (*STEPS, COMPLETE, FAILED)


class Reason(StrEnum):
    """Why a condition is what it is."""

    # on the way
    WAITING = "Waiting"
    QUEUED = "Queued"
    SUSPENDED = "Suspended"
    ALLOCATING = "Allocating"
    LOADING = "Loading"
    STARTING = "Starting"
    RUNNING = "Running"
    PUBLISHING = "Publishing"
    CLEANING_UP = "CleaningUp"
    # done
    PLACE_GRANTED = "PlaceGranted"
    BOUND = "Bound"
    LOADED = "Loaded"
    EXITED_WITH_ZERO = "ExitedWithZero"
    PUBLISHED = "Published"
    NOTHING_LEFT = "NothingLeft"
    SUCCEEDED = "Succeeded"
    NOT_REACHED = "NotReached"
    # failed
    QUEUE_EXPIRED = "QueueExpired"
    ENVIRONMENT_NOT_FOUND = "EnvironmentNotFound"
    RESOURCES_EXCEED_ENVIRONMENT = "ResourcesExceedEnvironment"
    PROVIDER_UNKNOWN = "ProviderUnknown"
    GATEWAY_UNKNOWN = "GatewayUnknown"
    NAME_CONFLICT = "NameConflict"
    VOLUME_CREATION_FAILED = "VolumeCreationFailed"
    WORKSPACE_LOST = "WorkspaceLost"
    DATA_PROVISIONING_FAILED = "DataProvisioningFailed"
    ALGORITHM_PROVISIONING_FAILED = "AlgorithmProvisioningFailed"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    POD_REFUSED = "PodRefused"
    NETWORK_NOT_ISOLATED = "NetworkNotIsolated"
    ALGORITHM_FAILED = "AlgorithmFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    DISK_QUOTA_EXCEEDED = "DiskQuotaExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    EVICTED = "Evicted"
    ALGORITHM_LOST = "AlgorithmLost"
    STOPPED = "Stopped"
    RESULTS_UPLOAD_FAILED = "ResultsUploadFailed"
    CLEANUP_STUCK = "CleanupStuck"


@dataclass(frozen=True)
class Ocean:
    """A status as Ocean's clients know it."""

    number: int
    text: str


QUEUED = Ocean(1, "Warming up")
VOLUMES = Ocean(20, "Configuring volumes")
LOADING = Ocean(30, "Provisioning success")
RUNNING = Ocean(40, "Running algorithm")
PUBLISHING = Ocean(60, "Publishing results")
FINISHED = Ocean(70, "Job finished")
_QUEUE_EXPIRED = Ocean(2, "Job queue expired")
_PULL_FAILED = Ocean(11, "Pulling algorithm image failed")
_VOLUME_FAILED = Ocean(21, "Volume creation failed")
_CONTAINER_FAILED = Ocean(22, "Container creation failed")
_DATA_FAILED = Ocean(31, "Data provisioning failed")
_ALGORITHM_LOAD_FAILED = Ocean(32, "Algorithm provisioning failed")
_RUN_FAILED = Ocean(41, "Failed to run algorithm")
_DISK_FULL = Ocean(42, "Error: disk quota exceeded")
_UPLOAD_FAILED = Ocean(62, "Failed to upload results")

FAILURES: Final = {
    Reason.QUEUE_EXPIRED: _QUEUE_EXPIRED,
    Reason.ENVIRONMENT_NOT_FOUND: _CONTAINER_FAILED,
    Reason.RESOURCES_EXCEED_ENVIRONMENT: _CONTAINER_FAILED,
    Reason.PROVIDER_UNKNOWN: _CONTAINER_FAILED,
    Reason.GATEWAY_UNKNOWN: _CONTAINER_FAILED,
    Reason.NAME_CONFLICT: _CONTAINER_FAILED,
    Reason.VOLUME_CREATION_FAILED: _VOLUME_FAILED,
    Reason.DATA_PROVISIONING_FAILED: _DATA_FAILED,
    Reason.ALGORITHM_PROVISIONING_FAILED: _ALGORITHM_LOAD_FAILED,
    Reason.IMAGE_PULL_FAILED: _PULL_FAILED,
    Reason.UNSCHEDULABLE: _CONTAINER_FAILED,
    Reason.POD_REFUSED: _CONTAINER_FAILED,
    Reason.NETWORK_NOT_ISOLATED: _CONTAINER_FAILED,
    Reason.ALGORITHM_FAILED: _RUN_FAILED,
    Reason.OUT_OF_MEMORY: _RUN_FAILED,
    Reason.DISK_QUOTA_EXCEEDED: _DISK_FULL,
    Reason.DEADLINE_EXCEEDED: _RUN_FAILED,
    Reason.EVICTED: _RUN_FAILED,
    Reason.ALGORITHM_LOST: _RUN_FAILED,
    Reason.RESULTS_UPLOAD_FAILED: _UPLOAD_FAILED,
}
"""How a job ended, for the reasons that mean the same whenever they occur."""

WORKSPACE_LOST: Final = {
    VOLUMES_READY: _VOLUME_FAILED,
    ASSETS_LOADED: _VOLUME_FAILED,
    ALGORITHM_COMPLETED: _RUN_FAILED,
    RESULTS_PUBLISHED: _UPLOAD_FAILED,
}
"""How a job ended whose workspace vanished, by the step that it was lost in."""

_ON_THE_WAY: Final = {
    ADMITTED: QUEUED,
    VOLUMES_READY: VOLUMES,
    ASSETS_LOADED: LOADING,
    ALGORITHM_COMPLETED: RUNNING,
    RESULTS_PUBLISHED: PUBLISHING,
    CLEANED_UP: PUBLISHING,
}

_PHASES: Final = {
    ADMITTED: "Queued",
    VOLUMES_READY: "Allocating",
    ASSETS_LOADED: "Loading",
    ALGORITHM_COMPLETED: "Running",
    RESULTS_PUBLISHED: "Publishing",
    CLEANED_UP: "CleaningUp",
}


def begin(job: ComputeJob, now: datetime) -> Status:
    """Give a job all its conditions, each one Unknown."""
    return replace(
        job.status,
        conditions=tuple(
            Condition(type_, "Unknown", Reason.WAITING, "", now, job.generation)
            for type_ in CONDITIONS
        ),
    )


def record(
    status: Status,
    type_: str,
    value: ConditionStatus,
    reason: str,
    message: str,
    now: datetime,
    generation: int,
) -> Status:
    """Set one condition; its time changes only if its value does."""
    before = status.condition(type_)
    same = before is not None and before.status == value
    after = Condition(
        type_,
        value,
        reason,
        message[:2048],
        before.last_transition_time if before and same else now,
        generation,
    )
    return replace(
        status, conditions=tuple(after if c.type == type_ else c for c in status.conditions)
    )


def stage(status: Status) -> str | None:
    """Name the first step that is not decided; None when all are."""
    for type_ in STEPS:
        condition = status.condition(type_)
        if condition is None or condition.status == "Unknown":
            return type_
    return None


def is_true(status: Status, type_: str) -> bool:
    """Say whether a condition is True."""
    condition = status.condition(type_)
    return condition is not None and condition.status == "True"


def since(status: Status, type_: str) -> datetime:
    """Tell when a condition got its value."""
    condition = status.condition(type_)
    if condition is None:
        raise LookupError(f"the job has no condition {type_}")
    return condition.last_transition_time


def is_finished(status: Status) -> bool:
    """Say whether the job has ended and nothing more will be done for its results."""
    return is_true(status, COMPLETE) or is_true(status, FAILED)


def remembered(job: ComputeJob) -> ComputeJob:
    """Reduce a finished job to what is left to do for it and to tell of it: most jobs are old.

    Nothing of it is ever written back.
    """
    spec, container = job.spec, Container("", None, None, "")
    return replace(
        job,
        spec=Spec(
            environment=sys.intern(spec.environment),
            datasets=(),
            algorithm=Algorithm("", container),
            ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
        ),
        status=Status(
            conditions=tuple(
                replace(condition, reason=sys.intern(str(condition.reason)), message="")
                for condition in job.status.conditions
                if condition.type in (COMPLETE, FAILED) and condition.status == "True"
            ),
            completion_time=job.status.completion_time,
            observed_generation=job.status.observed_generation,
        ),
    )


def first_failure(status: Status) -> Condition | None:
    """Find the condition that failed first, in the order of the steps."""
    for type_ in STEPS[:5]:
        condition = status.condition(type_)
        if (
            condition is not None
            and condition.status == "False"
            and condition.reason != Reason.NOT_REACHED
        ):
            return condition
    return None


def ocean(job: ComputeJob, status: Status) -> Ocean:
    """Tell a job's status as Ocean's clients know it."""
    failure = first_failure(status)
    if failure is not None:
        if failure.reason == Reason.STOPPED:
            return FINISHED if job.spec.stop == "Requested" else _RUN_FAILED
        if failure.reason == Reason.WORKSPACE_LOST:
            return WORKSPACE_LOST[failure.type]
        return FAILURES[Reason(failure.reason)]
    if is_true(status, COMPLETE):
        return FINISHED
    return _ON_THE_WAY[stage(status) or CLEANED_UP]


def phase(status: Status) -> str:
    """Name where the job is, for the eye."""
    if is_true(status, COMPLETE):
        return COMPLETE
    if is_true(status, FAILED):
        return FAILED
    return _PHASES[stage(status) or CLEANED_UP]


def reason(status: Status) -> str:
    """Name what the job waits for or why it ended, for the eye."""
    for type_ in (COMPLETE, FAILED):
        condition = status.condition(type_)
        if condition is not None and condition.status == "True":
            return condition.reason
    condition = status.condition(stage(status) or CLEANED_UP)
    return condition.reason if condition else Reason.WAITING


def as_dict(job: ComputeJob, status: Status) -> dict[str, Any]:
    """Write the status as the API server stores it."""
    now_ocean = ocean(job, status)
    body: dict[str, Any] = {
        "phase": phase(status),
        "reason": reason(status),
        "ocean": {"status": now_ocean.number, "statusText": now_ocean.text},
        "observedGeneration": status.observed_generation,
        "attempts": {
            "loading": status.loading_attempt,
            "publishing": status.publishing_attempt,
        },
        "conditions": [condition_dict(condition) for condition in status.conditions],
    }
    for key, moment in (
        ("startTime", status.start_time),
        ("resumeTime", status.resume_time),
        ("completionTime", status.completion_time),
    ):
        if moment:
            body[key] = format_time(moment)
    if status.environment:
        body["environment"] = status.environment.as_dict()
    if status.claim_uid:
        body["workspace"] = {"uid": status.claim_uid}
    body.update(_run_dict(status))
    return body


def _run_dict(status: Status) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if status.loading:
        body["loading"] = {
            "files": status.loading.files,
            "filesTotal": status.loading.files_total,
            "bytes": status.loading.bytes,
            "bytesTotal": status.loading.bytes_total,  # None takes away what was known before
        }
    if status.algorithm_uid:
        body["algorithm"] = {"podUID": status.algorithm_uid}
        if status.algorithm_started:
            body["algorithm"]["startTime"] = format_time(status.algorithm_started)
    if status.termination:
        body["terminationDetails"] = {
            "exitCode": status.termination.exit_code,
            "oomKilled": status.termination.oom_killed,
        }
    if status.results:
        body["results"] = {
            "count": status.results.count,
            "totalBytes": status.results.total_bytes,
            "manifestDigest": status.results.manifest_digest,
            "files": [dict(file) for file in status.results.files],
        }
    return body


def condition_dict(condition: Condition) -> Json:
    """Write a condition as the API server stores it."""
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": format_time(condition.last_transition_time),
        "observedGeneration": condition.observed_generation,
    }
