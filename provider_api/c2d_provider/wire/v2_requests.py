"""Requests of provider v2: read from query or body into frozen dataclasses, or rejected.

Clients differ in where they put parameters, so the query counts where there is one, else the JSON
body. What is rejected here has the shape that these clients know (see `v2_answers`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from c2d_provider import addresses, ddo, nonces, parameters, strict_json
from c2d_provider.asked import (
    AlgorithmAsked,
    AssetAsked,
    Authorization,
    CreateToken,
    Decrypt,
    DeleteToken,
    Document,
    Download,
    FileInfo,
    Initialize,
    InitializeCompute,
    JobAsked,
    PublishedAsked,
    RawAsked,
    ResultAsked,
    Start,
    StatusAsked,
)
from c2d_provider.ddo import Container
from c2d_provider.files import FileObject, parse_file
from c2d_provider.refusals import Refused
from c2d_provider.wire.v2_answers import Rejected, failure, resource_failure, validation

MAX_BODY_BYTES = 1024 * 1024
MAX_DATASETS = 64
MAX_RAW_CODE = 512 * 1024
_MAX_TEXT = 4096
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_TIME = re.compile(r"0|[1-9][0-9]{0,15}")
_JOB_ID = re.compile(r"(0x[0-9a-f]{64}-)?[0-9a-f]{32}")

Sent = Mapping[str, Any]


def sent_parameters(query: Iterable[tuple[str, str]], body: bytes) -> Sent:
    """Read what a request was sent with: its query if it has one, else its JSON body.

    Raises:
        Rejected: A parameter is there twice, or the body is no JSON object.
    """
    pairs = list(query)
    if pairs:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Rejected(failure("A parameter is given twice."))
        return found
    if not body:
        return {}
    try:
        document = strict_json.parse(body, MAX_BODY_BYTES, "the request")
    except Refused as refused:
        raise Rejected(failure(refused.refusal.message)) from None
    if not isinstance(document, dict):
        raise Rejected(failure("The request must be a JSON object."))
    return document


def parse_start(sent: Sent, *, has_token: bool = False) -> Start:
    """Read a request to start a job.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "dataset", "algorithm", "environment")
    authorization = _authorization(sent, "consumerAddress", has_token=has_token)
    additional = sent.get("additionalDatasets") or sent.get("additionalInputs") or []
    if not isinstance(additional, list) or len(additional) >= MAX_DATASETS:
        raise Rejected(resource_failure("additional_input", "invalid"))
    if not _is_object_or_its_text(sent.get("output")):
        raise Rejected(resource_failure("output", "invalid"))
    return Start(
        authorization,
        tuple(
            _asset(entry, resource(position), needs_order=True)
            for position, entry in enumerate([sent["dataset"], *additional])
        ),
        _algorithm(sent["algorithm"], needs_order=True),
        _text(sent, "environment"),
    )


def parse_job_asked(sent: Sent, *, has_token: bool = False) -> JobAsked:
    """Read a request to stop or to delete a job.

    A job must be named: without one, a stop has the signed text of a start.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "jobId")
    authorization = _authorization(sent, "consumerAddress", has_token=has_token)
    return JobAsked(authorization, _job_id(sent), _did(sent))


def parse_status(sent: Sent) -> StatusAsked:
    """Read a request for the status of jobs.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "consumerAddress")
    return StatusAsked(_address(sent, "consumerAddress"), _job_id(sent), _did(sent))


def parse_result(sent: Sent, *, has_token: bool = False) -> ResultAsked:
    """Read a request for a result.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "jobId", "index")
    authorization = _authorization(sent, "consumerAddress", has_token=has_token)
    return ResultAsked(authorization, _job_id(sent), _index(sent, "index"))


def parse_initialize_compute(sent: Sent) -> InitializeCompute:
    """Read a request for the fees of a job.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "datasets", "algorithm", "compute", "consumerAddress")
    listed, compute = sent["datasets"], sent["compute"]
    if not isinstance(listed, list) or len(listed) > MAX_DATASETS:
        raise Rejected(validation(datasets="The datasets field must be a list."))
    if not isinstance(compute, dict):
        raise Rejected(validation(compute="The compute field must be an object."))
    _require(compute, "env", "validUntil")
    return InitializeCompute(
        _address(sent, "consumerAddress"),
        tuple(
            _asset(entry, resource(position), needs_order=False)
            for position, entry in enumerate(listed)
        ),
        _algorithm(sent["algorithm"], needs_order=False),
        _text(compute, "env"),
        _index(compute, "validUntil"),
    )


