"""Names of jobs and environments: computed, and read from either form of their id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_provider.naming import (
    EnvironmentName,
    cluster_hash,
    environment_id,
    job_id,
    job_name,
    paid_job_name,
    parse_environment_id,
    parse_job_id,
)
from c2d_provider.refusals import Reason, Refused

CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
CLUSTER = cluster_hash("0x90F79bf6EB2c4f870365E785982E1f101E93b906")
OTHER = cluster_hash("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")
JOB = "0123456789abcdef0123456789abcdef"
A, B = "0x" + "aa" * 32, "0x" + "bb" * 32


def test_a_request_sent_again_is_the_same_job() -> None:
    name = job_name(8996, CONSUMER, [A, B], "5")
    assert name == job_name(8996, CONSUMER.lower(), [A, B], "5")
    assert parse_job_id(name, CLUSTER) == name


def test_different_requests_are_different_jobs() -> None:
    names = [
        job_name(8996, CONSUMER, [A, B], "5"),
        job_name(1, CONSUMER, [A, B], "5"),
        job_name(8996, "0x" + "11" * 20, [A, B], "5"),
        job_name(8996, CONSUMER, [B, A], "5"),
        job_name(8996, CONSUMER, [A], "5"),
        job_name(8996, CONSUMER, [], "5"),
        job_name(8996, CONSUMER, [A, B], "55"),
        paid_job_name(8996, f"{A}-1", 0),
        paid_job_name(8996, f"{A}-10", 0),
        paid_job_name(8996, f"{A}-1", 1),
        paid_job_name(1, f"{A}-1", 0),
    ]
    assert len(set(names)) == len(names)


@given(st.lists(st.text(max_size=4), max_size=3), st.lists(st.text(max_size=4), max_size=3))
def test_no_two_lists_of_orders_have_one_name(one: list[str], other: list[str]) -> None:
    names = [job_name(1, CONSUMER, orders, "1") for orders in (one, other)]
    assert (names[0] == names[1]) == (one == other)


ENVIRONMENT = EnvironmentName("jobs-1", "small")


@pytest.mark.parametrize("cluster", [None, CLUSTER])
def test_an_id_is_read_back(cluster: str | None) -> None:
    assert parse_job_id(job_id(JOB, cluster), CLUSTER) == JOB
    assert parse_environment_id(environment_id(ENVIRONMENT, cluster), CLUSTER) == ENVIRONMENT


def test_a_bare_name_is_looked_for_where_the_operator_says() -> None:
    found = parse_environment_id("ocean-compute", CLUSTER, "jobs")
    assert found == EnvironmentName("jobs", "ocean-compute")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param(7, id="a number"),
        pytest.param("", id="empty"),
        pytest.param(JOB.upper(), id="upper case"),
        pytest.param(JOB[:-1], id="too short"),
        pytest.param(f"{JOB}\n", id="a line feed"),
        pytest.param(f"../{JOB}", id="a path"),
        pytest.param(f"{OTHER}-{JOB}", id="another cluster's"),
        pytest.param(f"{CLUSTER}-{CLUSTER}-{JOB}", id="two clusters"),
        pytest.param(f"{CLUSTER.upper()}-{JOB}", id="a cluster in upper case"),
        pytest.param("\uff10" * 32, id="full-width digits"),
    ],
)
def test_what_is_no_job(text: object) -> None:
    with pytest.raises(Refused) as refused:
        parse_job_id(text, CLUSTER)
    assert refused.value.refusal.reason == Reason.JOB_UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("small", id="no namespace"),
        pytest.param("jobs.", id="no name"),
        pytest.param(".small", id="an empty namespace"),
        pytest.param("jobs.small.more", id="two dots"),
        pytest.param("jobs/small", id="a path"),
        pytest.param("Jobs.small", id="upper case"),
        pytest.param("jobs.small\n", id="a line feed"),
        pytest.param(f"{OTHER}-jobs.small", id="another cluster's"),
        pytest.param("j" * 64 + ".small", id="too long"),
        pytest.param("jobs.-small", id="a dash in front"),
    ],
)
def test_what_is_no_environment(text: object) -> None:
    with pytest.raises(Refused) as refused:
        parse_environment_id(text, CLUSTER)
    assert refused.value.refusal.reason == Reason.ENVIRONMENT_UNKNOWN
