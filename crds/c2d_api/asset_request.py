"""What the loader asks of the provider, and what it is answered: the assets of its job.

The request carries no secret but the token beside it; the answer is secret as a whole. It is read
within limits, for neither side trusts the other's size.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

AUDIENCE: Final = "c2d-provider"
PATH: Final = "/internal/assets"
TOKEN_SECONDS: Final = 600
TOKEN_MOUNT: Final = "/etc/c2d/provider"  # noqa: S105 - a path
TOKEN_FILE: Final = "token"  # noqa: S105 - a name
LOADER: Final = "loader"
MAX_REQUEST_BYTES: Final = 4096
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 1000
_MAX_WORDS = 500
_CONTENT_ID = re.compile(r"ipfs:[A-Za-z0-9]{1,512}(/[!-~]{1,5000})?|arweave:[A-Za-z0-9_-]{43}")

AssetKind = Literal["dataset", "algorithm"]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FileOnRequest:
    """A file whose request is good once, so that it is asked for when it is to be sent.

    `number` is the file's place among those of its asset.
    """

    kind: AssetKind
    position: int
    number: int


@dataclass(frozen=True)
class AssetRequest:
    """Which job's assets are asked for, and by which attempt of its loader; or one file of them."""

    namespace: str
    job: str
    attempt: int
    file: FileOnRequest | None = None

    def encode(self) -> bytes:
        """Write the request's body."""
        body = {"namespace": self.namespace, "job": self.job, "attempt": self.attempt}
        return _compact(body if self.file is None else {**body, "file": asdict(self.file)})


@dataclass(frozen=True)
class FileRequest:
    """A request that brings one file; `sha256` is what was judged, where that matters.

    `content_id` names the content itself where its network has such names, so that the loader
    needs not believe the gateway: `ipfs:<cid>[/path]`, the path's parts percent-encoded as in the
    URL, or `arweave:<transaction id>`. Then the URL is that of the plain file at a gateway, as
    `<gateway>/ipfs/<cid>[/path]` or `<gateway>/<transaction id>`.
    """

    url: str = field(repr=False)
    method: Literal["GET", "POST"] = "GET"
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    sha256: str | None = None
    content_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FileContent:
    """A file's content itself, where no request brings it."""

    content: bytes = field(repr=False)


ProvidedFile = FileRequest | FileContent | FileOnRequest


@dataclass(frozen=True)
class ProvidedAsset:
    """One asset; `position` is a dataset's place among those of the job, 0 for the algorithm."""

    position: int
    kind: AssetKind
    files: tuple[ProvidedFile, ...]
    ddo: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Provided:
    """The provider's answer."""

    assets: tuple[ProvidedAsset, ...]

    def encode(self) -> bytes:
        """Write the answer's body."""
        return _compact({"assets": [_asset_dict(asset) for asset in self.assets]})

    def find(self, kind: AssetKind, position: int = 0) -> ProvidedAsset | None:
        """Find an asset by what it is and its place."""
        found = (a for a in self.assets if a.kind == kind and a.position == position)
        return next(found, None)


@dataclass(frozen=True)
class Denied:
    """Why nothing is handed out, for people, and of which kind of asset it is said."""

    error: str
    kind: AssetKind = "dataset"

    def encode(self) -> bytes:
        """Write the answer's body."""
        return _compact({"error": self.error, "kind": self.kind})


def decode_request(body: bytes) -> AssetRequest:
    """Read what `AssetRequest.encode` wrote.

    Raises:
        ValueError: It is something else.
    """
    found = _object(body, MAX_REQUEST_BYTES)
    try:
        file = _on_request(found["file"]) if "file" in found else None
        request = AssetRequest(found["namespace"], found["job"], found["attempt"], file)
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    named: tuple[object, ...] = (request.namespace, request.job)
    texts = all(isinstance(name, str) for name in named)
    if not texts or type(request.attempt) is not int or request.attempt < 0:
        raise ValueError("namespace and job are texts, attempt is a number")
    return request


