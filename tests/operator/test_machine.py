"""The life of one job under every disturbance that a controller meets, made up by Hypothesis.

The operator's real plan, actions and store run against a small API server whose requests may be
delayed, lost or answered to nobody; watches lag, leaders overlap, pods fail, people interfere.
"""

from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from c2d_api.computejob import ATTEMPT_LABEL, OFFERED_LABEL, PHASE_LABEL, Status, parse_job
from c2d_api.exits import PodExit
from c2d_api.times import parse_time
from c2d_operator import status as st
from c2d_operator.children import owner_uid
from c2d_operator.cluster import ClusterError, UnavailableError
from c2d_operator.plan import plan
from c2d_operator.steps import Step
from fakes import (
    KEY,
    KINDS,
    LOADED,
    NAME,
    NAMESPACE,
    PUBLISHED,
    ApiServer,
    Call,
    Json,
    Leader,
    Node,
    container_state,
    has_ended,
    is_gated,
    is_going,
    is_placed,
    is_running,
    job_manifest,
    land,
    place_of,
    send,
)

BEFORE = {
    "loading": st.ADMITTED,
    "algorithm": st.ASSETS_LOADED,
    "publishing": st.ALGORITHM_COMPLETED,
}
"""The condition that has to be decided before a container of a phase runs."""
OUTCOME = {
    "loading": st.ASSETS_LOADED,
    "algorithm": st.ALGORITHM_COMPLETED,
    "publishing": st.RESULTS_PUBLISHED,
}
"""The condition that has to be decided before a pod of a phase is deleted."""
ALGORITHM_TAKES = timedelta(seconds=60)
SECRET = "keys"  # noqa: S105 - a name
PICK = some.integers(0, 5)
RARELY = some.integers(0, 9).map(lambda n: n == 9)


@dataclass
class Pass:
    """A pass under way: its next request has not reached the API server yet."""

    coroutine: Coroutine[Call, Any, None]
    call: Call
    suspended: bool


