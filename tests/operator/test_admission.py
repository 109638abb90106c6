"""Who gets a place, on which terms, and who never does."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import examples
from c2d_api.computeenvironment import Environment, parse_environment
from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.tasks import Gateways
from c2d_operator import status as st
from c2d_operator.admission import GRACE, Contender, admit, contender, excess, terms
from c2d_operator.children import Children
from c2d_operator.plan import plan
from c2d_operator.status import Reason
from c2d_operator.steps import Facts, Step
from fakes import START, environment_body, job_manifest

ENVIRONMENT = parse_environment(environment_body())


def queued(uid: str, second: int = 0) -> Contender:
    return Contender(uid, START + timedelta(seconds=second), holding=False, waiting=True)


def holding(uid: str) -> Contender:
    return Contender(uid, START, holding=True, waiting=False)


@pytest.mark.parametrize(
    ("jobs", "granted", "names"),
    [
        pytest.param([], (), (), id="nobody asks"),
        pytest.param([queued("a", 2), queued("b", 1)], (), ("b", "a"), id="the oldest comes first"),
        pytest.param([queued("b"), queued("a")], (), ("a", "b"), id="of one age the uid decides"),
        pytest.param(
            [queued("c", 3), queued("b", 2), queued("a", 1)],
            (),
            ("a", "b"),
            id="no more than there are places",
        ),
        pytest.param([holding("x"), queued("a"), queued("b")], (), ("a",), id="places are held"),
        pytest.param([queued("a"), queued("b")], ("a",), ("b",), id="a granted place counts"),
        pytest.param(
            [queued("a"), queued("b"), queued("c")], ("a", "b"), (), id="all places are granted"
        ),
        pytest.param([holding("a"), queued("b")], ("a",), ("b",), id="a place counts only once"),
        pytest.param(
            [holding("x"), holding("y"), holding("z"), queued("a")],
            (),
            (),
            id="a lowered limit takes nobody's place",
        ),
        pytest.param(
            [Contender("a", START, holding=False, waiting=False)], (), (), id="who does not ask"
        ),
    ],
)
def test_admit(jobs: list[Contender], granted: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert admit(ENVIRONMENT, jobs, frozenset(granted)) == names


@pytest.mark.parametrize("field", ["ready", "deleting"])
def test_an_environment_that_is_not_open_admits_nobody(field: str) -> None:
    shut = {"ready": replace(ENVIRONMENT, ready=False)}.get(
        field, replace(ENVIRONMENT, deleting=True)
    )
    assert admit(shut, [queued("a")]) == ()


def new_job(**spec: Any) -> ComputeJob:
    body = job_manifest(**spec)
    meta = {"uid": "job-uid", "resourceVersion": "7", "creationTimestamp": START.isoformat()}
    job = parse_job({**body, "metadata": {**body["metadata"], **meta}})
    return replace(job, status=st.begin(job, START))


def judged(
    job: ComputeJob,
    after: float = 1,
    environment: Environment | None = ENVIRONMENT,
    *,
    granted: bool = False,
) -> Step:
    now = START + timedelta(seconds=after)
    return plan(Facts(job, Children(), now, environment, granted))


def reason(step: Step) -> tuple[str, str]:
    condition = step.status.condition(st.ADMITTED)
    assert condition is not None
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(judged(new_job()), ("Unknown", Reason.QUEUED), id="a job waits"),
        pytest.param(
            judged(new_job(), granted=True), ("True", Reason.PLACE_GRANTED), id="a job is admitted"
        ),
        pytest.param(
            judged(new_job(suspend=True), granted=True),
            ("Unknown", Reason.SUSPENDED),
            id="a suspended job does not take its place",
        ),
        pytest.param(judged(new_job(), 600), ("False", Reason.QUEUE_EXPIRED), id="too long"),
        pytest.param(
            judged(new_job(maxQueueDuration=5), 5),
            ("False", Reason.QUEUE_EXPIRED),
            id="longer than the job wants to wait",
        ),
        pytest.param(
            judged(new_job(maxQueueDuration=9999), 600),
            ("False", Reason.QUEUE_EXPIRED),
            id="longer than the environment lets it wait",
        ),
        pytest.param(
            judged(new_job(suspend=True), 9999),
            ("Unknown", Reason.SUSPENDED),
            id="a suspended job waits for ever",
        ),
        pytest.param(
            judged(new_job(), environment=None),
            ("Unknown", Reason.QUEUED),
            id="its environment may come a little later",
        ),
        pytest.param(
            judged(new_job(), GRACE.total_seconds(), None),
            ("False", Reason.ENVIRONMENT_NOT_FOUND),
            id="there is no such environment",
        ),
        pytest.param(
            judged(new_job(), 20, replace(ENVIRONMENT, deleting=True)),
            ("False", Reason.ENVIRONMENT_NOT_FOUND),
            id="its environment is being deleted",
        ),
        pytest.param(
            judged(new_job(), 20, replace(ENVIRONMENT, ready=False)),
            ("Unknown", Reason.QUEUED),
            id="its environment is not ready",
        ),
        pytest.param(
            judged(new_job(resources={"memory": "3Gi"}), granted=True),
            ("False", Reason.RESOURCES_EXCEED_ENVIRONMENT),
            id="it asks for too much memory",
        ),
    ],
)
def test_admission(step: Step, expected: tuple[str, str]) -> None:
    assert reason(step) == expected
    assert step.actions == ()


def test_a_resumed_job_waits_anew() -> None:
    job = new_job()
    status = st.record(job.status, st.ADMITTED, "Unknown", Reason.SUSPENDED, "", START, 1)
    step = judged(replace(job, status=status), 5000)
    assert reason(step) == ("Unknown", Reason.QUEUED)
    assert step.wake == START + timedelta(seconds=5600)


def test_an_admitted_job_keeps_its_terms() -> None:
    step = judged(new_job(resources={"cpu": 2}, maxDuration=60), granted=True)
    taken = step.status.environment
    assert taken is not None
    assert (taken.resources.cpu, taken.resources.memory, taken.max_duration) == ("2", "1Gi", 60)
    assert (taken.name, taken.uid) == (ENVIRONMENT.name, ENVIRONMENT.uid)
    assert type(taken).parse(taken.as_dict()) == taken


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"resources": {"cpu": "2001m"}}, "resources.cpu: 2001m", id="processor"),
        pytest.param({"resources": {"memory": "2049Mi"}}, "resources.memory", id="memory"),
        pytest.param({"resources": {"disk": "3G"}}, "resources.disk", id="disk"),
        pytest.param({"maxDuration": 1001}, "maxDuration: 1001 s", id="time"),
        pytest.param(
            {
                "datasets": [
                    {"id": f"d{n}", "source": {"files": [{"inline": {"text": "x" * 65000}}]}}
                    for n in range(4)
                ]
            },
            "240 KiB",
            id="words",
        ),
    ],
)
def test_what_is_more_than_the_environment_has(spec: dict[str, Any], words: str) -> None:
    assert words in (excess(new_job(**spec), ENVIRONMENT) or "")


PROVIDED = examples.provided_job()["spec"]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"datasets": PROVIDED["datasets"]}, id="a dataset"),
        pytest.param({"algorithm": PROVIDED["algorithm"]}, id="the algorithm"),
    ],
)
def test_a_job_with_assets_of_the_provider_needs_one(spec: dict[str, Any]) -> None:
    facts = Facts(new_job(**spec), Children(), START, ENVIRONMENT, granted=True)
    refused = plan(facts)
    assert reason(refused) == ("False", Reason.PROVIDER_UNKNOWN)
    condition = refused.status.condition(st.ADMITTED)
    assert condition
    assert "C2D_PROVIDER_URL" in condition.message
    let_in = plan(replace(facts, provider_url="http://provider"))
    assert reason(let_in) == ("True", Reason.PLACE_GRANTED)


CID = "Qm" + "a" * 44


@pytest.mark.parametrize(
    ("file", "setting", "gateways"),
    [
        pytest.param(
            {"ipfs": {"cid": CID}}, "C2D_IPFS_GATEWAY", Gateways(ipfs="https://g"), id="IPFS"
        ),
        pytest.param(
            {"arweave": {"transactionId": "a" * 43}},
            "C2D_ARWEAVE_GATEWAY",
            Gateways(arweave="https://g"),
            id="Arweave",
        ),
    ],
)
@pytest.mark.parametrize("of", ["dataset", "algorithm"])
def test_a_job_with_files_behind_a_gateway_needs_one(
    file: dict[str, Any], setting: str, gateways: Gateways, of: str
) -> None:
    source = {"files": [{"inline": {"text": "x"}}, file]}
    container = {"image": "a", "tag": "1", "entrypoint": "x"}
    spec: dict[str, Any] = (
        {"datasets": [{"id": "a", "source": source}]}
        if of == "dataset"
        else {"algorithm": {"id": "a", "source": source, "container": container}}
    )
    facts = Facts(new_job(**spec), Children(), START, ENVIRONMENT, granted=True)
    refused = plan(facts)
    assert reason(refused) == ("False", Reason.GATEWAY_UNKNOWN)
    condition = refused.status.condition(st.ADMITTED)
    assert condition
    assert setting in condition.message
    other = Gateways(ipfs=gateways.arweave, arweave=gateways.ipfs)
    assert reason(plan(replace(facts, gateways=other))) == ("False", Reason.GATEWAY_UNKNOWN)
    let_in = plan(replace(facts, gateways=gateways))
    assert reason(let_in) == ("True", Reason.PLACE_GRANTED)


def test_a_job_keeps_the_retention_that_its_environment_had() -> None:
    body = environment_body(results={"store": "s3://results", "retention": 60})
    assert terms(new_job(), parse_environment(body)).retention == 60
    assert terms(new_job(), ENVIRONMENT).retention is None


def test_a_job_keeps_the_limits_that_its_environment_had() -> None:
    results = {"store": "s3://results", "maxFiles": 7, "maxBytes": 2**41}
    kept = terms(new_job(), parse_environment(environment_body(results=results)))
    assert (kept.max_files, kept.max_bytes) == (7, 2**41)


OPEN = {"allowNetworkAccess": True, "nameservers": ["9.9.9.9"]}
"""An environment that gives algorithms the network."""


@pytest.mark.parametrize(
    ("asked", "offered", "granted", "nameservers"),
    [
        pytest.param(True, OPEN, True, ("9.9.9.9",), id="asked and allowed"),
        pytest.param(True, {"allowNetworkAccess": True}, True, (), id="without names"),
        pytest.param(False, OPEN, False, (), id="not asked"),
        pytest.param(True, {"nameservers": ["9.9.9.9"]}, False, (), id="not allowed"),
    ],
)
def test_the_network_is_granted_where_job_and_environment_say_so(
    asked: bool, offered: dict[str, Any], granted: bool, nameservers: tuple[str, ...]
) -> None:
    environment = parse_environment(environment_body(**offered))
    taken = terms(new_job(allowNetworkAccess=asked), environment)
    assert (taken.allow_network_access, taken.nameservers) == (granted, nameservers)


def test_a_job_that_asks_for_the_network_is_refused_where_there_is_none() -> None:
    asking = new_job(allowNetworkAccess=True)
    refused = judged(asking, granted=True)
    assert reason(refused) == ("False", Reason.RESOURCES_EXCEED_ENVIRONMENT)
    condition = refused.status.condition(st.ADMITTED)
    assert condition
    assert condition.message == "allowNetworkAccess: small gives algorithms no network"
    let_in = judged(asking, environment=parse_environment(environment_body(**OPEN)), granted=True)
    assert reason(let_in) == ("True", Reason.PLACE_GRANTED)
    assert let_in.status.environment is not None
    assert let_in.status.environment.allow_network_access


def test_a_job_keeps_the_address_that_stood_for_its_environment() -> None:
    body = environment_body(consumer={"address": examples.ADDRESS})
    assert terms(new_job(), parse_environment(body)).consumer == examples.ADDRESS
    assert terms(new_job(), ENVIRONMENT).consumer is None


@pytest.mark.parametrize("spec", [{}, {"resources": {"cpu": 2, "memory": "2048Mi", "disk": "2G"}}])
def test_what_the_environment_has(spec: dict[str, Any]) -> None:
    assert excess(new_job(**spec), ENVIRONMENT) is None


def test_who_holds_a_place() -> None:
    job = new_job()
    assert (contender(job).waiting, contender(job).holding) == (True, False)
    admitted = st.record(job.status, st.ADMITTED, "True", Reason.PLACE_GRANTED, "", START, 1)
    job = replace(job, status=replace(admitted, environment=terms(job, ENVIRONMENT)))
    assert (contender(job).waiting, contender(job).holding) == (False, True)
    ended = st.record(job.status, st.FAILED, "True", Reason.STOPPED, "", START, 1)
    assert not contender(replace(job, status=ended)).holding


@pytest.mark.parametrize("spec", [{"suspend": True}, {"stop": {"reason": "Requested"}}])
def test_who_does_not_want_a_place(spec: dict[str, Any]) -> None:
    assert not contender(new_job(**spec)).waiting
    assert not contender(replace(new_job(), deleting=True)).waiting
