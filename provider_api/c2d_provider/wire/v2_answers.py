"""Answers of provider v2: the shapes, texts and status numbers that its clients know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from c2d_api.computejob import ComputeJob, Json
from c2d_provider.fees import SignedFee
from c2d_provider.ports import FileFacts
from c2d_provider.refusals import Reason, Refusal

ENDPOINTS: Final = {
    "nonce": ("GET", "nonce"),
    "encrypt": ("POST", "encrypt"),
    "decrypt": ("POST", "decrypt"),
    "fileinfo": ("POST", "fileinfo"),
    "initialize": ("GET", "initialize"),
    "initializeCompute": ("POST", "initializeCompute"),
    "download": ("GET", "download"),
    "computeStart": ("POST", "compute"),
    "computeStop": ("PUT", "compute"),
    "computeStatus": ("GET", "compute"),
    "computeDelete": ("DELETE", "compute"),
    "computeResult": ("GET", "computeResult"),
    "computeEnvironments": ("GET", "computeEnvironments"),
    "validateContainer": ("POST", "validateContainer"),
    "create_auth_token": ("GET", "createAuthToken"),
    "delete_auth_token": ("DELETE", "deleteAuthToken"),
}
"""What clients look for in the root's answer: method, and path under `/api/services`."""

_BAD_REQUEST = 400
_NOT_FOUND = 404

STATUS_TEXTS: Final = {
    1: "Warming up",
    20: "Configuring volumes",
    30: "Provisioning success",
    31: "Data provisioning failed",
    32: "Algorithm provisioning failed",
    40: "Running algorithm ",  # the space at its end is provider v2's
    50: "Filtering results",
    60: "Publishing results",
    70: "Job finished",
}
"""Texts of provider v2; other numbers keep the text that the operator gave them."""

ORDERS: Final = frozenset(reason for reason in Reason if reason.startswith(("Order", "Fee"))) - {
    Reason.FEES_NOT_PAID,
    Reason.FEE_SPENT,
}

_CODES: Final = {
    Reason.ASSET_NOT_FROM_OCEAN: ("", "in_use_or_not_on_chain"),
    Reason.NOT_AN_ALGORITHM: ("", "not_algo"),
    Reason.SERVICE_UNKNOWN: (".serviceId", "not_found"),
    Reason.SERVICE_NOT_FOR_COMPUTE: (".serviceId", "main_service_compute"),
    Reason.SERVICE_NOT_USABLE: (".serviceId", "service_not_access_compute"),
    Reason.SERVICE_OF_OTHER_PROVIDER: (".serviceId", "compute_services_not_in_same_provider"),
    Reason.RAW_ALGORITHM_DENIED: ("", "no_raw_algo_allowed"),
    Reason.PUBLISHER_NOT_TRUSTED: ("", "not_trusted_algo_publisher"),
    Reason.ALGORITHM_NOT_TRUSTED: ("", "not_trusted_algo"),
    Reason.NO_TRUSTED_ALGORITHMS: ("", "no_publisherTrustedAlgorithms"),
    Reason.FILES_CHECKSUM_MISMATCH: ("", "algorithm_file_checksum_mismatch"),
    Reason.CONTAINER_CHECKSUM_MISMATCH: ("", "algorithm_container_checksum_mismatch"),
    Reason.FILES_MALFORMED: ("", "file_unavailable"),
    Reason.FILES_OF_OTHER_ASSET: ("", "file_unavailable"),
    Reason.REMOTE_PROVIDER: ("", "file_unavailable"),
    Reason.ASSET_UNKNOWN: (".documentId", "did_not_found"),
    Reason.ASSET_MALFORMED: (".documentId", "did_not_found"),
    **dict.fromkeys(ORDERS, (".serviceId", "order_invalid")),
}
"""What is added to the name of a dataset, and the code of what is wrong with it."""

_ALGORITHM_CODES: Final = {
    **dict.fromkeys(ORDERS, "in_use_or_not_on_chain"),
    Reason.ASSET_UNKNOWN: "did_not_found",
    Reason.ASSET_MALFORMED: "did_not_found",
    Reason.SERVICE_OF_OTHER_PROVIDER: "compute_services_not_in_same_provider",
}
"""Codes of the algorithm where they are others than a dataset's."""

_ELSEWHERE: Final = {
    Reason.CONTAINER_INCOMPLETE: ("algorithm.container", "missing_entrypoint_image_checksum"),
    Reason.CONTAINER_CHECKSUM_MALFORMED: ("algorithm.container", "checksum_prefix"),
    Reason.FEES_NOT_PAID: ("order", "fees_not_paid"),
    Reason.FEE_SPENT: ("order", "fees_not_paid"),
}
"""Errors that name a part of their own."""

