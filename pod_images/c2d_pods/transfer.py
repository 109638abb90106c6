"""The network of the loader: guarded, streamed, repeated downloads.

The only module that knows aiohttp. A URL comes from a stranger and may itself be a secret: the
addresses it leads to are judged one by one, and no error that leaves this module names it.
"""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

import aiohttp
from aiohappyeyeballs import AddrInfoType
from yarl import URL

from c2d_api.asset_request import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    PATH,
    AssetKind,
    AssetRequest,
    FileOnRequest,
    FileRequest,
    Provided,
    decode_denied,
    decode_provided,
)
from c2d_api.computeenvironment import Address
from c2d_api.computejob import File
from c2d_api.guard import is_allowed
from c2d_api.tasks import NO_GATEWAYS, Gateways
from c2d_pods import sources
from c2d_pods.arrival import Announce, Arrival, Space, nobody_asks
from c2d_pods.arweave import MAX_TRANSACTION, Stored, UnverifiableError, read_transaction
from c2d_pods.content import (
    PermanentError,
    Source,
    TransferError,
    TransientError,
    expected_digest,
)
from c2d_pods.identified import (
    ArweaveName,
    Asking,
    ask_blocks,
    read_name,
    transaction_request,
)
from c2d_pods.patience import Pace, Patience, Tried, asked_pause
from c2d_pods.resuming import (
    Kept,
    Receive,
    Refused,
    StartOver,
    Version,
    decide,
    may_pass,
    range_headers,
    read_answer,
)
from c2d_pods.urls import checked_url, own_headers, redirect_target

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
OK, ACCEPTED, NOT_FOUND, CONFLICT = 200, 202, 404, 409
Result = TypeVar("Result")
Renew = Callable[[FileOnRequest], Awaitable[FileRequest]]
# The first that fits counts, so what is more special stands first.
FAILURES: tuple[tuple[type[Exception], type[TransferError], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, PermanentError, "the certificate is not valid"),
    (aiohttp.ClientConnectorDNSError, TransientError, "the server's name does not resolve"),
    (aiohttp.ClientPayloadError, TransientError, "the server stopped before the file's end"),
    (
        aiohttp.ClientResponseError,
        TransientError,
        "the server's answer is not valid, or longer than it said",
    ),
    (aiohttp.InvalidURL, PermanentError, "the URL is not valid"),
    (TimeoutError, TransientError, "the server did not answer in time"),
    (aiohttp.ClientError, TransientError, "the connection failed"),
    (ValueError, PermanentError, "the request is not valid"),
)


async def patiently(
    patience: Patience,
    attempt: Callable[[], Awaitable[Result]],
    reached: Callable[[], int] = lambda: 0,
) -> Result:
    """Try, and try again after what may pass; `reached` tells how far a failed attempt came.

    Raises:
        PermanentError: Trying again makes no difference.
        TransientError: The last attempt failed, too.
    """
    tried = Tried()
    while True:
        try:
            return await attempt()
        except TransientError as error:
            tried = tried.failed(reached(), patience.stride)
            if tried.failures >= patience.attempts:
                raise
            luck = random.random()  # noqa: S311 - it spreads requests, nothing hangs on it
            pause = patience.pause(tried.failures, error.retry_after, luck)
            log.warning("Attempt %s: %s; again in %.0f s", tried.failures, error, pause)
            await asyncio.sleep(pause)


class DeniedError(PermanentError):
    """The provider hands nothing out, in its own words; `kind` is the asset it says that of."""

    def __init__(self, message: str, kind: AssetKind = "dataset") -> None:
        """Keep the words."""
        super().__init__(message)
        self.kind = kind


class TurnedDownError(TransientError):
    """A request that is good once was turned down.

    Another one with the same signature's key may have come first, which a new one outdoes; or it
    will be turned down for ever.
    """


class AddressRefusedError(OSError):
    """An address that the rules keep loaders away from."""


class Gate:
    """Opens sockets to allowed addresses only.

    aiohttp asks it right before connecting, with the very address it connects to: names are not
    resolved twice, and a host that is an address literal comes by here as well.
    """

    def __init__(self, allowed: Iterable[Address]) -> None:
        """Take the admin's allow-list."""
        self._allowed = tuple(allowed)
        self.refused = self.opened = 0

    def __call__(self, info: AddrInfoType) -> socket.socket:
        """Open a socket for this address, or refuse."""
        family, kind, protocol, _, where = info
        if not is_allowed(str(where[0]), int(where[1]), self._allowed):
            self.refused += 1
            raise AddressRefusedError("address refused")
        self.opened += 1
        return socket.socket(family, kind, protocol)


@dataclass(frozen=True)
class Shared:
    """What downloads share that go on at once: the volume's room, and turns to sign in.

    A request that is good once makes earlier ones worthless, so that the next one is asked for
    only when the last one is answered.
    """

    space: Space = field(default_factory=Space)
    turns: asyncio.Lock = field(default_factory=asyncio.Lock)


