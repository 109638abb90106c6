"""Parsing ComputeJobs as the API server serves them."""

from datetime import UTC, datetime
from typing import Any

import pytest

import examples
from c2d_api.computejob import (
    Claimed,
    ComputeJob,
    Container,
    File,
    IpfsFile,
    Order,
    Resources,
    Results,
    S3Object,
    parse_job,
)
from c2d_api.progress import Tally

NOON = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
METADATA = {
    "namespace": "jobs",
    "uid": "1a2b",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": examples.TIME,
}


def parsed(body: dict[str, Any]) -> ComputeJob:
    body["metadata"] |= METADATA
    return parse_job(body)


def test_a_job_has_its_identity() -> None:
    job = parsed(examples.full_job())
    assert job.key == ("jobs", "full")
    assert (job.uid, job.resource_version, job.generation) == ("1a2b", "7", 3)
    assert (job.created, job.deleting) == (NOON, False)


def test_a_job_that_is_being_deleted_says_so() -> None:
    body = examples.small_job()
    body["metadata"]["deletionTimestamp"] = examples.TIME
    assert parsed(body).deleting


def test_every_field_of_a_spec_is_read() -> None:
    spec = parsed(examples.full_job()).spec
    first, second, described, lying = spec.datasets
    assert (spec.environment, spec.consumer) == ("small", examples.ADDRESS)
    assert spec.additional_viewers == ("0x" + "Cd" * 20,)
    assert (first.id, first.service_id, first.ddo) == (examples.DID, "access:1", "{}")
    assert (second.id, second.service_id, second.ddo) == ("iris", "", None)
    assert (second.secret, second.claim) == (None, None)
    assert (described.secret, described.files) == ("keys", ())
    assert (lying.claim, lying.files) == (Claimed("trees", "depths/2030"), ())
    assert spec.resources == Resources("500m", "1Gi", "2Gi")
    assert (spec.max_duration, spec.max_queue_duration) == (600, 1200)
    assert (spec.suspend, spec.stop, spec.ttl_seconds_after_finished) == (True, "Requested", 3600)


def test_a_job_and_each_dataset_say_whether_the_algorithm_has_the_network() -> None:
    body = examples.full_job()
    spec = parsed(body).spec
    assert spec.allow_network_access is False
    assert [d.allow_network_access for d in spec.datasets] == [True, False, False, False]
    body["spec"]["allowNetworkAccess"] = True
    assert parsed(body).spec.allow_network_access is True
    del body["spec"]["allowNetworkAccess"]
    assert parsed(body).spec.allow_network_access is False


def test_files_are_read_with_their_requests() -> None:
    job = parsed(examples.full_job())
    files = job.spec.datasets[0].files
    assert files == job.spec.algorithm.files
    assert files == (
        File(
            url="https://data.example.org:8443/a/b.csv?version=2",
            method="POST",
            headers=(("Accept", "text/csv, */*"),),
            sha256="ab" * 32,
            max_bytes=1_000_000,
        ),
        File(inline="a,b\n1,2\n"),
        File(
            s3=S3Object("trees", "depths/2030 a.csv", "https://s3.example.org:9000", "eu-central-1")
        ),
        File(ipfs=IpfsFile(examples.CID, "depths/b.csv")),
        File(arweave="a-_9" * 10 + "xyz"),
    )


def test_an_algorithm_is_read() -> None:
    algorithm = parsed(examples.full_job()).spec.algorithm
    assert algorithm.id == "did:op:" + "fe" * 32
    assert (algorithm.raw_code, algorithm.ddo) == (None, "{}")
    assert (algorithm.custom_data, algorithm.env) == ('{"rounds": 3}', (("ROUNDS", "3"),))
    assert algorithm.container.entrypoint == "python $ALGO"


def test_an_algorithm_may_be_described_by_a_secret() -> None:
    algorithm = parsed(examples.described_job()).spec.algorithm
    assert (algorithm.secret, algorithm.files, algorithm.raw_code) == ("keys", (), None)