def parse_initialize(sent: Sent) -> Initialize:
    """Read a request for the fee of a download.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "documentId", "serviceId", "consumerAddress")
    index = None if sent.get("fileIndex") in (None, "") else _index(sent, "fileIndex")
    return Initialize(_address(sent, "consumerAddress"), _named_asset(sent), index)


def parse_download(sent: Sent, *, has_token: bool = False) -> Download:
    """Read a request for a file.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "documentId", "serviceId", "transferTxId", "fileIndex")
    authorization = _authorization(sent, "consumerAddress", has_token=has_token)
    return Download(authorization, _named_asset(sent), _index(sent, "fileIndex"))


def parse_file_info(sent: Sent) -> FileInfo:
    """Read a request for what is known of files.

    Raises:
        Rejected: Something is missing or malformed.
    """
    checksum = sent.get("checksum") in (True, 1, "true", "1")  # ocean.py sends 1
    if "did" not in sent and "type" not in sent:
        raise Rejected(validation(did="The did field is required without type."))
    if "did" not in sent:
        return FileInfo("", "", _file(sent), checksum, _user_data(sent, "userdata"))
    _require(sent, "serviceId")
    return FileInfo(
        _did(sent, "did"), _text(sent, "serviceId"), None, checksum, _user_data(sent, "userdata")
    )


def parse_create_token(sent: Sent) -> CreateToken:
    """Read a request for an authentication token.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "expiration")
    authorization = _authorization(sent, "address", has_token=False)
    if not _TIME.fullmatch(str(sent["expiration"])):
        raise Rejected(validation(expiration="Invalid timestamp provided."))
    return CreateToken(authorization, int(sent["expiration"]))


def parse_delete_token(sent: Sent) -> DeleteToken:
    """Read a request to end an authentication token.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "token")
    return DeleteToken(_authorization(sent, "address", has_token=False), _text(sent, "token"))


def parse_decrypt(sent: Sent, *, has_token: bool = False) -> Decrypt:
    """Read a request to decrypt a DDO.

    Raises:
        Rejected: Something is missing or malformed.
    """
    _require(sent, "chainId", "dataNftAddress")
    authorization = _authorization(sent, "decrypterAddress", has_token=has_token)
    nft, chain_id = _address(sent, "dataNftAddress"), _index(sent, "chainId")
    named = _text(sent, "transactionId")
    if not named:
        _require(sent, "encryptedDocument", "flags", "documentHash")
        return Decrypt(authorization, chain_id, nft, nft, "", _document(sent))
    try:
        transaction = addresses.transaction_hash(named)
    except Refused:
        raise Rejected(failure("Failed to process transaction id.")) from None
    return Decrypt(authorization, chain_id, nft, named, transaction, None)


def parse_encrypt(sent: Sent, content_type: str) -> int:
    """Read the chain that a document is to be encrypted for; the document is the raw body.

    Raises:
        Rejected: The chain or the right content type is missing.
    """
    if content_type != "application/octet-stream":
        raise Rejected(failure("Invalid request content type: should be application/octet-stream"))
    if not sent.get("chainId"):
        raise Rejected(failure("Missing chainId query parameter."))
    return _index(sent, "chainId")


def parse_environments(sent: Sent) -> int | None:
    """Read the chain whose environments are asked for; None for all.

    Raises:
        Rejected: It is no chain id.
    """
    return _index(sent, "chainId") if sent.get("chainId") else None


def parse_nonce(sent: Sent) -> str:
    """Read the address whose nonce is asked for.

    Raises:
        Rejected: It is missing or malformed.
    """
    _require(sent, "userAddress")
    return _address(sent, "userAddress")


def parse_container(sent: object) -> Container:
    """Read the description of an image; what it must say is for `trust.judge_container`.

    Raises:
        Rejected: It has another form.
    """
    try:
        return ddo.parse_container(sent, "container")
    except Refused:
        raise Rejected(
            resource_failure("algorithm.container", "missing_entrypoint_image_checksum")
        ) from None


def resource(position: int) -> str:
    """Name a dataset of a request, as errors name it."""
    return f"datasets[{position}]" if position else "dataset"


def _require(sent: Sent, *names: str) -> None:
    missing = [name for name in names if sent.get(name) in (None, "")]
    if missing:
        raise Rejected(validation(**{name: f"The {name} field is required." for name in missing}))


def _authorization(sent: Sent, name: str, *, has_token: bool) -> Authorization:
    _require(sent, name, "nonce", *(() if has_token else ("signature",)))
    try:
        nonce = nonces.parse(sent["nonce"])
    except Refused:
        raise Rejected(validation(nonce="The nonce must be a number.")) from None
    return Authorization(_address(sent, name), nonce, _text(sent, "signature"))


