"""The whole workflow over the provider: published and ordered on chain, started, run, fetched."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chain import Asset
from end_to_end.cluster import Json, Run
from end_to_end.market import TRUSTING, Market, Sold, publish_algorithm, shelf

SECRET = "owners-secret-path"  # noqa: S105 - what nobody may be told
COUNT = 'wc -l < "$(find "$INPUTS" -name 0)" | tee "$OUTPUTS/lines.txt"'


@pytest.fixture(scope="module")
def assets(run: Run, market: Market) -> Iterator[tuple[Asset, Asset]]:
    """Publish numbers and the code that counts them, both behind URLs that nobody is told."""
    with shelf(run, SECRET, numbers="1\n2\n3\n", code=COUNT) as served:
        dataset = market.publish(f"{served.url}/numbers", service={"compute": TRUSTING})
        yield dataset, publish_algorithm(market, run, f"{served.url}/code")


@pytest.fixture(scope="module")
def environment(run: Run) -> str:
    return f"{run.stack.namespace}.{run.value('ENVIRONMENT')}"


@pytest.fixture(scope="module")
def sold(market: Market, assets: tuple[Asset, Asset], environment: str) -> Sold:
    return market.buy(*assets, environment)


@pytest.fixture(scope="module")
def ended(market: Market, sold: Sold, environment: str) -> Json:
    return market.ended(market.begin(sold, environment))


def test_a_job_that_was_ordered_on_chain_runs_and_its_results_are_served(
    market: Market, ended: Json
) -> None:
    assert (ended["status"], ended["statusText"]) == (70, "Job finished")
    files = {one["filename"]: index for index, one in enumerate(ended["results"])}
    lines = market.result(ended["jobId"], files["lines.txt"])
    assert (lines.status, lines.body) == (200, b"3\n")
    log = market.result(ended["jobId"], files["algorithm.log"])
    assert (log.status, log.body) == (200, b"3\n")


def test_nobody_else_is_given_its_results(market: Market, ended: Json) -> None:
    refused = market.result(ended["jobId"], 0, market.stranger)
    assert refused.status in (400, 401, 403, 404)
    assert b"3\n" not in refused.body


def test_no_secret_of_the_owner_is_in_the_cluster(run: Run, ended: Json) -> None:
    told = run.kubectl("get", "computejobs,pods,events", "--output=yaml")
    assert ended["jobId"] in told
    for program in ("c2d-operator", "c2d-provider"):
        selector = f"--selector=app.kubernetes.io/name={program}"
        told += run.kubectl("logs", "--namespace=c2d-system", selector, "--tail=-1", "--prefix")
    assert SECRET not in told


def test_a_start_that_is_sent_again_starts_nothing(
    run: Run, market: Market, sold: Sold, environment: str
) -> None:
    request = market.start_request(sold, environment)
    first, again = market.send_start(request), market.send_start(request)
    assert (first.status, again.status) == (200, 400)
    (job,) = first.json
    run.kubectl("delete", "cjob", job["jobId"], "--wait=false")
    assert market.send_start(request).status == 400


def test_a_stranger_cannot_start_with_the_consumers_orders(
    market: Market, sold: Sold, environment: str
) -> None:
    refused = market.start(sold, environment, market.stranger)
    assert refused.status == 400
    assert b"order_invalid" in refused.body


def test_orders_of_other_services_start_nothing(
    market: Market, sold: Sold, environment: str
) -> None:
    swapped = replace(sold, orders=(sold.orders[1], sold.orders[0]))
    assert market.start(swapped, environment).status == 400


def test_a_dataset_that_trusts_nobody_is_refused(
    market: Market, assets: tuple[Asset, Asset], environment: str
) -> None:
    closed = market.publish("http://203.0.113.1/x", service={"compute": {}})
    assert market.prepare(closed, assets[1], environment).status == 400


@pytest.fixture(scope="module")
def saved(run: Run, ended: Json) -> Json:
    """Save a job of the provider's as somebody would who may read it."""
    return run.read("computejob", ended["jobId"])


@pytest.mark.parametrize("sealed", [True, False], ids=["saved with its seal", "without a seal"])
def test_a_job_that_is_applied_by_hand_is_handed_no_asset(
    run: Run, saved: Json, sealed: bool
) -> None:
    meta = saved["metadata"]
    name = meta["name"] if sealed else run.named("forged")
    seal = {key: value for key, value in meta["annotations"].items() if key.endswith("/seal")}
    copy = {
        "apiVersion": saved["apiVersion"],
        "kind": saved["kind"],
        "metadata": {"name": name, "namespace": meta["namespace"], "annotations": seal},
        "spec": saved["spec"],
    }
    assert len(seal) == 1
    if sealed:
        run.kubectl("delete", "cjob", name, "--timeout=60s")
    else:
        del copy["metadata"]["annotations"]
    run.kubectl("create", "--filename=-", text=json.dumps(copy))
    run.kubectl("wait", "--for=condition=Failed", f"cjob/{name}", "--timeout=120s")
    status = run.read("computejob", name)["status"]
    assert status["reason"] == "DataProvisioningFailed"
    assert "startTime" not in status.get("algorithm", {})
    run.kubectl("delete", "cjob", name, "--wait=false")
