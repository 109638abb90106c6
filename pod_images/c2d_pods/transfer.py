"""The network of the loader: guarded, streamed, repeated downloads.

The only module that knows aiohttp. A URL comes from a stranger and may itself be a secret: the
addresses it leads to are judged one by one, and no error that leaves this module names it.
"""

import asyncio
import hashlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
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
from c2d_pods.content import (
    PermanentError,
    Source,
    TransferError,
    TransientError,
    judge_digest,
    judge_length,
    room,
    write,
)

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({408, 425, 429})
OK, CONFLICT, SERVER_ERROR = 200, 409, 500
Result = TypeVar("Result")
Renew = Callable[[FileOnRequest], Awaitable[FileRequest]]
OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


# The first that fits counts, so what is more special stands first.
FAILURES: tuple[tuple[type[Exception], type[TransferError], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, PermanentError, "the certificate is not valid"),
    (aiohttp.ClientConnectorDNSError, TransientError, "the server's name does not resolve"),
    (aiohttp.ClientPayloadError, TransientError, "the server stopped before the file's end"),
    (aiohttp.InvalidURL, PermanentError, "the URL is not valid"),
    (TimeoutError, TransientError, "the server did not answer in time"),
    (aiohttp.ClientError, TransientError, "the connection failed"),
    (ValueError, PermanentError, "the request is not valid"),
)


@dataclass(frozen=True)
class Patience:
    """How often and how long a download is tried; times in seconds."""

    attempts: int = 6
    first_pause: float = 1
    longest_pause: float = 60
    connect: float = 30
    stall: float = 60
    provider: float = 300
    redirects: int = 5

    def pause(self, attempt: int, asked: float = 0) -> float:
        """Tell how long to wait after this attempt, the first being 1."""
        return min(max(self.first_pause * float(2 ** (attempt - 1)), asked), self.longest_pause)


async def patiently(patience: Patience, attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Try, and try again after what may pass.

    Raises:
        PermanentError: Trying again makes no difference.
        TransientError: The last attempt failed, too.
    """
    for number in range(1, patience.attempts):
        try:
            return await attempt()
        except TransientError as error:
            pause = patience.pause(number, error.retry_after)
            log.warning("Attempt %s: %s; again in %.0f s", number, error, pause)
            await asyncio.sleep(pause)
    return await attempt()


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


class Downloads:
    """Downloads of one loader, one after the other, over one guarded session."""

    def __init__(
        self, allowed: Iterable[Address], patience: Patience, renew: Renew | None = None
    ) -> None:
        """Prepare; the session opens with `async with`. `renew` asks for requests good once."""
        self._gate = Gate(allowed)
        self._patience = patience
        self._renew = renew

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

    async def fetch(self, source: Source, target: BinaryIO, count: Callable[[int], None]) -> None:
        """Write the file's content to `target`, counting bytes as they come.

        Waits out what may pass: a lost connection, a busy server, a body cut short.

        Raises:
            PermanentError: The file will not be had.
            TransientError: It was not had by the last attempt either.
        """

        async def attempt() -> None:
            try:
                await self._attempt(source, target, count)
            except TransientError:
                count(-target.tell())
                raise

        try:
            await patiently(self._patience, attempt)
        except TurnedDownError as error:
            raise PermanentError(str(error)) from None

    async def _attempt(
        self, source: Source, target: BinaryIO, count: Callable[[int], None]
    ) -> None:
        target.seek(0)
        target.truncate()
        request = await self._request(source)
        try:
            response = await self._answer(request)
            async with response:
                _judge_status(response.status, response.headers, source)
                await _receive(response, source, target, count)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._named(error) from None

    async def _request(self, source: Source) -> FileRequest:
        """Write a file's request in one form, whoever describes it; one good once is new."""
        match source:
            case FileRequest():
                return source
            case FileOnRequest() if self._renew is not None:
                return await self._renew(source)
            case File(url=str(url), method=method, headers=headers):
                return FileRequest(url, "POST" if method == "POST" else "GET", headers)
            case _:
                raise PermanentError("the file has no URL")

    async def _answer(self, request: FileRequest) -> aiohttp.ClientResponse:
        url, method, headers = checked_url(request.url), request.method, own_headers(request)
        body = request.body or None
        for _ in range(self._patience.redirects + 1):
            self._gate.refused = self._gate.opened = 0
            response = await self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
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


def checked_url(text: str) -> URL:
    """Read a URL as it stands, signed ones included, if it is one that may be fetched.

    Raises:
        PermanentError: It is no plain http or https URL.
    """
    if any(character <= " " or character == "\x7f" for character in text):
        raise PermanentError("the URL is not valid")
    try:
        url = URL(text, encoded=text.isascii())
        plain = url.scheme in {"http", "https"} and bool(url.host) and bool(url.port)
        credentials = url.user is not None or url.password is not None
    except ValueError:
        raise PermanentError("the URL is not valid") from None
    if not plain:
        raise PermanentError("the URL is not one of http or https")
    if credentials:
        raise PermanentError("the URL holds a user or a password")
    return url


def redirect_target(url: URL, location: str) -> URL:
    """Find where a redirect leads.

    Raises:
        PermanentError: It leads nowhere, or where nothing may be fetched.
    """
    if not location:
        raise PermanentError("the server redirects to nowhere")
    try:
        return checked_url(str(url.join(URL(location, encoded=location.isascii()))))
    except ValueError:
        raise PermanentError("the server redirects to a URL that is not valid") from None


def own_headers(request: FileRequest) -> dict[str, str]:
    """List the headers that a request brings, but for those that steer the connection.

    Raises:
        PermanentError: One of them is not its to bring.
    """
    for name, _ in request.headers:
        if name.lower() in OURS:
            raise PermanentError(f"the header {name} cannot be set")
    return dict(request.headers)


def _judge_status(status: int, headers: Mapping[str, str], source: Source) -> None:
    if status == OK:  # the one status that brings a whole file
        return
    message = f"the server answered {status}"
    if status >= SERVER_ERROR or status in TRANSIENT:
        raise TransientError(message, _asked_pause(headers))
    raise (TurnedDownError if isinstance(source, FileOnRequest) else PermanentError)(message)


def _asked_pause(headers: Mapping[str, str]) -> float:
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() and len(asked) < 6 else 0  # noqa: PLR2004 - a day


async def _receive(
    response: aiohttp.ClientResponse, file: Source, target: BinaryIO, count: Callable[[int], None]
) -> None:
    length = response.content_length
    if length is not None:
        judge_length(length, file, room(target))
    digest = hashlib.sha256()
    async for chunk in response.content.iter_chunked(CHUNK):
        judge_length(target.tell() + len(chunk), file)
        digest.update(chunk)
        write(target, chunk)
        count(len(chunk))
    judge_digest(digest.hexdigest(), file)


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
            body = await _whole(response, most)
            return _handed_out(response, body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise TransientError(_words(error)) from None


def _words(error: Exception) -> str:
    """Say what happened without the address, of which a certificate is worth another word."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    return f"it did not answer ({type(error).__name__})"


async def _whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > most:
            raise TransientError("its answer is too long")
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
    if status == CONFLICT or status in TRANSIENT or status >= SERVER_ERROR:
        raise TransientError(words, _asked_pause(response.headers))
    raise DeniedError(words, denied.kind)