CODES: Final = frozenset(code for _, code in (*_CODES.values(), *_ELSEWHERE.values())) | frozenset(
    _ALGORITHM_CODES.values()
)
"""All codes by which a start is refused for what was named in it."""

CONSUMABLE: Final = {
    Reason.ASSET_STATE: "ASSET_DISABLED",
    Reason.CREDENTIALS_NOT_ALLOWED: "CREDENTIAL_NOT_IN_ALLOW_LIST",
    Reason.CREDENTIALS_UNKNOWN: "CREDENTIAL_NOT_IN_ALLOW_LIST",
    Reason.CREDENTIALS_DENIED: "CREDENTIAL_IN_DENY_LIST",
}
_NETWORKS: Final = {1: "Mainnet", 137: "Polygon", 8996: "Ganache"}


@dataclass(frozen=True)
class Answer:
    """A status number and a JSON body."""

    status: int
    body: Any


class Rejected(Exception):  # noqa: N818 - it is the answer, raised where a parser stands
    """Raised for requests that cannot be read; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        """Carry the answer to where it is given."""
        super().__init__(str(answer.body))
        self.answer = answer


@dataclass(frozen=True)
class Item:
    """What one asset of a job needs: an order, a new fee for a valid one, or nothing."""

    datatoken: str
    fee: SignedFee | None
    valid_order: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Write an item of `initializeCompute`'s answer."""
        if self.fee is None:
            return {"validOrder": self.valid_order}
        body = {"datatoken": self.datatoken, "providerFee": self.fee.as_dict()}
        return {**body, "validOrder": self.valid_order} if self.valid_order else body


@dataclass(frozen=True)
class Offered:
    """An environment as it is announced; sizes in GB, times in seconds, the price a minute."""

    id: str
    consumer: str
    fee_token: str
    price_per_minute: Decimal
    cpus: int | float
    ram: int | float
    disk: int | float
    gpus: int
    gpu_type: str
    description: str
    running_jobs: int
    max_jobs: int
    max_job_duration: int
    storage_expiry: int
    seen: datetime

    def as_dict(self) -> dict[str, Any]:
        """Write an environment; numbers are numbers, since clients compare `priceMin` with 0."""
        price = self.price_per_minute
        return {
            "id": self.id,
            "cpuNumber": self.cpus,
            "cpuType": "",
            "gpuNumber": self.gpus,
            "gpuType": self.gpu_type,
            "ramGB": self.ram,
            "diskGB": self.disk,
            "desc": self.description,
            "currentJobs": self.running_jobs,
            "maxJobs": self.max_jobs,
            "consumerAddress": self.consumer,
            "storageExpiry": self.storage_expiry,
            "maxJobDuration": self.max_job_duration,
            "feeToken": self.fee_token,
            "priceMin": int(price) if price == int(price) else float(price),
            "free": price == 0,
            "lastSeen": epoch(self.seen),
        }


def validation(**errors: str) -> Answer:
    """Write what is wrong with fields of a request."""
    return Answer(
        _BAD_REQUEST,
        {
            "success": False,
            "message": "Validation error",
            "errors": {name: [text] for name, text in errors.items()},
        },
    )


def failure(text: str, status: int = _BAD_REQUEST) -> Answer:
    """Write an error that is no field's."""
    return Answer(status, {"error": text})


def resource_failure(resource: str, code: str) -> Answer:
    """Write an error of one part of a request to start a job."""
    return Answer(_BAD_REQUEST, {"error": {resource: code}})


def refused_authorization(refusal: Refusal) -> Answer:
    """Write why a signature, a nonce or a token does not count.

    A used nonce is a plain text under `signature`: clients look there for the one to go above.
    """
    if refusal.reason in (Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED):
        return failure(refusal.message)
    if refusal.reason != Reason.NONCE_USED:
        return validation(
            signature="Invalid signature provided. Please check the nonce or documentId."
        )
    body = {
        "success": False,
        "message": "Validation error",
        "errors": {"signature": refusal.message},
    }
    return Answer(_BAD_REQUEST, body)


def refused_part(refusal: Refusal, resource: str, document_id: str) -> Answer:
    """Write why a dataset or the algorithm of a job is refused.

    `resource` is what `v2_requests.resource` names a dataset, or `algorithm`.
    """
    reason = refusal.reason
    if reason in _ELSEWHERE:
        return resource_failure(*_ELSEWHERE[reason])
    if reason in CONSUMABLE:
        return resource_failure(resource, consumability(document_id, refusal))
    if resource == "algorithm" and reason in _ALGORITHM_CODES:
        return resource_failure(resource, _ALGORITHM_CODES[reason])
    suffix, code = _CODES.get(reason, ("", refusal.message))
    return resource_failure(f"{resource}{suffix}", code)


