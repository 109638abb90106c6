"""Parsing ComputeEnvironments, and the terms that a job takes from one."""

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import examples
import schemas
from c2d_api.computeenvironment import (
    Address,
    Consumer,
    Deadlines,
    Environment,
    PodSettings,
    Price,
    Quantities,
    Store,
    Terms,
    parse_environment,
)

TEXT = st.text(min_size=1, max_size=20)
NUMBER = st.integers(1, 2**31 - 1)
MAYBE_TEXT = st.none() | TEXT
LABELS = st.dictionaries(TEXT, TEXT, max_size=3).map(MappingProxyType)
PODS = st.builds(
    PodSettings,
    run_as_user=st.none() | NUMBER,
    run_as_group=st.none() | NUMBER,
    fs_group=st.none() | NUMBER,
    runtime_class_name=MAYBE_TEXT,
    priority_class_name=MAYBE_TEXT,
    node_selector=LABELS,
    tolerations=st.lists(LABELS, max_size=3).map(tuple),
    image_pull_secrets=st.lists(TEXT, max_size=3).map(tuple),
)
TERMS = st.builds(
    Terms,
    name=TEXT,
    uid=TEXT,
    resources=st.builds(Quantities, TEXT, TEXT, TEXT),
    max_duration=NUMBER,
    store=st.builds(Store, TEXT, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT),
    deadlines=st.builds(Deadlines, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER),
    pods=PODS,
    egress=st.lists(st.builds(Address, TEXT, NUMBER), max_size=3).map(tuple),
    storage_class_name=MAYBE_TEXT,
    consumer=MAYBE_TEXT,
    retention=st.none() | NUMBER,
    max_files=NUMBER,
    max_bytes=NUMBER,
    allow_network_access=st.booleans(),
    nameservers=st.lists(TEXT, max_size=3).map(tuple),
)


def parsed(**changes: Any) -> Environment:
    body = {**examples.full_environment(), **changes}
    body["metadata"] |= {
        "namespace": "jobs",
        "uid": "1a2b",
        "resourceVersion": "7",
        "generation": 3,
    }
    return parse_environment(body)


@given(TERMS)
def test_terms_are_read_as_they_were_written(terms: Terms) -> None:
    assert Terms.parse(json.loads(json.dumps(terms.as_dict()))) == terms


def test_every_field_of_a_spec_is_read() -> None:
    environment = parsed()
    assert environment.key == ("jobs", "full")
    assert (environment.uid, environment.resource_version, environment.generation) == (
        "1a2b",
        "7",
        3,
    )
    assert environment.default == Quantities("1m", "16Mi", "16Mi")
    assert environment.maximum == Quantities("2", "4Gi", "10Gi")
    assert (environment.max_jobs, environment.max_job_duration) == (2, 600)
    assert environment.max_queue_duration == 1200
    assert environment.storage_class_name == "fast.ssd"
    assert environment.store == Store(
        "s3://results/jobs", "http://10.89.0.2:7070", "us-east-1", "store-key"
    )
    assert environment.retention == 604800
    assert (environment.max_files, environment.max_bytes) == (20_000, 2**40)
    assert environment.deadlines == Deadlines(1, 2, 3, 4, 5)
    assert environment.egress == (Address("10.1.2.0/24", 8080),)
    assert environment.allow_network_access is True
    assert environment.nameservers == ("9.9.9.9", "2620:fe::fe")
    assert environment.description == "Two cores"
    assert environment.consumer == Consumer(examples.ADDRESS, "environment.key")
    assert environment.prices == (Price(8996, examples.TOKEN, "0.25", 6),)


def test_an_environment_without_prices_and_consumer_is_free() -> None:
    body = examples.full_environment()
    del body["spec"]["prices"], body["spec"]["consumer"], body["spec"]["description"]
    environment = parsed(spec=body["spec"])
    assert (environment.prices, environment.consumer, environment.description) == ((), None, "")


def test_an_environment_without_a_retention_keeps_results_for_ever() -> None:
    body = examples.full_environment()
    del body["spec"]["results"]["retention"]
    assert parsed(spec=body["spec"]).retention is None


def test_an_environment_from_before_there_were_limits_has_those_of_the_schema() -> None:
    body = examples.full_environment()
    fields = dict(schemas.fields(schemas.schema_of("ComputeEnvironment")))
    del body["spec"]["results"]["maxFiles"], body["spec"]["results"]["maxBytes"]
    environment = parsed(spec=body["spec"])
    assert environment.max_files == fields["spec.results.maxFiles"]["default"]
    assert environment.max_bytes == fields["spec.results.maxBytes"]["default"]


def test_an_environment_that_says_nothing_of_the_network_gives_none() -> None:
    body = examples.full_environment()
    del body["spec"]["allowNetworkAccess"], body["spec"]["nameservers"]
    environment = parsed(spec=body["spec"])
    assert (environment.allow_network_access, environment.nameservers) == (False, ())


def test_terms_from_before_there_was_network_access_grant_none() -> None:
    body = examples.job_status()["environment"]
    del body["allowNetworkAccess"], body["nameservers"]
    terms = Terms.parse(body)
    assert (terms.allow_network_access, terms.nameservers) == (False, ())


def test_every_setting_of_pods_is_read() -> None:
    pods = parsed().pods
    assert (pods.run_as_user, pods.run_as_group, pods.fs_group) == (2000, 2001, 2002)
    assert (pods.runtime_class_name, pods.priority_class_name) == ("gvisor", "low")
    assert pods.node_selector == {"example.org/pool": "compute"}
    assert pods.tolerations[0]["tolerationSeconds"] == 60
    assert pods.image_pull_secrets == ("registry.key",)


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([], False),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "NetworkIsolated", "status": "True"}], False),
        ([{"type": "Ready", "status": "True"}], True),
    ],
)
def test_ready_is_what_the_condition_says(conditions: list[dict[str, str]], ready: bool) -> None:
    assert parsed(status={"conditions": conditions}).ready is ready


def test_an_environment_that_is_being_deleted_says_so() -> None:
    body = examples.full_environment()
    body["metadata"]["deletionTimestamp"] = examples.TIME
    assert parsed(metadata=body["metadata"]).deleting
    assert not parsed().deleting
