"""Conditions, and what Ocean's clients are told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from c2d_api.computejob import ComputeJob, Status, parse_job
from c2d_operator import status as st
from c2d_operator.status import Reason
from fakes import START, job_manifest

META = {"uid": "u", "resourceVersion": "1", "creationTimestamp": START.isoformat()}
ON_THE_WAY = {
    Reason.WAITING,
    Reason.QUEUED,
    Reason.SUSPENDED,
    Reason.ALLOCATING,
    Reason.LOADING,
    Reason.STARTING,
    Reason.RUNNING,
    Reason.PUBLISHING,
    Reason.CLEANING_UP,
}
DONE = {
    Reason.PLACE_GRANTED,
    Reason.BOUND,
    Reason.LOADED,
    Reason.EXITED_WITH_ZERO,
    Reason.PUBLISHED,
    Reason.NOTHING_LEFT,
    Reason.SUCCEEDED,
    Reason.NOT_REACHED,
}


def new_job(stop: str | None = None) -> ComputeJob:
    spec: dict[str, Any] = {"stop": {"reason": stop}} if stop else {}
    body = job_manifest(**spec)
    return parse_job({**body, "metadata": {**body["metadata"], **META}})


def failed(job: ComputeJob, type_: str, reason: str) -> Status:
    """Let a job fail in a step whose former ones went well."""
    status = st.begin(job, START)
    for former in st.STEPS[: st.STEPS.index(type_)]:
        status = st.record(status, former, "True", "Done", "", START, 1)
    return st.record(status, type_, "False", reason, "", START, 1)


def test_every_reason_to_fail_has_a_number() -> None:
    elsewhere = {Reason.STOPPED, Reason.WORKSPACE_LOST, Reason.CLEANUP_STUCK}
    assert set(st.FAILURES) == set(Reason) - ON_THE_WAY - DONE - elsewhere


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        ("QueueExpired", 2),
        ("ImagePullFailed", 11),
        ("VolumeCreationFailed", 21),
        ("EnvironmentNotFound", 22),
        ("ResourcesExceedEnvironment", 22),
        ("NameConflict", 22),
        ("Unschedulable", 22),
        ("PodRefused", 22),
        ("DataProvisioningFailed", 31),
        ("AlgorithmProvisioningFailed", 32),
        ("AlgorithmFailed", 41),
        ("OutOfMemory", 41),
        ("DiskQuotaExceeded", 42),
        ("DeadlineExceeded", 41),
        ("Evicted", 41),
        ("AlgorithmLost", 41),
        ("ResultsUploadFailed", 62),
    ],
)
def test_a_failure_is_told_as_oceans_number(reason: str, number: int) -> None:
    job = new_job()
    assert st.ocean(job, failed(job, st.ADMITTED, reason)).number == number


@pytest.mark.parametrize(
    ("type_", "number"),
    [
        (st.VOLUMES_READY, 21),
        (st.ASSETS_LOADED, 21),
        (st.ALGORITHM_COMPLETED, 41),
        (st.RESULTS_PUBLISHED, 62),
    ],
)
def test_a_lost_workspace_is_told_by_when_it_was_lost(type_: str, number: int) -> None:
    job = new_job()
    assert st.ocean(job, failed(job, type_, Reason.WORKSPACE_LOST)).number == number


@pytest.mark.parametrize(
    ("stop", "number"), [("Requested", 70), ("AdminRequested", 41), ("OrderRemoved", 41)]
)
def test_only_a_stop_by_the_consumer_is_a_finished_job(stop: str, number: int) -> None:
    job = new_job(stop)
    assert st.ocean(job, failed(job, st.ALGORITHM_COMPLETED, Reason.STOPPED)).number == number


@pytest.mark.parametrize(
    ("done", "number", "phase"),
    [
        (0, 1, "Queued"),
        (1, 20, "Allocating"),
        (2, 30, "Loading"),
        (3, 40, "Running"),
        (4, 60, "Publishing"),
        (5, 60, "CleaningUp"),
    ],
)
def test_a_job_on_its_way_is_told_by_its_phase(done: int, number: int, phase: str) -> None:
    job = new_job()
    status = st.begin(job, START)
    for type_ in st.STEPS[:done]:
        status = st.record(status, type_, "True", "Done", "", START, 1)
    assert (st.ocean(job, status).number, st.phase(status)) == (number, phase)


def test_a_failed_algorithm_stays_failed_when_its_upload_fails_too() -> None:
    job = new_job()
    status = failed(job, st.ALGORITHM_COMPLETED, Reason.ALGORITHM_FAILED)
    status = st.record(status, st.RESULTS_PUBLISHED, "False", "ResultsUploadFailed", "", START, 1)
    assert st.ocean(job, status).number == 41


def test_time_of_a_condition_changes_with_its_value_only() -> None:
    later = START + timedelta(seconds=9)
    status = st.begin(new_job(), START)
    worded = st.record(status, st.ADMITTED, "Unknown", Reason.QUEUED, "", later, 1)
    assert st.since(worded, st.ADMITTED) == START
    decided = st.record(worded, st.ADMITTED, "True", Reason.PLACE_GRANTED, "", later, 1)
    assert st.since(decided, st.ADMITTED) == later


def test_what_is_written_is_read_back() -> None:
    job = new_job()
    status = replace(
        failed(job, st.ALGORITHM_COMPLETED, Reason.ALGORITHM_FAILED),
        claim_uid="c",
        algorithm_uid="a",
        algorithm_started=START,
        loading_attempt=1,
        publishing_attempt=2,
        start_time=START,
        resume_time=START,
        completion_time=START,
        observed_generation=4,
    )
    body = {**job_manifest(), "status": st.as_dict(job, status)}
    meta = {**body["metadata"], **META}
    assert parse_job({**body, "metadata": meta}).status == status
