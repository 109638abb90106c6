"""The chains: what orders, assets and access lists need to be judged, read by JSON-RPC.

The only module that knows web3. What a contract says counts only as far as the contract is known
to be Ocean's: the factory vouches for an NFT, the NFT for its datatokens. What no block can change
any more is read once; the rest is read anew after a moment, so that a reorganisation is noticed.
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final, Self, TypeVar

from eth_typing import BlockNumber, ChecksumAddress, HexStr

from c2d_provider import addresses, contract_calls, events, fields, metadata_logs, orders
from c2d_provider.contract_calls import Function
from c2d_provider.credentials import AccessList
from c2d_provider.endpoints import AnswerError, Endpoints
from c2d_provider.events import RawLog
from c2d_provider.fields import Json
from c2d_provider.files import FileObject, SmartContractFile
from c2d_provider.memory import AT_ONCE, FOR_EVER, Memory
from c2d_provider.ports import Metadata, Nft, Token, UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

_LIMIT = sys.getrecursionlimit()
from web3 import AsyncWeb3  # noqa: E402 - between reading and restoring the limit
from web3.exceptions import BlockNotFound, TransactionNotFound, Web3Exception  # noqa: E402 - as above
from web3.middleware import ExtraDataToPOAMiddleware  # noqa: E402 - as above
from web3.providers.async_base import AsyncJSONBaseProvider  # noqa: E402 - as above
from web3.types import RPCEndpoint, RPCResponse, TxParams  # noqa: E402 - as above

# py_ecc, which web3 brings, raises it so far that deep JSON ends the process.
sys.setrecursionlimit(_LIMIT)

GAS: Final = 10_000_000
"""What a called contract may use: it may be a stranger's, and never end."""

_MAX_REMEMBERED = 10_000
_MAX_LOGS = 512
_MAX_LOG_BYTES = 64 * 1024
_MAX_NFTS = 1_000_000
_MAX_NAME = 256
_ORDER_TOPICS = frozenset(
    bytes.fromhex(topic[2:])
    for topic in (events.ORDER_STARTED, events.ORDER_REUSED, events.PROVIDER_FEE)
)
_NOTHING = RawLog(addresses.ZERO, (), b"")

Result = TypeVar("Result")
Other = TypeVar("Other")


@dataclass(frozen=True)
class ChainSettings:
    """How a chain is read; times in seconds.

    `urls` are JSON-RPC endpoints, best first: each call may take `timeout` at each of them, and
    one that failed is asked last for `pause`. `settled` is the number of confirmations from which
    on nothing is read again; what is younger is read anew after `fresh`. `first_block` is where
    the search for metadata ends, `chunk` how many blocks an endpoint searches at once, and
    `search_limit` how long a request waits for a search, which the next one continues.
    """

    chain_id: int
    urls: tuple[str, ...] = field(repr=False)
    factory: str
    first_block: int = 0
    settled: int = 64
    chunk: int = 10_000
    timeout: float = 5.0
    pause: float = 30.0
    fresh: float = 2.0
    search_limit: float = 20.0


def settings_from(
    address_file: Mapping[str, Any], chain_id: int, urls: Iterable[str]
) -> ChainSettings:
    """Read a chain's contracts from the contents of an address file, as Ocean's clients do.

    Raises:
        Refused: It does not have the chain, or what it says of it is malformed.
    """
    networks = [one for one in address_file.values() if isinstance(one, Mapping)]
    found = next((one for one in networks if one.get("chainId") == chain_id), None)
    if found is None:
        refuse(Reason.CHAIN_UNKNOWN, f"the address file does not have chain {chain_id}")
    return ChainSettings(
        chain_id,
        tuple(urls),
        addresses.checksummed(found.get("ERC721Factory"), "ERC721Factory"),
        fields.integer(found, "startBlock"),
    )


