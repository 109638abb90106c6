"""Events of Ocean's contracts, decoded from the raw logs of a receipt.

A log says nothing about who wrote it but its emitter: any contract can write the same topics and
data. So every event keeps its emitter, and whoever asks for events names the emitter it trusts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from c2d_provider import addresses

ORDER_STARTED: Final = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
ORDER_REUSED: Final = "0x526e31449ea46e2aecf9b480c8d7dfa191348ef74ffdf75b445a6ab726daa6ff"
PROVIDER_FEE: Final = "0xf8ed11cdaaf10eca2b6c941fb802cb8682afe86cac1eb93f70d0780fa062c544"

_WORD = 32
_ADDRESS_PADDING = bytes(12)


@dataclass(frozen=True)
class RawLog:
    """One entry of a receipt's logs: the emitting contract, its topics and its data."""

    emitter: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class OrderStarted:
    """A service was bought; `amount` is in wei of the datatoken, `timestamp` the block's."""

    emitter: str
    position: int
    consumer: str
    payer: str
    amount: int
    service_index: int
    timestamp: int


@dataclass(frozen=True)
class OrderReused:
    """Somebody paid a new provider fee for an order of any transaction, real or not."""

    emitter: str
    position: int
    order_transaction: str
    caller: str
    timestamp: int


@dataclass(frozen=True)
class ProviderFee:
    """A provider fee was taken; the contract checks its signature and nothing else.

    `amount` is in the smallest unit of `token`, `valid_until` in seconds of the epoch; `position`
    is the place of the log in its receipt.
    """

    emitter: str
    position: int
    address: str
    token: str
    amount: int
    data: bytes
    v: int
    r: bytes
    s: bytes
    valid_until: int


Event = OrderStarted | OrderReused | ProviderFee


def decode(log: RawLog, position: int = 0) -> Event | None:
    """Decode a log; None if it is no event known here, or malformed."""
    if not log.topics or not addresses.is_address(log.emitter):
        return None
    emitter = addresses.checksummed(log.emitter)
    try:
        match f"0x{log.topics[0].hex()}":
            case topic if topic == ORDER_STARTED:
                return _order_started(log, emitter, position)
            case topic if topic == ORDER_REUSED:
                return _order_reused(log, emitter, position)
            case topic if topic == PROVIDER_FEE:
                return _provider_fee(log, emitter, position)
    except (DecodingError, ValueError):
        return None
    return None


def emitted_by(logs: tuple[RawLog, ...], emitter: str) -> Iterator[Event]:
    """List the events that one contract wrote."""
    for position, log in enumerate(logs):
        if addresses.are_equal(log.emitter, emitter):
            event = decode(log, position)
            if event is not None:
                yield event


def _order_started(log: RawLog, emitter: str, position: int) -> OrderStarted:
    consumer, _market = _addresses(log, 2)
    payer, amount, service, timestamp, _block = _words(
        ("address", "uint256", "uint256", "uint256", "uint256"), log.data
    )
    return OrderStarted(
        emitter, position, consumer, addresses.checksummed(payer), amount, service, timestamp
    )


def _order_reused(log: RawLog, emitter: str, position: int) -> OrderReused:
    _addresses(log, 0)
    order, caller, timestamp, _block = _words(
        ("bytes32", "address", "uint256", "uint256"), log.data
    )
    return OrderReused(
        emitter, position, f"0x{order.hex()}", addresses.checksummed(caller), timestamp
    )


def _provider_fee(log: RawLog, emitter: str, position: int) -> ProviderFee:
    address, token = _addresses(log, 2)
    amount, data, v, r, s, valid_until = _words(
        ("uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"), log.data
    )
    return ProviderFee(emitter, position, address, token, amount, data, v, r, s, valid_until)


def _addresses(log: RawLog, count: int) -> tuple[str, ...]:
    """Read the indexed addresses of a log, which must be all that it has."""
    topics = log.topics[1:]
    if len(topics) != count:
        raise ValueError("another number of topics")
    if any(len(topic) != _WORD or topic[:12] != _ADDRESS_PADDING for topic in topics):
        raise ValueError("a topic is no address")
    return tuple(addresses.checksummed(f"0x{topic[12:].hex()}") for topic in topics)


def _words(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    return abi_decode(types, data)
