"""Nonces: each signed request of an address has a higher one than the request before.

What is remembered is split into shards, each one object in Kubernetes that is written by
compare-and-set. `advance` decides over the contents of a shard; the caller writes what it returns
before anything else happens, and asks again with newer contents where another replica was first.

**A shard never grows beyond `CAPACITY` addresses, and forgetting one allows no replay.** What is
forgotten are the lowest nonces, and the highest of those becomes the shard's floor: an address
that is not remembered must come with a nonce above it. Whatever a forgotten address ever signed
is at or below the floor. Clients ask for their nonce and count on from the answer, so a forgotten
address that starts at the floor notices nothing.

Nonces beyond `COUNTABLE`, which JavaScript could not count on from, never raise the floor. They
stay, and may take half of a shard: more are refused, so that nobody's huge nonces lock others out.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from c2d_provider import addresses
from c2d_provider.refusals import Reason, Refusal, refuse

SHARDS = 256
CAPACITY = 512
"""Addresses in a shard. A full one is below 250 kB, of the megabyte that an object may have."""

MAX_DIGITS = 128
COUNTABLE = 10**20
REPEATABLE_SECONDS = 600
_MAX_REPEATS = 4
_MAX_FRACTION = 18
_FLOOR_KEY = "floor"
_DIGEST = 24
_R_AND_S = 128
_NONCE = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_EXACT_BITS = 53


@dataclass(frozen=True, order=True)
class Nonce:
    """A nonce as a number; its text is what the client signed."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Use:
    """What a nonce is used for, as far as it is remembered.

    `signature` and `request` are digests. A request that `may_repeat`, the download of a result,
    is good again for ten minutes if it is the very same, so that downloads can be resumed.
    """

    signature: str
    request: str
    may_repeat: bool = False


@dataclass(frozen=True)
class Repeat:
    """A use that is remembered until a time, in seconds of the epoch."""

    use: Use
    until: int


@dataclass(frozen=True)
class Entry:
    """What is remembered of an address: its highest nonce, and its last few uses."""

    nonce: Nonce
    repeats: tuple[Repeat, ...] = ()


@dataclass(frozen=True)
class Shard:
    """The contents of a shard: entries by checksummed address."""

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    floor: Nonce = Nonce(Fraction(0), "0")

    def encode(self) -> dict[str, str]:
        """Write the form that is stored: a text an address."""
        body = {address: _entry_text(entry) for address, entry in self.entries.items()}
        return {**body, _FLOOR_KEY: self.floor.text}


def decode(data: Mapping[str, str]) -> Shard:
    """Read what `Shard.encode` wrote.

    Raises:
        Refused: It is something else. To start anew would let everything be replayed.
    """
    entries = {
        addresses.checksummed(address): _entry(text)
        for address, text in data.items()
        if address != _FLOOR_KEY
    }
    return Shard(MappingProxyType(entries), parse(data.get(_FLOOR_KEY, "0")))


def parse(sent: object) -> Nonce:
    """Read a nonce: a decimal of any size, as text or as a whole JSON number.

    Clients count, send milliseconds or nanoseconds, or append a digit each time (ocean.js 3.1),
    so it fits no machine number. One number has one text: no sign, exponent or leading zero.

    Raises:
        Refused: It is no such number.
    """
    if isinstance(sent, int) and not isinstance(sent, bool) and 0 <= sent < 10**MAX_DIGITS:
        return Nonce(Fraction(sent), str(sent))
    found = _NONCE.fullmatch(sent) if isinstance(sent, str) else None
    if not found or len(found[1]) > MAX_DIGITS or len(found[2] or "") > _MAX_FRACTION:
        refuse(Reason.INVALID_NONCE, "nonce must be a decimal number without sign or exponent")
    return Nonce(Fraction(found[0]), found[0])


def shard_of(address: str) -> int:
    """Name the shard of an address. The number of shards is for ever: it decides what is known."""
    key = addresses.checksummed(address).lower().encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:2], "big") % SHARDS


def use(signature: str, request: str, *, may_repeat: bool = False) -> Use:
    """Describe what a nonce is used for; `request` has method, path and all that it asks for.

    With a token in place of a signature, `signature` is the token's id with the nonce.
    """
    spelled = signature.lower().removeprefix("0x")[:_R_AND_S]
    return Use(_digest(spelled), _digest(request), may_repeat)