class Life(RuleBasedStateMachine):
    """One job, two operators, a node, a consumer and an admin with kubectl."""

    def __init__(self) -> None:
        super().__init__()
        self.api = ApiServer()
        self.node = Node(self.api)
        self.leaders: list[Leader] = []
        self.passes: dict[int, Pass] = {}
        self.late: list[Pass] = []
        self.released: dict[str, set[str]] = defaultdict(set)

    @initialize(suspend=RARELY, rounds=some.integers(0, 12), names=some.booleans())
    def begin(self, suspend: bool, rounds: int, names: bool = False) -> None:
        """Let the first part of a life go well, so that every phase is disturbed as often."""
        named = {"datasets": [{"id": "a", "source": {"secretRef": {"name": SECRET}}}]}
        spec = named if names else {}
        self.api.create("ComputeJob", NAMESPACE, job_manifest(NAME, suspend=suspend, **spec))
        metadata = {"name": SECRET, "namespace": NAMESPACE, "labels": {OFFERED_LABEL: "true"}}
        secret = {"kind": "Secret", "metadata": metadata}
        self.api.create("Secret", NAMESPACE, secret)
        self.leaders = [Leader(self.api), Leader(self.api)]
        self.all_goes_well_for_a_while(rounds)

    # Operators

    @rule(which=some.integers(0, 1))
    def whole_pass(self, which: int) -> None:
        self.leaders[which].catch_up()
        self._finish_pass(which)

    @rule(
        which=some.integers(0, 1),
        kind=some.sampled_from(KINDS),
        count=some.sampled_from((0, 1, 3, 100)),
    )
    def pass_over_an_old_view(self, which: int, kind: str, count: int) -> None:
        self.leaders[which].hear(kind, count)
        self._finish_pass(which)

    @rule(which=some.integers(0, 1), calls=some.integers(0, 4), fresh=some.booleans())
    def pass_pauses(self, which: int, calls: int, fresh: bool) -> None:
        if fresh:
            self.leaders[which].catch_up()
        self._begin_pass(which)
        for _ in range(calls):
            self._go_on(which)

    @precondition(lambda self: self.passes)
    @rule(pick=PICK, calls=some.integers(1, 3))
    def paused_pass_goes_on(self, pick: int, calls: int) -> None:
        which = sorted(self.passes)[pick % len(self.passes)]
        for _ in range(calls):
            self._go_on(which)

    @precondition(lambda self: self.passes)
    @rule(pick=PICK, landed=some.booleans())
    def answer_is_lost(self, pick: int, landed: bool) -> None:
        which = sorted(self.passes)[pick % len(self.passes)]
        if landed:
            self._land(self.passes[which])
        self._answer(which, UnavailableError("the API server did not answer"))

    @precondition(lambda self: self.passes)
    @rule(pick=PICK, later=some.booleans())
    def operator_dies(self, pick: int, later: bool) -> None:
        which = sorted(self.passes)[pick % len(self.passes)]
        dead = self.passes.pop(which)
        dead.coroutine.close()
        if later and dead.call.verb != "read":
            self.late.append(dead)
        self.leaders[which] = Leader(self.api)

    @precondition(lambda self: self.late)
    @rule(pick=PICK)
    def late_request_lands(self, pick: int) -> None:
        self._land(self.late.pop(pick % len(self.late)))

    @rule(rounds=some.integers(1, 4))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.leaders[0].catch_up()
            self._finish_pass(0)
            self.node_goes_on()

    # The node

    @rule(pick=PICK, moves=some.integers(1, 3))
    def pod_moves(self, pick: int, moves: int) -> None:
        for _ in range(moves):
            pods = self.node.pods(lambda pod: True)
            if pods:
                self.node_moves(pods[pick % len(pods)])
                self.publisher_and_algorithm_never_run_together()

    @precondition(lambda self: self.node.pods(is_running))
    @rule(pick=PICK, code=some.sampled_from((0, 1, *PodExit)))
    def container_fails(self, pick: int, code: int) -> None:
        pods = self.node.pods(is_running)
        self.node.finish(pods[pick % len(pods)], code)

    @precondition(lambda self: self.node.pods(lambda pod: is_placed(pod) and not has_ended(pod)))
    @rule(pick=PICK)
    def pod_is_evicted(self, pick: int) -> None:
        pods = self.node.pods(lambda pod: is_placed(pod) and not has_ended(pod))
        self.node.evict(pods[pick % len(pods)])

    @precondition(lambda self: self.node.pods(_may_start))
    @rule(pick=PICK, reason=some.sampled_from(("ImagePullBackOff", "CreateContainerError")))
    def container_does_not_start(self, pick: int, reason: str) -> None:
        pods = self.node.pods(_may_start)
        self.node.hold_up(pods[pick % len(pods)], reason)

    @rule()
    def claims_are_freed(self) -> None:
        self.node.free_claims()

    @rule(seconds=some.sampled_from((1, 11, 120, 1000)))
    def time_passes(self, seconds: int) -> None:
        self.api.now += timedelta(seconds=seconds)

    # People

    @precondition(lambda self: self._body() and "stop" not in self._body()["spec"])
    @rule(rarely=RARELY)
    def job_is_stopped(self, rarely: bool) -> None:
        if rarely or self.node.pods(is_running):
            self._set_spec(stop={"reason": "Requested"})

    @precondition(lambda self: self._body())
    @rule(suspend=some.booleans())
    def job_is_suspended_or_resumed(self, suspend: bool) -> None:
        if self._body()["spec"]["suspend"] != suspend:
            self._set_spec(suspend=suspend)

    @precondition(lambda self: self.api.of_kind("Pod", "PersistentVolumeClaim"))
    @rule(pick=PICK, rarely=RARELY)
    def child_is_deleted_by_hand(self, pick: int, rarely: bool) -> None:
        if not rarely:
            return
        children = sorted(self.api.of_kind("Pod", "PersistentVolumeClaim"), key=place_of)
        body = children[pick % len(children)]
        self.api.delete(*place_of(body), body["metadata"]["uid"])

    @rule(rarely=RARELY, offered=some.booleans())
    def offer_changes(self, rarely: bool, offered: bool) -> None:
        secret = self.api.read("Secret", NAMESPACE, SECRET)
        if secret and rarely:
            labels = {OFFERED_LABEL: "true"} if offered else {}
            self.api.change({**secret, "metadata": {**secret["metadata"], "labels": labels}})

    @precondition(lambda self: self._body())
    @rule(rarely=RARELY, again=some.booleans())
    def job_is_deleted(self, rarely: bool, again: bool) -> None:
        if rarely:
            self.api.remove(("ComputeJob", *KEY))
        if rarely and again:
            self.api.create("ComputeJob", NAMESPACE, job_manifest(NAME, suspend=False))

    @precondition(lambda self: self.api.orphans())
    @rule(pick=PICK)
    def garbage_is_collected(self, pick: int) -> None:
        orphans = self.api.orphans()
        body = orphans[pick % len(orphans)]
        self.api.delete(*place_of(body), body["metadata"]["uid"])

    # What always holds

    @invariant()
    def one_pod_at_most_was_released(self) -> None:
        assert all(len(uids) == 1 for uids in self.released.values()), self.released

    @invariant()
    def publisher_and_algorithm_never_run_together(self) -> None:
        phases: dict[str, set[str]] = defaultdict(set)
        for pod in self.node.pods(is_running):
            phases[owner_uid(pod["metadata"]) or ""].add(pod["metadata"]["labels"][PHASE_LABEL])
        assert not any({"algorithm", "publishing"} <= running for running in phases.values())

    def teardown(self) -> None:
        """Let everything go well from now on: the job must end, be clean, and stay as it is."""
        if self.leaders:
            self._settle_what_is_under_way()
            self._settle()

    def _settle_what_is_under_way(self) -> None:
        for which in sorted(self.passes):
            while which in self.passes:
                self._go_on(which)
        while self.late:
            self._land(self.late.pop())
        if self._body() and self._body()["spec"]["suspend"]:
            self._set_spec(suspend=False)

    def _settle(self) -> None:
        for _ in range(300):
            before = self.api.version
            self.node_goes_on()
            self.leaders[0].catch_up()
            self._finish_pass(0)
            self.one_pod_at_most_was_released()
            self.publisher_and_algorithm_never_run_together()
            if self.api.version != before or self.leaders[0].again:
                continue
            if self._is_settled():
                return
            wake = self.leaders[0].wake
            assert wake is not None, "the job hangs: nothing happens and nobody will look again"
            self.api.now = max(wake, self.api.now + timedelta(seconds=1))
        raise AssertionError("the job does not come to an end")

    # Plumbing

    def _is_settled(self) -> bool:
        body = self._body()
        if self.api.of_kind("Pod", "PersistentVolumeClaim"):
            return False
        if not body:
            return True
        job = parse_job(body)
        step = plan(self.leaders[0].facts(job))
        return st.is_finished(job.status) and step == Step(job.status)

    def _body(self) -> Json:
        return self.api.read("ComputeJob", *KEY) or {}

    def _set_spec(self, **spec: Any) -> None:
        body = self._body()
        self.api.change(body, spec={**body["spec"], **spec})

    def _finish_pass(self, which: int) -> None:
        self._begin_pass(which)
        while which in self.passes:
            self._go_on(which)

    def _begin_pass(self, which: int) -> None:
        """Begin a pass; one process never makes two of one job at a time."""
        while which in self.passes:
            self._go_on(which)
        leader = self.leaders[which]
        job = leader.store.jobs.get(KEY)
        coroutine = leader.reconcile()
        call = send(coroutine, None)
        if call is not None:
            suspended = job is not None and job.spec.suspend
            self.passes[which] = Pass(coroutine, call, suspended)

    def _go_on(self, which: int) -> None:
        if which in self.passes:
            self._answer(which, self._land(self.passes[which]))

    def _answer(self, which: int, answer: Any) -> None:
        """Answer a request; an error that the pass does not expect ends it, to be made again."""
        running = self.passes.pop(which)
        try:
            call = send(running.coroutine, answer)
        except ClusterError:
            self.leaders[which].again = True
            return
        if call is not None:
            self.passes[which] = replace(running, call=call)

    def _land(self, running: Pass) -> Any:
        """Let a request of an operator reach the API server, and hold it to what it must keep."""
        call, before = running.call, self._body()
        target = self.api.read(call.kind, NAMESPACE, call.name)
        if call.verb == "delete" and target and target["metadata"]["uid"] == call.uid:
            self._check_deletion(target, suspended=running.suspended)
            assert not call.at_once or "terminated" in container_state(target)
        answer = land(call)
        if call.verb == "status" and isinstance(answer, dict):
            _check_status(parse_job(before).status, parse_job(answer).status)
        if call.verb == "patch" and isinstance(answer, dict):
            assert not is_gated(answer)
            owner = owner_uid(answer["metadata"]) or ""
            self.released[owner].add(answer["metadata"]["uid"])
            if before and before["metadata"]["uid"] == owner:
                assert parse_job(before).status.algorithm_uid == answer["metadata"]["uid"]
        return answer

    def _check_deletion(self, child: Json, *, suspended: bool) -> None:
        """Nothing is deleted because of an outcome that is not recorded."""
        body = self._body()
        meta = child["metadata"]
        if not body or body["metadata"]["uid"] != owner_uid(meta):
            return
        status = parse_job(body).status
        phase = meta["labels"].get(PHASE_LABEL, "publishing")
        if phase == "publishing" and int(meta["labels"].get(ATTEMPT_LABEL, 0)) < (
            status.publishing_attempt
        ):
            return
        held_back = suspended and phase in ("loading", "algorithm")
        assert held_back or _is_decided(status, OUTCOME[phase]), f"{meta['name']} was deleted"

    def node_goes_on(self) -> None:
        for orphan in self.api.orphans():
            self.api.delete(*place_of(orphan), orphan["metadata"]["uid"])
        for pod in self.node.pods(lambda pod: True):
            self.node_moves(pod)
        self.node.free_claims()

    def node_moves(self, pod: Json) -> None:
        """Make the next move of a pod that nothing is wrong with."""
        if is_going(pod) and is_placed(pod):
            self.node.let_go(pod)
        elif is_running(pod):
            self._finish(pod)
        elif _may_start(pod):
            self._check_start(pod)
            self.node.start(pod)
        elif not is_gated(pod) and not is_placed(pod):
            self.node.schedule(pod)

    def _finish(self, pod: Json) -> None:
        """Let a container end well; an algorithm takes its time before."""
        phase = pod["metadata"]["labels"][PHASE_LABEL]
        started = parse_time(container_state(pod)["running"]["startedAt"])
        if phase != "algorithm" or self.api.now >= started + ALGORITHM_TAKES:
            message = {"loading": LOADED, "publishing": PUBLISHED}.get(phase, "")
            self.node.finish(pod, 0, message)

    def _check_start(self, pod: Json) -> None:
        """No container of a phase runs before the outcome before it is recorded."""
        body = self._body()
        if body and body["metadata"]["uid"] == owner_uid(pod["metadata"]):
            condition = BEFORE[pod["metadata"]["labels"][PHASE_LABEL]]
            assert _is_decided(parse_job(body).status, condition), f"{condition} is undecided"


