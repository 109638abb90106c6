"""What a consumer may do beside the plain way: raw code, several datasets, tokens, a stop."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import Any

import pytest

from c2d_api.asset_request import PATH
from chain import Asset
from end_to_end.cluster import Json, Run
from end_to_end.market import SERVICE, Answer, Market, fee_of, runs_in, shelf, until_printed
from local_stack.chain import Account

RAW = {"compute": {"allowRawAlgorithm": True}}
ENDLESS = 'echo begun | tee "$OUTPUTS/begun.txt"; while :; do sleep 1; done'
LOOK_AROUND = Template("""\
import http.client, json, os, pathlib

inputs, outputs = (pathlib.Path(os.environ[name]) for name in ("INPUTS", "OUTPUTS"))
found = [sorted((inputs / did).iterdir()) for did in json.loads(os.environ["DIDS"])]
(outputs / "all.txt").write_text("".join(one.read_text() for files in found for one in files))
(outputs / "mounts.txt").write_text(pathlib.Path("/proc/mounts").read_text())
(outputs / "empty.txt").touch()

try:
    http.client.HTTPConnection("$HOST", timeout=10).request("POST", "$PATH", "{}")
    answer = "reached"
except OSError as error:
    answer = type(error).__name__
(outputs / "answer.txt").write_text(answer)
""")


@dataclass(frozen=True)
class Bought:
    """Datasets that raw code may run on, with their orders."""

    datasets: tuple[Asset, ...]
    orders: tuple[str, ...]


@pytest.fixture(scope="module")
def environment(run: Run) -> str:
    return f"{run.stack.namespace}.{run.value('ENVIRONMENT')}"


@pytest.fixture(scope="module")
def bought(run: Run, market: Market, environment: str) -> Iterator[Bought]:
    """Order two datasets, of which the second has two files; one answer has the fees of both."""
    with shelf(run, "several", a="1\n", b="2\n", c="3\n") as served:
        datasets = tuple(
            market.publish(*(f"{served.url}/{name}" for name in names), service=RAW)
            for names in ("a", "bc")
        )
        compute = {"env": environment, "validUntil": int(time.time()) + 600}
        named = [{"documentId": one.did, "serviceId": SERVICE} for one in datasets]
        prepared = market.send_prepare(
            {"datasets": named, "algorithm": raw(run, "true"), "compute": compute}
        )
        assert prepared.status == 200, prepared.body
        assert "algorithm" not in prepared.json
        orders = [
            market.order(asset, fee_of(item), environment)
            for asset, item in zip(datasets, prepared.json["datasets"], strict=True)
        ]
        yield Bought(datasets, tuple(orders))


def raw(run: Run, code: str, image: str = "BUSYBOX", entrypoint: str = "sh $ALGO") -> Json:
    """Write an algorithm that comes with the request."""
    return {"meta": {"rawcode": code, "container": runs_in(run, image, entrypoint)}}


def unsigned(market: Market, bought: Bought, environment: str, algorithm: Json) -> dict[str, Any]:
    """Write a start on all that was bought."""
    first, *others = (
        {"documentId": asset.did, "serviceId": SERVICE, "transferTxId": order}
        for asset, order in zip(bought.datasets, bought.orders, strict=True)
    )
    return {
        "consumerAddress": market.consumer.address,
        "nonce": market.nonce(),
        "environment": environment,
        "dataset": first,
        "additionalDatasets": others,
        "algorithm": algorithm,
    }


@pytest.fixture(scope="module")
def token(market: Market) -> str:
    until = int(time.time()) + 600
    answer = market.token_request("GET", "createAuthToken", market.consumer, expiration=until)
    assert answer.status == 200, answer.body
    return str(answer.json["token"])


@pytest.fixture(scope="module")
def jobs(run: Run, market: Market, bought: Bought, environment: str, token: str) -> tuple[str, str]:
    """Start, by a token alone, what looks around and what never ends."""
    service = run.read("service", "c2d-provider-internal", "--namespace=c2d-system")
    around = LOOK_AROUND.substitute(HOST=service["spec"]["clusterIP"], PATH=PATH)
    started = []
    for algorithm in (raw(run, around, "ALGO", "python $ALGO"), raw(run, ENDLESS)):
        answer = market.send_start(unsigned(market, bought, environment, algorithm), token)
        assert answer.status == 200, answer.body
        started.append(answer.json[0]["jobId"])
    return started[0], started[1]


def test_raw_code_runs_on_several_datasets(market: Market, jobs: tuple[str, str]) -> None:
    ended = market.ended(jobs[0])
    assert (ended["status"], ended["statusText"]) == (70, "Job finished")
    assert market.named(jobs[0], "all.txt").body == b"1\n2\n3\n"


def test_an_algorithm_has_no_token_and_is_handed_nothing(
    market: Market, jobs: tuple[str, str]
) -> None:
    """It does not reach the port of loaders; what others are answered there is seen elsewhere."""
    market.ended(jobs[0])
    assert market.named(jobs[0], "answer.txt").body in (b"OSError", b"ConnectionRefusedError")
    mounts = market.named(jobs[0], "mounts.txt").body.decode().splitlines()
    places = [line.split()[1] for line in mounts]
    assert "/data/inputs" in places
    assert not [place for place in places if "secrets" in place or place.startswith("/etc/c2d")]


def test_an_empty_result_is_there_and_empty(market: Market, jobs: tuple[str, str]) -> None:
    market.ended(jobs[0])
    empty = market.named(jobs[0], "empty.txt")
    assert (empty.status, empty.body, empty.headers["Content-Length"]) == (200, b"", "0")


def test_a_job_is_stopped_by_its_owner_alone(
    run: Run, market: Market, bought: Bought, jobs: tuple[str, str]
) -> None:
    job = jobs[1]
    until_printed(run, job, "begun")
    assert market.job(job)["status"] == 40
    refused = market.stop(job, bought.datasets[0], market.stranger)
    assert (refused.status, refused.json) == (404, {"error": "there is no such job"})
    assert market.job(job)["stopreq"] == 0
    stopped = market.stop(job, bought.datasets[0])
    assert stopped.status == 200
    assert stopped.json[0]["stopreq"] == 1
    market.ended(job)
    assert market.named(job, "begun.txt").body == b"begun\n"


def fetched(market: Market, job: str, who: Account, token: str) -> Answer:
    """Ask for the first result by a token, without a signature."""
    return market.ask(
        "GET",
        "/v2/api/services/computeResult",
        headers={"AuthToken": token},
        consumerAddress=who.address,
        jobId=job,
        index=0,
        nonce=market.nonce(),
    )


def test_a_token_fetches_its_owners_results_and_nobody_elses(
    market: Market, jobs: tuple[str, str], token: str
) -> None:
    first = market.ended(jobs[0])["results"][0]
    answer = fetched(market, jobs[0], market.consumer, token)
    assert (answer.status, len(answer.body)) == (200, first["filesize"])
    refused = fetched(market, jobs[0], market.stranger, token)
    assert (refused.status, refused.json) == (400, {"error": "Token is invalid."})


def test_a_token_is_good_for_its_address_alone(
    run: Run, market: Market, bought: Bought, environment: str, token: str
) -> None:
    request = unsigned(market, bought, environment, raw(run, "true"))
    refused = market.send_start({**request, "consumerAddress": market.stranger.address}, token)
    assert (refused.status, refused.json) == (400, {"error": "Token is invalid."})


def test_a_token_that_was_deleted_is_good_for_nothing(
    run: Run, market: Market, bought: Bought, environment: str, jobs: tuple[str, str], token: str
) -> None:
    strangers = market.token_request("DELETE", "deleteAuthToken", market.stranger, token=token)
    assert (strangers.status, strangers.json) == (400, {"error": "Token is invalid."})
    deleted = market.token_request("DELETE", "deleteAuthToken", market.consumer, token=token)
    assert (deleted.status, deleted.json) == (200, {"success": "Token has been deactivated."})
    for _ in range(8):  # either replica
        refused = market.send_start(unsigned(market, bought, environment, raw(run, "true")), token)
        assert (refused.status, refused.json) == (400, {"error": "Token is deleted."})