def decode_provided(body: bytes) -> Provided:
    """Read what `Provided.encode` wrote.

    Raises:
        ValueError: It is something else; the words hold nothing of it.
    """
    try:
        found = _object(body, MAX_ANSWER_BYTES)
        return Provided(tuple(_asset(asset) for asset in found["assets"]))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("the answer is no list of assets") from None


def decode_denied(body: bytes) -> Denied:
    """Read why nothing was handed out; of an answer that is not ours, nothing is told."""
    try:
        found = _object(body, MAX_REQUEST_BYTES)
    except ValueError:
        return Denied("")
    words, kind = str(found.get("error", "")), found.get("kind")
    shown = "".join(character for character in words if character.isprintable())
    return Denied(shown[:_MAX_WORDS], "algorithm" if kind == "algorithm" else "dataset")


def _compact(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _object(body: bytes, most: int) -> dict[str, Any]:
    if len(body) > most:
        raise ValueError(f"it is longer than {most} bytes")
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _asset_dict(asset: ProvidedAsset) -> dict[str, Any]:
    return {
        "position": asset.position,
        "kind": asset.kind,
        "files": [_file_dict(file) for file in asset.files],
        "ddo": asset.ddo,
    }


def _file_dict(file: ProvidedFile) -> dict[str, Any]:
    if isinstance(file, FileContent):
        return {"inline": _text(file.content)}
    if isinstance(file, FileOnRequest):
        return {"onRequest": asdict(file)}
    request: dict[str, Any] = {"url": file.url, "method": file.method, "headers": file.headers}
    if file.body:
        request["body"] = _text(file.body)
    judged = {"sha256": file.sha256, "contentId": file.content_id}
    return {"request": request, **{name: value for name, value in judged.items() if value}}


def _asset(asset: dict[str, Any]) -> ProvidedAsset:
    position, kind, ddo = asset["position"], asset["kind"], asset["ddo"]
    files = tuple(_file(file) for file in asset["files"])
    is_placed = type(position) is int and position >= 0 and kind in ("dataset", "algorithm")
    if not is_placed or not 0 < len(files) <= MAX_FILES:
        raise ValueError("an asset has a place and files")
    if ddo is not None and not isinstance(ddo, str):
        raise ValueError("a DDO is a text")
    return ProvidedAsset(position, kind, files, ddo)


def _file(file: dict[str, Any]) -> ProvidedFile:
    if "inline" in file:
        return FileContent(_bytes(file["inline"]))
    if "onRequest" in file:
        return _on_request(file["onRequest"])
    request, sha256 = file["request"], file.get("sha256")
    url, method = request["url"], request["method"]
    if not isinstance(url, str) or method not in ("GET", "POST"):
        raise ValueError("a request has a URL and a method")
    if sha256 is not None and not isinstance(sha256, str):
        raise ValueError("a digest is a text")
    headers, body = _headers(request["headers"]), _bytes(request.get("body", ""))
    return FileRequest(url, method, headers, body, sha256, _content_id(file.get("contentId")))


def _content_id(found: object) -> str | None:
    """Read what names a content; what is not known here must not pass for no name."""
    if found is None:
        return None
    if not isinstance(found, str) or not _CONTENT_ID.fullmatch(found):
        raise ValueError("an identifier of content is one of IPFS or of Arweave")
    return found


def _on_request(body: object) -> FileOnRequest:
    if not isinstance(body, dict):
        raise ValueError("a file is named by an object")
    kind, position, number = body["kind"], body["position"], body["number"]
    is_placed = type(position) is int and type(number) is int and position >= 0
    if kind not in ("dataset", "algorithm") or not is_placed or not 0 <= number < MAX_FILES:
        raise ValueError("a file has a place among those of its asset")
    return FileOnRequest(kind, position, number)


def _headers(listed: list[list[str]]) -> Headers:
    headers = tuple((name, value) for name, value in listed)
    if not all(isinstance(text, str) for pair in headers for text in pair):
        raise ValueError("headers are texts")
    return headers


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("content is base64") from None
