"""Requests to servers that strangers name: guarded, bounded, and silent about URLs.

The loader's network has the same rules (`c2d_api.guard`). A name is resolved once, the address
that it leads to is judged where the socket is opened, and the socket is opened to that address:
also for an address literal, also after a redirect. A file is taken as it is sent: nothing is asked
to be encoded and nothing is decoded, here as in the loader, so that both see the same bytes.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver
from yarl import URL

from c2d_api.computeenvironment import Address
from c2d_api.guard import is_allowed
from c2d_provider.files import Headers
from c2d_provider.ports import ResolvedRequest, UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

Gate = Callable[[AddrInfoType], socket.socket]

CHUNK: Final = 256 * 1024
PASSED_ON: Final = (
    "Accept-Ranges",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Last-Modified",
)
"""Headers of an answer that are a file's; the rest could set cookies or speak for our origin."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_TRANSIENT = frozenset({408, 425, 429})
_GOOD = frozenset({200, 206, 416})
_SERVER_ERROR = 500
_MAX_HEADERS = 64
_MAX_HEADER_BYTES = 32 * 1024
_FILENAME = re.compile(
    r"""filename\*=(?:UTF-8|utf-8)''([^;\s]+)|filename="([^"]*)"|filename=([^;\s]+)"""
)
_UNSAFE_IN_NAME = re.compile(r"[\x00-\x1f\x7f/\\\"]")
_TOTAL = re.compile(r"bytes (?:[0-9]+-[0-9]+|\*)/([0-9]{1,18})")


@dataclass(frozen=True)
class Limits:
    """How long a server is waited for, in seconds, and how often it may redirect.

    `answer` is for all until the last answer's headers are there, `stall` between two pieces.
    """

    connect: float = 10
    answer: float = 30
    stall: float = 30
    redirects: int = 5


class AddressRefusedError(OSError):
    """An address that the rules keep us away from."""


class Chunks:
    """The bytes of an answer as they come; whoever leaves them early closes them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Take over the response."""
        self._response = response

    def __aiter__(self) -> Self:
        """Begin."""
        return self

    async def __anext__(self) -> bytes:
        """Wait for the next piece.

        Raises:
            UnavailableError: The server stopped, or stalls.
        """
        try:
            chunk = await self._response.content.read(CHUNK)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._response.close()
            raise UnavailableError(_words(error)) from None
        if not chunk:
            self._response.release()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """End the request, if it has not ended."""
        self._response.close()


@dataclass(frozen=True)
class Answer:
    """What a server says of a file: `length` is the whole file's where it is told."""

    status: int
    headers: Headers
    content_type: str
    length: int | None
    name: str
    chunks: Chunks = field(repr=False)


class Outbound:
    """Sends requests; sessions open with `async with`."""

    def __init__(
        self,
        allowed: Iterable[Address] = (),
        limits: Limits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Take what the admin opens beside public addresses."""
        self._allowed = tuple(allowed)
        self._limits = limits or Limits()
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        """Open the sessions: one for strangers' URLs, one for those of the admin."""
        async with AsyncExitStack() as stack:
            self._guarded = await stack.enter_async_context(self._session(self._checked))
            self._trusted = await stack.enter_async_context(self._session(_opened))
            self._sessions = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sessions."""
        await self._sessions.aclose()

    async def send(
        self,
        request: ResolvedRequest,
        headers: Iterable[tuple[str, str]] = (),
        *,
        method: str | None = None,
        is_trusted: bool = False,
    ) -> Answer:
        """Send a request and wait for the headers of its answer, redirects followed.

        With `is_trusted` the admin named the server, which may have any address; where it
        redirects to another one, that one may not.

        Raises:
            Refused: The file will not be had there.
            UnavailableError: The server does not answer, or says that it is busy.
        """
        named = {name.lower() for name, _ in request.headers}
        sent = dict(request.headers) | {n: v for n, v in headers if n.lower() not in named}
        try:
            async with asyncio.timeout(self._limits.answer):
                response = await self._answer(
                    request, method or request.method, sent, is_trusted=is_trusted
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from None
        try:
            return _answer(response)
        except (Refused, UnavailableError):
            response.close()
            raise

    async def _answer(
        self, request: ResolvedRequest, method: str, headers: dict[str, str], *, is_trusted: bool
    ) -> aiohttp.ClientResponse:
        url, body = checked_url(request.url), request.body
        for _ in range(self._limits.redirects + 1):
            session = self._trusted if is_trusted else self._guarded
            response = await session.request(
                method, url, headers=headers, data=body or None, allow_redirects=False
            )
            if response.status not in _REDIRECTS:
                return response
            response.close()
            target = redirect_target(url, response.headers.get("Location", ""))
            if target.origin() != url.origin():
                headers, is_trusted = _harmless(headers), False
            if response.status not in _KEEPING_METHOD and method != "HEAD":
                method, body = "GET", b""
            url = target
        raise Refused(Refusal(Reason.FILE_UNAVAILABLE, "the file's server redirects too often"))

    def _session(self, gate: Gate) -> aiohttp.ClientSession:
        """Open a session without proxies, cookies, credentials or decoding behind our back."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=gate, resolver=self._resolver, use_dns_cache=False
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "c2d-provider"},
            skip_auto_headers=("Content-Type",),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._limits.connect, sock_read=self._limits.stall
            ),
            max_headers=_MAX_HEADERS,
        )

    def _checked(self, info: AddrInfoType) -> socket.socket:
        """Open a socket for an address if it is allowed; aiohttp connects to the very address."""
        where = info[4]
        if not is_allowed(str(where[0]), int(where[1]), self._allowed):
            raise AddressRefusedError("address refused")
        return _opened(info)


