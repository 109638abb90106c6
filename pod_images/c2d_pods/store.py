"""The result store: S3 and what speaks it, or a folder. The only module that knows obstore."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, S3Store

from c2d_api.computeenvironment import Store
from c2d_pods.retention import Entry

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

# What S3 asks of an upload in parts: so many at most, none but the last smaller than this.
MOST_PARTS = 10_000
PART_BYTES = 5 * 2**20
PARTS_AT_ONCE = 2
LISTED_AT_ONCE = 1000
MOST_MANIFEST_BYTES = 32 * 2**20
# What servers and folders say when no more goes in; the last two are a disk and a quota.
_FULL = ("507 Insufficient Storage", "StorageFull", "QuotaExceeded", "os error 28", "os error 122")
ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
# A part may take a slow line some minutes; a silent store is given up after two.
_CLIENT: "ClientConfig" = {"connect_timeout": "10s", "timeout": "5m", "read_timeout": "2m"}
_RETRY: "RetryConfig" = {"max_retries": 6, "retry_timeout": timedelta(minutes=4)}


class StoreError(Exception):
    """Why the store did not do as asked, in words that hold no credential and no address."""


class UnknownStoreError(StoreError):
    """A store that nobody can reach: its URL is not one that is known here."""


class ResultStore:
    """Where the results of jobs are kept."""

    def __init__(self, store: Store, credentials: Path) -> None:
        """Open a store by its URL; credentials are files in a folder, if it needs any.

        Raises:
            UnknownStoreError: The URL names no store that is known here.
        """
        self._store = _opened(store, credentials)

    async def read(self, key: str) -> bytes | None:
        """Read a small object; None if it is not there."""
        try:
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _named(error) from None

    async def write(self, key: str, content: bytes | Iterator[bytes], size: int) -> None:
        """Write an object, or write it anew; an iterator is sent in parts, as it comes."""
        try:
            await obstore.put_async(
                self._store,
                key,
                content,
                use_multipart=not isinstance(content, bytes),
                chunk_size=part_bytes(size),
                max_concurrency=PARTS_AT_ONCE,
            )
        except (BaseError, OSError) as error:
            raise _named(error) from None

    async def create(self, key: str, content: bytes) -> bool:
        """Write an object unless it is there; tell whether it was written."""
        try:
            await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise _named(error) from None
        return True


class Bucket:
    """A store that speaks S3, as the sweeper sees it: jobs' folders below its prefix."""

    def __init__(self, store: Store, credentials: Path) -> None:
        """Open a store by its URL; credentials are files in a folder.

        Raises:
            StoreError: It cannot be opened.
        """
        opened = _opened(store, credentials)
        if not isinstance(opened, S3Store):
            raise UnknownStoreError("the result store's URL must begin with s3://")
        self._store = opened

    def jobs(self) -> Iterator[str]:
        """Name the folders as the listing comes; objects of one follow each other."""
        last = None
        for key, _ in self._listed(None):
            job, slash, _ = key.partition("/")
            if slash and job != last:
                last = job
                yield job

    def read(self, job: str, name: str) -> bytes | None:
        """Read a small object of a job; None if it is not there."""
        try:
            found = obstore.get(self._store, f"{job}/{name}")
            if found.meta["size"] > MOST_MANIFEST_BYTES:
                raise StoreError("the manifest is larger than any can be")
            return bytes(found.bytes())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise _named(error) from None

    def entries(self, job: str) -> Iterator[Entry]:
        """List the objects of a job."""
        for key, meta in self._listed(job):
            name = key.removeprefix(f"{job}/")
            yield Entry(name, meta["size"], meta["last_modified"])

    def remove(self, job: str, names: Iterable[str]) -> None:
        """Remove objects of a job; what is not there any more is no failure."""
        try:
            obstore.delete(self._store, [f"{job}/{name}" for name in names])
        except FileNotFoundError:
            return
        except BaseError as error:
            raise _named(error) from None

    def _listed(self, prefix: str | None) -> "Iterator[tuple[str, ObjectMeta]]":
        try:
            for chunk in obstore.list(self._store, prefix, chunk_size=LISTED_AT_ONCE):
                for meta in chunk:
                    yield meta["path"], meta
        except (BaseError, FileNotFoundError) as error:
            raise _named(error) from None


def part_bytes(size: int) -> int:
    """Tell how long the parts of an object of this size are."""
    return max(PART_BYTES, -(-size // MOST_PARTS))


def _opened(store: Store, credentials: Path) -> LocalStore | S3Store:
    url = urlsplit(store.url)
    try:
        if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
            return LocalStore(prefix=unquote(url.path), mkdir=True)
        if url.scheme == "s3" and url.netloc:
            return _s3(store, url.netloc, url.path.strip("/"), credentials)
    except (BaseError, OSError, ValueError) as error:
        raise StoreError(f"the result store cannot be opened ({type(error).__name__})") from None
    raise UnknownStoreError("the result store's URL must begin with s3:// or file:///")


def _s3(store: Store, bucket: str, prefix: str, credentials: Path) -> S3Store:
    plain = (store.endpoint or "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=store.endpoint,
        region=store.region or "us-east-1",
        access_key_id=_credential(credentials, ACCESS_KEY),
        secret_access_key=_credential(credentials, SECRET_KEY),
        virtual_hosted_style_request=False,
        client_options={**_CLIENT, "allow_http": plain},
        retry_config=_RETRY,
    )


def _credential(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def _named(error: Exception) -> StoreError:
    """Say what happened without the store's own words, which quote what was sent to it."""
    words = str(error)
    if any(sign in words for sign in _FULL):
        return StoreError("the result store is full")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StoreError("the result store refused the credentials")
    if isinstance(error, FileNotFoundError):
        return StoreError("the result store knows no such bucket, folder or credentials")
    if "kind: Connect" in words:
        return StoreError("the result store cannot be reached")
    return StoreError(f"the result store failed ({type(error).__name__})")