def _address(sent: Sent, name: str) -> str:
    value = sent.get(name)
    if not isinstance(value, str) or not addresses.is_address(value):
        raise Rejected(validation(**{name: f"The {name} must be an address."}))
    return value


def _text(sent: Sent, name: str, most: int = _MAX_TEXT) -> str:
    value = sent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise Rejected(validation(**{name: f"The {name} must be a string."}))
    return value


def _job_id(sent: Sent) -> str:
    value = _text(sent, "jobId")
    if value and not _JOB_ID.fullmatch(value):
        raise Rejected(validation(jobId="The jobId must be that of a job."))
    return value


def _did(sent: Sent, name: str = "documentId") -> str:
    value = _text(sent, name)
    if value and not ddo.is_did(value):
        raise Rejected(validation(**{name: f"The {name} must be a DID."}))
    return value


def _index(sent: Sent, name: str) -> int:
    value = sent.get(name)
    pattern = _TIME if name == "validUntil" else _INDEX
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not (is_number or isinstance(value, str)) or not pattern.fullmatch(str(value)):
        raise Rejected(validation(**{name: f"The {name} must be an integer."}))
    return int(str(value))


def _document(sent: Sent) -> Document:
    encrypted, flags, hash_ = (
        _text(sent, name, MAX_BODY_BYTES) for name in ("encryptedDocument", "flags", "documentHash")
    )
    try:
        bytes_ = bytes.fromhex(encrypted.removeprefix("0x"))
        (flag,) = bytes.fromhex(flags.removeprefix("0x").zfill(2))
        return Document(bytes_, flag, addresses.transaction_hash(hash_, "documentHash"))
    except (ValueError, Refused):
        raise Rejected(failure("Failed to convert input args to bytes.")) from None


def _named_asset(sent: Sent) -> AssetAsked:
    return AssetAsked(
        _did(sent), _text(sent, "serviceId"), _transaction(sent), _user_data(sent, "userdata")
    )


def _asset(entry: object, where: str, *, needs_order: bool) -> AssetAsked:
    if not isinstance(entry, dict):
        raise Rejected(resource_failure(f"{where}.documentId", "missing"))
    for name in ("documentId", "serviceId", *(("transferTxId",) if needs_order else ())):
        if not entry.get(name):
            raise Rejected(resource_failure(f"{where}.{name}", "missing"))
    if not ddo.is_did(entry["documentId"]):
        raise Rejected(resource_failure(f"{where}.documentId", "did_not_found"))
    return _named_asset(entry)


def _transaction(sent: Sent) -> str:
    value = sent.get("transferTxId")
    if value in (None, "", False):
        return ""
    try:
        return addresses.transaction_hash(value)
    except Refused as refused:
        raise Rejected(failure(refused.refusal.message)) from None


def _user_data(sent: Sent, name: str) -> Mapping[str, Any]:
    try:
        return parameters.read_values(sent.get(name), name)
    except Refused as refused:
        raise Rejected(failure(refused.refusal.message)) from None


def _algorithm(value: object, *, needs_order: bool) -> AlgorithmAsked:
    """Read an algorithm. A DID outranks `meta`, which clients send along with one.

    What a published algorithm runs in is read from its DDO, never from the request.
    """
    if not isinstance(value, dict) or not (value.get("documentId") or value.get("meta")):
        raise Rejected(resource_failure("algorithm", "missing_meta_documentId"))
    custom_data = _user_data(value, "algocustomdata")
    if not value.get("documentId"):
        return _raw_algorithm(value["meta"], custom_data)
    asset = _asset(value, "algorithm", needs_order=needs_order)
    given = next((name for name in ("algouserdata", "userdata") if name in value), "userdata")
    user_data = _user_data(value, given)
    named = AssetAsked(asset.document_id, asset.service_id, asset.transaction, user_data)
    return PublishedAsked(named, custom_data)


def _raw_algorithm(meta: object, custom_data: Mapping[str, Any]) -> RawAsked:
    if not isinstance(meta, dict):
        raise Rejected(resource_failure("algorithm", "missing_meta_documentId"))
    code, url = _text(meta, "rawcode", MAX_RAW_CODE), meta.get("url")
    if bool(code) == bool(url):
        raise Rejected(resource_failure("algorithm", "meta_oneof_url_rawcode_remote"))
    container = parse_container(meta.get("container"))
    return RawAsked(
        container, code, _file({"type": "url", "url": url}) if url else None, custom_data
    )


def _file(entry: Sent) -> FileObject:
    try:
        return parse_file(entry)
    except Refused as refused:
        raise Rejected(failure(refused.refusal.message)) from None


def _is_object_or_its_text(value: object) -> bool:
    try:
        parameters.read_values(value, "output")
    except Refused:
        return False
    return True