def _may_start(pod: Json) -> bool:
    state = container_state(pod)
    unstarted = not state or "waiting" in state
    return is_placed(pod) and unstarted and not has_ended(pod) and not is_going(pod)


def _is_algorithm(pod: Json) -> bool:
    return bool(pod["metadata"]["labels"][PHASE_LABEL] == "algorithm")


def _is_decided(status: Status, type_: str) -> bool:
    condition = status.condition(type_)
    return condition is not None and condition.status != "Unknown"


def _check_status(before: Status, after: Status) -> None:
    """Every condition is there once, and what is decided never changes again."""
    assert [condition.type for condition in after.conditions] == list(st.CONDITIONS)
    for condition in before.conditions:
        if condition.status != "Unknown":
            assert after.condition(condition.type) == condition
    for field in ("environment", "claim_uid", "algorithm_uid", "completion_time", "results"):
        assert getattr(before, field) in (None, getattr(after, field)), field


TestLife = Life.TestCase


def test_publisher_waits_for_a_run_that_the_leader_never_saw() -> None:
    """A leader whose watch of pods lags behind that of jobs takes over and finds a stop."""
    life = Life()
    life.begin(suspend=False, rounds=0)
    second = life.leaders[1]
    for _ in range(20):
        life.whole_pass(0)
        if any(is_running(pod) for pod in life.node.pods(_is_algorithm)):
            break
        life.node_goes_on()
    life.job_is_stopped(rarely=True)
    second.hear("PersistentVolumeClaim", 100)
    for _ in range(4):
        life.pass_over_an_old_view(1, "ComputeJob", 100)
        for pod in life.node.pods(lambda pod: not _is_algorithm(pod) and not is_running(pod)):
            life.node_moves(pod)
        life.publisher_and_algorithm_never_run_together()
    assert all(is_going(pod) for pod in life.node.pods(_is_algorithm))
    life.teardown()
