"""Services of other providers: which they are, and how they are asked, by the routes of version 2.

Pure. A service is another provider's if its DDO, whose hash is on chain, names an endpoint that is
none of our URLs. The endpoint was written by a stranger, and what answers there is a stranger:
nothing is sent that is of worth elsewhere, and nothing that is answered is believed of anything
but that provider's own matters.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from eth_keys.datatypes import PrivateKey

from c2d_provider import addresses, fees, fields, messages, signatures, strict_json
from c2d_provider.ddo import Service
from c2d_provider.fees import Fee, SignedFee
from c2d_provider.fields import Json
from c2d_provider.files import MAX_FILES
from c2d_provider.ports import Initialized, Remote, ResolvedRequest, Routes
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

MAX_ANSWER_BYTES: Final = 512 * 1024

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\.?|[0-9a-f:.]{2,45}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}){0,16}")
_AMOUNT = re.compile(r"0|[1-9][0-9]{0,77}")
_HEXADECIMAL = re.compile(r"0x(?:[0-9a-fA-F]{2}){0,4096}")
_WORD = 32
_UINT = 2**256
_RECOVERY = frozenset({0, 1, 27, 28})
_NONSENSE = "the asset's provider answers what makes no sense"


def normalised(text: str) -> str | None:
    """Write an endpoint in one spelling; None where it is no plain http or https URL.

    A query, a user or a path that climbs has no place in it.
    """
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    is_bare = not parts.query and not parts.fragment and "@" not in parts.netloc
    path = re.sub(r"/+", "/", parts.path).rstrip("/")
    is_plain = parts.scheme in _PORTS and _HOST.fullmatch(host) and _PATH.fullmatch(path)
    if not (is_bare and is_plain) or port == 0 or any(mark in text for mark in "?#\\ \t\r\n"):
        return None
    host = f"[{host}]" if ":" in host else host.removesuffix(".")
    is_default = port in (None, _PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{path if is_default else f':{port}{path}'}"


def is_ours(endpoint: str, urls: tuple[str, ...]) -> bool:
    """Say whether a service names one of our URLs, or a path below one.

    Without URLs of ours every service is taken for ours, so that nobody else is ever asked.
    """
    if not urls:
        return True
    found = normalised(endpoint)
    own = {normalised(url) or url for url in urls}
    return found is not None and any(found == url or found.startswith(f"{url}/") for url in own)


def place(did: str, service: Service, urls: tuple[str, ...]) -> Remote | Refusal | None:
    """Tell where a service of another provider is asked for; None where it is ours.

    One for compute promises its owner that the files never leave their provider: it is of no use
    here, whoever would sign for it.
    """
    if is_ours(service.endpoint, urls):
        return None
    endpoint = normalised(service.endpoint)
    if endpoint is None or service.type != "access":
        return Refusal(
            Reason.SERVICE_OF_OTHER_PROVIDER, "the service is offered by another provider"
        )
    return Remote(endpoint, did, service.id, service.datatoken)


def of_root(endpoint: str) -> ResolvedRequest:
    """Ask a provider where its routes are."""
    return ResolvedRequest(endpoint, "GET", ())


def of_file_info(remote: Remote, routes: Routes) -> ResolvedRequest:
    """Ask a provider which files a service has."""
    body = {"did": remote.document_id, "serviceId": remote.service_id}
    return ResolvedRequest(
        f"{remote.endpoint}{routes.file_info}",
        "POST",
        (("Content-Type", "application/json"),),
        strict_json.compact(body).encode(),
    )


def of_initialize(
    remote: Remote, routes: Routes, consumer: str, transaction: str
) -> ResolvedRequest:
    """Ask a provider what a download needs to be ordered, or whether a transaction ordered it."""
    query = {
        "documentId": remote.document_id,
        "serviceId": remote.service_id,
        "consumerAddress": consumer,
    }
    if transaction:
        query["transferTxId"] = transaction
    return ResolvedRequest(f"{remote.endpoint}{routes.initialize}?{urlencode(query)}", "GET", ())


def of_download(
    remote: Remote,
    routes: Routes,
    file: tuple[str, int],
    signing: tuple[bytes, str],
    values: Json,
) -> ResolvedRequest:
    """Ask a provider for a file; `file` is the order and an index, `signing` a key and a nonce.

    A nonce is good once, so every attempt needs a request of its own.
    """
    (transaction, index), (key, nonce) = file, signing
    (message,) = messages.download(remote.document_id, nonce)
    digest = next(signatures.digests(message.text))
    private = PrivateKey(key)
    signed = private.sign_msg_hash(digest)
    parts = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([27 + signed.v])
    query = {
        "documentId": remote.document_id,
        "serviceId": remote.service_id,
        "transferTxId": transaction,
        "fileIndex": index,
        "consumerAddress": private.public_key.to_checksum_address(),
        "nonce": nonce,
        "signature": f"0x{parts.hex()}",
    }
    if values:
        query["userdata"] = strict_json.compact(dict(values))
    return ResolvedRequest(f"{remote.endpoint}{routes.download}?{urlencode(query)}", "GET", ())


def read_routes(body: bytes) -> Routes:
    """Read where a provider's routes are; a path stays below the endpoint.

    Raises:
        Refused: It is no answer of a provider.
    """
    listed = _object(body).get("serviceEndpoints")
    if not isinstance(listed, Mapping):
        refuse(Reason.REMOTE_PROVIDER, "what the asset's service names is no provider")
    return Routes(
        file_info=_route(listed, "fileinfo", "POST"),
        initialize=_route(listed, "initialize", "GET"),
        download=_route(listed, "download", "GET"),
    )


def read_file_info(body: bytes) -> int:
    """Count the files of a service; what else is said of them is not believed.

    Raises:
        Refused: It is no list of files.
    """
    listed = _parsed(body)
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_FILES:
        refuse(Reason.REMOTE_PROVIDER, "the asset's provider names no files of it, or too many")
    return len(listed)


def read_initialize(body: bytes, datatoken: str) -> Initialized:
    """Read what a download needs to be ordered: a fee that the contract will take, or nothing.

    Raises:
        Refused: It is something else, or of another datatoken.
    """
    found = _object(body)
    try:
        named = found.get("datatoken")
        if named is not None and not addresses.are_equal(str(named), datatoken):
            refuse(Reason.MALFORMED, _NONSENSE)
        valid, fee = found.get("validOrder"), found.get("providerFee")
        read = Initialized(
            _fee(fields.mapping(fee, "providerFee")) if fee else None,
            addresses.transaction_hash(valid, "validOrder") if valid else None,
        )
    except Refused:
        refuse(Reason.REMOTE_PROVIDER, _NONSENSE)
    if read.fee is None and read.valid_order is None:
        refuse(Reason.REMOTE_PROVIDER, _NONSENSE)
    return read


def _fee(body: Json) -> SignedFee:
    """Read a fee, signed by whom it goes to: the contract takes no other."""
    amount = body.get("providerFeeAmount")
    if not _AMOUNT.fullmatch(str(amount)) or int(str(amount)) >= _UINT:
        refuse(Reason.MALFORMED, _NONSENSE)
    fee = Fee(
        addresses.checksummed(body.get("providerFeeAddress")),
        addresses.checksummed(body.get("providerFeeToken")),
        int(str(amount)),
        _bytes(body.get("providerData")),
        fields.integer(body, "validUntil"),
    )
    v = fields.integer(body, "v")
    signed = SignedFee(fee, v if v >= 27 else v + 27, _word(body, "r"), _word(body, "s"))  # noqa: PLR2004 - as in signatures
    signer = fees.signer(signed) if v in _RECOVERY else None
    if signer is None or not addresses.are_equal(signer, fee.address):
        refuse(Reason.MALFORMED, _NONSENSE)
    return signed


def _word(body: Json, name: str) -> bytes:
    found = _bytes(body.get(name))
    if len(found) > _WORD:
        refuse(Reason.MALFORMED, _NONSENSE)
    return found.rjust(_WORD, b"\0")


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
        refuse(Reason.MALFORMED, _NONSENSE)
    return bytes.fromhex(value[2:])


def _route(listed: Mapping[str, Any], name: str, method: str) -> str:
    entry = listed.get(name)
    is_pair = isinstance(entry, list) and len(entry) == 2 and entry[0] == method  # noqa: PLR2004 - method and path
    path = str(entry[1]) if is_pair and isinstance(entry, list) else ""
    if not path or not _PATH.fullmatch(path):
        refuse(Reason.REMOTE_PROVIDER, f"the asset's provider has no usable route {name}")
    return path


def _object(body: bytes) -> Json:
    found = _parsed(body)
    if not isinstance(found, dict):
        refuse(Reason.REMOTE_PROVIDER, _NONSENSE)
    return found


def _parsed(body: bytes) -> object:
    try:
        return strict_json.parse(body, MAX_ANSWER_BYTES)
    except Refused:
        refuse(Reason.REMOTE_PROVIDER, _NONSENSE)
