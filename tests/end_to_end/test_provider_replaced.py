"""Replicas of the provider are replaced, as with every new release: no consumer notices."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from end_to_end.cluster import Run, eventually
from end_to_end.market import Market

SYSTEM = "--namespace=c2d-system"
PODS = ("pods", SYSTEM, "--selector=app.kubernetes.io/name=c2d-provider")
CONSUMERS = 3
PAUSE = 0.3  # together they stay below the rate that a client has, also for the tests that follow


def names(run: Run) -> set[str]:
    return {body["metadata"]["name"] for body in run.read(*PODS)["items"]}


def test_no_request_is_cut_while_replicas_are_replaced(run: Run) -> None:
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    market, over, before = Market(run.stack), threading.Event(), names(run)

    def consume() -> list[int]:
        """Ask again and again, each time over a new connection, as often as one may."""
        answers = []
        while not over.wait(PAUSE):
            answers.append(market.ask("GET", "/v2/api/services/computeEnvironments").status)
        return answers

    with ThreadPoolExecutor(CONSUMERS) as pool:
        consumers = [pool.submit(consume) for _ in range(CONSUMERS)]
        try:
            run.kubectl("rollout", "restart", SYSTEM, "deployment/c2d-provider")
            run.kubectl(
                "rollout", "status", SYSTEM, "deployment/c2d-provider", "--timeout=120s", limit=130
            )
            eventually(lambda: not before & names(run), "the end of the former replicas", 90)
        finally:
            over.set()
    answers = [status for consumer in consumers for status in consumer.result()]
    assert answers.count(200) > CONSUMERS * len(before)
    assert set(answers) == {200}