def advance(
    shard: Shard, address: str, nonce: Nonce, used: Use, now: int, capacity: int = CAPACITY
) -> Shard | Refusal:
    """Take a nonce of an address whose signature was verified; `now` is in seconds.

    Returns the shard itself, to which nothing is to be written, where a request that may be
    repeated is. Authorise first what can be authorised without side effects: each address that
    gets here takes a place in the shard.
    """
    address = addresses.checksummed(address)
    entry = shard.entries.get(address)
    repeats = tuple(r for r in entry.repeats if r.until > now) if entry else ()
    known = next((r for r in repeats if r.use.signature == used.signature), None)
    if known is not None:
        is_same = known.use == used and used.may_repeat
        return shard if is_same else Refusal(Reason.NONCE_USED, "the signature was used before")
    highest = entry.nonce if entry else shard.floor
    if nonce <= highest:
        return Refusal(
            Reason.NONCE_USED,
            f"Invalid signature expected nonce ({highest.text}) > current nonce ({nonce.text}).",
        )
    kept = (*repeats, Repeat(used, now + REPEATABLE_SECONDS))[-_MAX_REPEATS:]
    return _with_room(shard, address, Entry(nonce, kept), capacity)


def issue(
    shard: Shard, address: str, least: int, capacity: int = CAPACITY
) -> tuple[Shard, Nonce] | Refusal:
    """Take a nonce for a request that we sign for an address: `least`, or above all it used.

    So no two are the same, whichever replica signs, and a request that we signed for another
    provider is none that we would take ourselves.
    """
    address = addresses.checksummed(address)
    entry = shard.entries.get(address)
    highest = entry.nonce if entry else shard.floor
    nonce = parse(max(least, math.floor(highest.value) + 1))
    taken = _with_room(shard, address, Entry(nonce, entry.repeats if entry else ()), capacity)
    return taken if isinstance(taken, Refusal) else (taken, nonce)


def current(shard: Shard, address: str) -> str:
    """Tell the nonce that a client counts on from, as a whole number.

    Clients add one to it in double precision, ocean.py after rounding up. The answer is such that
    what they get is above what is remembered, also where doubles are further apart than one.
    """
    entry = shard.entries.get(addresses.checksummed(address))
    nonce = (entry.nonce if entry else shard.floor).value
    answer = math.ceil(nonce)
    while not _counts_on(answer, nonce):
        answer += 1 << (answer.bit_length() - _EXACT_BITS)
    return str(answer)


def _counts_on(answer: int, nonce: Fraction) -> bool:
    """Say whether clients get above a nonce from an answer: ocean.py, then JavaScript.

    JavaScript writes the shortest digits that mean the same double, which may be less than it.
    """
    number = float(answer)
    return int(number) + 1 > nonce and Decimal(repr(number + 1)) > nonce


def _with_room(shard: Shard, address: str, entry: Entry, capacity: int) -> Shard | Refusal:
    entries = {**shard.entries, address: entry}
    is_huge, was = entry.nonce.value > COUNTABLE, shard.entries.get(address)
    if is_huge and (was is None or was.nonce.value <= COUNTABLE):
        huge = sum(one.nonce.value > COUNTABLE for one in shard.entries.values())
        if huge >= capacity // 2:
            return Refusal(
                Reason.NONCE_STORE_FULL, f"nonces above {COUNTABLE} are not accepted any more"
            )
    floor = shard.floor
    if len(entries) > capacity:
        others = ((one.nonce, name) for name, one in entries.items() if name != address)
        lowest, name = min(others)
        del entries[name]
        floor = max(floor, lowest)
    return replace(shard, entries=MappingProxyType(entries), floor=floor)


def _entry_text(entry: Entry) -> str:
    repeats = (
        f"{repeat.use.signature}:{repeat.use.request}:{int(repeat.use.may_repeat)}:{repeat.until}"
        for repeat in entry.repeats
    )
    return " ".join((entry.nonce.text, *repeats))


def _entry(text: str) -> Entry:
    nonce, *repeats = text.split(" ")
    return Entry(parse(nonce), tuple(_repeat(repeat) for repeat in repeats))


def _repeat(text: str) -> Repeat:
    try:
        signature, request, may_repeat, until = text.split(":")
        return Repeat(Use(signature, request, may_repeat == "1"), int(until))
    except ValueError:
        refuse(Reason.MALFORMED, "the store of nonces has an entry that is none")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
