"""What a job names in its namespace, it gets only while that is offered to jobs."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

import examples
from c2d_api.computejob import API_VERSION, ComputeJob, parse_job
from c2d_operator import offers
from c2d_operator import status as st
from c2d_operator.children import Children, Findings, Named, Offer
from c2d_operator.cluster import RefusedError
from c2d_operator.plan import plan
from c2d_operator.status import Reason
from c2d_operator.steps import AskOffer, CreatePod, Facts, Step
from fakes import (
    KEY,
    LOADED,
    NAMESPACE,
    PUBLISHED,
    START,
    ApiServer,
    Leader,
    Node,
    has_ended,
    is_gated,
    is_going,
    is_placed,
    is_running,
    job_manifest,
    land,
    send,
)

Json = dict[str, Any]

KEYS, MORE = Named("Secret", "keys"), Named("Secret", "more")
TREES = Named("PersistentVolumeClaim", "trees")
OFFERED = {"computetodata.io/offered": "true"}
DATASETS = [
    {"id": "a", "source": {"secretRef": {"name": "keys"}}},
    {"id": "b", "source": {"persistentVolumeClaim": {"claimName": "trees", "path": "x/y"}}},
]
ALGORITHM = {
    "id": "mine",
    "source": {"secretRef": {"name": "more"}},
    "container": {"image": "python", "tag": "3.11", "entrypoint": "python $ALGO"},
}
SPEC: Json = {"datasets": DATASETS, "algorithm": ALGORITHM}


def new_job(**spec: Any) -> ComputeJob:
    body = job_manifest(**{**SPEC, **spec})
    meta = {"uid": "job-uid", "resourceVersion": "7", "creationTimestamp": START.isoformat()}
    return parse_job({**body, "metadata": {**body["metadata"], **meta}})


def findings(**hindrances: str) -> Findings:
    """Describe that all that is named is offered, but for these; asked for at the start."""
    named = {"keys": KEYS, "more": MORE, "trees": TREES}
    answers = {one: Offer(START, hindrances.get(name, "")) for name, one in named.items()}
    return Findings(offers=MappingProxyType(answers))


def decide(found: Findings, after: float = 0, *, granted: bool = True, **spec: Any) -> Step:
    now = START + timedelta(seconds=after)
    environment = Leader(ApiServer()).environment
    children = Children(findings=found)
    return plan(Facts(new_job(**spec), children, now, environment, granted=granted))


def admitted(step: Step) -> tuple[str, str]:
    condition = step.status.condition(st.ADMITTED)
    assert condition
    return condition.status, condition.reason


def test_a_pod_names_what_it_mounts_or_goes_by() -> None:
    spec = new_job().spec
    assert offers.named(spec, "loading") == (KEYS, TREES, MORE)
    assert offers.named(spec, "algorithm") == (TREES,)
    assert offers.named(spec, "publishing") == ()


@pytest.mark.parametrize(
    ("meta", "is_offered"),
    [
        pytest.param(None, False, id="nothing there"),
        pytest.param({}, False, id="no labels"),
        pytest.param({"labels": None}, False, id="labels that are none"),
        pytest.param({"labels": {"computetodata.io/offered": "false"}}, False, id="another value"),
        pytest.param({"labels": {"computetodata.io/offered": ""}}, False, id="no value"),
        pytest.param({"labels": OFFERED}, True, id="the label"),
        pytest.param(
            {"labels": {**OFFERED, "computetodata.io/job": "other"}}, False, id="a job's claim"
        ),
        pytest.param(
            {
                "labels": OFFERED,
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": "ComputeJob",
                        "name": "other",
                        "uid": "u",
                        "controller": True,
                    }
                ],
            },
            False,
            id="a job's claim whose labels were changed",
        ),
        pytest.param(
            {"labels": OFFERED, "deletionTimestamp": examples.TIME}, False, id="being deleted"
        ),
    ],
)
def test_what_is_offered(meta: Json | None, is_offered: bool) -> None:
    assert (offers.judge(KEYS, meta) == "") == is_offered


def test_words_do_not_tell_whether_something_is_there() -> None:
    assert offers.judge(KEYS, None) == offers.judge(KEYS, {"labels": {}})
    assert "keys" in offers.judge(KEYS, None)
    assert 'computetodata.io/offered: "true"' in offers.judge(KEYS, None)


def test_a_job_asks_before_anything_is_recorded() -> None:
    step = decide(Findings())
    assert step == Step(new_job().status, (AskOffer(KEYS), AskOffer(TREES), AskOffer(MORE)))


@pytest.mark.parametrize("held_back", [{"suspend": True}, {"stop": {"reason": "Requested"}}])
def test_a_job_that_does_not_ask_for_a_place_does_not_ask_for_offers(held_back: Json) -> None:
    assert decide(Findings(), **held_back).actions == ()


def test_a_job_that_names_nothing_asks_for_nothing() -> None:
    algorithm = job_manifest()["spec"]["algorithm"]
    step = decide(Findings(), datasets=[], algorithm=algorithm)
    assert admitted(step) == ("True", Reason.PLACE_GRANTED)
    assert step.actions == ()


def test_a_job_that_gets_what_it_names_is_admitted() -> None:
    assert admitted(decide(findings())) == ("True", Reason.PLACE_GRANTED)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("keys", Reason.DATA_PROVISIONING_FAILED),
        ("trees", Reason.DATA_PROVISIONING_FAILED),
        ("more", Reason.ALGORITHM_PROVISIONING_FAILED),
    ],
)
@pytest.mark.parametrize("granted", [True, False])
def test_a_job_waits_a_little_for_an_offer(missing: str, reason: Reason, granted: bool) -> None:
    found = findings(**{missing: "not offered"})
    waiting = decide(found, 1, granted=granted)
    assert admitted(waiting) == ("Unknown", reason)
    assert waiting.actions == ()
    assert waiting.wake == START + offers.OFFER_PAUSE
    asking = decide(found, offers.OFFER_PAUSE.total_seconds(), granted=granted)
    assert [action.named.name for action in asking.actions if isinstance(action, AskOffer)] == [
        missing
    ]
    assert asking.wake == START + 2 * offers.OFFER_PAUSE
    failed = decide(found, offers.OFFER_GRACE.total_seconds(), granted=granted)
    assert admitted(failed) == ("False", reason)
    condition = failed.status.condition(st.ADMITTED)
    assert condition
    assert condition.message == "not offered"


# The life of a job, with the label of a Secret put on and taken away


class Life:
    """A job that names a Secret, and one operator."""

    def __init__(self, labels: Json) -> None:
        self.api = ApiServer()
        self.node = Node(self.api)
        metadata = {"name": "keys", "namespace": NAMESPACE, "labels": labels}
        self.secret = self.api.create(
            "Secret", NAMESPACE, {"kind": "Secret", "metadata": metadata, "spec": {}}
        )
        self.api.create("ComputeJob", NAMESPACE, job_manifest(datasets=DATASETS[:1]))
        self.leader = Leader(self.api)
        self.calls: list[tuple[str, str, str]] = []

    def label(self, **labels: Json) -> None:
        meta = {**self.secret["metadata"], **labels}
        self.secret = self.api.change({**self.secret, "metadata": meta})

    def one_pass(self) -> None:
        self.leader.catch_up()
        coroutine = self.leader.reconcile()
        call = send(coroutine, None)
        while call is not None:
            self.calls.append((call.verb, call.kind, call.name))
            call = send(coroutine, land(call))

    def passes(self, until: str) -> None:
        """Let passes and time go on until a condition of the job is decided."""
        for _ in range(100):
            before = self.api.version
            self.one_pass()
            condition = self.job.status.condition(until)
            if condition is not None and condition.status != "Unknown":
                return
            self._node_goes_on()
            if self.api.version == before and not self.leader.again:
                assert self.leader.wake, "the job hangs"
                self.api.now = max(self.leader.wake, self.api.now + timedelta(seconds=1))
        raise AssertionError(f"{until} stays undecided")

    def _node_goes_on(self) -> None:
        for pod in self.node.pods(lambda pod: not has_ended(pod)):
            if is_going(pod) and is_placed(pod):
                self.node.let_go(pod)
            elif is_running(pod):
                phase = pod["metadata"]["labels"]["computetodata.io/phase"]
                self.node.finish(
                    pod, 0, {"loading": LOADED, "publishing": PUBLISHED}.get(phase, "")
                )
            elif is_placed(pod):
                self.node.start(pod)
            elif not is_gated(pod):
                self.node.schedule(pod)

    @property
    def job(self) -> ComputeJob:
        body = self.api.read("ComputeJob", *KEY)
        assert body
        return parse_job(body)

    def created(self) -> list[str]:
        return [name for verb, kind, name in self.calls if verb == "create" and kind == "Pod"]


def test_a_job_with_an_offered_secret_takes_sixteen_writes() -> None:
    life = Life(OFFERED)
    life.passes(st.RESULTS_PUBLISHED)
    before_loader = life.calls[: life.calls.index(("create", "Pod", "sum-loader-0"))]
    assert before_loader.count(("read", "Secret", "keys")) == 2
    for _ in range(10):
        life.one_pass()
        life._node_goes_on()
        life.node.free_claims()
    assert life.job.status.completion_time is not None
    assert len([verb for verb, _, _ in life.calls if verb != "read"]) == 16


def test_a_job_ends_that_names_what_is_not_offered() -> None:
    life = Life({})
    life.passes(st.ADMITTED)
    assert st.first_failure(life.job.status).reason == Reason.DATA_PROVISIONING_FAILED  # type: ignore[union-attr]  # a failure without one is an error as well
    assert life.created() == []


def test_an_operator_that_may_not_look_says_so() -> None:
    life = Life(OFFERED)
    read = life.api.read

    def refusing(kind: str, namespace: str, name: str) -> Json | None:
        if kind == "Secret":
            raise RefusedError("secrets are forbidden", final=False)
        return read(kind, namespace, name)

    life.api.read = refusing  # type: ignore[method-assign]  # for this one server
    life.passes(st.ADMITTED)
    failure = st.first_failure(life.job.status)
    assert failure
    assert failure.message == (
        "the operator may not look for the Secret keys: secrets are forbidden"
    )


def test_a_label_may_come_right_after_the_job() -> None:
    life = Life({})
    life.one_pass()
    life.one_pass()
    life.label(labels=OFFERED)
    life.passes(st.ADMITTED)
    assert st.first_failure(life.job.status) is None


def test_a_label_that_is_taken_away_after_admission_keeps_the_loader_from_being_created() -> None:
    life = Life(OFFERED)
    life.passes(st.ADMITTED)
    life.label(labels={})
    life.passes(st.VOLUMES_READY)
    failure = st.first_failure(life.job.status)
    assert failure
    assert (failure.type, failure.reason) == (st.VOLUMES_READY, Reason.DATA_PROVISIONING_FAILED)
    assert "sum-loader-0" not in life.created()


def test_an_offer_that_comes_back_lets_the_loader_be_created() -> None:
    life = Life(OFFERED)
    life.passes(st.ADMITTED)
    life.label(labels={})
    life.one_pass()
    life.one_pass()
    assert "sum-loader-0" not in life.created()
    life.label(labels=OFFERED)
    life.passes(st.ASSETS_LOADED)
    assert st.first_failure(life.job.status) is None


def test_the_next_loader_needs_an_offer_as_the_first_one_did() -> None:
    life = Life(OFFERED)
    life.passes(st.VOLUMES_READY)
    assert "sum-loader-0" in life.created()
    life.label(labels={})
    (loader,) = life.node.pods(lambda pod: pod["metadata"]["name"] == "sum-loader-0")
    life.node.finish(loader, 75)
    life.passes(st.ASSETS_LOADED)
    failure = st.first_failure(life.job.status)
    assert failure
    assert failure.reason == Reason.DATA_PROVISIONING_FAILED
    assert "sum-loader-1" not in life.created()


def test_the_plan_creates_pods_again_only_after_a_pause() -> None:
    life = Life(OFFERED)
    life.passes(st.ADMITTED)
    facts = life.leader.facts(life.job)
    hindered = Findings(offers=MappingProxyType({KEYS: Offer(facts.now, "not offered")}))
    facts = replace(facts, children=replace(facts.children, findings=hindered))
    later = facts.now + offers.OFFER_PAUSE
    assert CreatePod("loading", 0) not in plan(facts).actions
    assert CreatePod("algorithm") in plan(facts).actions
    assert plan(facts).wake == later
    again = plan(replace(facts, now=later))
    assert CreatePod("loading", 0) in again.actions