def consumability(document_id: str, refusal: Refusal) -> str:
    """Write why an asset may not be used by a consumer, or at all."""
    name = CONSUMABLE[refusal.reason]
    return f"Error: Access to asset {document_id} was denied with code: ConsumableCodes.{name}."


def refused_order(refusal: Refusal, transaction: str, chain_id: int) -> Answer:
    """Write why the order of a download is refused."""
    return consume_failure(
        f"Order with tx_id {transaction} could not be validated due to error: {refusal.message}",
        chain_id,
    )


def asset_unknown(did: str) -> Answer:
    """Write that a metadata cache has no such asset, in the words that ocean.py looks for."""
    return failure(f"Asset DID {did} not found in Elasticsearch", _NOT_FOUND)


def file_known(index: int, kind: str, facts: FileFacts) -> dict[str, Any]:
    """Write what is known of a file; ocean.js reads its `name`, others `filename`."""
    length = facts.content_length
    body: dict[str, Any] = {
        "index": index,
        "valid": facts.valid,
        "type": kind,
        "contentLength": "" if length is None else str(length),
        "contentType": facts.content_type,
        "filename": facts.name,
        "name": facts.name,
    }
    return {**body, "checksum": facts.sha256, "checksumType": "sha256"} if facts.sha256 else body


def consume_failure(text: str, chain_id: int) -> Answer:
    """Write an error of a route that consumes assets, which names the network."""
    return failure(f"Provider {_NETWORKS.get(chain_id, 'Unknown')}: {text}")


def root(version: str, providers: Mapping[int, str]) -> dict[str, Any]:
    """Write what clients discover; `providers` has the provider's address by chain id."""
    return {
        "software": "Provider",
        "version": version,
        "chainIds": list(providers),
        "providerAddresses": {str(chain_id): address for chain_id, address in providers.items()},
        "serviceEndpoints": {
            name: [method, f"/api/services/{path}"] for name, (method, path) in ENDPOINTS.items()
        },
    }


def environments(offered: Mapping[int, Iterable[Offered]]) -> dict[str, Any]:
    """Write the environments by chain id."""
    return {str(chain): [one.as_dict() for one in listed] for chain, listed in offered.items()}


def initialized_compute(datasets: Iterable[Item], algorithm: Item | None) -> dict[str, Any]:
    """Write what a job needs to be ordered; a raw algorithm needs nothing."""
    body: dict[str, Any] = {"datasets": [item.as_dict() for item in datasets]}
    return {**body, "algorithm": algorithm.as_dict()} if algorithm else body


def job(job: ComputeJob, ocean: Json, agreement_id: str, files: Sequence[Json] = ()) -> Json:
    """Write a job as one entry of the lists that start, stop and status answer.

    `ocean` is the job's `status.ocean`, empty until the operator has seen it; `files` are those of
    its manifest, or of its status, in their order: a position is an index.
    """
    number = int(ocean.get("status", 1)) or 1
    text = STATUS_TEXTS.get(number, str(ocean.get("statusText", "")))
    finished = job.status.completion_time
    return {
        "agreementId": agreement_id,
        "jobId": job.name,
        "owner": job.spec.consumer or "",
        "status": number,
        "statusText": text,
        "dateCreated": epoch(job.created),
        "dateFinished": epoch(finished) if finished else None,
        "results": [_result(file, index) for index, file in enumerate(files)] or "",
        "stopreq": _stop_request(job),
        "removed": 0,
        "algoDID": job.spec.algorithm.id,
        "inputDID": [dataset.id for dataset in job.spec.datasets],
    }


def moment(seconds: int) -> datetime:
    """Turn seconds of the epoch into a time."""
    return datetime.fromtimestamp(seconds, UTC)


def epoch(moment: datetime) -> str:
    """Write a time as clients read it: seconds of the epoch, as a text with decimals."""
    return f"{moment.timestamp():.6f}"


def _result(file: Json, index: int) -> dict[str, Any]:
    return {
        "filename": file["name"],
        "filesize": file["size"],
        "type": file["type"],
        "index": index,
    }


def _stop_request(job: ComputeJob) -> int:
    """Tell whether a job was stopped: 1 on request, 2 for its time."""
    if job.spec.stop:
        return 1
    ended = job.status.condition("AlgorithmCompleted")
    return 2 if ended is not None and ended.reason == "DeadlineExceeded" else 0
