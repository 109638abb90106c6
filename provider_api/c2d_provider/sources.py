"""Where a file comes from: the request that brings it, with the consumer's values in it.

Pure. What the owner of a file wrote stays as it is, byte by byte: a URL may be signed.
"""

import base64
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from c2d_api.presigning import Signer, host_header, object_path
from c2d_provider import strict_json
from c2d_provider.fields import Json
from c2d_provider.files import ArweaveFile, GraphqlFile, Headers, IpfsFile, S3File, UrlFile
from c2d_provider.ports import ResolvedRequest
from c2d_provider.refusals import Reason, refuse

SIGNED_FOR: Final = 3600
"""Seconds for which a signed request to a bucket is good: from the answer to the last attempt."""

_DEFAULT_REGION = "us-east-1"
_STEERING = frozenset({"accept-encoding", "expect", "keep-alive"})
_DOTS = re.compile(r"%2e|%2f|%5c", re.IGNORECASE)


@dataclass(frozen=True)
class Gateways:
    """Base URLs by which files of IPFS and Arweave are read; "" where there is none."""

    ipfs: str = field(repr=False, default="")
    arweave: str = field(repr=False, default="")


def request(
    file: UrlFile | GraphqlFile | IpfsFile | ArweaveFile | S3File,
    values: Json,
    gateways: Gateways,
    now: float,
) -> ResolvedRequest:
    """Say how a file is fetched; `now` is in seconds of the epoch.

    Raises:
        Refused: It cannot be: there is no gateway for it, or its path would leave its hash.
    """
    match file:
        case UrlFile():
            return of_url(file, values)
        case GraphqlFile():
            return of_graphql(file, values)
        case IpfsFile():
            return of_ipfs(file, gateways.ipfs)
        case ArweaveFile():
            return of_arweave(file, gateways.arweave)
        case S3File():
            return of_bucket(file, now)


def of_url(file: UrlFile, values: Json) -> ResolvedRequest:
    """Ask for a URL: values go into the query of a GET, and are the JSON body of a POST."""
    url, headers = _without_user(file.url, file.headers)
    if file.method == "GET":
        return ResolvedRequest(_with_query(url, values), "GET", headers)
    if not values:
        return ResolvedRequest(url, "POST", headers)
    return _json_post(url, headers, values)


def of_graphql(file: GraphqlFile, values: Json) -> ResolvedRequest:
    """Ask a GraphQL endpoint; values are the variables of the query."""
    url, headers = _without_user(file.url, file.headers)
    return _json_post(url, headers, {"query": file.query, "variables": dict(values)})


def of_ipfs(file: IpfsFile, gateway: str) -> ResolvedRequest:
    """Ask a gateway of IPFS.

    Raises:
        Refused: There is no gateway, or the path would leave the hash.
    """
    if not gateway:
        refuse(Reason.FILE_UNAVAILABLE, "No IPFS_GATEWAY defined, files of IPFS are not served")
    if _DOTS.search(file.hash):
        refuse(Reason.FILES_MALFORMED, "a file object has a path that is none")
    url = f"{gateway.rstrip('/')}/ipfs/{file.hash}"
    return ResolvedRequest(url, "GET", _own(file.headers), content_id=f"ipfs:{file.hash}")


def of_arweave(file: ArweaveFile, gateway: str) -> ResolvedRequest:
    """Ask a gateway of Arweave.

    Raises:
        Refused: There is no gateway.
    """
    if not gateway:
        refuse(
            Reason.FILE_UNAVAILABLE, "No ARWEAVE_GATEWAY defined, files of Arweave are not served"
        )
    url, named = f"{gateway.rstrip('/')}/{file.transaction_id}", f"arweave:{file.transaction_id}"
    return ResolvedRequest(url, "GET", _own(file.headers), content_id=named)


def of_bucket(file: S3File, now: float, seconds: int = SIGNED_FOR) -> ResolvedRequest:
    """Ask for an object of a bucket, signed by its owner's keys."""
    endpoint = urlsplit(file.endpoint)
    host, folder = host_header(endpoint), endpoint.path.rstrip("/")
    if file.path_style or _is_literal(endpoint):
        folder = f"{folder}/{file.bucket}"
    else:
        host = f"{file.bucket}.{host}"
    path = f"{folder}/{object_path(file.key)}"
    signer = Signer(file.access_key_id, file.secret_access_key, file.region or _DEFAULT_REGION)
    query = signer.query(host, path, now, seconds)
    return ResolvedRequest(f"{endpoint.scheme}://{host}{path}?{query}", "GET", ())


def _json_post(url: str, headers: Headers, body: Any) -> ResolvedRequest:
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, ("Content-Type", "application/json"))
    return ResolvedRequest(url, "POST", headers, strict_json.compact(body).encode())


def _own(headers: Headers) -> Headers:
    """Leave out the headers that would change what is stored, or how the connection goes on."""
    return tuple(pair for pair in headers if pair[0].lower() not in _STEERING)


def _without_user(url: str, headers: Headers) -> tuple[str, Headers]:
    """Turn the user and password of a URL into the header that they stand for."""
    parts, headers = urlsplit(url), _own(headers)
    user, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, headers
    if not any(name.lower() == "authorization" for name, _ in headers):
        encoded = base64.b64encode(unquote(user).encode()).decode()
        headers = (*headers, ("Authorization", f"Basic {encoded}"))
    return url.replace(f"//{parts.netloc}", f"//{place}", 1), headers


def _with_query(url: str, values: Json) -> str:
    if not values:
        return url
    address, _, fragment = url.partition("#")
    joint = "&" if "?" in address else "?"
    added = urlencode({name: _text(value) for name, value in values.items()})
    return f"{address}{joint}{added}" + (f"#{fragment}" if fragment else "")


def _text(value: Any) -> str:
    """Write a value into a query: texts as they are, the rest as JSON has it."""
    return value if isinstance(value, str) else strict_json.compact(value)


def _is_literal(endpoint: SplitResult) -> bool:
    try:
        ip_address(endpoint.hostname or "")
    except ValueError:
        return endpoint.hostname == "localhost"
    return True
