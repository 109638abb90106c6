"""The seal: good for one job as it was made, and for nothing else."""

import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

import asked_job
from c2d_api.computejob import (
    Algorithm,
    Container,
    Dataset,
    File,
    Resources,
    Spec,
    parse_job,
)
from c2d_provider.seal import canonical, derived_key, is_sealed, seal

KEY = b"k" * 32
CONTAINER = Container("python", None, "sha256:" + "0" * 64, "python $ALGO")
SPEC = Spec(
    environment="small",
    datasets=(Dataset("did:op:1", "s1", (File(url="https://a.example"),)),),
    algorithm=Algorithm("did:op:2", CONTAINER),
    consumer="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
)


def test_the_seal_is_a_mac_of_namespace_name_and_spec() -> None:
    """Written out by hand: keys in order, nothing that is at its default."""
    text = (
        '["v1","jobs","job",{'
        '"algorithm":{"container":{"digest":"sha256:' + "0" * 64 + '",'
        '"entrypoint":"python $ALGO","image":"python","tag":null},"id":"did:op:2"},'
        '"consumer":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",'
        '"datasets":[{"files":[{"url":"https://a.example"}],"id":"did:op:1","service_id":"s1"}],'
        '"environment":"small"}]'
    )
    expected = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    assert seal(KEY, "jobs", "job", SPEC) == f"v1:{expected}"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(SPEC, suspend=True), id="suspended"),
        pytest.param(replace(SPEC, stop="Requested"), id="stopped"),
        pytest.param(replace(SPEC, ttl_seconds_after_finished=60), id="kept for longer"),
    ],
)
def test_what_may_change_breaks_no_seal(changed: Spec) -> None:
    assert is_sealed(KEY, "jobs", "job", changed, seal(KEY, "jobs", "job", SPEC))


def _with_file(**changes: Any) -> Spec:
    file = replace(SPEC.datasets[0].files[0], **changes)
    return replace(SPEC, datasets=(replace(SPEC.datasets[0], files=(file,)),))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(SPEC, environment="large"), id="another environment"),
        pytest.param(replace(SPEC, consumer=None), id="no consumer"),
        pytest.param(replace(SPEC, consumer=SPEC.consumer.lower()), id="other letter case"),  # type: ignore[union-attr]  # it is set
        pytest.param(replace(SPEC, additional_viewers=("0x12",)), id="a viewer more"),
        pytest.param(replace(SPEC, datasets=()), id="no dataset"),
        pytest.param(replace(SPEC, datasets=SPEC.datasets * 2), id="a dataset twice"),
        pytest.param(replace(SPEC, max_duration=1), id="another duration"),
        pytest.param(replace(SPEC, resources=Resources(cpu="1")), id="other resources"),
        pytest.param(_with_file(method="POST"), id="another method"),
        pytest.param(_with_file(sha256="0"), id="another file"),
        pytest.param(
            replace(SPEC, algorithm=replace(SPEC.algorithm, raw_code="x")), id="other code"
        ),
        pytest.param(replace(SPEC, allow_network_access=True), id="the network"),
        pytest.param(
            replace(SPEC, datasets=(replace(SPEC.datasets[0], allow_network_access=True),)),
            id="a dataset that allows the network",
        ),
    ],
)
def test_any_other_change_breaks_the_seal(changed: Spec) -> None:
    assert not is_sealed(KEY, "jobs", "job", changed, seal(KEY, "jobs", "job", SPEC))


def test_the_seal_is_of_one_place() -> None:
    made = seal(KEY, "jobs", "job", SPEC)
    assert is_sealed(KEY, "jobs", "job", SPEC, made)
    assert not is_sealed(KEY, "jobs", "other", SPEC, made)
    assert not is_sealed(KEY, "other", "job", SPEC, made)
    assert not is_sealed(KEY, 'jobs","job', "", SPEC, made)
    assert not is_sealed(b"l" * 32, "jobs", "job", SPEC, made)


@pytest.mark.parametrize(
    "found", [None, "", "v1:", "v1:" + "0" * 64, "v2:" + "0" * 64, "ü", "\ud800"]
)
def test_what_is_no_seal(found: str | None) -> None:
    assert not is_sealed(KEY, "jobs", "job", SPEC, found)


def test_a_short_key_makes_no_seal() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(b"", "jobs", "job", SPEC)


NO_FILE = File()


@dataclass(frozen=True)
class Later:
    """What `File` may be in a later version."""

    url: str | None = None
    more: tuple[str, ...] = ()
    deep: File = NO_FILE


def test_a_field_that_a_later_version_adds_breaks_no_seal() -> None:
    assert canonical(Later("u")) == canonical(File("u")) == {"url": "u"}
    assert canonical(Later(more=("a",), deep=File(max_bytes=1))) == {
        "more": ["a"],
        "deep": {"max_bytes": 1},
    }


def served(value: bool | None) -> Spec:
    """A job as the API server serves it; None is from before it said anything of the network."""
    body = asked_job.body()
    if value is not None:
        for part in (body["spec"], *body["spec"]["datasets"]):
            part["allowNetworkAccess"] = value
    return parse_job(body).spec


def test_a_job_from_before_there_was_network_access_keeps_its_seal() -> None:
    made = seal(KEY, "jobs", "sum", served(None))
    assert "network" not in json.dumps(canonical(served(False)))
    assert is_sealed(KEY, "jobs", "sum", served(False), made)
    assert not is_sealed(KEY, "jobs", "sum", served(True), made)


def test_nobody_takes_the_network_from_a_job_that_was_given_it() -> None:
    made = seal(KEY, "jobs", "sum", served(True))
    assert is_sealed(KEY, "jobs", "sum", served(True), made)
    assert not is_sealed(KEY, "jobs", "sum", served(False), made)


@pytest.mark.parametrize("value", [1.5, b"x", {1, 2}, object()])
def test_what_has_no_one_spelling_is_not_sealed(value: object) -> None:
    with pytest.raises(TypeError):
        canonical({"a": value})


def test_keys_for_two_purposes_are_two_keys() -> None:
    assert derived_key(KEY, "seal") != derived_key(KEY, "tokens")
    assert len(derived_key(KEY, "seal")) == 32