class Downloads:
    """Downloads of one loader, one after the other, over one guarded session."""

    def __init__(
        self,
        allowed: Iterable[Address],
        patience: Patience,
        renew: Renew | None = None,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
        gateways: Gateways = NO_GATEWAYS,
    ) -> None:
        """Prepare; the session opens with `async with`. `renew` asks for requests good once."""
        self._gate = Gate(allowed)
        self._patience = patience
        self._renew = renew
        self._shared = shared or Shared()
        self._clock = clock
        self._gateways = gateways

    async def __aenter__(self) -> Self:
        """Open the session: no proxies, cookies, credentials or decoding behind our back."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._patience.connect, sock_read=self._patience.stall
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._gate, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "c2d-loader"},
            auto_decompress=False,
            trust_env=False,
            timeout=timeout,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self._session.close()

    async def fetch(
        self,
        source: Source,
        target: BinaryIO,
        count: Callable[[int], None],
        announce: Announce = nobody_asks,
    ) -> None:
        """Write the file's content to `target`, counting bytes as they come.

        `announce` is told how long the file will be, as often as a server says it or does not.
        Waits out what may pass: a lost connection, a busy server, a body cut short. What has come
        is kept where the server can tell that the rest is of the same file.

        Raises:
            PermanentError: The file will not be had.
            TransientError: It was not had by the last attempt either.
        """
        arrival = Arrival(source, target, count, self._shared.space, announce)

        async def attempt() -> None:
            await self._attempt(source, arrival)

        try:
            await patiently(self._patience, attempt, lambda: arrival.size)
        except TurnedDownError as error:
            raise PermanentError(str(error)) from None

    async def _attempt(self, source: Source, arrival: Arrival) -> None:
        try:
            async with self._shared.turns if isinstance(source, FileOnRequest) else nullcontext():
                asking = await self._asking(await self._request(source), source)
                is_resumable = asking.is_resumable and _is_resumable(source, asking.request)
                kept = arrival.kept if is_resumable else None
                wanted = {**asking.headers, **range_headers(kept)}
                response = await self._answer(asking.request, wanted)
            async with response:
                await self._receive(response, source, arrival, kept, asking)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._named(error) from None

    async def _receive(
        self,
        response: aiohttp.ClientResponse,
        source: Source,
        arrival: Arrival,
        kept: Kept | None,
        asking: Asking,
    ) -> None:
        place = str(response.url.with_query(None))
        answer = read_answer(response.status, place, response.content_length, response.headers)
        match decide(kept, answer):
            case Refused():
                raise _refusal(response, source)
            case StartOver(words):
                arrival.start_over()
                raise TransientError(words)
            case Receive() as receive:
                verifier = asking.verifier(response.content_type)
                if verifier.is_framed:
                    receive = Receive(0, None, Version())  # what was announced is not the file's
                with arrival.receiving(receive, verifier):
                    await self._take(response.content, arrival)
                arrival.finish()

    async def _take(self, content: aiohttp.StreamReader, arrival: Arrival) -> None:
        came = 0
        pace = Pace(self._clock(), came)
        async for chunk in content.iter_chunked(CHUNK):
            arrival.take(chunk)
            came += len(chunk)
            pace = pace.kept(self._clock(), came, self._patience)

    async def _asking(self, request: FileRequest, source: Source) -> Asking:
        """Say how a file is asked for so that what comes can be judged by what names it."""
        if request.content_id is None:
            return Asking(request)
        name = read_name(request.content_id)
        if not isinstance(name, ArweaveName):
            return ask_blocks(request, name)
        try:
            return Asking(request, stored=await self._transaction(request, name))
        except UnverifiableError:
            if expected_digest(source) is None:
                raise
            return Asking(request)

    async def _transaction(self, request: FileRequest, name: ArweaveName) -> Stored:
        """Ask for the transaction that stored a file of Arweave.

        Raises:
            UnverifiableError: There is none, or none that can be judged.
        """
        response = await self._answer(transaction_request(request, name), {})
        async with response:
            if response.status == NOT_FOUND:
                raise UnverifiableError(
                    "there is no transaction of Arweave of its identifier: one within a bundle"
                    " cannot be checked without a sha256"
                )
            if response.status == ACCEPTED:
                raise TransientError("its transaction of Arweave is not mined yet")
            if response.status != OK:
                raise _refusal(response, request)
            too_long = UnverifiableError(
                f"its transaction of Arweave is longer than {MAX_TRANSACTION} bytes, which is not"
                " checked without a sha256"
            )
            body = await _whole(response, MAX_TRANSACTION, too_long)
            return read_transaction(body, name.transaction)

    async def _request(self, source: Source) -> FileRequest:
        """Write a file's request in one form, whoever describes it; one good once is new."""
        match source:
            case FileRequest():
                return source
            case FileOnRequest() if self._renew is not None:
                return await self._renew(source)
            case File():
                return sources.request(source, self._gateways, time.time())
            case _:
                raise PermanentError("the file is not fetched by a request")

    async def _answer(
        self, request: FileRequest, wanted: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        url, method, headers = checked_url(request.url), request.method, own_headers(request)
        body = request.body or None
        for _ in range(self._patience.redirects + 1):
            self._gate.refused = self._gate.opened = 0
            # The head may drip as well as the body, which the session's time-outs let pass.
            async with asyncio.timeout(self._patience.answer):
                response = await self._session.request(
                    method, url, headers={**headers, **wanted}, data=body, allow_redirects=False
                )
            if response.status not in REDIRECTS:
                return response
            response.close()
            target = redirect_target(url, response.headers.get("Location", ""))
            if target.origin() != url.origin():
                headers = {}
            if response.status not in {307, 308}:
                method, body = "GET", None
            url = target
        raise PermanentError("the server redirects too often")

    def _named(self, error: Exception) -> TransferError:
        """Say what happened without the address that aiohttp's own words hold."""
        if self._gate.refused and not self._gate.opened:
            return PermanentError(
                "the server's address is private or reserved, and the environment does not list it"
            )
        for kind, failure, words in FAILURES:
            if isinstance(error, kind):
                return failure(words)
        return TransientError(f"the connection failed ({type(error).__name__})")


def _is_resumable(source: Source, request: FileRequest) -> bool:
    """Say whether a request for the rest is one for the same file as before.

    A POST may bring something else each time. A request that is good once is answered by another
    provider, which forwards `Range` to where the file is, and neither the version nor the part
    that comes back: its answer could not be told from one that does not fit.
    """
    return request.method == "GET" and not request.body and not isinstance(source, FileOnRequest)


def _refusal(response: aiohttp.ClientResponse, source: Source) -> TransferError:
    """Tell what a status means that brings no bytes of the file."""
    status, message = response.status, f"the server answered {response.status}"
    if may_pass(status):
        return TransientError(message, _pause(response))
    return (TurnedDownError if isinstance(source, FileOnRequest) else PermanentError)(message)


def _pause(response: aiohttp.ClientResponse) -> float:
    return asked_pause(response.headers, datetime.now(UTC))


async def ask_provider(
    provider_url: str, token: Path, request: AssetRequest, patience: Patience
) -> Provided:
    """Ask the provider for a job's assets; each attempt reads the token, which is renewed, anew.

    The operator's settings say where the provider is, so it is not judged as an asset's address
    is. It redirects nowhere: a token goes to nobody else.

    Raises:
        DeniedError: The provider will not hand them out.
        TransientError: It was not to be had by the last attempt either.
    """

    async def attempt() -> Provided:
        return await _ask(provider_url, token, request, patience)

    return await patiently(patience, attempt)


async def ask_for_file(
    provider_url: str, token: Path, request: AssetRequest, patience: Patience
) -> FileRequest:
    """Ask the provider once for the request of one file.

    Raises:
        DeniedError: The provider will not hand it out.
        TransientError: It was not to be had this time.
    """
    provided = await _ask(provider_url, token, request, patience)
    files = [file for asset in provided.assets for file in asset.files]
    if len(files) != 1 or not isinstance(files[0], FileRequest):
        raise TransientError("the answer is not the request of one file")
    return files[0]


async def _ask(
    provider_url: str, token: Path, request: AssetRequest, patience: Patience
) -> Provided:
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=patience.connect, sock_read=patience.provider
    )
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "c2d-loader", "Content-Type": "application/json"},
        trust_env=False,
        timeout=timeout,
    ) as session:
        return await _asked(session, URL(provider_url + PATH), token, request)


