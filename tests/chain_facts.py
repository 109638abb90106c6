"""Receipts as Ocean's contracts write them, for tests of the provider's rules."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from c2d_provider import fees
from c2d_provider.events import RawLog
from c2d_provider.fees import Fee, Offer, Price, SignedFee
from c2d_provider.orders import WHOLE_DATATOKEN, Receipt

PROVIDER_KEY = b"\x11" * 32
PROVIDER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
STRANGER_KEY = b"\x22" * 32
STRANGER = "0x1563915e194D8CfBA1943570603F7606A3115508"
CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
ENVIRONMENT_CONSUMER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
FACTORY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
NFT = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"
DATATOKEN = "0xe082b26cEf079a095147F35c9647eC97c2401B83"
OTHER_DATATOKEN = "0x0Db1D0Cfcba97F7dc5AF76cfEC1a646c33cD9297"
TOKEN = "0x4444444444444444444444444444444444444444"  # noqa: S105 - a contract's address
ZERO = "0x" + "0" * 40
SERVICE = "97d09a3f"
ENVIRONMENT = "jobs.small"

TRANSACTION = "0x" + "aa" * 32
REUSE = "0x" + "bb" * 32
BLOCK = 100
BLOCK_TIME = 1_800_000_000

ORDER_STARTED = "OrderStarted(address,address,uint256,uint256,uint256,address,uint256)"
ORDER_REUSED = "OrderReused(bytes32,address,uint256,uint256)"
PROVIDER_FEE = "ProviderFee(address,address,uint256,bytes,uint8,bytes32,bytes32,uint256)"


def started(**changes: Any) -> RawLog:
    """Write the log of an OrderStarted."""
    of = {
        "emitter": DATATOKEN,
        "consumer": ENVIRONMENT_CONSUMER,
        "payer": CONSUMER,
        "amount": WHOLE_DATATOKEN,
        "service_index": 1,
        **changes,
    }
    return RawLog(
        of["emitter"],
        (keccak(text=ORDER_STARTED), _topic(of["consumer"]), _topic(ZERO)),
        encode(
            ("address", "uint256", "uint256", "uint256", "uint256"),
            (of["payer"], of["amount"], of["service_index"], BLOCK_TIME, BLOCK),
        ),
    )


def reused(
    transaction: str = TRANSACTION, emitter: str = DATATOKEN, caller: str = CONSUMER
) -> RawLog:
    """Write the log of an OrderReused."""
    return RawLog(
        emitter,
        (keccak(text=ORDER_REUSED),),
        encode(
            ("bytes32", "address", "uint256", "uint256"),
            (bytes.fromhex(transaction[2:]), caller, BLOCK_TIME, BLOCK),
        ),
    )


def offered(**changes: Any) -> Fee:
    """Make an offer of nothing, as in the node generation, or of what is given."""
    of = {
        "address": PROVIDER,
        "token": ZERO,
        "amount": 0,
        "offer": Offer(DATATOKEN, SERVICE),
        "valid_until": 0,
        **changes,
    }
    return Fee(of["address"], of["token"], of["amount"], of["offer"].encode(), of["valid_until"])


PRICE = Price(TOKEN, fees.Decimal("0.6"), 18)


def paid(**changes: Any) -> Fee:
    """Make an offer of 600 seconds for 6 tokens, made a minute before the block."""
    offer = Offer(
        changes.pop("datatoken", DATATOKEN),
        changes.pop("service", SERVICE),
        changes.pop("environment", ENVIRONMENT),
        changes.pop("offered_at", BLOCK_TIME - 60),
    )
    return offered(
        **{
            "offer": offer,
            "token": TOKEN,
            "amount": 6 * 10**18,
            "valid_until": BLOCK_TIME + 540,
            **changes,
        }
    )


def charged(fee: Fee | None = None, emitter: str = DATATOKEN, key: bytes = PROVIDER_KEY) -> RawLog:
    """Write the log of a ProviderFee."""
    return fee_log(fees.sign(fee or offered(), key), emitter)


def fee_log(signed: SignedFee, emitter: str = DATATOKEN) -> RawLog:
    """Write the log of a fee with this signature."""
    fee = signed.fee
    return RawLog(
        emitter,
        (keccak(text=PROVIDER_FEE), _topic(fee.address), _topic(fee.token)),
        encode(
            ("uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"),
            (fee.amount, fee.data, signed.v, signed.r, signed.s, fee.valid_until),
        ),
    )


def receipt(*logs: RawLog, **changes: Any) -> Receipt:
    """Write the receipt of a transaction that the consumer sent to the datatoken."""
    return Receipt(
        **{
            "transaction": TRANSACTION,
            "succeeded": True,
            "block_number": BLOCK,
            "block_hash": "0x" + "cc" * 32,
            "block_time": BLOCK_TIME,
            "sender": CONSUMER,
            "to": DATATOKEN,
            "logs": logs,
            **changes,
        }
    )


def _topic(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])
