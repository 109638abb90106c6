"""Where a file of a job comes from: the one request that brings it.

Pure: what a job, or a Secret that it names, says of a file becomes a request here, and nowhere
else. Whether that may be sent is for `urls` and the guard to judge.
"""

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from c2d_api.asset_request import FileRequest, Headers
from c2d_api.computejob import File, IpfsFile, S3Object
from c2d_api.presigning import Signer, host_header, object_path
from c2d_api.tasks import Gateways
from c2d_pods.content import PermanentError

SIGNED_FOR: Final = 900
"""Seconds for which a signed request is good: it is sent at once, and each attempt has its own."""


@dataclass(frozen=True)
class _Asked:
    """A request in the making."""

    url: str = field(repr=False)
    method: Literal["GET", "POST"] = "GET"
    headers: Headers = field(default=(), repr=False)
    content_id: str | None = None


def request(file: File, gateways: Gateways, now: float) -> FileRequest:
    """Say how a file is fetched; `now` is in seconds of the epoch.

    Raises:
        PermanentError: It cannot be: nothing is said of where it is, or there is no gateway.
    """
    asked = _asked(file, gateways, now)
    return FileRequest(asked.url, asked.method, asked.headers, content_id=asked.content_id)


def _asked(file: File, gateways: Gateways, now: float) -> _Asked:
    if file.url is not None:
        return _Asked(file.url, "POST" if file.method == "POST" else "GET", file.headers)
    if file.s3 is not None:
        return _of_bucket(file.s3, now)
    if file.ipfs is not None:
        return _of_ipfs(file.ipfs, gateways.ipfs)
    if file.arweave is not None:
        return _of_arweave(file.arweave, gateways.arweave)
    raise PermanentError("nothing is said of where the file is")


def _of_bucket(wanted: S3Object, now: float) -> _Asked:
    """Ask for an object in path style, which every store knows; signed if there are keys."""
    endpoint = urlsplit(wanted.endpoint)
    host, path = host_header(endpoint), f"/{wanted.bucket}/{object_path(wanted.key)}"
    url = f"{endpoint.scheme}://{host}{path}"
    if wanted.access_key_id is None or wanted.secret_access_key is None:
        return _Asked(url)
    signer = Signer(wanted.access_key_id, wanted.secret_access_key, wanted.region)
    return _Asked(f"{url}?{signer.query(host, path, now, SIGNED_FOR)}")


def _of_ipfs(wanted: IpfsFile, gateway: str) -> _Asked:
    below = f"/{object_path(wanted.path)}" if wanted.path else ""
    name = f"{wanted.cid}{below}"
    return _Asked(f"{_base(gateway, 'IPFS')}/ipfs/{name}", content_id=f"ipfs:{name}")


def _of_arweave(transaction: str, gateway: str) -> _Asked:
    url = f"{_base(gateway, 'Arweave')}/{transaction}"
    return _Asked(url, content_id=f"arweave:{transaction}")


def _base(gateway: str, of: str) -> str:
    if not gateway:
        raise PermanentError(f"the operator's settings name no gateway for files of {of}")
    return gateway.rstrip("/")