async def _asked(
    session: aiohttp.ClientSession, url: URL, token: Path, request: AssetRequest
) -> Provided:
    try:
        held = await asyncio.to_thread(token.read_text, encoding="ascii")
        headers = {"Authorization": f"Bearer {held.strip()}"}
        async with session.post(
            url, data=request.encode(), headers=headers, allow_redirects=False
        ) as response:
            most = MAX_ANSWER_BYTES if response.status == OK else MAX_REQUEST_BYTES
            body = await _whole(response, most, TransientError("its answer is too long"))
            return _handed_out(response, body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise TransientError(_words(error)) from None


def _words(error: Exception) -> str:
    """Say what happened without the address, of which a certificate is worth another word."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    return f"it did not answer ({type(error).__name__})"


async def _whole(response: aiohttp.ClientResponse, most: int, too_long: TransferError) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > most:
            raise too_long
    return bytes(body)


def _handed_out(response: aiohttp.ClientResponse, body: bytes) -> Provided:
    """Read the provider's answer.

    Raises:
        DeniedError: It says no.
        TransientError: It says not now, or what makes no sense.
    """
    status = response.status
    if status == OK:
        try:
            return decode_provided(body)
        except ValueError as error:
            raise TransientError(str(error)) from None
    denied = decode_denied(body)
    words = denied.error or f"it answered {status}"
    if status == CONFLICT or may_pass(status):
        raise TransientError(words, _pause(response))
    raise DeniedError(words, denied.kind)
