"""Assets: found by their DID, believed by their hash on chain, their files fetched with care.

Knows the network, through `outbound`, and the chains through their port. A metadata cache saves a
search; it is not believed: what it serves must be what the asset's owner put on chain.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from aiohttp.abc import AbstractResolver

from c2d_api.computeenvironment import Address
from c2d_provider import ddo, documents, files, listing, sources, strict_json, trust
from c2d_provider.asked import Document
from c2d_provider.ddo import Ddo, Service
from c2d_provider.fields import Json
from c2d_provider.files import ArweaveFile, FileObject, Headers, IpfsFile, SmartContractFile
from c2d_provider.memory import FOR_EVER, Memory
from c2d_provider.outbound import Answer, Limits, Outbound, read_whole
from c2d_provider.ports import (
    Chains,
    FileFacts,
    Inline,
    Metadata,
    Nft,
    Opened,
    Published,
    Resolved,
    ResolvedRequest,
    UnavailableError,
)
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

_MAX_REMEMBERED = 1000
_MAX_CACHED_BYTES = 4 * 1024 * 1024
_JSON: Final = "application/json"
_WHOLE: Final = 200


@dataclass(frozen=True)
class AssetSettings:
    """How assets are read.

    `key` is the provider's, which lists of files and DDOs are encrypted to. `metadata_cache`,
    `ipfs_gateway` and `arweave_gateway` are base URLs, "" where there is none; the admin names
    them, so they may be at private addresses. `allowed` is what else may be reached beside public
    addresses. Files of more than `checksum_limit` bytes are not hashed, and a service's files are
    hashed within `checksum_seconds`, or not.
    """

    key: bytes = field(repr=False)
    metadata_cache: str = field(repr=False, default="")
    ipfs_gateway: str = field(repr=False, default="")
    arweave_gateway: str = field(repr=False, default="")
    allowed: tuple[Address, ...] = ()
    checksum_limit: int = 256 * 1024 * 1024
    checksum_seconds: float = 60
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class _Place:
    chain_id: int
    nft: str


@dataclass(frozen=True)
class _Read:
    ddo: Ddo
    document: Json = field(repr=False)


class OceanAssets:
    """Assets of the chains that are served; keeps `ports.Assets`. Opens with `async with`."""

    def __init__(
        self,
        settings: AssetSettings,
        chains: Chains,
        *,
        now: Callable[[], float] = time.time,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Take what is open already; `now` tells seconds of the epoch."""
        self._settings = settings
        self._chains = chains
        self._now = now
        self._outbound = Outbound(settings.allowed, settings.limits, resolver)
        self._places: Memory[str, _Place] = Memory(_MAX_REMEMBERED * 10)
        self._contents: Memory[tuple[_Place, str], _Read] = Memory(_MAX_REMEMBERED)

    async def __aenter__(self) -> Self:
        """Open the sessions."""
        await self._outbound.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sessions."""
        await self._outbound.__aexit__()

    async def published(self, did: str, chain_id: int | None = None) -> Published:
        """Find an asset by its DID: in the metadata cache, else on chain.

        What is known already is asked of the chain alone, where its newest metadata is.

        Raises:
            Refused: `Reason.ASSET_UNKNOWN`, or it is not what its hash on chain says.
        """
        place = self._places.known(did) or await self._find(did, chain_id)
        if chain_id not in (None, place.chain_id):
            raise _unknown(did)
        nft = await self._chains.nft(place.chain_id, place.nft)
        if isinstance(nft, Refusal):
            raise Refused(nft)
        metadata = await self._chains.metadata(place.chain_id, place.nft)
        if metadata is None:
            raise _unknown(did)
        content = await self._content(did, place, metadata)
        if content.ddo.id != did:
            raise _unknown(did)
        self._places.keep(did, place)
        document = await self._listed(content, place, metadata, nft)
        return Published(content.ddo, document, metadata, nft)

    async def files(self, asset: Published, service: Service) -> tuple[FileObject, ...]:
        """Decrypt the files of a service, bound to its NFT and datatoken."""
        try:
            encrypted = bytes.fromhex(service.files.removeprefix("0x"))
            decrypted = documents.decrypt(self._settings.key, encrypted)
        except (ValueError, Refused):
            refuse(Reason.FILES_MALFORMED, "cannot decrypt files for this service.")
        return files.parse(decrypted, asset.ddo.nft, service.datatoken)

    async def files_checksum(self, asset: Published, service: Service) -> str | None:
        """Join the digests of a service's files, as trust lists name them.

        None where a file is not to be had, or too large; not to be had for now is raised.
        """
        digests: list[str] = []
        listed = await self.files(asset, service)
        async with _in_time(self._settings.checksum_seconds):
            for file in listed:
                facts = await self.inspect(file, {}, checksum=True)
                if facts.sha256 is None:
                    return None
                digests.append(facts.sha256)
        return trust.files_checksum(digests)

    async def resolve(self, file: FileObject, values: Json) -> Resolved:
        """Say how one file is fetched, with the consumer's parameters in it."""
        if isinstance(file, SmartContractFile):
            return Inline(await self._chains.call_function(file, values))
        gateways = sources.Gateways(self._settings.ipfs_gateway, self._settings.arweave_gateway)
        return sources.request(file, values, gateways, self._now())

    async def inspect(self, file: FileObject, values: Json, *, checksum: bool) -> FileFacts:
        """Ask a file's server for its type, length and, if wanted, digest.

        A file that will not be had is not valid; one that is not to be had for now is raised.
        """
        try:
            async with _in_time(self._settings.checksum_seconds):
                resolved = await self.resolve(file, values)
                if isinstance(resolved, Inline):
                    return _facts_inline(resolved, checksum=checksum)
                is_trusted = _is_trusted(file)
                if checksum:
                    return await self._hashed(resolved, is_trusted=is_trusted)
                return await self._facts(resolved, is_trusted=is_trusted)
        except Refused as refused:
            if refused.refusal.reason != Reason.FILE_UNAVAILABLE:
                raise
            return FileFacts(valid=False)

    async def open(self, file: FileObject, values: Json, headers: Headers) -> Opened:
        """Begin to download a file; of a client's headers `Range` is passed on.

        A range in the file object itself outranks it.
        """
        resolved = await self.resolve(file, values)
        if isinstance(resolved, Inline):
            length = str(len(resolved.content))
            content = (("Content-Type", _JSON), ("Content-Length", length))
            return Opened(_WHOLE, content, "", _Content(resolved.content))
        passed = [pair for pair in headers if pair[0].lower() == "range"]
        answer = await self._outbound.send(resolved, passed, is_trusted=_is_trusted(file))
        return Opened(answer.status, answer.headers, answer.name, answer.chunks)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt to the provider's key by ECIES."""
        return documents.encrypt(self._settings.key, data)

    async def decrypt(self, document: Document, nft: str) -> bytes:
        """Decrypt and unpack a DDO of this NFT, its hash checked.

        Only a DDO: what else is encrypted to the same key, as lists of files, is nobody's to read.
        """
        content = documents.read(self._settings.key, document)
        if ddo.parse(content).nft.lower() != nft.lower():
            refuse(Reason.ASSET_MALFORMED, "the document is of another NFT")
        return content

    async def _find(self, did: str, chain_id: int | None) -> _Place:
        if not ddo.is_did(did):
            raise _unknown(did)
        if self._settings.metadata_cache:
            cached = await self._cached(did)
            if cached is None:
                raise _unknown(did)
            found = ddo.parse(cached)
            return _Place(found.chain_id, found.nft)
        for one in self._chains.ids if chain_id is None else (chain_id,):
            nft = await self._chains.nft_named(one, did)
            if nft is not None:
                return _Place(one, nft)
        raise _unknown(did)

    async def _content(self, did: str, place: _Place, metadata: Metadata) -> _Read:
        async def read() -> tuple[_Read, float]:
            try:
                plain = documents.read(self._settings.key, metadata.document)
            except Refused:
                # Encrypted by another provider, perhaps; a cache may know what it says.
                document = await self._believed(did, metadata)
                if document is None:
                    raise
            else:
                document = strict_json.parse(plain, ddo.MAX_BYTES, "the DDO")
            return _Read(ddo.parse(document), document), FOR_EVER

        return await self._contents.recall((place, metadata.transaction), read)

    async def _believed(self, did: str, metadata: Metadata) -> Json | None:
        """Ask the cache for a document; None unless its hash is that on chain."""
        cached = await self._cached(did) if self._settings.metadata_cache else None
        if cached is None or not ddo.is_published_as(cached, metadata.document.hash):
            return None
        return cached

    async def _cached(self, did: str) -> Json | None:
        """Read a document from the metadata cache; None if that does not have it."""
        base = self._settings.metadata_cache.rstrip("/")
        request = ResolvedRequest(f"{base}/api/aquarius/assets/ddo/{did}", "GET", ())
        try:
            answer = await self._outbound.send(request, is_trusted=True)
            body = await read_whole(answer, _MAX_CACHED_BYTES)
            document = strict_json.parse(body, _MAX_CACHED_BYTES, "the DDO")
        except Refused:
            return None
        except UnavailableError:
            raise UnavailableError("the metadata cache does not answer") from None
        return document if isinstance(document, dict) else None

    async def _listed(
        self, content: _Read, place: _Place, metadata: Metadata, nft: Nft
    ) -> dict[str, object]:
        wanted = {nft.address, *(service.datatoken for service in content.ddo.services)}
        tokens = {one: await self._chains.token(place.chain_id, one) for one in sorted(wanted)}
        return listing.listed(content.document, content.ddo, metadata, nft, tokens)

    async def _facts(self, request: ResolvedRequest, *, is_trusted: bool) -> FileFacts:
        """Ask by HEAD; servers that do not take it, and signed requests, are asked for a byte."""
        if request.method == "GET":
            try:
                answer = await self._outbound.send(request, method="HEAD", is_trusted=is_trusted)
            except (Refused, UnavailableError):
                pass
            else:
                return await _facts(answer)
        whole = [("Range", "bytes=0-0")] if request.method == "GET" else []
        return await _facts(await self._outbound.send(request, whole, is_trusted=is_trusted))

    async def _hashed(self, request: ResolvedRequest, *, is_trusted: bool) -> FileFacts:
        answer = await self._outbound.send(request, is_trusted=is_trusted)
        digest, length = hashlib.sha256(), 0
        async with aclosing(answer.chunks) as chunks:
            if answer.status != _WHOLE:
                refuse(Reason.FILE_UNAVAILABLE, "the file's server does not send the whole file")
            async for chunk in chunks:
                digest.update(chunk)
                length += len(chunk)
                if length > self._settings.checksum_limit:
                    return FileFacts(True, answer.content_type, answer.length, None, answer.name)
        return FileFacts(True, answer.content_type, length, digest.hexdigest(), answer.name)


class _Content:
    """Bytes that are all there, as chunks."""

    def __init__(self, content: bytes) -> None:
        self._left = [content] if content else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()

    async def aclose(self) -> None:
        self._left.clear()


def _unknown(did: str) -> Refused:
    return Refused(Refusal(Reason.ASSET_UNKNOWN, f"Asset DID {did[:128]} not found"))


def _is_trusted(file: FileObject) -> bool:
    """Say whether the admin named the server: what follows its address is checked by `files`."""
    return isinstance(file, IpfsFile | ArweaveFile)


def _facts_inline(inline: Inline, *, checksum: bool) -> FileFacts:
    digest = hashlib.sha256(inline.content).hexdigest() if checksum else None
    return FileFacts(True, _JSON, len(inline.content), digest)


async def _facts(answer: Answer) -> FileFacts:
    await answer.chunks.aclose()
    return FileFacts(True, answer.content_type, answer.length, None, answer.name)


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UnavailableError("the file's server does not answer in time") from None
