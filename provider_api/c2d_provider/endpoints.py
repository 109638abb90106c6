"""The JSON-RPC endpoints of a chain, of which the first that answers counts.

The URL of an endpoint often holds the key that pays for it: it is in no error and in no log, where
an endpoint is a number, by its place in the settings.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp

from c2d_provider.ports import UnavailableError

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_CHUNK = 256 * 1024
_CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
_REVERTED_CODES = frozenset({3, -32015})
_EXECUTION = re.compile(
    r"revert|out of gas|gas required|opcode|invalid jump|stack (over|under)flow|evm error", re.I
)

Answer = dict[str, Any]


class AnswerError(Exception):
    """An endpoint answered with an error.

    `is_execution` says that the contract that was called failed, as it would anywhere. What the
    endpoint wrote is not repeated: it may quote what it was asked with.
    """

    def __init__(self, *, is_execution: bool = False) -> None:
        """Tell an error of the called contract from others."""
        super().__init__("the contract failed" if is_execution else "the endpoint refuses")
        self.is_execution = is_execution


class _FailedError(Exception):
    """An endpoint did not answer, or not what an endpoint of this chain answers."""


@dataclass
class _Endpoint:
    url: str = field(repr=False)
    number: int
    is_verified: bool = False
    failed_at: float | None = None


class Endpoints:
    """Endpoints of one chain, asked in the order given; one that failed is asked last for a while.

    Nothing is asked of an endpoint before it has said that it is of this chain.
    """

    def __init__(
        self,
        chain_id: int,
        urls: Iterable[str],
        *,
        timeout: float,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Give each endpoint `timeout` seconds a call, and `pause` after a failure."""
        self._chain_id = chain_id
        self._endpoints = tuple(_Endpoint(url, number) for number, url in enumerate(urls, 1))
        self._timeout = timeout
        self._pause = pause
        self._clock = clock

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "User-Agent": "c2d-provider"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self._session.close()

    async def ask(self, body: bytes) -> Answer:
        """Send a request until an endpoint answers it; `result` is in what is returned.

        Endpoints are not all equally far: where one knows nothing, the next is asked as well.

        Raises:
            AnswerError: Every endpoint that answered answered with an error.
            UnavailableError: None answered.
        """
        nothing: Answer | None = None
        error: AnswerError | None = None
        for endpoint in self._in_order():
            if nothing is not None and self._rests(endpoint):
                break
            try:
                answer = await self._from(endpoint, body)
            except _FailedError:
                continue
            except AnswerError as raised:
                if raised.is_execution:
                    raise
                error = raised
                continue
            if answer["result"] is not None:
                return answer
            nothing = answer
        if nothing is not None:
            return nothing
        raise error or UnavailableError(f"chain {self._chain_id} does not answer")

    def _in_order(self) -> list[_Endpoint]:
        def place(endpoint: _Endpoint) -> float:
            return endpoint.failed_at or 0.0 if self._rests(endpoint) else float("-inf")

        return sorted(self._endpoints, key=place)

    def _rests(self, endpoint: _Endpoint) -> bool:
        failed_at = endpoint.failed_at
        return failed_at is not None and self._clock() < failed_at + self._pause

    async def _from(self, endpoint: _Endpoint, body: bytes) -> Answer:
        try:
            if not endpoint.is_verified:
                await self._verify(endpoint)
            answer = await self._post(endpoint, body)
        except (aiohttp.ClientError, OSError, ValueError, RecursionError, _FailedError) as error:
            endpoint.failed_at = self._clock()
            log.warning(
                "Endpoint %s of chain %s: %s", endpoint.number, self._chain_id, _words(error)
            )
            raise _FailedError from None
        endpoint.failed_at = None
        if "error" in answer:
            raise AnswerError(is_execution=_is_execution(answer["error"]))
        return answer

    async def _verify(self, endpoint: _Endpoint) -> None:
        answer = await self._post(endpoint, _CHAIN_ID)
        if answer.get("result") != hex(self._chain_id):
            raise _FailedError("it is of another chain")
        endpoint.is_verified = True

    async def _post(self, endpoint: _Endpoint, body: bytes) -> Answer:
        async with asyncio.timeout(self._timeout):
            async with self._session.post(
                endpoint.url, data=body, allow_redirects=False
            ) as response:
                if response.status != 200 and not _may_have_error(response.status):  # noqa: PLR2004 - HTTP
                    raise _FailedError(f"it answered {response.status}")
                content = await _content(response)
        answer = json.loads(content)
        if not isinstance(answer, dict) or not ("result" in answer or answer.get("error")):
            raise _FailedError("it does not speak JSON-RPC")
        return answer


def _may_have_error(status: int) -> bool:
    """Say whether an answer may be a JSON-RPC error; some endpoints send these with a 400."""
    return status in {400, 404, 413, 422}


async def _content(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise AnswerError
    return bytes(content)


def _is_execution(error: object) -> bool:
    if not isinstance(error, dict):
        return False
    if error.get("code") in _REVERTED_CODES:
        return True
    return _EXECUTION.search(str(error.get("message"))) is not None


def _words(error: Exception) -> str:
    """Name a failure without the words of others, which hold the URL."""
    if isinstance(error, _FailedError):
        return str(error)
    return "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
