"""Results of jobs, read from the store that their status names: S3 and what speaks it, or a folder.

The only module of the provider that knows obstore. A manifest is believed if its digest is the one
in the job's status; what it names is read by keys that are computed, never by its own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from c2d_api.computeenvironment import Store
from c2d_api.computejob import ComputeJob
from c2d_api.results import Manifest, ResultFile, decode_manifest, digest, manifest_key, result_key
from c2d_provider.ports import Cluster, Span, Stored, UnavailableError
from c2d_provider.refusals import Reason, Refusal

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig

Value = TypeVar("Value")
Opened = LocalStore | S3Store

PIECE_BYTES = 2**20
MOST_MANIFEST_BYTES = 32 * 2**20
ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_MANIFEST_BYTES, _STORES, _STORE_SECONDS = 16 * 2**20, 64, 60
# a download takes as long as its reader does; a silent store is given up after a minute
_CLIENT: "ClientConfig" = {"connect_timeout": "10s", "timeout": "24h", "read_timeout": "1m"}
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_NONE_YET = Refusal(Reason.RESULT_UNKNOWN, "the job has no results")
_GONE = Refusal(Reason.RESULT_UNKNOWN, "the results are not in their store any more")
_EXPIRED = Refusal(
    Reason.RESULT_EXPIRED, "the results have expired: their time in the store is over"
)
_NO_SUCH = Refusal(Reason.RESULT_UNKNOWN, "the job has no result of this index")
_CANNOT = "the results cannot be read at the moment"


@dataclass
class Recent(Generic[Value]):
    """The values that were used last, by key: together they weigh no more than is kept."""

    most: int
    values: "OrderedDict[Any, tuple[Value, int]]"
    weight: int = 0

    def get(self, key: Any) -> Value | None:
        """Find a value."""
        if key not in self.values:
            return None
        self.values.move_to_end(key)
        return self.values[key][0]

    def put(self, key: Any, value: Value, weight: int = 1) -> None:
        """Keep a value; those that were not used for longest go, but never the last one."""
        _, former = self.values.pop(key, (None, 0))
        self.values[key] = value, weight
        self.weight += weight - former
        while self.weight > self.most and len(self.values) > 1:
            _, (_, gone) = self.values.popitem(last=False)
            self.weight -= gone


class StoredResults:
    """The `ResultStore` of a cluster's environments.

    Credentials are those of the Secret in `namespace` that has the name of the environment's.
    Claims of `file:` stores are mounted at `<folder>/<namespace>/<claim>`.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, folder: Path | None, clock: Callable[[], float]
    ) -> None:
        """Take where credentials and claims are; `clock` tells seconds of the epoch."""
        self._cluster = cluster
        self._namespace = namespace
        self._folder = folder
        self._clock = clock
        self._manifests: Recent[Manifest] = Recent(_MANIFEST_BYTES, OrderedDict())
        self._stores: Recent[tuple[float, Opened]] = Recent(_STORES, OrderedDict())

    async def files(self, job: ComputeJob) -> tuple[ResultFile, ...] | Refusal:
        """List the files of a job by their index, as its manifest has them."""
        found = await self._manifest(job)
        return found if isinstance(found, Refusal) else found.files

    async def read(self, job: ComputeJob, index: int, span: Span | None) -> Stored | Refusal:
        """Open a file of a job by its index; a `span` that is not in it has length 0."""
        manifest = await self._manifest(job)
        if isinstance(manifest, Refusal):
            return manifest
        if index >= len(manifest.files):
            return _NO_SUCH
        file = manifest.files[index]
        start, length = resolve(span, file.size)
        store, key = await self._store(job), result_key(job.uid, index)
        found = await _opened(store, key, (start, length), file.size) if length else None
        return Stored(file.name, file.sha256, file.size, start, length, _pieces(found))

    async def _manifest(self, job: ComputeJob) -> Manifest | Refusal:
        """Read a manifest unless it was read lately; one that has expired is as good as removed."""
        manifest = await self._known_manifest(job)
        if isinstance(manifest, Refusal):
            return manifest
        now = datetime.fromtimestamp(self._clock(), UTC)
        return _EXPIRED if manifest.is_expired(now) else manifest

    async def _known_manifest(self, job: ComputeJob) -> Manifest | Refusal:
        results = job.status.results
        if results is None:
            return _NONE_YET
        known = self._manifests.get((job.uid, results.manifest_digest))
        if known is not None:
            return known
        data = await _small(await self._store(job), manifest_key(job.uid))
        if data is None:
            return _GONE
        if digest(data) != results.manifest_digest:
            raise UnavailableError("the results are not those that the job's status names")
        manifest = decode_manifest(data)
        self._manifests.put((job.uid, results.manifest_digest), manifest, len(data))
        return manifest

    async def _store(self, job: ComputeJob) -> Opened:
        """Open the store of a job; one that was opened a while ago is opened again."""
        terms, now = job.status.environment, self._clock()
        if terms is None:
            raise UnavailableError(_CANNOT)
        key = (job.namespace, terms.store)
        known = self._stores.get(key)
        if known is not None and 0 <= now - known[0] < _STORE_SECONDS:
            return known[1]
        secret: Mapping[str, bytes] = {}
        if terms.store.credentials_secret:
            found = await self._cluster.secret(self._namespace, terms.store.credentials_secret)
            secret = found or {}
        opened = await asyncio.to_thread(
            open_store, terms.store, job.namespace, self._folder, secret
        )
        self._stores.put(key, (now, opened))
        return opened


