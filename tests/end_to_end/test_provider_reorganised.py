"""A reorganisation of the chain takes an order back: the jobs that it paid for are stopped."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hexbytes import HexBytes

from end_to_end.cluster import RUN_LABEL, Run, eventually
from end_to_end.market import TRUSTING, Market, Sold, publish_algorithm, shelf, until_printed

ENDLESS = 'echo begun | tee "$OUTPUTS/begun.txt"; while :; do sleep 1; done'
SYSTEM = "--namespace=c2d-system"


@pytest.fixture
def watcher(run: Run) -> Iterator[None]:
    """Run one more replica that looks at orders more often: any of them may stop a job.

    Those of the stack look at a running job once a minute, and stop it at the third look.
    """
    template = run.read("deployment", "c2d-provider", SYSTEM)["spec"]["template"]
    spec: dict[str, Any] = template["spec"]
    spec["containers"][0]["env"] = [{"name": "C2D_WATCH_SECONDS", "value": "0.1"}]
    name = run.named("watcher")
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "c2d-system", "labels": {RUN_LABEL: run.mark}},
        "spec": spec,
    }
    run.kubectl("create", SYSTEM, "--filename=-", text=json.dumps(body))
    try:
        run.kubectl("wait", SYSTEM, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        yield
    finally:
        run.kubectl("delete", SYSTEM, "pod", name, "--grace-period=1", "--timeout=60s")


@pytest.fixture
def narrow(run: Run) -> str:
    """Offer an environment that has room for one job."""
    run.create_environment("narrow", maxJobs=1)
    return f"{run.stack.namespace}.{run.named('narrow')}"


@pytest.fixture
def sold(run: Run, market: Market, narrow: str) -> Iterator[Sold]:
    with shelf(run, "reorganised", numbers="1\n", endless=ENDLESS) as served:
        dataset = market.publish(f"{served.url}/numbers", service={"compute": TRUSTING})
        algorithm = publish_algorithm(market, run, f"{served.url}/endless")
        yield market.buy(dataset, algorithm, narrow)


def blocks_since(market: Market, order: str) -> int:
    """Count the blocks from that of an order on."""
    eth = market.ocean.web3.eth
    mined = eth.get_transaction_receipt(HexBytes(order))["blockNumber"]
    return eth.block_number - mined + 1


def test_an_order_that_the_chain_takes_back_stops_its_jobs(
    run: Run, market: Market, watcher: None, narrow: str, sold: Sold
) -> None:
    running = market.begin(sold, narrow)
    until_printed(run, running, "begun")
    queued = market.begin(sold, narrow)
    depth = blocks_since(market, sold.orders[1])
    assert depth == 1, "somebody else uses the chain, and would lose what they did"
    market.tell_chain("anvil_reorg", depth, [])

    def stopped() -> bool:
        market.tell_chain("evm_mine")  # an order is missed at different heights only
        listed = [run.read("cjob", job) for job in (running, queued)]
        return all("completionTime" in one.get("status", {}) for one in listed)

    eventually(stopped, "the end of both jobs", 60)
    for job in (running, queued):
        body = run.read("cjob", job)
        assert body["spec"]["stop"] == {"reason": "OrderRemoved"}
        failed = next(one for one in body["status"]["conditions"] if one["type"] == "Failed")
        assert (failed["status"], failed["reason"]) == ("True", "Stopped")
        assert failed["message"].endswith("since the chain no longer has its order")
        assert market.job(job)["stopreq"] == 1
    assert "startTime" not in run.read("cjob", queued)["status"].get("algorithm", {})
    assert market.named(running, "begun.txt").body == b"begun\n"
    refused = market.start(sold, narrow)
    assert (refused.status, refused.json) == (
        400,
        {"error": {"algorithm": "in_use_or_not_on_chain"}},
    )
