"""The read of a loader's log: what it finds is kept, and what it does not find harms nobody."""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from c2d_api.computejob import ComputeJob
from c2d_api.progress import Tally
from c2d_operator import status as st
from c2d_operator.actions import perform
from c2d_operator.cluster import ClusterError, NotFoundError, RefusedError, UnavailableError
from c2d_operator.steps import ReadProgress
from fakes import KEY, LOADED, NAMESPACE, ApiServer, Call, Leader, Node, job_manifest, land, send

LOADER = "sum-loader-0"


class Loading:
    """A job whose loader runs, and the operator that leads."""

    def __init__(self) -> None:
        self.api = ApiServer()
        self.node = Node(self.api)
        self.api.create("ComputeJob", NAMESPACE, job_manifest(suspend=False))
        self.leader = Leader(self.api)
        for _ in range(4):
            self.pass_()
        (loader,) = self.node.pods(lambda pod: pod["metadata"]["name"] == LOADER)
        self.node.schedule(loader)
        self.node.start(self.loader)
        self.pass_()

    @property
    def loader(self) -> dict[str, Any]:
        (found,) = self.node.pods(lambda pod: pod["metadata"]["name"] == LOADER)
        return found

    @property
    def job(self) -> ComputeJob:
        return self.leader.store.jobs[KEY]

    @property
    def read(self) -> ReadProgress:
        return ReadProgress(LOADER, self.loader["metadata"]["uid"])

    def pass_(self) -> list[Call]:
        """Make a pass; tell its requests."""
        self.leader.catch_up()
        calls = []
        coroutine: Coroutine[Call, Any, None] = self.leader.reconcile()
        call = send(coroutine, None)
        while call is not None:
            calls.append(call)
            call = send(coroutine, land(call))
        return calls


def answered(loading: Loading, answer: object) -> bool:
    """Carry out the read, which gets this answer; tell whether another pass should see it."""
    coroutine = perform(loading.leader.hands, loading.job, loading.read)
    assert send(coroutine, None) is not None
    try:
        if isinstance(answer, ClusterError):
            coroutine.throw(answer)
        else:
            coroutine.send(answer)
    except StopIteration as stop:
        return bool(stop.value)
    raise AssertionError("the read asks more than once")


def told(loading: Loading) -> Tally | None:
    children = loading.leader.store.children(loading.job)
    return children.findings.told[loading.read.uid].tally


def test_a_long_load_is_followed_and_a_short_one_costs_nothing() -> None:
    loading = Loading()
    loading.api.now += timedelta(seconds=4)
    assert loading.pass_() == []
    loading.api.now += timedelta(seconds=3)
    (call,) = loading.pass_()
    assert (call.verb, call.kind, call.name) == ("read", "Log", LOADER)
    assert loading.leader.again
    calls = loading.pass_()
    assert calls[0].verb == "status"
    assert loading.job.status.loading == Tally(0, 2, 7)
    loading.node.finish(loading.loader, 0, LOADED)
    loading.pass_()
    assert st.is_true(loading.job.status, st.ASSETS_LOADED)
    assert loading.job.status.loading == Tally(2, 2, 30, 30)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no such pod"),
        RefusedError("container is waiting to start", final=True),
        UnavailableError("the API server did not answer", 30),
    ],
)
def test_a_log_that_cannot_be_read_is_no_trouble(error: ClusterError) -> None:
    loading = Loading()
    assert answered(loading, Tally(1, 2, 15).encode())
    assert not answered(loading, error)
    assert told(loading) is None


@pytest.mark.parametrize("text", ["", "nonsense\n{}\n", "x" * 16384, '{"progress": {"files": -1}}'])
def test_a_log_that_says_nothing_is_no_trouble(text: str) -> None:
    loading = Loading()
    assert not answered(loading, text)
    assert told(loading) is None


def test_what_is_recorded_already_needs_no_pass() -> None:
    loading = Loading()
    loading.api.now += timedelta(seconds=7)
    loading.pass_()
    loading.pass_()
    assert loading.job.status.loading == Tally(0, 2, 7)
    assert not answered(loading, Tally(0, 2, 7).encode())
    assert answered(loading, Tally(0, 2, 8).encode())