def open_store(
    store: Store, namespace: str, folder: Path | None, secret: Mapping[str, bytes]
) -> Opened:
    """Open a store by its URL.

    Raises:
        UnavailableError: It cannot be opened from here; the words name no address.
    """
    url = urlsplit(store.url)
    try:
        if url.scheme == "s3" and url.netloc:
            return _s3(store, url.netloc, url.path.strip("/"), secret)
        if url.scheme == "file" and url.netloc and folder is not None:
            return LocalStore(prefix=_below(folder, namespace, url.netloc, *url.path.split("/")))
    except (BaseError, OSError, ValueError, KeyError):
        raise UnavailableError(_CANNOT) from None
    raise UnavailableError("the results lie where the provider cannot read them")


def resolve(span: Span | None, total: int) -> tuple[int, int]:
    """Say where a span begins in `total` bytes, and how long it is; 0 where it is not in them."""
    if span is None:
        return 0, total
    first, last = span
    if first < 0:
        start = max(total + first, 0)
        return start, total - start
    end = total if last is None else min(last + 1, total)
    return first, max(end - first, 0)


def _below(folder: Path, *parts: str) -> Path:
    """Name a folder below another one, and never beside it."""
    kept = [part for part in parts if part]
    if any(part in (".", "..") or "/" in part for part in kept):
        raise ValueError("a part of a path is none")
    return folder.joinpath(*kept)


def _s3(store: Store, bucket: str, prefix: str, secret: Mapping[str, bytes]) -> S3Store:
    plain = (store.endpoint or "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=store.endpoint,
        region=store.region or "us-east-1",
        access_key_id=secret[ACCESS_KEY].decode().strip(),
        secret_access_key=secret[SECRET_KEY].decode().strip(),
        virtual_hosted_style_request=False,
        client_options={**_CLIENT, "allow_http": plain},
        retry_config=_RETRY,
    )


async def _small(store: Opened, key: str) -> bytes | None:
    """Read a small object; None if it is not there."""
    try:
        found = await obstore.get_async(store, key)
        if found.meta["size"] > MOST_MANIFEST_BYTES:
            raise UnavailableError(_CANNOT)
        return bytes(await found.bytes_async())
    except FileNotFoundError:
        return None
    except BaseError:
        raise UnavailableError(_CANNOT) from None


async def _opened(store: Opened, key: str, span: tuple[int, int], total: int) -> "GetResult":
    """Begin to read a span of an object; one that has changed its length is not read."""
    start, length = span
    try:
        found = await obstore.get_async(store, key, options={"range": (start, start + length)})
    except (BaseError, FileNotFoundError):
        raise UnavailableError(_CANNOT) from None
    if found.meta["size"] != total:
        raise UnavailableError(_CANNOT)
    return found


async def _pieces(found: "GetResult | None") -> AsyncGenerator[bytes, None]:
    """Read what was opened as it comes; nothing where nothing was."""
    if found is None:
        return
    try:
        async for piece in found.stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)
    except (BaseError, FileNotFoundError):
        raise UnavailableError(_CANNOT) from None
