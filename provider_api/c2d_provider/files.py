"""The files of a service: what its owner encrypted, read after decryption and bound to the asset.

The list names the NFT and the datatoken that it was encrypted for. Without that comparison a
stranger could copy the encrypted text into a DDO of their own, with terms of their own.

Nothing here puts a URL, a header or a key into a message or a `repr`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from c2d_provider import addresses, fields, strict_json
from c2d_provider.fields import Json
from c2d_provider.refusals import Reason, Refused, refuse

MAX_BYTES = 4 * 1024 * 1024
MAX_FILES = 1000
_MAX_URL = 8192
_MAX_QUERY = 64 * 1024
_MAX_HEADERS = 64
_MALFORMED = "malformed service files, missing required keys."

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]{0,8192}")
_CID_PATH = re.compile(r"[A-Za-z0-9]{32,128}(/[A-Za-z0-9_~%+-][A-Za-z0-9._~%+-]{0,254}){0,16}")
_ARWEAVE_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OWN_HEADERS = frozenset(
    {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that belong to the connection; from a file they could smuggle a second request."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class UrlFile:
    """A file behind a URL; user data goes into the query of a GET, the JSON body of a POST."""

    url: str = field(repr=False)
    method: Literal["GET", "POST"]
    headers: Headers = field(repr=False)


@dataclass(frozen=True)
class IpfsFile:
    """A file of IPFS: its hash, and a path below it if there is one."""

    hash: str = field(repr=False)
    headers: Headers = field(repr=False)


@dataclass(frozen=True)
class ArweaveFile:
    """A file of Arweave, by the transaction that stored it."""

    transaction_id: str = field(repr=False)
    headers: Headers = field(repr=False)


@dataclass(frozen=True)
class GraphqlFile:
    """The answer to a GraphQL query; user data are its variables."""

    url: str = field(repr=False)
    query: str = field(repr=False)
    headers: Headers = field(repr=False)


@dataclass(frozen=True)
class SmartContractFile:
    """The answer of a contract's function that only reads; user data are its arguments."""

    address: str = field(repr=False)
    chain_id: int
    function: Json = field(repr=False)


@dataclass(frozen=True)
class S3File:
    """An object of a bucket, with the keys that its owner gave."""

    endpoint: str = field(repr=False)
    region: str = field(repr=False)
    bucket: str = field(repr=False)
    key: str = field(repr=False)
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    path_style: bool = False


FileObject = UrlFile | IpfsFile | ArweaveFile | GraphqlFile | SmartContractFile | S3File


def parse(decrypted: bytes, nft: str, datatoken: str) -> tuple[FileObject, ...]:
    """Read the decrypted files of the service that `nft` and `datatoken` name in its DDO.

    A bare list, as DDOs of version 4.0.0 had it, is bound to nothing and so refused.

    Raises:
        Refused: They are of another asset, malformed, or of a kind not known here.
    """
    try:
        document = strict_json.parse(decrypted, MAX_BYTES, "the list of files")
        body = fields.mapping(document, "the list of files")
    except Refused:
        refuse(Reason.FILES_MALFORMED, "malformed service files")
    named = {"nftAddress": nft, "datatokenAddress": datatoken}
    for name, expected in named.items():
        found = body.get(name)
        if not isinstance(found, str) or not addresses.are_equal(found, expected):
            refuse(Reason.FILES_OF_OTHER_ASSET, "the files were encrypted for another asset")
    listed = body.get("files")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_FILES:
        refuse(Reason.FILES_MALFORMED, f"a service has 1 to {MAX_FILES} files")
    return tuple(parse_file(entry) for entry in listed)


def parse_file(entry: object) -> FileObject:
    """Read one file object.

    Raises:
        Refused: It is malformed, or of a kind not known here; the message quotes nothing of it.
    """
    if not isinstance(entry, Mapping):
        refuse(Reason.FILES_MALFORMED, "malformed file object.")
    kind = entry.get("type", "url")
    if not isinstance(kind, str) or kind not in _KINDS:
        refuse(Reason.FILES_MALFORMED, "Unsupported type of file object")
    try:
        return _KINDS[kind](entry)
    except Refused as refused:
        if refused.refusal.reason == Reason.FILES_MALFORMED:
            raise
        refuse(Reason.FILES_MALFORMED, _MALFORMED)