class EvmChains:
    """The chains of the settings; keeps `ports.Chains`. Sessions open with `async with`."""

    def __init__(
        self,
        settings: Iterable[ChainSettings],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the chains; `now` tells seconds of the epoch, `clock` seconds that only grow."""
        self._chains = {one.chain_id: _Chain(one, now, clock) for one in settings}

    async def __aenter__(self) -> Self:
        """Open the sessions."""
        async with AsyncExitStack() as stack:
            for chain in self._chains.values():
                await stack.enter_async_context(chain.endpoints)
            self._sessions = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sessions."""
        await self._sessions.aclose()

    @property
    def ids(self) -> tuple[int, ...]:
        """The chains that are served."""
        return tuple(self._chains)

    async def order_facts(
        self, chain_id: int, transaction: str, nft: str, datatoken: str
    ) -> orders.Facts:
        """Read what `orders.judge` needs; what is settled is not asked twice."""
        chain = self._chain(chain_id)
        return await chain.order_facts(transaction.lower(), _address(nft), _address(datatoken))

    async def head(self, chain_id: int) -> int:
        """Read the number of the newest block."""
        return await self._chain(chain_id).head()

    async def nft(self, chain_id: int, address: str) -> Nft | Refusal:
        """Read an NFT of Ocean's factory."""
        return await self._chain(chain_id).nft(_address(address))

    async def nft_named(self, chain_id: int, did: str) -> str | None:
        """Find the NFT of a DID among those of Ocean's factory."""
        return await self._chain(chain_id).nft_named(did)

    async def token(self, chain_id: int, address: str) -> Token:
        """Read what a token calls itself; nothing where it does not say."""
        return await self._chain(chain_id).token(_address(address))

    async def metadata(self, chain_id: int, nft: str) -> Metadata | None:
        """Find the newest metadata of an NFT; None for one that is not of Ocean's factory."""
        return await self._chain(chain_id).metadata(_address(nft))

    async def metadata_in(self, chain_id: int, nft: str, transaction: str) -> Metadata | None:
        """Read the metadata that one transaction set."""
        return await self._chain(chain_id).metadata_in(_address(nft), transaction.lower())

    async def lists_holding(
        self, consumer: str, lists: tuple[AccessList, ...]
    ) -> frozenset[AccessList]:
        """Tell which access lists hold a consumer.

        Raises:
            Refused: One of them cannot be asked; whoever named it meant to keep somebody out.
        """
        who = _address(consumer)
        held = [await self._chain(one[0]).holds(_address(one[1]), who) for one in lists]
        return frozenset(one for one, is_held in zip(lists, held, strict=True) if is_held)

    async def call_function(self, file: FileObject, values: Json) -> bytes:
        """Call the reading function of a `SmartContractFile`; its answer as JSON text."""
        if not isinstance(file, SmartContractFile):
            refuse(Reason.FILES_MALFORMED, "the file is no contract's")
        return await self._chain(file.chain_id).call_function(file, values)

    def _chain(self, chain_id: int) -> "_Chain":
        chain = self._chains.get(chain_id)
        if chain is None:
            refuse(Reason.CHAIN_UNKNOWN, f"chain {chain_id} is not served")
        return chain


class _Missing(Enum):
    """That something is not there, as a value to be remembered."""

    MISSING = auto()


class _Provider(AsyncJSONBaseProvider):
    """Lets web3 speak through our endpoints."""

    # A contract could otherwise have web3 fetch a URL of its choice (EIP-3668).
    global_ccip_read_enabled = False

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self._endpoints = endpoints

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        answer: Any = await self._endpoints.ask(self.encode_rpc_request(method, params))
        found: RPCResponse = answer
        return found


@dataclass(frozen=True)
class _Log:
    """A log, and where it stands."""

    block_number: int
    index: int
    transaction: str
    raw: RawLog


@dataclass
class _History:
    """Which blocks have been searched for logs: from `low` to `high`, both included."""

    low: int
    high: int
    newest: Metadata | None = None


class _Chain:
    """One chain."""

    def __init__(
        self, settings: ChainSettings, now: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._now = now
        self.endpoints = Endpoints(
            settings.chain_id,
            settings.urls,
            timeout=settings.timeout,
            pause=settings.pause,
            clock=clock,
        )
        self._web3: AsyncWeb3[_Provider] = AsyncWeb3(
            _Provider(self.endpoints), middleware=[ExtraDataToPOAMiddleware]
        )
        self._factory = _address(settings.factory)
        self._heads: Memory[str, int] = Memory(1, clock)
        self._block_times: Memory[str, int] = Memory(_MAX_REMEMBERED, clock)
        self._receipts: Memory[str, orders.Receipt | _Missing] = Memory(_MAX_REMEMBERED, clock)
        self._relations: Memory[tuple[str, str | None], tuple[bool, bool]] = Memory(
            _MAX_REMEMBERED, clock
        )
        self._nfts: Memory[str, Nft | Refusal] = Memory(_MAX_REMEMBERED, clock)
        self._tokens: Memory[str, Token] = Memory(_MAX_REMEMBERED, clock)
        self._held: Memory[tuple[str, str], bool] = Memory(_MAX_REMEMBERED, clock)
        self._found: Memory[str, Metadata | _Missing] = Memory(_MAX_REMEMBERED, clock)
        self._histories: Memory[str, _History] = Memory(_MAX_REMEMBERED, clock)
        self._index: dict[str, str] = {}
        self._index_history: _History | None = None
        self._indexing = asyncio.Lock()

    async def head(self) -> int:
        async def read() -> tuple[int, float]:
            return await self._ask(self._web3.eth.get_block_number(), int), self._settings.fresh

        return await self._heads.recall("head", read)

    async def _head_now(self) -> int:
        """Read the newest block's number anew, so that what was mined just now is searched, too."""
        number = await self._ask(self._web3.eth.get_block_number(), int)
        return self._heads.keep("head", number, self._settings.fresh)

    async def order_facts(
        self, transaction: str, nft: ChecksumAddress, datatoken: ChecksumAddress
    ) -> orders.Facts:
        receipt, (is_oceans, is_of_nft) = await _together(
            self._receipt(transaction), self._relation(nft, datatoken)
        )
        originals = {}
        for reused in orders.reused_orders(receipt, datatoken) if receipt else ():
            original = await self._receipt(reused)
            if original is not None:
                originals[reused] = original
        # a receipt may tell of a newer block than the one that is remembered
        mined = [one.block_number for one in (receipt, *originals.values()) if one]
        return orders.Facts(
            receipt=receipt,
            originals=originals,
            head=max([await self.head(), *mined]),
            now=int(self._now()),
            factory=self._factory,
            is_oceans=is_oceans,
            is_datatoken_of_nft=is_of_nft,
        )

    async def nft(self, address: ChecksumAddress) -> Nft | Refusal:
        async def read() -> tuple[Nft | Refusal, float]:
            return await self._read_nft(address), self._settings.fresh

        return await self._nfts.recall(address, read)

    async def token(self, address: ChecksumAddress) -> Token:
        async def read() -> tuple[Token, float]:
            said = await _together(
                self._call(address, contract_calls.NAME), self._call(address, contract_calls.SYMBOL)
            )
            name, symbol = (str(found[0])[:_MAX_NAME] if found else "" for found in said)
            return Token(address, name, symbol), FOR_EVER if name else self._settings.fresh

        return await self._tokens.recall(address, read)

    async def holds(self, access_list: ChecksumAddress, who: ChecksumAddress) -> bool:
        async def read() -> tuple[bool, float]:
            found = await self._call(access_list, contract_calls.BALANCE_OF, who)
            if found is None:
                refuse(Reason.CREDENTIALS_UNKNOWN, "an access list of the asset cannot be read")
            return found[0] > 0, self._settings.fresh

        return await self._held.recall((access_list, who), read)

    async def call_function(self, file: SmartContractFile, values: Json) -> bytes:
        data = contract_calls.encode(file.function, values)
        answer = await self._eth_call(_address(file.address), data)
        if answer is None:
            refuse(Reason.FILE_UNAVAILABLE, "the contract of a file refuses the call")
        return contract_calls.read_answer(file.function, answer)

    async def metadata(self, nft: ChecksumAddress) -> Metadata | None:
        async def read() -> tuple[Metadata | _Missing, float]:
            if not (await self._relation(nft, None))[0]:
                return _Missing.MISSING, self._settings.fresh
            async with self._searching():
                found = await self._newest(nft)
            return (found, self._settings.fresh) if found else (_Missing.MISSING, AT_ONCE)

        return _present(await self._found.recall(nft, read))

    async def metadata_in(self, nft: ChecksumAddress, transaction: str) -> Metadata | None:
        logs = await self._mined(transaction, lambda found: _logs(found["logs"]))
        if logs is None or not (await self._relation(nft, None))[0]:
            return None
        return _newest(logs, nft)

    async def nft_named(self, did: str) -> str | None:
        digest = did.rpartition(":")[2]
        if digest in self._index:
            return self._index[digest]
        async with self._searching(), self._indexing:
            return await self._indexed(digest)

    async def _receipt(self, transaction: str) -> orders.Receipt | None:
        async def read() -> tuple[orders.Receipt | _Missing, float]:
            receipt = await self._mined(transaction, _receipt)
            if receipt is None or receipt.transaction != transaction:
                return _Missing.MISSING, AT_ONCE
            block_time = await self._block_time(receipt.block_hash)
            if block_time is None:
                return _Missing.MISSING, AT_ONCE
            return replace(receipt, block_time=block_time), await self._holds_for(receipt)

        return _present(await self._receipts.recall(transaction, read))

    async def _holds_for(self, receipt: orders.Receipt) -> float:
        """Tell for how long a receipt is remembered; large ones, which nobody needs, are not."""
        if len(receipt.logs) > _MAX_LOGS:
            return AT_ONCE
        if sum(len(log.data) for log in receipt.logs) > _MAX_LOG_BYTES:
            return AT_ONCE
        is_settled = await self.head() - receipt.block_number + 1 >= self._settings.settled
        return FOR_EVER if is_settled else self._settings.fresh

    async def _mined(
        self, transaction: str, convert: Callable[[Mapping[str, Any]], Result]
    ) -> Result | None:
        """Read a receipt; None for a transaction that is in no block."""

        def mined(found: Any) -> Result | None:
            return convert(found) if found.get("blockHash") else None

        try:
            receipt: Awaitable[Any] = self._web3.eth.get_transaction_receipt(HexStr(transaction))
            return await self._ask(receipt, mined)
        except TransactionNotFound:
            return None

    async def _block_time(self, block_hash: str) -> int | None:
        async def read() -> tuple[int, float]:
            block: Awaitable[Any] = self._web3.eth.get_block(HexStr(block_hash))
            return await self._ask(block, lambda found: int(found["timestamp"])), FOR_EVER

        try:
            return await self._block_times.recall(block_hash, read)
        except BlockNotFound:  # it was reorganised away since the receipt was read
            return None

    async def _relation(
        self, nft: ChecksumAddress, datatoken: ChecksumAddress | None
    ) -> tuple[bool, bool]:
        """Tell whether the factory knows the NFT, and these two each other.

        Nobody is asked who is not vouched for: a contract of a stranger says yes to anything.
        """

        async def read() -> tuple[tuple[bool, bool], float]:
            listed = await self._call(self._factory, contract_calls.ERC721_LIST, nft)
            if listed is None or not addresses.are_equal(listed[0], nft):
                return (False, False), self._settings.fresh
            if datatoken is None:
                return (True, False), FOR_EVER
            is_of_nft = await self._is_of_nft(nft, datatoken)
            return (True, is_of_nft), FOR_EVER if is_of_nft else self._settings.fresh

        return await self._relations.recall((nft, datatoken), read)

    async def _is_of_nft(self, nft: ChecksumAddress, datatoken: ChecksumAddress) -> bool:
        deployed = await self._call(nft, contract_calls.IS_DEPLOYED, datatoken)
        if deployed is None or deployed[0] is not True:
            return False
        named = await self._call(datatoken, contract_calls.NFT_OF_DATATOKEN)
        return named is not None and addresses.are_equal(named[0], nft)

    async def _read_nft(self, address: ChecksumAddress) -> Nft | Refusal:
        unknown = Refusal(
            Reason.ASSET_NOT_FROM_OCEAN, "the asset's NFT was not made by Ocean's factory"
        )
        if not (await self._relation(address, None))[0]:
            return unknown
        owner, metadata = await _together(
            self._call(address, contract_calls.OWNER_OF, 1),
            self._call(address, contract_calls.METADATA),
        )
        if owner is None or metadata is None:
            return unknown
        return Nft(address, _address(owner[0]), int(metadata[2]))

    async def _newest(self, nft: ChecksumAddress) -> Metadata | None:
        """Search what is not settled anew, then what was never searched, newest first."""

        async def new() -> tuple[_History, float]:
            settled = await self._settled()
            return _History(settled + 1, settled), FOR_EVER

        def keep(logs: list[_Log]) -> bool:
            history.newest = _newest(logs, nft) or history.newest
            return history.newest is not None

        topics = [metadata_logs.CREATED, metadata_logs.UPDATED, metadata_logs.VALIDATED]

        async def logs(low: int, high: int) -> list[_Log]:
            return await self._logs(nft, topics, low, high)

        head, settled = await self._head_now(), await self._settled()
        history = await self._histories.recall(nft, new)
        found = _newest(await logs(max(history.high, settled) + 1, head), nft)
        if found is not None:
            return found
        if history.newest is None and not await self._has_metadata(nft):
            return None
        await self._search_through(history, logs, keep)
        return history.newest

    async def _has_metadata(self, nft: ChecksumAddress) -> bool:
        """Ask the NFT, so that nothing is searched for that was never there."""
        said = await self._call(nft, contract_calls.METADATA)
        return said is None or said[3] is True

    async def _indexed(self, digest: str) -> str | None:
        def keep(logs: list[_Log]) -> bool:
            if len(self._index) < _MAX_NFTS:
                self._index |= self._named(logs)
            return digest in self._index

        async def logs(low: int, high: int) -> list[_Log]:
            return await self._logs(self._factory, [metadata_logs.NFT_CREATED], low, high)

        head, settled = await self._head_now(), await self._settled()
        history = self._index_history = self._index_history or _History(settled + 1, settled)
        recent = self._named(await logs(max(history.high, settled) + 1, head))
        if digest in recent:
            return recent[digest]
        await self._search_through(history, logs, keep)
        return self._index.get(digest)

    def _named(self, logs: list[_Log]) -> dict[str, str]:
        """Tell the digests in the DIDs of the NFTs that were made."""
        made = [metadata_logs.nft_created(log.raw) for log in logs]
        return {
            hashlib.sha256(f"{nft}{self._settings.chain_id}".encode()).hexdigest(): nft
            for nft in made
            if nft is not None
        }

    async def _search_through(
        self,
        history: _History,
        logs: Callable[[int, int], Awaitable[list[_Log]]],
        keep: Callable[[list[_Log]], bool],
    ) -> None:
        """Search blocks not yet searched until `keep` has what it wants.

        First those that came since, oldest first, so that what was searched stays in one piece;
        then those before. What was searched is not searched again, also where this is cut short.
        """
        settled, chunk = await self._settled(), self._settings.chunk
        has_enough = keep([])
        while history.high < settled:
            high = min(history.high + chunk, settled)
            has_enough = keep(await logs(history.high + 1, high))
            history.high = high
        while not has_enough and history.low > self._settings.first_block:
            low = max(history.low - chunk, self._settings.first_block)
            has_enough = keep(await logs(low, history.low - 1))
            history.low = low

    async def _settled(self) -> int:
        """Tell the newest block that stays.

        The margin is also for endpoints that lag behind the one that told the head: of blocks
        that it does not have, an endpoint has no logs.
        """
        return max(await self.head() - self._settings.settled, self._settings.first_block - 1)

    async def _logs(
        self, address: ChecksumAddress, topics: list[bytes], low: int, high: int
    ) -> list[_Log]:
        """Read logs of a contract; where an endpoint finds that too much, in halves."""
        if low > high:
            return []
        wanted: Any = {
            "address": address,
            "topics": [[_hexadecimal(topic) for topic in topics]],
            "fromBlock": BlockNumber(low),
            "toBlock": BlockNumber(high),
        }
        try:
            found = await self._heard(self._web3.eth.get_logs(wanted), _logs)
        except AnswerError:
            if low == high:
                raise self._unavailable() from None
        else:
            return [log for log in found if addresses.are_equal(log.raw.emitter, address)]
        middle = (low + high) // 2
        return [
            *await self._logs(address, topics, low, middle),
            *await self._logs(address, topics, middle + 1, high),
        ]

    async def _call(
        self, contract: ChecksumAddress, function: Function, *arguments: object
    ) -> tuple[Any, ...] | None:
        """Call a contract; None where it has no such function, fails, or answers something else."""
        answer = await self._eth_call(contract, function.call(*arguments))
        return function.read(answer) if answer else None

    async def _eth_call(self, contract: ChecksumAddress, data: bytes) -> bytes | None:
        call: TxParams = {"to": contract, "data": _hexadecimal(data), "gas": GAS}
        try:
            return await self._heard(self._web3.eth.call(call, "latest"), bytes)
        except AnswerError as error:
            if error.is_execution:
                return None
            raise self._unavailable() from None

    async def _ask(self, answer: Awaitable[Any], convert: Callable[[Any], Result]) -> Result:
        """Wait for an answer; an error of every endpoint is no answer."""
        try:
            return await self._heard(answer, convert)
        except AnswerError:
            raise self._unavailable() from None

    async def _heard(self, answer: Awaitable[Any], convert: Callable[[Any], Result]) -> Result:
        """Wait for an answer; what cannot be read is no answer."""
        try:
            return convert(await answer)
        except (TransactionNotFound, BlockNotFound):
            raise
        except (Web3Exception, Refused, ValueError, TypeError, KeyError, AttributeError):
            raise self._unavailable() from None

    @asynccontextmanager
    async def _searching(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.search_limit):
                yield
        except TimeoutError:
            raise UnavailableError(
                f"chain {self._settings.chain_id} is still being searched; ask again later"
            ) from None

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"chain {self._settings.chain_id} does not answer as it should")


async def _together(
    one: Coroutine[Any, Any, Result], other: Coroutine[Any, Any, Other]
) -> tuple[Result, Other]:
    """Wait for two at once; the first failure ends both and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(one), group.create_task(other)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()


def _present(value: Result | _Missing) -> Result | None:
    return None if isinstance(value, _Missing) else value


def _address(text: str) -> ChecksumAddress:
    return AsyncWeb3.to_checksum_address(addresses.checksummed(text))


def _logs(found: Iterable[Mapping[str, Any]]) -> list[_Log]:
    """Read logs, oldest first."""
    logs = [
        _Log(
            int(log["blockNumber"]),
            int(log["logIndex"]),
            _hexadecimal(log["transactionHash"]),
            _raw_log(log),
        )
        for log in found
    ]
    return sorted(logs, key=lambda log: (log.block_number, log.index))


def _raw_log(log: Mapping[str, Any]) -> RawLog:
    topics = tuple(bytes(topic) for topic in log["topics"])
    return RawLog(str(log["address"]), topics, bytes(log["data"]))


def _order_log(log: Mapping[str, Any]) -> RawLog:
    """Read a log; of one that concerns no order only its place is kept."""
    read = _raw_log(log)
    return read if read.topics and read.topics[0] in _ORDER_TOPICS else _NOTHING


def _receipt(found: Mapping[str, Any]) -> orders.Receipt:
    """Read a receipt, but for the time of its block."""
    return orders.Receipt(
        transaction=_hexadecimal(found["transactionHash"]),
        succeeded=found.get("status") == 1,
        block_number=int(found["blockNumber"]),
        block_hash=_hexadecimal(found["blockHash"]),
        block_time=0,
        sender=_address(found["from"]),
        to=_address(found["to"]) if found.get("to") else None,
        logs=tuple(_order_log(log) for log in found["logs"]),
    )


def _newest(logs: Iterable[_Log], nft: str) -> Metadata | None:
    """Read the last metadata that an NFT was given in these logs."""
    of_nft = [log for log in logs if addresses.are_equal(log.raw.emitter, nft)]
    for log in reversed(of_nft):
        found = metadata_logs.metadata_set(log.raw)
        if found is None:
            continue
        beside = [one.raw for one in of_nft if one.transaction == log.transaction]
        validators = {metadata_logs.validator(one, found.document.hash) for one in beside}
        return Metadata(
            document=found.document,
            transaction=log.transaction,
            block_number=log.block_number,
            block_time=found.timestamp,
            sender=found.sender,
            decryptor_url=found.decryptor_url,
            is_update=found.is_update,
            validated=tuple(sorted(one for one in validators if one is not None)),
        )
    return None


def _hexadecimal(value: bytes) -> HexStr:
    return HexStr(f"0x{value.hex().removeprefix('0x')}")
