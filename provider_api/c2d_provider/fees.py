"""Provider fees: what compute costs, and the signed offer that a consumer pays with an order.

A fee is signed by the provider and collected by the datatoken contract, which checks that one
signature only. So everything that must hold later stands in what is signed: the datatoken and the
service, and for provider v2 the environment and the time of the offer.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from c2d_provider import addresses, signatures, strict_json
from c2d_provider.refusals import Refusal, Refused

MINUTE = 60
_MAX_DATA_BYTES = 4096
_MAX_TIME = 2**40
_FIELDS = 4


@dataclass(frozen=True)
class Price:
    """What an environment costs in one token: whole tokens a minute, and the token's decimals."""

    token: str
    per_minute: Decimal
    decimals: int


@dataclass(frozen=True)
class Offer:
    """What a fee's `providerData` says: whom and what it is for, and when it was offered.

    `offered_at` is in seconds of the epoch; it and `environment` are None in the node generation,
    whose fees pay for no compute.
    """

    datatoken: str
    service_id: str
    environment: str | None = None
    offered_at: int | None = None

    def encode(self) -> bytes:
        """Write `providerData`: compact JSON in the order of keys that clients have seen."""
        body: dict[str, Any] = {}
        if self.environment is not None and self.offered_at is not None:
            body = {"environment": self.environment, "timestamp": float(self.offered_at)}
        return strict_json.compact({**body, "dt": self.datatoken, "id": self.service_id}).encode()


@dataclass(frozen=True)
class Fee:
    """A fee without signature: `amount` in the token's smallest unit, `valid_until` in seconds."""

    address: str
    token: str
    amount: int
    data: bytes
    valid_until: int


@dataclass(frozen=True)
class SignedFee:
    """A fee that the contracts accept, with the signature in parts; v is 27 or 28."""

    fee: Fee
    v: int
    r: bytes
    s: bytes

    def as_dict(self) -> dict[str, Any]:
        """Write the object that clients hand to `startOrder`; the amount is a decimal text."""
        return {
            "providerFeeAddress": self.fee.address,
            "providerFeeToken": self.fee.token,
            "providerFeeAmount": str(self.fee.amount),
            "providerData": f"0x{self.fee.data.hex()}",
            "v": self.v,
            "r": f"0x{self.r.hex()}",
            "s": f"0x{self.s.hex()}",
            "validUntil": self.fee.valid_until,
        }


def read_offer(data: bytes) -> Offer | None:
    """Read `providerData`; None if it is not of a form that this provider writes."""
    try:
        body = strict_json.parse(data, _MAX_DATA_BYTES)
    except Refused:
        return None
    if not isinstance(body, dict):
        return None
    datatoken, service_id = body.get("dt"), body.get("id")
    if not addresses.is_address(datatoken) or not isinstance(service_id, str):
        return None
    if set(body) == {"dt", "id"}:
        return Offer(str(datatoken), service_id)
    environment, time = body.get("environment"), _time(body.get("timestamp"))
    if len(body) != _FIELDS or not isinstance(environment, str) or time is None:
        return None
    return Offer(str(datatoken), service_id, environment, time)


def _time(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return math.floor(value) if 0 <= value <= _MAX_TIME else None


def by_second(seconds: int, price: Price) -> int:
    """Price a time as provider v2 does: every second counts, days too.

    The price is in whole tokens; a part of the smallest unit is rounded up, so that what has a
    price is never free.
    """
    exact = Fraction(max(seconds, 0)) * Fraction(price.per_minute) / MINUTE
    return math.ceil(exact * int(10**price.decimals))


def by_minute(seconds: int, price: Price, least: int = 0) -> int:
    """Price a time as the node does: begun minutes count whole, and at least `least` seconds."""
    minutes = -(-max(seconds, least, 0) // MINUTE)
    return math.ceil(Fraction(minutes) * Fraction(price.per_minute) * int(10**price.decimals))


def fee_of(offer: Offer, address: str, price: Price | None, valid_until: int) -> Fee:
    """Compute the fee of an offer: from when it is made until `valid_until`, days included.

    One order of a job carries the fee. The others, all in a free environment, and all of the node
    generation have no `price`: an offer of nothing, which clients need as much, since the
    contract takes no order without a signed fee.
    """
    amount = 0
    if price is not None and offer.offered_at is not None and price.token != addresses.ZERO:
        amount = by_second(valid_until - offer.offered_at, price)
    token = addresses.checksummed(price.token) if price and amount else addresses.ZERO
    return Fee(addresses.checksummed(address), token, amount, offer.encode(), valid_until)


def digest(fee: Fee) -> bytes:
    """Hash a fee as the datatoken contract does: its fields packed, without lengths."""
    return keccak(
        fee.data
        + bytes.fromhex(fee.address[2:])
        + bytes.fromhex(fee.token[2:])
        + fee.amount.to_bytes(32, "big")
        + fee.valid_until.to_bytes(32, "big")
    )


def sign(fee: Fee, key: bytes) -> SignedFee:
    """Sign a fee with the 32-byte key of `fee.address`."""
    signed = PrivateKey(key).sign_msg_hash(signatures.personal_digest(digest(fee)))
    return SignedFee(fee, 27 + signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))


def signer(signed: SignedFee) -> str | None:
    """Name the address that signed a fee; None where none can have."""
    v = signed.v - 27 if signed.v >= 27 else signed.v  # noqa: PLR2004 - as in signatures
    parts = signatures.check(v, int.from_bytes(signed.r, "big"), int.from_bytes(signed.s, "big"))
    if isinstance(parts, Refusal):
        return None
    return signatures.recover(signatures.personal_digest(digest(signed.fee)), parts)
