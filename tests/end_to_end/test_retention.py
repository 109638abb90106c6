"""Results whose time is over: nobody is served them, and the sweeper's CronJob removes them."""

import json
from pathlib import Path

import pytest

from chain import CHAIN_ID
from end_to_end.cluster import RUN_LABEL, Json, Run, eventually
from end_to_end.market import TRUSTING, Market, publish_algorithm, shelf
from results import ResultsError, fetch_results

RETENTION = 3
ENVIRONMENT = "brief"


@pytest.fixture(scope="module")
def environment(run: Run) -> str:
    """An environment that keeps results for seconds; returns its name on the wire."""
    results = run.read("computeenvironment", run.value("ENVIRONMENT"))["spec"]["results"]
    run.create_environment(ENVIRONMENT, results={**results, "retention": RETENTION})
    return f"{run.stack.namespace}.{run.named(ENVIRONMENT)}"


def sweep(run: Run) -> list[Json]:
    """Run the CronJob now, with clocks that are those of one machine; returns what it tells."""
    name = run.named("sweep")
    made = run.kubectl(
        "create", "job", name, "--from=cronjob/c2d-sweeper", "--dry-run=client", "--output=json"
    )
    job = json.loads(made)
    job["metadata"].setdefault("labels", {})[RUN_LABEL] = run.mark
    job["spec"]["template"]["spec"]["containers"][0]["args"].append("--margin=0")
    run.kubectl("create", "--filename=-", text=json.dumps(job))
    try:

        def ended() -> Json | None:
            status = run.read("job", name).get("status", {})
            return status if status.get("succeeded") or status.get("failed") else None

        status = eventually(ended, "the end of the sweep")
        told = run.kubectl("logs", f"job/{name}")
        assert status.get("succeeded") == 1, told
        return [json.loads(line) for line in told.splitlines()]
    finally:
        run.kubectl("delete", "job", name, "--timeout=60s")


def refusal(run: Run, job: str, folder: Path) -> str:
    """Say why `make results` brings nothing; "" if it does."""
    try:
        fetch_results(run.stack, job, folder)
    except ResultsError as error:
        return str(error)
    return ""


def expiry(market: Market, environment: str) -> int | None:
    """Tell how long the provider says that results are kept; None before it offers any."""
    answer = market.ask("GET", "/v2/api/services/computeEnvironments")
    offered = {one["id"]: one["storageExpiry"] for one in answer.json[str(CHAIN_ID)]}
    return offered.get(environment)


def test_expired_results_are_removed_and_no_others(
    run: Run, environment: str, tmp_path: Path
) -> None:
    run.start(
        gone=run.job("echo gone", spec={"environment": run.named(ENVIRONMENT)}),
        stays=run.job("echo stays"),
    )
    gone, stays = run.finished("gone"), run.finished("stays")
    assert gone.outcome == stays.outcome == ("Complete", "Succeeded")
    eventually(lambda: "expired" in refusal(run, gone.name, tmp_path), "the end of its time", 30)
    removed = {line["removed"]: line for line in sweep(run)}
    assert stays.uid not in removed
    assert removed[gone.uid]["because"] == "expired"
    assert removed[gone.uid]["job"] == gone.name
    assert "not in their store any more" in refusal(run, gone.name, tmp_path)
    assert stays.text("algorithm.log") == "stays\n"


def test_the_provider_says_how_long_and_serves_nothing_afterwards(
    run: Run, market: Market, environment: str
) -> None:
    eventually(lambda: expiry(market, environment) == RETENTION, "the environment on offer", 30)
    with shelf(run, "retention", numbers="1\n", code='echo 1 > "$OUTPUTS/one"') as served:
        dataset = market.publish(f"{served.url}/numbers", service={"compute": TRUSTING})
        algorithm = publish_algorithm(market, run, f"{served.url}/code")
        sold = market.buy(dataset, algorithm, environment)
        ended = market.ended(market.begin(sold, environment))
    assert ended["status"] == 70
    eventually(lambda: market.result(ended["jobId"], 0).status == 404, "the end of its time", 30)
    assert b"expired" in market.result(ended["jobId"], 0).body
    sweep(run)
    assert market.result(ended["jobId"], 0).status == 404
