"""Answers of provider v2: shapes, texts and numbers as its own server wrote them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import chain_facts as chain
from c2d_api.computejob import ComputeJob, parse_job
from c2d_provider import fees
from c2d_provider.fees import Offer
from c2d_provider.refusals import Reason, Refusal
from c2d_provider.wire import v2_answers as v2
from c2d_provider.wire.v2_answers import Answer, Item, Offered

CREATED = datetime(2040, 1, 1, tzinfo=UTC)
OWNER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
JOB = "0123456789abcdef0123456789abcdef"
ORDER = "0x" + "aa" * 32


def job(status: Any = None, **spec: Any) -> ComputeJob:
    container = {"image": "i", "digest": "sha256:1", "entrypoint": "e"}
    body = {
        "metadata": {
            "namespace": "jobs",
            "name": JOB,
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2040-01-01T00:00:00Z",
        },
        "spec": {
            "environment": "small",
            "consumer": OWNER,
            "datasets": [{"id": "did:op:1", "source": {"files": []}}],
            "algorithm": {"id": "did:op:2", "container": container},
            **spec,
        },
        "status": status,
    }
    return parse_job(body)


def ended(reason: str) -> dict[str, Any]:
    return {
        "completionTime": "2040-01-01T00:01:00Z",
        "conditions": [
            {
                "type": "AlgorithmCompleted",
                "status": "False",
                "reason": reason,
                "lastTransitionTime": "2040-01-01T00:00:30Z",
            }
        ],
    }


def test_a_new_job_is_told_as_clients_expect_it() -> None:
    assert v2.job(job(), {}, ORDER) == {
        "agreementId": ORDER,
        "jobId": JOB,
        "owner": OWNER,
        "status": 1,
        "statusText": "Warming up",
        "dateCreated": "2208988800.000000",
        "dateFinished": None,
        "results": "",
        "stopreq": 0,
        "removed": 0,
        "algoDID": "did:op:2",
        "inputDID": ["did:op:1"],
    }


def test_a_finished_job_has_a_time_and_results() -> None:
    files = [
        {"name": "result.csv", "size": 5, "type": "output"},
        {"name": "algorithm.log", "size": 0, "type": "algorithmLog"},
    ]
    told = v2.job(job(ended("ExitedWithZero")), {"status": 70, "statusText": "x"}, ORDER, files)
    assert (told["status"], told["statusText"]) == (70, "Job finished")
    assert float(told["dateFinished"]) - float(told["dateCreated"]) == 60
    assert told["results"] == [
        {"filename": "result.csv", "filesize": 5, "type": "output", "index": 0},
        {"filename": "algorithm.log", "filesize": 0, "type": "algorithmLog", "index": 1},
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [  # provider v2, and the node's words for numbers that provider v2 has not
        (0, "Warming up"),
        (1, "Warming up"),
        (20, "Configuring volumes"),
        (30, "Provisioning success"),
        (31, "Data provisioning failed"),
        (32, "Algorithm provisioning failed"),
        (40, "Running algorithm "),
        (41, "the operator's own"),
        (60, "Publishing results"),
        (70, "Job finished"),
    ],
)
def test_the_text_of_a_status(number: int, text: str) -> None:
    ocean = {"status": number, "statusText": "the operator's own"}
    told = v2.job(job(), ocean, ORDER)
    assert (told["status"], told["statusText"]) == (max(number, 1), text)


@pytest.mark.parametrize(
    ("of", "stopped"),
    [
        pytest.param(job(stop={"reason": "Requested"}), 1, id="on request"),
        pytest.param(job(ended("DeadlineExceeded")), 2, id="for its time"),
        pytest.param(job(ended("AlgorithmFailed")), 0, id="by itself"),
        pytest.param(job(), 0, id="not at all"),
    ],
)
def test_how_a_job_was_stopped(of: ComputeJob, stopped: int) -> None:
    assert v2.job(of, {}, ORDER)["stopreq"] == stopped


def offered(**changes: Any) -> Offered:
    return Offered(
        **{
            "id": "jobs.small",
            "consumer": OWNER,
            "fee_token": chain.ZERO,
            "price_per_minute": Decimal(0),
            "cpus": 2,
            "ram": 4,
            "disk": 10,
            "gpus": 0,
            "gpu_type": "",
            "description": "d",
            "running_jobs": 1,
            "max_jobs": 10,
            "max_job_duration": 3600,
            "storage_expiry": 604800,
            "seen": CREATED + timedelta(seconds=0.5),
            **changes,
        }
    )


def test_environments_stand_under_their_chain() -> None:
    """The keys are those of the recorded answer that ocean.js 3 and ocean.py took."""
    told = v2.environments({8996: [offered()]})
    assert set(told) == {"8996"}
    assert set(told["8996"][0]) == {
        *("id", "cpuNumber", "cpuType", "gpuNumber", "gpuType", "ramGB", "diskGB", "desc"),
        *("currentJobs", "maxJobs", "consumerAddress", "storageExpiry", "maxJobDuration"),
        *("feeToken", "priceMin", "lastSeen", "free"),
    }
    assert told["8996"][0]["lastSeen"] == "2208988800.500000"


@pytest.mark.parametrize(
    ("price", "written"), [("0", "0"), ("0.00", "0"), ("1.2", "1.2"), ("3", "3")]
)
def test_a_price_is_a_number(price: str, written: str) -> None:
    """ocean.js compares `priceMin` with the number 0."""
    told = offered(price_per_minute=Decimal(price)).as_dict()
    assert json.dumps(told["priceMin"]) == written
    assert told["free"] == (written == "0")


FEE = fees.sign(chain.offered(offer=Offer(chain.DATATOKEN, "1", "jobs.small", 1)), b"\x11" * 32)


def test_what_a_job_needs_to_be_ordered() -> None:
    new = {"datatoken": chain.DATATOKEN, "providerFee": FEE.as_dict()}
    items = [Item(chain.DATATOKEN, FEE), Item(chain.DATATOKEN, FEE, ORDER)]
    valid = Item(chain.DATATOKEN, None, ORDER)
    assert v2.initialized_compute(items, valid) == {
        "datasets": [new, {**new, "validOrder": ORDER}],
        "algorithm": {"validOrder": ORDER},
    }
    assert v2.initialized_compute([], None) == {"datasets": []}


def test_clients_find_the_endpoints_in_the_root() -> None:
    told = v2.root("0.1.0", {8996: OWNER})
    assert told["software"] == "Provider"
    assert told["providerAddresses"] == {"8996": OWNER}
    assert told["chainIds"] == [8996]
    assert told["serviceEndpoints"]["computeStop"] == ["PUT", "/api/services/compute"]
    assert told["serviceEndpoints"]["create_auth_token"] == ["GET", "/api/services/createAuthToken"]
    assert len(told["serviceEndpoints"]) == 16


DID = "did:op:1"


@pytest.mark.parametrize(
    ("reason", "resource", "error"),
    [  # the codes of provider v2
        (Reason.RAW_ALGORITHM_DENIED, "dataset", {"dataset": "no_raw_algo_allowed"}),
        (Reason.PUBLISHER_NOT_TRUSTED, "dataset", {"dataset": "not_trusted_algo_publisher"}),
        (Reason.ALGORITHM_NOT_TRUSTED, "datasets[1]", {"datasets[1]": "not_trusted_algo"}),
        (Reason.NO_TRUSTED_ALGORITHMS, "dataset", {"dataset": "no_publisherTrustedAlgorithms"}),
        (
            Reason.FILES_CHECKSUM_MISMATCH,
            "dataset",
            {"dataset": "algorithm_file_checksum_mismatch"},
        ),
        (
            Reason.CONTAINER_CHECKSUM_MISMATCH,
            "dataset",
            {"dataset": "algorithm_container_checksum_mismatch"},
        ),
        (
            Reason.CONTAINER_INCOMPLETE,
            "algorithm",
            {"algorithm.container": "missing_entrypoint_image_checksum"},
        ),
        (
            Reason.CONTAINER_CHECKSUM_MALFORMED,
            "algorithm",
            {"algorithm.container": "checksum_prefix"},
        ),
        (Reason.NOT_AN_ALGORITHM, "algorithm", {"algorithm": "not_algo"}),
        (Reason.ASSET_UNKNOWN, "algorithm", {"algorithm": "did_not_found"}),
        (Reason.ASSET_UNKNOWN, "dataset", {"dataset.documentId": "did_not_found"}),
        (Reason.SERVICE_UNKNOWN, "datasets[2]", {"datasets[2].serviceId": "not_found"}),
        (
            Reason.SERVICE_NOT_FOR_COMPUTE,
            "dataset",
            {"dataset.serviceId": "main_service_compute"},
        ),
        (
            Reason.SERVICE_NOT_USABLE,
            "datasets[1]",
            {"datasets[1].serviceId": "service_not_access_compute"},
        ),
        (Reason.ORDER_EXPIRED, "dataset", {"dataset.serviceId": "order_invalid"}),
        (Reason.FEE_NOT_OURS, "dataset", {"dataset.serviceId": "order_invalid"}),
        (Reason.ORDER_OF_OTHER_CONSUMER, "algorithm", {"algorithm": "in_use_or_not_on_chain"}),
        (Reason.FILES_OF_OTHER_ASSET, "algorithm", {"algorithm": "file_unavailable"}),
        (Reason.FEES_NOT_PAID, "dataset", {"order": "fees_not_paid"}),
        (Reason.FEE_SPENT, "algorithm", {"order": "fees_not_paid"}),
        (
            Reason.CREDENTIALS_DENIED,
            "dataset",
            {
                "dataset": "Error: Access to asset did:op:1 was denied with code: "
                "ConsumableCodes.CREDENTIAL_IN_DENY_LIST."
            },
        ),
        (
            Reason.ASSET_STATE,
            "algorithm",
            {
                "algorithm": "Error: Access to asset did:op:1 was denied with code: "
                "ConsumableCodes.ASSET_DISABLED."
            },
        ),
        (Reason.PARAMETER_INVALID, "dataset", {"dataset": "why"}),
    ],
)
def test_a_refused_part_is_told_by_its_code(reason: Reason, resource: str, error: Any) -> None:
    assert v2.refused_part(Refusal(reason, "why"), resource, DID) == Answer(400, {"error": error})


def test_a_used_nonce_is_told_where_clients_look() -> None:
    text = "Invalid signature expected nonce (5) > current nonce (4)."
    told = v2.refused_authorization(Refusal(Reason.NONCE_USED, text))
    assert (told.status, told.body["errors"]) == (400, {"signature": text})


def test_a_wrong_signature_is_told() -> None:
    told = v2.refused_authorization(Refusal(Reason.SIGNATURE_MALFORMED, "the signature is odd"))
    text = "Invalid signature provided. Please check the nonce or documentId."
    assert told.body["errors"] == {"signature": [text]}


def test_a_token_that_does_not_count_is_told() -> None:
    told = v2.refused_authorization(Refusal(Reason.TOKEN_EXPIRED, "Token is expired."))
    assert told == Answer(400, {"error": "Token is expired."})


def test_an_order_of_a_download_names_the_network() -> None:
    told = v2.refused_order(Refusal(Reason.ORDER_FAILED, "order transaction failed."), ORDER, 8996)
    assert told.body["error"] == (
        f"Provider Ganache: Order with tx_id {ORDER} could not be validated due to error: "
        "order transaction failed."
    )