async def read_whole(answer: Answer, most: int) -> bytes:
    """Read a small answer whole.

    Raises:
        Refused: It is not so small.
    """
    body = bytearray()
    async with aclosing(answer.chunks) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                refuse(Reason.TOO_LARGE, f"the document is larger than {most} bytes")
    return bytes(body)


def _opened(info: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


def checked_url(text: str) -> URL:
    """Read a URL as it stands, signed ones included, if it is one that may be fetched.

    Raises:
        Refused: It is no plain http or https URL.
    """
    try:
        url = URL(text, encoded=text.isascii())
        is_plain = url.scheme in {"http", "https"} and bool(url.host) and bool(url.port)
        has_user = url.user is not None or url.password is not None
    except ValueError:
        is_plain, has_user = False, False
    if not is_plain or has_user or any(one <= " " or one == "\x7f" for one in text):
        refuse(Reason.FILE_UNAVAILABLE, "the file's URL is not valid")
    return url


def redirect_target(url: URL, location: str) -> URL:
    """Find where a redirect leads.

    Raises:
        Refused: It leads nowhere, or where nothing may be fetched.
    """
    if not location:
        refuse(Reason.FILE_UNAVAILABLE, "the file's server redirects to nowhere")
    try:
        return checked_url(str(url.join(URL(location, encoded=location.isascii()))))
    except ValueError:
        refuse(Reason.FILE_UNAVAILABLE, "the file's server redirects to a URL that is not valid")


def file_name(disposition: str, url: URL) -> str:
    """Name a file as its server does, else by the end of its path if that has an extension.

    An end without one may well be a hash or a token, which is nobody's to know.
    """
    found = _FILENAME.search(disposition[:1024])
    name = next((one for one in found.groups() if one), "") if found else ""
    if found and found[1]:
        name = unquote(name)
    if not name and re.fullmatch(r"[^%]{1,128}\.[A-Za-z0-9]{1,8}", url.raw_name):
        name = url.raw_name
    return _UNSAFE_IN_NAME.sub("_", name)[:255].lstrip(".")


def _harmless(headers: dict[str, str]) -> dict[str, str]:
    """Keep from another host what its request may hold secrets in."""
    return {name: value for name, value in headers.items() if name.lower() == "range"}


def _answer(response: aiohttp.ClientResponse) -> Answer:
    if sum(len(name) + len(value) for name, value in response.raw_headers) > _MAX_HEADER_BYTES:
        refuse(Reason.FILE_UNAVAILABLE, "the file's server answers with too many headers")
    if response.status >= _SERVER_ERROR or response.status in _TRANSIENT:
        raise UnavailableError(f"the file's server answered {response.status}")
    if response.status not in _GOOD:
        refuse(Reason.FILE_UNAVAILABLE, f"the file's server answered {response.status}")
    headers = response.headers
    return Answer(
        status=response.status,
        headers=tuple((name, headers[name]) for name in PASSED_ON if name in headers),
        content_type=headers.get("Content-Type", ""),
        length=_length(response),
        name=file_name(headers.get("Content-Disposition", ""), response.url),
        chunks=Chunks(response),
    )


def _length(response: aiohttp.ClientResponse) -> int | None:
    if response.status == 200:  # noqa: PLR2004 - the whole file
        return response.content_length
    total = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
    return int(total[1]) if total else None


def _failure(error: Exception) -> Exception:
    """Say what happened without the URL that aiohttp's own words hold."""
    if isinstance(getattr(error, "os_error", error), AddressRefusedError):
        words = "the file's server has an address that is private or reserved"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = "the certificate of the file's server is not valid"
    elif isinstance(error, aiohttp.InvalidURL) or not isinstance(
        error, aiohttp.ClientError | OSError
    ):
        words = "the file's URL is not valid"
    else:
        return UnavailableError(_words(error))
    return Refused(Refusal(Reason.FILE_UNAVAILABLE, words))


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of the file's server does not resolve"
    if isinstance(error, TimeoutError):
        return "the file's server does not answer in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the file's server stopped before the file's end"
    return "the connection to the file's server failed"