def test_raw_code_is_an_algorithm_without_files() -> None:
    algorithm = parsed(examples.raw_job()).spec.algorithm
    assert (algorithm.raw_code, algorithm.files) == ("print(1)", ())


def test_assets_of_the_provider_are_read_with_their_orders() -> None:
    spec = parsed(examples.provided_job()).spec
    order = Order(8996, "0x" + "3c" * 32, 1893553445)  # `date -u -d 2030-01-02T03:04:05Z +%s`
    (dataset,) = spec.datasets
    for asset in (dataset, spec.algorithm):
        assert asset.from_provider
        assert asset.files == ()
        assert (asset.service_id, asset.order, asset.user_data) == ("compute", order, '{"age": 7}')


def _with_a_dataset_of_files() -> dict[str, Any]:
    body = examples.provided_job()
    body["spec"]["datasets"] = [{"id": "a", "source": {"files": [{"inline": {"text": "x"}}]}}]
    return body


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        pytest.param(examples.provided_job(), True, id="both"),
        pytest.param(_with_a_dataset_of_files(), True, id="the algorithm"),
        pytest.param(examples.full_job(), False, id="neither"),
        pytest.param(examples.raw_job(), False, id="raw code"),
    ],
)
def test_a_job_asks_the_provider_for_any_asset_of_its(body: dict[str, Any], asks: bool) -> None:
    spec = parsed(body).spec
    assert spec.asks_provider == asks
    assert not any(d.from_provider for d in spec.datasets) or body["spec"]["datasets"][0]["order"]


def test_a_seal_is_read() -> None:
    body = examples.provided_job()
    assert parsed(body).seal is None
    body["metadata"]["annotations"] = {"computetodata.io/seal": "v1:00", "other": "1"}
    assert parsed(body).seal == "v1:00"


def test_quantities_may_be_numbers() -> None:
    body = examples.small_job()
    body["spec"]["resources"] = {"cpu": 2, "memory": 1073741824}
    assert parsed(body).spec.resources == Resources("2", "1073741824", None)


@pytest.mark.parametrize(
    ("tag", "digest", "reference"),
    [
        ("3", None, "python:3"),
        (None, examples.DIGEST, f"python@{examples.DIGEST}"),
        ("3", examples.DIGEST, f"python@{examples.DIGEST}"),
    ],
)
def test_a_digest_outranks_a_tag(tag: str | None, digest: str | None, reference: str) -> None:
    assert Container("python", tag, digest, "x").reference == reference


def test_a_job_never_seen_has_an_empty_status() -> None:
    status = parsed(examples.small_job()).status
    assert status.conditions == ()
    assert status.condition("Ready") is None
    assert (status.environment, status.algorithm_uid, status.results) == (None, None, None)
    assert (status.loading_attempt, status.observed_generation) == (0, 0)


def test_every_field_of_a_status_is_read() -> None:
    status = parsed({**examples.full_job(), "status": examples.job_status()}).status
    condition = status.condition("Ready")
    assert condition is not None
    assert (condition.status, condition.reason, condition.observed_generation) == (
        "True",
        "Checked",
        1,
    )
    assert condition.last_transition_time == NOON
    assert (status.claim_uid, status.algorithm_uid, status.algorithm_started) == (
        "5c4d",
        "6d5e",
        NOON,
    )
    assert (status.loading_attempt, status.publishing_attempt) == (1, 2)
    assert status.loading == Tally(1, 2, 30, 40)
    assert status.termination is not None
    assert (status.termination.exit_code, status.termination.oom_killed) == (3, True)
    assert (status.start_time, status.resume_time, status.completion_time) == (NOON, NOON, NOON)
    assert status.ocean == {"status": 70, "statusText": "Job finished"}
    file = {"name": "a/b.csv", "type": "output", "size": 12}
    assert status.results == Results(1, 12, examples.DIGEST, (file,))


def test_the_terms_of_a_status_are_written_as_they_were_read() -> None:
    status = parsed({**examples.full_job(), "status": examples.job_status()}).status
    assert status.environment is not None
    assert status.environment.as_dict() == examples.job_status()["environment"]