def _url_file(body: Json) -> UrlFile:
    method = str(body.get("method") or "get").upper()
    if method not in ("GET", "POST"):
        refuse(Reason.FILES_MALFORMED, "Unsafe method of a file object")
    return UrlFile(_url(body), "GET" if method == "GET" else "POST", _headers(body))


def _ipfs_file(body: Json) -> IpfsFile:
    return IpfsFile(_matching(body, "hash", _CID_PATH, _MALFORMED), _headers(body))


def _arweave_file(body: Json) -> ArweaveFile:
    missing = "malformed service files, missing transactionId."
    return ArweaveFile(_matching(body, "transactionId", _ARWEAVE_ID, missing), _headers(body))


def _graphql_file(body: Json) -> GraphqlFile:
    if not body.get("url"):
        refuse(Reason.FILES_MALFORMED, "missing graphql endpoint")
    if not body.get("query"):
        refuse(Reason.FILES_MALFORMED, "missing graphql query")
    return GraphqlFile(_url(body), fields.text(body, "query", most=_MAX_QUERY), _headers(body))


def _smart_contract_file(body: Json) -> SmartContractFile:
    if not addresses.is_address(body.get("address")):
        refuse(Reason.FILES_MALFORMED, "malformed smartcontract type, missing contract address")
    function = body.get("abi")
    if not isinstance(function, Mapping) or function.get("type") != "function":
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    if function.get("stateMutability") not in ("view", "pure"):
        refuse(Reason.FILES_MALFORMED, "only view or pure functions are allowed")
    if not isinstance(function.get("name"), str) or not function["name"]:
        refuse(Reason.FILES_MALFORMED, "missing name")
    return SmartContractFile(
        addresses.checksummed(body["address"]),
        fields.integer(body, "chainId", least=1),
        MappingProxyType(dict(function)),
    )


def _s3_file(body: Json) -> S3File:
    access = fields.mapping(body.get("s3Access"), "s3Access")
    return S3File(
        endpoint=_url(access, "endpoint"),
        region=fields.optional_text(access, "region", most=64),
        bucket=_matching(access, "bucket", _BUCKET, _MALFORMED),
        key=fields.text(access, "objectKey", most=1024),
        access_key_id=fields.text(access, "accessKeyId", most=256),
        secret_access_key=fields.text(access, "secretAccessKey", most=256),
        path_style=fields.flag(access, "forcePathStyle"),
    )


_KINDS: Mapping[str, Callable[[Json], FileObject]] = {
    "url": _url_file,
    "ipfs": _ipfs_file,
    "arweave": _arweave_file,
    "graphql": _graphql_file,
    "smartcontract": _smart_contract_file,
    "s3": _s3_file,
}


def _url(body: Json, name: str = "url") -> str:
    """Read an http URL. What it may reach is decided where it is connected to, not here."""
    url = fields.text(body, name, most=_MAX_URL)
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or _UNSAFE.search(url):
        refuse(Reason.FILES_MALFORMED, "a file object has a URL that is none")
    return url


def _matching(body: Json, name: str, pattern: re.Pattern[str], message: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        refuse(Reason.FILES_MALFORMED, message)
    return value


def _headers(body: Json) -> Headers:
    """Read headers: an object, or a list of objects, as older clients wrote them."""
    found = tuple(_header(*pair) for pair in _header_pairs(body.get("headers")))
    if len(found) > _MAX_HEADERS:
        refuse(Reason.FILES_MALFORMED, "a file object has too many headers")
    return found


def _header_pairs(value: Any) -> Iterator[tuple[object, object]]:
    if not value:
        return
    listed = value if isinstance(value, list) else [value]
    for entry in listed:
        if not isinstance(entry, Mapping):
            refuse(Reason.FILES_MALFORMED, "malformed file object.")
        yield from entry.items()


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        refuse(Reason.FILES_MALFORMED, "malformed file object.")
    lower = name.lower()
    is_ours = lower in _OWN_HEADERS or lower.startswith("proxy-")
    if is_ours or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        refuse(Reason.FILES_MALFORMED, "a file object has a header that is not allowed")
    return name, value
