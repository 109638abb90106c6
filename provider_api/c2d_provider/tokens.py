"""Authentication tokens: a JWT that stands for its address's signature, for some time.

A token is made by this provider and read by it alone, so it needs no store: only what is
invalidated before its end is remembered, by `Token.id`, until then. Each has the nonce it was
asked with, so none is ever made twice and an invalidated one never comes back.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from c2d_provider import addresses
from c2d_provider.refusals import Reason, Refusal

MAX_LIFETIME = 30 * 24 * 3600
"""The longest life of a token, in seconds; without a limit the list of invalidated ones grows."""

SHARDS = 16
_ALGORITHM = "HS256"
_MAX_CHARACTERS = 2048
_MAX_NONCE = 200
_MILLISECONDS = 10**11
_INVALID = Refusal(Reason.TOKEN_INVALID, "Token is invalid.")
_EXPIRED = Refusal(Reason.TOKEN_EXPIRED, "Token is expired.")


@dataclass(frozen=True)
class Token:
    """A token of ours: whose it is, and until when, in seconds of the epoch."""

    id: str
    address: str
    nonce: str
    expires: int


def expiry(asked: int | None, now: int) -> int | Refusal:
    """Decide when a token ends, in seconds: as asked, within `MAX_LIFETIME`.

    Provider v2's `expiration` is in seconds, the node's `validUntil` in milliseconds; no number
    is a plausible time in both.
    """
    if asked is None:
        return now + MAX_LIFETIME
    seconds = asked // 1000 if asked >= _MILLISECONDS else asked
    if seconds <= now:
        return _EXPIRED
    return min(seconds, now + MAX_LIFETIME)


def make(secret: bytes, audience: str, address: str, nonce: str, expires: int, now: int) -> str:
    """Write a token; `secret` has at least 32 bytes, `audience` names the provider."""
    claims = {
        "address": addresses.checksummed(address),
        "nonce": nonce,
        "createdAt": now * 1000,
        "exp": expires,
        "aud": audience,
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def read(secret: bytes, audience: str, text: str, now: int) -> Token | Refusal:
    """Read a token of ours.

    That it is not invalidated, and that its address is the one the request speaks for, is for
    the caller to check: `Token.id` and `Token.address`.
    """
    claims = _claims(secret, audience, text)
    nonce, expires = claims.get("nonce"), claims.get("exp")
    if not isinstance(nonce, str) or len(nonce) > _MAX_NONCE or type(expires) is not int:
        return _INVALID
    address = claims.get("address")
    if not addresses.is_address(address):
        return _INVALID
    if expires <= now:
        return _EXPIRED
    owner = addresses.checksummed(address)
    return Token(_id(owner, nonce, expires), owner, nonce, expires)


def end(store: Mapping[str, str], token: Token, now: int) -> dict[str, str]:
    """Remember that a token is ended; what would have expired by now is forgotten on the way."""
    kept = {id_: until for id_, until in store.items() if int(until) > now}
    return {**kept, token.id: str(token.expires)}


def shard_of(token: Token) -> int:
    """Name the shard of a token."""
    return int(token.id[:2], 16) % SHARDS


def _id(address: str, nonce: str, expires: int) -> str:
    """Name a token by what it says: one token has many spellings in base64."""
    return hashlib.sha256(f"{address} {nonce} {expires}".encode()).hexdigest()[:32]


def _claims(secret: bytes, audience: str, text: str) -> Mapping[str, Any]:
    if len(text) > _MAX_CHARACTERS or not text.isascii():
        return {}
    try:
        # The clock is the caller's, so `exp` is compared in `read`.
        options: Any = {
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "require": ["exp", "aud", "address", "nonce"],
        }
        claims: Mapping[str, Any] = jwt.decode(
            text, secret, algorithms=[_ALGORITHM], audience=audience, options=options
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return claims
